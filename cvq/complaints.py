"""What is wrong with a value, in our own words: what was given, and what is wanted instead.

pydantic's errors name types and know neither a field's range nor how it is called where it was
given. Everything that reports a `ValidationError` goes through `problems`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from .text import count, did_you_mean, nearest

_LONGEST = 60
_SIGNS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


class Problem(NamedTuple):
    """What is wrong with one value.

    Attributes:
        field: its field; None where several values do not go together, or a name is unknown.
        given: the value, as it is shown; empty where it is not.
        text: what is wanted; empty where the value is missing.
    """

    field: str | None
    given: str
    text: str

    def sentence(self, name: str) -> str:
        """The sentence, with the name that the field has where it was given."""
        if self.field is None:
            return self.text
        if not self.text:
            return f"needs {name}"
        return f"{name} {self.given}: {self.text}" if self.given else f"{name}: {self.text}"


def problems(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """Each problem once, one of a field: of a list, the first item that is wrong."""
    found: dict[str, Problem] = {}
    for item in error.errors():
        name = str(item["loc"][0]) if item["loc"] else None
        field = model.model_fields.get(name or "")
        if field is None:
            text = _unknown(name, model) if item["type"] == "extra_forbidden" else _said(item)
            found.setdefault(text, Problem(None, "", text))
            continue
        assert name is not None
        text = "" if item["type"] == "missing" and len(item["loc"]) == 1 else _wanted(item, field)
        problem = Problem(name, _shown(item["input"]) if text else "", text)
        before = found.setdefault(name, problem)
        if _is_union(field) and text.removeprefix("give ") not in before.text:
            found[name] = before._replace(text=f"{before.text} or {text.removeprefix('give ')}")
    return list(found.values())


def bounds_of(field: FieldInfo) -> str:
    """What a field's numbers may be, in words: `1 to 10`, `above 0, at most 100`."""
    found = {
        sign: getattr(item, sign)
        for item in field.metadata
        for sign in _SIGNS
        if getattr(item, sign, None) is not None
    }
    step = next((s for item in field.metadata if (s := getattr(item, "multiple_of", None))), None)
    multiple = [f"a multiple of {step:g}"] if step is not None else []
    if "ge" in found and "le" in found:
        return ", ".join([f"{found['ge']:g} to {found['le']:.10g}", *multiple])
    words = [f"{_SIGNS[sign]} {value:g}" for sign, value in found.items()]
    return ", ".join([*words, *multiple])


def _wanted(item: Mapping[str, Any], field: FieldInfo) -> str:
    """What a field wants, by the type of pydantic's error."""
    kind, context = item["type"], item.get("ctx", {})
    if kind in ("value_error", "assertion_error"):
        return _said(item)
    if kind == "literal_error":
        return _one_of(item["input"], context["expected"])
    if kind in ("too_short", "too_long", "string_too_short", "string_too_long"):
        return _of_length(kind, context)
    if kind == "missing" and isinstance(item["loc"][-1], int):  # of a tuple, the first not there
        return f"give at least {item['loc'][-1] + 1}"
    if kind == "extra_forbidden":
        return f"there is no '{item['loc'][-1]}' in it"
    wanted = next((words for start, words in _WANTED.items() if kind.startswith(start)), None)
    limits = bounds_of(field) or _limits(context)
    if wanted is None and limits:
        return f"give {limits}"
    if wanted in _NUMBERS and limits:
        return f"give {wanted}, {limits}"
    if wanted:
        return f"give {wanted}"
    if kind == "string_pattern_mismatch":
        return f"give text that matches {context['pattern']}"
    return _said(item)


_NUMBERS = ("a whole number", "a number", "a finite number")
# By how the type of an error begins.
_WANTED = {
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "finite_number": "a finite number",
    "bool": "yes or no",
    "string_type": "text",
    "string_unicode": "text",
    "path": "a path",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "dict": "names with values",
    "model": "names with values",
    "missing": "names with values",
    "none_required": "nothing",
}


def _said(item: Mapping[str, Any]) -> str:
    """A validator's own sentence, or what is left: pydantic's."""
    text = re.sub(r"^(Value error|Assertion failed), ", "", item["msg"])
    return text.replace("Input should be ", "give ")


def _unknown(name: str | None, model: type[BaseModel]) -> str:
    near = nearest(name or "", model.model_fields)
    return f"there is no '{name}'" + (f", {did_you_mean(near)}" if near else "")


def _one_of(given: Any, expected: str) -> str:
    known = re.findall(r"'([^']*)'", expected)
    near = nearest(str(given), known)
    return f"give {expected}" + (f"; {did_you_mean(near)}" if near else "")


def _of_length(kind: str, context: Mapping[str, Any]) -> str:
    least = kind.endswith("short")
    number = context["min_length" if least else "max_length"]
    what = count(number, "character") if kind.startswith("string") else number
    return f"give {'at least' if least else 'at most'} {what}"


def _limits(context: Mapping[str, Any]) -> str:
    """The one limit that an item of a list has broken."""
    words = {**_SIGNS, "multiple_of": "a multiple of"}
    return ", ".join(f"{words[sign]} {context[sign]:g}" for sign in words if sign in context)


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"({len(value)} given)"
    if not isinstance(value, str | int | float | bytes):
        return ""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _members(annotation: Any) -> list[Any]:
    if get_origin(annotation) in (Union, UnionType):
        return [each for each in get_args(annotation) if each is not type(None)]
    return [annotation]


def _is_union(field: FieldInfo) -> bool:
    return len(_members(field.annotation)) > 1
