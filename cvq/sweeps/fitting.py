"""A space checked against a kind's specification, its values made those that the fields take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import NoneType
from typing import Any, get_args

from pydantic import BaseModel

from ..errors import SpecError, UsageError
from ..kinds import make_spec
from ..kinds.kind import Kind
from ..kinds.spec import Spec, files_in
from ..text import did_you_mean, join, nearest
from .space import Choice, Choices, Parameter, Range, Space, distinct

_BETWEEN = 0.3819660113  # of a range: no number that a field could be bound to


def fitted(kind: Kind, space: Space, values: Mapping[str, Any]) -> Space:
    """The space in values that the kind's fields take.

    Args:
        kind: of the jobs.
        space: as it was given.
        values: of the other fields.

    Raises:
        UsageError: a name is no field's, or is given twice.
        SpecError: a field cannot have one of its values.
    """
    _check_names(kind, space, values)
    # Each is tried beside the first value of every other.
    first = {parameter.name: _first(parameter) for parameter in space}
    found: list[Parameter] = []
    for parameter in space:
        try_one = _Probe(kind, values, first, parameter.name)
        if isinstance(parameter, Range):
            found.append(_fitted_range(parameter, try_one))
        else:
            choices = (try_one.choice(choice) for choice in parameter.choices)
            found.append(distinct(Choices(parameter.name, tuple(choices))))
        first[parameter.name] = _first(found[-1])
    return tuple(found)


def named(kind: Kind, space: Space) -> Space:
    """The space by the full names of what it varies."""
    return tuple(replace(each, name=kind.spec.full_name(each.name)) for each in space)


def merged(kind: Kind, values: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a specification, in which a name such as `augment.flip` is within another."""
    found = dict(values)
    for name, value in own.items():
        root, *path = name.split(".")
        if not path:
            found[root] = value
            continue
        found[root] = inner = _record(found[root] if root in found else _default(kind, root))
        for key in path[:-1]:
            inner[key] = inner = _record(inner.get(key))
        inner[path[-1]] = value
    return found


def within(spec: Spec, name: str) -> Any:
    """The value of a field, or of one within it, as the specification has it."""
    found: Any = spec
    for key in name.split("."):
        found = found.get(key) if isinstance(found, Mapping) else getattr(found, key, None)
    return found


def json_within(spec: Spec, name: str) -> Any:
    """The same as JSON."""
    root, *path = name.split(".")
    found = spec.model_dump(mode="json", include={root})[root]
    for key in path:
        found = found[key]
    return found


class _Probe:
    """Tries values of one parameter."""

    def __init__(
        self, kind: Kind, values: Mapping[str, Any], first: Mapping[str, Any], name: str
    ) -> None:
        self._kind, self._values, self._first, self._name = kind, values, first, name

    def __call__(self, value: Any) -> Spec | None:
        """The specification with a value; None where values do not go together.

        Raises:
            SpecError: a field cannot have its value.
        """
        own = {**self._first, self._name: value}
        try:
            spec = make_spec(self._kind, merged(self._kind, self._values, own))
        except SpecError as error:
            wrong = [problem for problem in error.problems if problem.field is not None]
            nested = "." in self._name and not wrong
            if wrong or nested:
                raise SpecError(self._kind.name, wrong or error.problems) from None
            return None
        _check_path(spec, self._name)
        return spec

    def takes(self, value: Any) -> bool:
        """Whether the field can have it."""
        try:
            self(value)
        except SpecError:
            return False
        return True

    def choice(self, choice: Choice) -> Choice:
        """The choice with its value as the field has it; a file stays as it was given."""
        if choice.value == "none" and self._may_be_none and not self.takes("none"):
            choice = replace(choice, value=None)
        spec = self(choice.value)
        if spec is None or any(files_in(within(spec, self._name))):
            return choice
        return replace(choice, value=json_within(spec, self._name))

    @property
    def _may_be_none(self) -> bool:
        field = self._kind.spec.model_fields[self._name.partition(".")[0]]
        return "." in self._name or NoneType in get_args(field.annotation)


def _fitted_range(parameter: Range, probe: _Probe) -> Range:
    """A range whose ends, and what is between them, a field takes.

    Of a field of whole numbers it is one, too.
    """
    probe(parameter.low)
    probe(parameter.high)
    if parameter.whole:
        probe(min(parameter.low + parameter.step, parameter.high))
        return parameter
    between = parameter.low + _BETWEEN * (parameter.high - parameter.low)
    if probe.takes(between):
        return parameter
    if parameter.log and float(parameter.low).is_integer() and float(parameter.high).is_integer():
        probe(round(between))
        return replace(parameter, low=int(parameter.low), high=int(parameter.high), whole=True)
    probe(between)
    raise AssertionError(between)


def _first(parameter: Parameter) -> Any:
    return parameter.low if isinstance(parameter, Range) else parameter.choices[0].value


def _check_names(kind: Kind, space: Space, values: Mapping[str, Any]) -> None:
    fields = list(kind.spec.model_fields)
    for name in (*values, *(parameter.name for parameter in space)):
        root = name.partition(".")[0]
        if root not in fields:
            near = nearest(root, fields) or next(_abbreviated(root, fields), None)
            hint = did_you_mean(near) or f"it has {join(fields, 30)}"
            raise UsageError(f"{kind.name} has no field '{root}': {hint}")
    for parameter in space:
        if parameter.name in values:
            raise UsageError(
                f"{parameter.name} is in the space, and is given a value besides: give one"
            )


def _check_path(spec: Spec, name: str) -> None:
    """Make sure that a field has what is called so within it, and has not passed over it."""
    root, *path = name.split(".")
    found = spec.model_dump(mode="json", include={root})[root]
    for key in path:
        if not isinstance(found, dict) or key not in found:
            known = found if isinstance(found, dict) else {}
            hint = did_you_mean(nearest(key, known))
            raise UsageError(f"there is no '{name}': {hint or f'{root} has {join(list(known))}'}")
        found = found[key]


def _abbreviated(word: str, fields: list[str]) -> Iterator[str]:
    """The fields of which a word has the initials, as `lr` of `learning_rate`."""
    initials: Callable[[str], str] = lambda field: "".join(p[:1] for p in field.split("_"))  # noqa: E731
    return (field for field in fields if initials(field) == word.lower())


def _default(kind: Kind, root: str) -> Any:
    field = kind.spec.model_fields[root]
    return None if field.is_required() else field.get_default(call_default_factory=True)


def _record(value: Any) -> dict[str, Any]:
    """A copy of what has names, as one can be changed."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return dict(value) if isinstance(value, Mapping) else {}
