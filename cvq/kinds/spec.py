"""What a job kind is made of: a typed specification and a reference to the code that runs it.

A specification is a pydantic model. Its fields are the only place where a job's values are
validated; the command line's options, the JSON schema and the documentation are generated from
it. Nothing here imports PyTorch: a laptop without it can submit.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..goals import Goal
from ..inputs.files import InputFile

# As it is typed after `cvq submit`, and as the database has room for.
_NAME = re.compile(r"[^\W_][\w.-]{0,99}")

# What `Client.submit` takes besides a specification's fields; a test holds the two equal.
OF_EVERY_JOB = frozenset(
    {"self", "kind", "priority", "name", "tags", "after", "at", "retries", "time_limit",
     "soft_time_limit", "gpu", "queue", "on_pack"}
)  # fmt: skip


@dataclass(frozen=True)
class Argument:
    """Marks a field that the command line takes as a positional argument, in field order."""

    metavar: str | None = None


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

    @model_validator(mode="before")
    @classmethod
    def _one_is_a_list_of_one(cls, given: Any) -> Any:
        """Take `images="x.png"` for a list of one, as the command line does."""
        if not isinstance(given, dict):
            return given
        return {
            name: [value]
            if name in cls.model_fields
            and _is_list(cls.model_fields[name].annotation)
            and isinstance(value, str | int | float | Path | InputFile)
            else value
            for name, value in given.items()
        }

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
            yield from _files_in(getattr(self, name))

    def with_inputs(self, files: Iterable[InputFile]) -> Self:
        """The same with other input files, as many and in the order of `inputs`."""
        others = iter(files)

        def replaced(value: Any) -> Any:
            if isinstance(value, list | tuple):
                return type(value)(replaced(item) for item in value)
            return next(others) if isinstance(value, InputFile) else value

        given = {name: getattr(self, name) for name in type(self).model_fields}
        return self.model_copy(
            update={n: replaced(value) for n, value in given.items() if any(_files_in(value))}
        )


def _files_in(value: Any) -> Iterator[InputFile]:
    for item in value if isinstance(value, list | tuple) else (value,):
        if isinstance(item, InputFile):
            yield item


def digest(kind: str, spec: dict[str, Any]) -> str:
    """The SHA-256 of a kind's name and a specification as JSON: equal for equal jobs."""
    canonical = json.dumps([kind, spec], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _is_list(annotation: Any) -> bool:
    """Whether a field takes a list, or a list or nothing."""
    wanted = [one for one in get_args(annotation) if one is not type(None)] or [annotation]
    return get_origin(annotation) in (list, tuple) or all(
        get_origin(one) in (list, tuple) for one in wanted
    )


@dataclass(frozen=True)
class Kind:
    """A job kind: its name, its specification and where its code is.

    Attributes:
        name: what `cvq submit` calls it, for example `style-transfer`.
        spec: the pydantic model of its values.
        run: `module:function` of `run(spec, ctx) -> dict`, imported only in a job's process.
        summary: one line for `cvq kinds`.
        extra: the optional dependency group that `run` needs, as in `pip install '.[worker]'`.
        offers: what its models can be used for: `classifier`, `autoencoder`, `generator`,
            `colorizer`, `adder`, or a word of one's own. `cvq_workers/training/saved.py` says what
            the network of each must do.
        network: `module:function` of `network(spec, facts) -> torch.nn.Module`, which makes the
            network, untrained, from the specification and the facts in the model file.
        headline: metrics, and values of the result, worth a column in lists and progress, most
            telling first. A text among them is shown without its name: the answer of a job that
            was asked something.
        goals: which way metrics are better, where their names do not say so:
            `{"colourfulness": "max"}`.
        endings: what the names of a job's results end in, where all of them do: png, json.

    What is left out of the last three comes from the specification's base, such as `TrainingSpec`.
    """

    name: str
    spec: type[Spec]
    run: str
    summary: str
    extra: str | None = None
    offers: tuple[str, ...] = ()
    network: str | None = None
    headline: tuple[str, ...] = ()
    goals: Mapping[str, Goal] = field(default_factory=dict, hash=False)
    endings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("headline", "goals", "endings"):
            if not getattr(self, name):
                object.__setattr__(self, name, getattr(self.spec, name))
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f"a kind is called {self.name!r}: a name has letters, digits, '-', '_' and '.', "
                "begins with a letter or digit, and has 100 characters at most"
            )
        if taken := sorted(OF_EVERY_JOB.intersection(self.spec.model_fields)):
            raise ValueError(
                f"kind {self.name} has a field '{taken[0]}', which every job has: rename it"
            )
        if self.offers and self.network is None:
            raise ValueError(f"kind {self.name} offers {self.offers[0]}, and names no network")

    def load(self) -> Any:
        """Import and return the function that runs the job."""
        return _loaded(self.run)

    def load_network(self) -> Any:
        """Import and return the function that makes the network of a model."""
        assert self.network is not None
        return _loaded(self.network)


def _loaded(reference: str) -> Any:
    module, _, function = reference.partition(":")
    return getattr(import_module(module), function)
