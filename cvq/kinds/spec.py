"""Specifications: the values of a job, typed.

A specification is a pydantic model. Its fields are the only place where a job's values are
validated; the command line's options, the JSON schema and the documentation are generated from
it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..goals import Goal
from ..inputs.files import InputFile


@dataclass(frozen=True)
class Argument:
    """Marks a field that the command line takes as a positional argument, in field order.

    Attributes:
        metavar: what it is called there.
        rest: whether it takes all words from its first on, also those that look like options.
    """

    metavar: str | None = None
    rest: bool = False


@dataclass(frozen=True)
class Repeated:
    """Marks a list, or names with values, whose option is given again for each value.

    Of other lists, the values are separated by commas.
    """

    metavar: str


@dataclass(frozen=True)
class Auto:
    """Marks a field whose 0 leaves the value to the job.

    What it became its result says by the same name.
    """


class Spec(BaseModel):
    """Base of all specifications. Unknown fields are refused."""

    # JSON knows neither NaN nor infinity.
    model_config = ConfigDict(extra="forbid", validate_default=False, allow_inf_nan=False)

    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = Field(
        0, description="Seed of every random number the job draws."
    )

    # What a base of specifications says for all its kinds; see the attributes of `Kind`.
    headline: ClassVar[tuple[str, ...]] = ()
    goals: ClassVar[Mapping[str, Goal]] = {}
    endings: ClassVar[tuple[str, ...]] = ()
    # The field whose values may be named without it, where they are varied or set anew.
    open_field: ClassVar[str | None] = None

    @model_validator(mode="before")
    @classmethod
    def _one_is_a_list_of_one(cls, given: Any) -> Any:
        """Take `images="x.png"` for a list of one, as the command line does."""
        if not isinstance(given, dict):
            return given
        lists = _lists_of(cls)
        return {
            name: [value]
            if name in lists and isinstance(value, str | int | float | Path | InputFile)
            else value
            for name, value in given.items()
        }

    @property
    def work_folder(self) -> Path | None:
        """The folder whose state in git is noted with the job; None: where one stands."""
        return None

    def notes(self) -> list[str]:
        """What whoever submits these values should know."""
        return []

    @classmethod
    def full_name(cls, name: str) -> str:
        """The name of a value: `values.lr` for `lr`, where that is no field, but may be in one."""
        root = name.partition(".")[0]
        is_own = cls.open_field is None or root.replace("-", "_") in cls.model_fields
        return name if is_own else f"{cls.open_field}.{name}"

    @classmethod
    def open_fields(cls) -> list[str]:
        """The fields that are marked with `Auto`."""
        return [
            name
            for name, field in cls.model_fields.items()
            if any(isinstance(mark, Auto) for mark in field.metadata)
        ]

    def inputs(self) -> Iterator[InputFile]:
        """Every input file of this specification, in field order."""
        for name in type(self).model_fields:
            yield from files_in(getattr(self, name))

    def with_inputs(self, files: Iterable[InputFile]) -> Self:
        """The same with other input files, as many and in the order of `inputs`."""
        others = iter(files)

        def replaced(value: Any) -> Any:
            if isinstance(value, list | tuple):
                return type(value)(replaced(item) for item in value)
            return next(others) if isinstance(value, InputFile) else value

        given = {name: getattr(self, name) for name in type(self).model_fields}
        return self.model_copy(
            update={n: replaced(value) for n, value in given.items() if any(files_in(value))}
        )


def files_in(value: Any) -> Iterator[InputFile]:
    """The input files that a field's value is or holds."""
    for item in value if isinstance(value, list | tuple) else (value,):
        if isinstance(item, InputFile):
            yield item


@cache
def _lists_of(spec: type[Spec]) -> frozenset[str]:
    """The fields that take a list."""
    fields = spec.model_fields.items()
    return frozenset(name for name, field in fields if _is_list(field.annotation))


def _is_list(annotation: Any) -> bool:
    """Whether a field takes a list, or a list or nothing."""
    wanted = [one for one in get_args(annotation) if one is not type(None)] or [annotation]
    return get_origin(annotation) in (list, tuple) or all(
        get_origin(one) in (list, tuple) for one in wanted
    )
