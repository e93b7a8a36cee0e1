"""What a job kind is made of: a typed specification and a reference to the code that runs it.

A specification is a pydantic model. Its fields are the only place where a job's values are
validated; the command line's options, the JSON schema and the documentation are generated from
it. Nothing here imports PyTorch: a laptop without it can submit.
"""

from __future__ import annotations

import contextlib
import mimetypes
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from ..goals import Goal
from ..inputs.addresses import address_of, name_of

# As it is typed after `cvq submit`, and as the database has room for.
_NAME = re.compile(r"[^\W_][\w.-]{0,99}")

# What `Client.submit` takes besides a specification's fields; a test holds the two equal.
OF_EVERY_JOB = frozenset(
    {"self", "kind", "priority", "name", "tags", "after", "at", "retries", "time_limit",
     "soft_time_limit", "gpu", "queue", "on_pack"}
)  # fmt: skip


class InputFile(BaseModel):
    """A file that a job reads, held in the artifact store under its SHA-256.

    A path (or a string) is accepted where a specification is made by hand; storing the file fills
    in `sha256` and `bytes`. `path` is where the file lies on this machine, `address` where it is
    fetched from; neither is stored.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    bytes: int | None = Field(None, ge=0)
    path: Path | None = Field(None, exclude=True)
    address: str | None = Field(None, exclude=True, repr=False)

    @model_validator(mode="before")
    @classmethod
    def _from_given(cls, value: Any) -> Any:
        return cls._parse(value)

    @classmethod
    def _parse(cls, value: Any) -> Any:
        if value == "":  # which Python takes for the folder one stands in
            raise ValueError("give the path of a file")
        if isinstance(value, str | Path):
            if address := address_of(value):
                return {"name": name_of(address), "address": address}
            path = Path(value)
            with contextlib.suppress(RuntimeError):  # ~name of a user that there is not
                path = path.expanduser()
            # A name that is not UTF-8 cannot be stored; the path keeps it.
            return {"name": path.name.encode("utf-8", "replace").decode(), "path": path}
        if not isinstance(value, dict | InputFile):
            raise ValueError("give the path of a file")
        return value

    @property
    def media_type(self) -> str:
        """The media type that the name suggests."""
        return mimetypes.guess_type(self.name)[0] or "application/octet-stream"

    @property
    def key(self) -> str | None:
        """By which a job finds the file on its machine; None where there is no file to bring."""
        return self.sha256


class ImageFile(InputFile):
    """A picture: checked to be one, whole and of a bearable size, before the job is queued."""


class TypedFile(InputFile):
    """A file that a model card names, so that its command can be typed again.

    `given` is what was typed, where it is more than the name.
    """

    given: str | None = None

    @classmethod
    def _parse(cls, value: Any) -> Any:
        parsed = super()._parse(value)
        if isinstance(value, str | Path) and str(value) != parsed["name"]:
            parsed["given"] = str(value).encode("utf-8", "replace").decode()
        return parsed

    @model_serializer(mode="wrap")
    def _without_nothing(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {k: v for k, v in handler(self).items() if k != "given" or v is not None}


class DataSource(TypedFile):
    """A data set: a known name such as `digits`, a folder, or a zip of one.

    It is resolved when the job is submitted: a folder goes into the store as a zip. `digits` needs
    no file.
    """


class PipelineFile(TypedFile):
    """A pipeline that `albumentations.save` wrote: checked before the job is queued."""


class ModelFile(InputFile):
    """The trained model of another job, given as its number, or as `@` (the last job), `@~1`.

    Where that job has not ended yet, this one waits for it.
    """

    job: int | None = Field(None, ge=1)
    reference: str | None = Field(None, exclude=True)
    # Modules with more kinds (`CVQ_KINDS`) on this machine: one of them may have trained it.
    modules: list[str] = Field([], exclude=True)
    # What its training says is wrong with it.
    warned: list[str] = Field([], exclude=True)

    @classmethod
    def _parse(cls, value: Any) -> Any:
        if isinstance(value, int | str) and not isinstance(value, bool):
            return {"name": f"model of job {value}", "reference": str(value)}
        if not isinstance(value, dict | ModelFile):
            raise ValueError("give the job that trained it, or its id")
        return value

    @property
    def key(self) -> str | None:
        """The job that it comes from: the file is looked up when the attempt starts."""
        return f"job-{self.job}"


@dataclass(frozen=True)
class ModelOf:
    """Marks a `ModelFile` with what the model's kind must offer; see `Kind.offers`."""

    offer: str


@dataclass(frozen=True)
class Argument:
    """Marks a field that the command line takes as a positional argument, in field order."""

    metavar: str | None = None


class Spec(BaseModel):
    """Base of all specifications. Unknown fields are refused."""

    # JSON knows neither NaN nor infinity.
    model_config = ConfigDict(extra="forbid", validate_default=False, allow_inf_nan=False)

    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = Field(
        0, description="Seed of every random number the job draws."
    )

    # Metrics, and values of the result, worth a column in lists and progress, most telling first.
    # A text among them is shown without its name: the answer of a job that was asked something.
    headline: ClassVar[tuple[str, ...]] = ()
    # Which way metrics are better, where their names do not say so: {"colourfulness": "max"}.
    goals: ClassVar[Mapping[str, Goal]] = {}
    # Fields whose 0 leaves the value to the job; what it became its result says by the same name.
    left_open: ClassVar[tuple[str, ...]] = ()
    # What the names of a job's results end in, where all of them do: png, json.
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

    def inputs(self) -> Iterator[InputFile]:
        """Every input file of this specification, in field order."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            for item in value if isinstance(value, list | tuple) else (value,):
                if isinstance(item, InputFile):
                    yield item


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
    """

    name: str
    spec: type[Spec]
    run: str
    summary: str
    extra: str | None = None
    offers: tuple[str, ...] = ()
    network: str | None = None

    def __post_init__(self) -> None:
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
