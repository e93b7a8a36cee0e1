"""The kind `command`: any program is a job."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, field_validator, model_validator

from ...inputs.folders import PlacedData, WorkFolder
from ...kept import check_pattern
from ..kind import Kind
from ..spec import Argument, Repeated, Spec

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OWN = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")
_MOST_WORDS, _LONGEST_WORD = 10_000, 100_000
_SECRET = re.compile("TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|ACCESS_?KEY", re.IGNORECASE)
_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,15})?([eE][+-]?\d{1,2})?")
_PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def _folder(given: Any) -> Any:
    return None if given == "none" else given


def _here() -> WorkFolder:
    return WorkFolder.model_validate({"name": ".", "path": Path()})


def _pairs(given: Any) -> Any:
    """Names with values, of `NAME=VALUE` and `NAME`."""
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, list | tuple) or not all(isinstance(each, str) for each in given):
        return given
    named = [each.partition("=") for each in given]
    names = [name for name, *_ in named]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"{twice} stands there twice: give it once")
    return {name: value if equals else None for name, equals, value in named}


def _values(given: Any) -> Any:
    """The same where each has a value: a number, where it can be typed as it was from that."""
    found = _pairs(given)
    if not isinstance(found, dict):
        return found
    if (name := next((name for name, value in found.items() if value is None), None)) is not None:
        raise ValueError(f"{name} has no value: write {name}=VALUE")
    return {name: _typed(value) for name, value in found.items()}


def _typed(value: Any) -> Any:
    """A text as a number, by which jobs can be asked for; `1.10` and `007` are no numbers."""
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        return value
    number = float(value) if {".", "e", "E"} & set(value) else int(value)
    return number if str(number) == value or "e" in value.lower() else value


def _check_text(word: str) -> None:
    """Refuse bytes of a command line that are no text, and could not be kept as they are."""
    shown = word.encode("utf-8", "replace").decode()
    if shown != word:
        raise ValueError(f"'{shown[:80]}' is no UTF-8: name the file otherwise, or in a script")


class CommandSpec(Spec):
    """Run a program as it is, with the files of the folder that it lies in."""

    open_field: ClassVar[str | None] = "values"

    argv: Annotated[list[str], Argument("[--] PROGRAM [WORD]...", rest=True)] = Field(
        min_length=1, max_length=_MOST_WORDS,
        description="The program and its words, as they are; no shell reads them.",
    )  # fmt: skip
    workdir: Annotated[WorkFolder | None, BeforeValidator(_folder)] = Field(
        default_factory=_here,
        description="The folder whose files go with the job; none: no files.",
    )
    data: Annotated[list[PlacedData], Repeated("[PLACE=]PATH")] = Field(
        [], max_length=100,
        description="A file or folder that the program finds in its own folder, to be read.",
    )  # fmt: skip
    env: Annotated[dict[str, str | None], BeforeValidator(_pairs), Repeated("NAME[=VALUE]")] = (
        Field(
            {}, description="A variable for the program; without a value, it is to have one that "
            "the worker passes on.",
        )
    )  # fmt: skip
    keep: Annotated[list[str], Repeated("PATTERN")] = Field(
        [], max_length=100,
        description="Files that are kept when the program has ended, as 'out/**' or '*.pt'.",
    )  # fmt: skip
    keep_gb: float = Field(
        10, gt=0, le=10_000, description="Gigabytes that the kept files may have together."
    )
    values: Annotated[
        dict[str, str | int | float | bool], BeforeValidator(_values),
        Repeated("NAME=VALUE"),
    ] = Field({}, description="A value for {NAME} in the program's words.")  # fmt: skip

    @property
    def work_folder(self) -> Path | None:
        """Where the program lies."""
        return self.workdir.path if self.workdir else None

    def notes(self) -> list[str]:
        """Of variables that look like secrets, and whose values anybody can read."""
        told = [name for name, value in self.env.items() if value and _SECRET.search(name)]
        return [
            f"the value of {name} stands in the history: `--env {name}` without it takes the "
            "worker's, which is kept nowhere"
            for name in told
        ]

    @property
    def words(self) -> list[str]:
        """The program and its words, the values put in."""

        values = {"seed": self.seed, **self.values}

        def put(found: re.Match[str]) -> str:
            return str(values.get(found[1], found[0]))

        return [_PLACE.sub(put, word) for word in self.argv]

    @field_validator("argv")
    @classmethod
    def _is_a_command(cls, argv: list[str]) -> list[str]:
        if not argv[0].strip():
            raise ValueError("give the program first")
        for word in argv:
            if "\x00" in word or len(word) > _LONGEST_WORD:
                raise ValueError(
                    f"a word may have {_LONGEST_WORD:,} characters, and no NUL: give a file"
                )
            _check_text(word)
        return argv

    @field_validator("env")
    @classmethod
    def _are_variables(cls, env: dict[str, str | None]) -> dict[str, str | None]:
        for name, value in env.items():
            if not _NAME.fullmatch(name):
                raise ValueError(f"'{name}' is not the name of a variable")
            if name.startswith("CVQ_") or name in _OWN:
                raise ValueError(f"{name} is set by the worker")
            if value is not None and "\x00" in value:
                raise ValueError(f"the value of {name} has a NUL")
            _check_text(value or "")
        return env

    @field_validator("data")
    @classmethod
    def _have_places(cls, data: list[PlacedData]) -> list[PlacedData]:
        places = sorted(PurePosixPath(file.place) for file in data)
        for one, other in pairwise(places):
            if other.is_relative_to(one):
                raise ValueError(f"{other} is in the place of {one}: write NAME=PATH")
        return data

    @field_validator("keep")
    @classmethod
    def _are_patterns(cls, keep: list[str]) -> list[str]:
        for pattern in keep:
            check_pattern(pattern)
            _check_text(pattern)
        return keep

    @model_validator(mode="after")
    def _has_places(self) -> CommandSpec:
        used = {name for word in self.argv for name in _PLACE.findall(word)}
        for name, value in self.values.items():
            if isinstance(value, str) and "\x00" in value:
                raise ValueError(f"the value of {name} has a NUL")
            if name not in used:
                raise ValueError(f"values has {name}, and no word of argv has {{{name}}}")
        return self


KIND = Kind(
    name="command",
    spec=CommandSpec,
    run="cvq_workers.program.run:run",
    summary="Run any program, with the files of its folder.",
    examples=(
        "--keep 'out/**' -- python train.py --lr 0.1",
        "--workdir project --data photos=/mnt/photos -- ./train.sh photos",
        "--workdir none -- nvidia-smi",
    ),
)
