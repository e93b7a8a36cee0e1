"""Settings: from the environment (CVQ_...), then `cvq.toml`, then the defaults. Read once."""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import socket
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from .complaints import problems
from .errors import SetupError, UsageError
from .text import nearest

_SECONDS: dict[str, Any] = {"unit": "s"}
_USER_INFO = re.compile(r"(\b(?!file:)[a-z][a-z0-9+.-]*://)[^\s'\"]*@", re.IGNORECASE)
_SECRET = re.compile("pass|secret|key|token|credential", re.IGNORECASE)
_SHORTEST = 3  # characters of a word that is struck out wherever it stands
INSIDE_JOB = "CVQ_INSIDE_JOB"  # set in a job's process, to the job's number


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user id without a name
        return f"uid-{os.getuid()}"


def _home() -> Path:
    """Where the system keeps a user's data.

    Raises:
        SetupError: this user has no home folder, as in a container.
    """
    try:
        return Path(platformdirs.user_data_dir("cvq"))
    except RuntimeError:
        raise SetupError(
            f"user {_user()} has no home folder: set CVQ_HOME (or HOME) to a folder of yours"
        ) from None


def config_files() -> list[Path]:
    """The `cvq.toml` files that are read where they exist, the strongest last."""
    if INSIDE_JOB in os.environ:
        return []  # a job is told what it needs; URLs with passwords are not its business
    files = [Path("cvq.toml")]
    with contextlib.suppress(RuntimeError):  # a user without a home folder
        files.insert(0, Path(platformdirs.user_config_dir("cvq")) / "cvq.toml")
    return files


class Settings(BaseModel):
    """What cvq needs to know about its surroundings.

    Every field can be given as an environment variable (`CVQ_` and its name) or as a key in
    `cvq.toml`, in the working directory or in the user's configuration folder.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    home: Path = Field(
        default_factory=_home,
        description="Folder of the embedded database, store, Redis and logs.",
    )
    database_url: str | None = Field(
        None, repr=False, description="SQLAlchemy URL; default: SQLite in the home folder."
    )
    broker_url: str | None = Field(
        None, repr=False, description="Redis URL; default: a Redis that cvq starts itself."
    )
    store_url: str | None = Field(
        None,
        repr=False,  # as the others: a key may stand in it
        description="fsspec URL of the artifact store; default: a folder in the home folder.",
    )
    store_retries: int = Field(
        4, ge=0, le=100, description="How often a request to an S3 store is tried again."
    )
    store_timeout: float = Field(
        15.0,
        gt=0,
        le=3600,
        description="How long an S3 store may be silent.",
        json_schema_extra=_SECONDS,
    )
    user: str = Field(
        default_factory=_user,
        min_length=1,
        max_length=100,
        description="Whose jobs are submitted.",
    )
    host: str = Field(
        default_factory=socket.gethostname,
        min_length=1,
        max_length=100,
        description="Name of this machine.",
    )
    lease: float = Field(
        30.0,
        ge=1,
        le=3600,
        description="Time after which a silent worker loses its jobs.",
        json_schema_extra=_SECONDS,
    )
    grace: float = Field(
        10.0,
        ge=0,
        le=3600,
        description="Time that a stopping worker gives its jobs.",
        json_schema_extra=_SECONDS,
    )
    checkpoint_every: float = Field(
        30.0,
        ge=0,
        le=86_400,
        description="Time between a job's checkpoints: what a crash may cost at most.",
        json_schema_extra=_SECONDS,
    )
    max_pixels: int = Field(
        100_000_000,
        ge=1,
        description="Largest picture accepted as an input.",
        json_schema_extra={"unit": "pixels"},
    )
    kinds: list[str] = Field([], description="Modules with more job kinds, separated by commas.")
    preload: list[str] = Field(
        ["numpy", "PIL.Image", "torch", "safetensors.torch"],
        description="Modules that a worker loads once, for all its job processes.",
    )
    pass_env: list[str] = Field(
        [],
        description="Environment variables that jobs get besides the usual ones: WANDB_API_KEY.",
    )
    micro_batch: int = Field(
        256,
        ge=1,
        le=10_000,
        description="Most items of small jobs that a slot takes at a time.",
    )
    warm_models: int = Field(
        4_000_000_000,
        ge=0,
        description="Most bytes of models that a slot keeps loaded between small jobs.",
        json_schema_extra={"unit": "bytes"},
    )
    warm_memory: int = Field(
        16_000_000_000,
        ge=0,
        description="Memory beyond which a slot's warm process is replaced.",
        json_schema_extra={"unit": "bytes"},
    )
    warm_hours: float = Field(
        12.0,
        gt=0,
        description="Time after which a slot's warm process is replaced.",
        json_schema_extra={"unit": "hours"},
    )
    start_method: str | None = Field(
        None,
        pattern="^(fork|spawn)$",
        description="How job processes start: fork (from a server with PyTorch loaded) or spawn.",
    )

    @field_validator("kinds", "preload", "pass_env", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return (
            [part.strip() for part in value.split(",") if part.strip()]
            if isinstance(value, str)
            else value
        )

    @field_validator("database_url", "broker_url", "store_url", "start_method", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: Any) -> Any:
        return None if value == "" else value

    @field_validator("home", mode="before")
    @classmethod
    def _not_empty(cls, value: Any) -> Any:
        if value == "":  # which would be the working directory
            raise ValueError("is empty: give a folder, or unset it")
        return value

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        try:
            return value.expanduser().absolute()
        except RuntimeError:  # ~ where there is no home folder
            raise ValueError("there is no such home folder; give an absolute path") from None

    @classmethod
    def load(cls, **overrides: Any) -> Settings:
        """Read the settings, or say in one line which value is wrong and where it came from.

        Raises:
            UsageError: a value is out of bounds, a key is unknown or a file is not TOML.
        """
        try:
            return cls(**_from_files() | _from_environment() | overrides)
        except ValidationError as error:
            raise UsageError(_explain(error)) from None
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"cvq.toml cannot be read: {error}") from None
        except (OSError, UnicodeDecodeError) as error:
            files = " or ".join(str(path) for path in config_files())
            raise UsageError(f"{files} cannot be read: {error}") from None

    @property
    def store(self) -> str:
        """The artifact store's URL, the default filled in."""
        # Not as_uri(): fsspec takes the path as it stands, and does not undo %20.
        return self.store_url or f"file://{self.home / 'store'}"

    @property
    def host_queue(self) -> str:
        """The queue that only the workers of this machine serve."""
        return f"host.{self.host}"


# Read by hand: pydantic-settings would add a tenth to the time of every `cvq submit`.


def _from_files() -> dict[str, Any]:
    values: dict[str, Any] = {}
    for path in config_files():
        if path.exists():
            values |= tomllib.loads(path.read_text("utf-8"))
    return values


def _from_environment() -> dict[str, str]:
    names = {f"CVQ_{name.upper()}": name for name in Settings.model_fields}
    return {names[variable]: os.environ[variable] for variable in names if variable in os.environ}


def sources() -> dict[str, str]:
    """Where the value of each setting comes from: a variable, a file, or the default."""
    found = dict.fromkeys(Settings.model_fields, "default")
    for path in config_files():
        if path.exists():
            known = found.keys() & tomllib.loads(path.read_text("utf-8")).keys()
            found |= dict.fromkeys(known, str(path))
    return found | {name: f"CVQ_{name.upper()}" for name in _from_environment()}


def unknown_variables() -> dict[str, str | None]:
    """Variables CVQ_… that mean nothing, each with the nearest that does."""
    known = {name.upper() for name in Settings.model_fields}
    prefixed = [name for name in sorted(os.environ) if name.startswith("CVQ_")]
    given = {name: name.removeprefix("CVQ_") for name in prefixed if name != INSIDE_JOB}
    # What all of them begin with makes no two of them alike.
    found = {
        name: nearest(word.upper(), known) for name, word in given.items() if word not in known
    }
    return {name: f"CVQ_{near}" if near else None for name, near in found.items()}


def masked(url: str) -> str:
    """A URL without what might be a secret: user and password, and what follows a `?`."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme == "file":
        return url
    _secret, at, place = rest.rpartition("@")
    place, asked, _ = place.partition("?")
    return f"{scheme}://{'***@' if at else ''}{place}{'?***' if asked else ''}"


def without_secrets(text: str, url: str | None = None) -> str:
    """A text in which no user, password or key of an address can be read.

    Args:
        text: what a library said, say.
        url: an address of the settings; what may be secret in it is struck out wherever it stands.
    """
    if url is not None and "://" in url and not url.startswith("file:"):
        rest = url.partition("://")[2]
        secret, at, place = rest.rpartition("@")
        words = [secret, secret.partition(":")[2]] if at else []
        asked = parse_qsl(place.partition("?")[2])
        words += [value for name, value in asked if _SECRET.search(name)]
        words = [word for word in {*words, *map(unquote, words)} if len(word) >= _SHORTEST]
        for word in sorted(words, key=len, reverse=True):
            text = text.replace(word, "***")
    return _USER_INFO.sub(r"\1***@", text)


def _explain(error: ValidationError) -> str:
    first = problems(error, Settings)[0]
    key = first.field
    if key is None:
        return f"cvq.toml: {first.text}"
    if not Settings.model_fields[key].repr:  # a secret may stand in it
        first = first._replace(given="")
    return first.sentence(f"setting '{key}' (CVQ_{key.upper()})")
