"""Settings: from the environment (CVQ_...), then `cvq.toml`, then the defaults. Read once."""

from __future__ import annotations

import contextlib
import getpass
import os
import re
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import platformdirs

from .errors import SetupError, UsageError
from .reporting import VARIABLES
from .setting import (
    Setting,
    folder,
    names,
    number,
    one_of,
    optional_text,
    setting,
    setting_of,
    text,
    whole,
)
from .text import did_you_mean, nearest

_USER_INFO = re.compile(r"(\b(?!file:)[a-z][a-z0-9+.-]*://)[^\s'\"]*@", re.IGNORECASE)
_SECRET = re.compile("pass|secret|key|token|credential", re.IGNORECASE)
_SHORTEST = 3  # characters of a word that is struck out wherever it stands
INSIDE_JOB = "CVQ_INSIDE_JOB"  # set in a job's process, to the job's number


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user id without a name
        return f"uid-{os.getuid()}"


def _host() -> str:
    return os.uname().nodename


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


def _gpu_locks() -> Path:
    # Not /dev/shm, from which some systems remove a user's files when he logs out.
    return Path("/var/tmp/cvq-gpus")  # noqa: S108 - no file there is believed, only its lock


def config_files() -> list[Path]:
    """The `cvq.toml` files that are read where they exist, the strongest last."""
    if INSIDE_JOB in os.environ:
        return []  # a job is told what it needs; URLs with passwords are not its business
    files = [Path("cvq.toml")]
    with contextlib.suppress(RuntimeError):  # a user without a home folder
        files.insert(0, Path(platformdirs.user_config_dir("cvq")) / "cvq.toml")
    return files


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What cvq needs to know about its surroundings.

    Every field can be given as an environment variable (`CVQ_` and its name) or as a key in
    `cvq.toml`, in the working directory or in the user's configuration folder.

    Raises:
        UsageError: a value is out of bounds.
    """

    home: Path = setting(
        folder, "Folder of the embedded database, store, Redis and logs.", made=_home
    )
    database_url: str | None = setting(
        optional_text, "SQLAlchemy URL; default: SQLite in the home folder.", secret=True
    )
    broker_url: str | None = setting(
        optional_text, "Redis URL; default: a Redis that cvq starts itself.", secret=True
    )
    store_url: str | None = setting(
        optional_text,
        "fsspec URL of the artifact store; default: a folder in the home folder.",
        secret=True,  # as the others: a key may stand in it
    )
    store_retries: int = setting(
        whole(0, 100), "How often a request to an S3 store is tried again.", default=4
    )
    store_timeout: float = setting(
        number(0, 3600, above=True), "How long an S3 store may be silent.", default=15.0, unit="s"
    )
    user: str = setting(text(1, 100), "Whose jobs are submitted.", made=_user)
    host: str = setting(text(1, 100), "Name of this machine.", made=_host)
    lease: float = setting(
        number(1, 3600), "Time after which a silent worker loses its jobs.", default=30.0, unit="s"
    )
    grace: float = setting(
        number(0, 3600), "Time that a stopping worker gives its jobs.", default=10.0, unit="s"
    )
    checkpoint_every: float = setting(
        number(0, 86_400),
        "Time between a job's checkpoints: what a crash may cost at most.",
        default=30.0,
        unit="s",
    )
    max_pixels: int = setting(
        whole(1), "Largest picture accepted as an input.", default=100_000_000, unit="pixels"
    )
    kinds: list[str] = setting(
        names, "Modules with more job kinds, separated by commas.", made=list
    )
    leave_kinds: list[str] = setting(
        names, "Kinds whose jobs this machine's workers leave to others: command.", made=list
    )
    preload: list[str] = setting(
        names,
        "Modules that a worker loads once, for all its job processes.",
        made=lambda: ["numpy", "PIL.Image", "torch", "safetensors.torch"],
    )
    gpu_locks: Path = setting(
        folder,
        "Folder where this machine's workers lock their GPUs, the same for all of them.",
        made=_gpu_locks,
    )
    pass_env: list[str] = setting(
        names,
        "Environment variables that jobs get besides the usual ones: WANDB_API_KEY.",
        made=list,
    )
    micro_batch: int = setting(
        whole(1, 10_000), "Most items of small jobs that a slot takes at a time.", default=256
    )
    warm_models: int = setting(
        whole(0),
        "Most bytes of models that a slot keeps loaded between small jobs.",
        default=4_000_000_000,
        unit="bytes",
    )
    warm_memory: int = setting(
        whole(0),
        "Memory beyond which a slot's warm process is replaced.",
        default=16_000_000_000,
        unit="bytes",
    )
    warm_hours: float = setting(
        number(0, above=True),
        "Time after which a slot's warm process is replaced.",
        default=12.0,
        unit="hours",
    )
    trash_days: float = setting(
        number(0, 36_500),
        "Time in the trash after which `cvq prune` removes a job.",
        default=30.0,
        unit="days",
    )
    start_method: str | None = setting(
        one_of("fork", "spawn"),
        "How job processes start: fork (from a server with PyTorch loaded) or spawn.",
    )

    def __post_init__(self) -> None:
        for name, about in known_settings().items():
            value = getattr(self, name)
            try:
                object.__setattr__(self, name, about.read(value))
            except ValueError as error:
                problem = about.problem(value, error)
                raise UsageError(f"setting '{name}' (CVQ_{name.upper()}){problem}") from None

    @classmethod
    def load(cls, **overrides: Any) -> Settings:
        """Read the settings, or say in one line which value is wrong and where it came from.

        Raises:
            UsageError: a value is out of bounds, a key is unknown or a file is not TOML.
        """
        given = _from_files() | _from_environment() | overrides
        if strange := next((name for name in given if name not in known_settings()), None):
            near = did_you_mean(nearest(strange, known_settings()))
            raise UsageError(f"cvq.toml: there is no '{strange}'" + (f", {near}" if near else ""))
        return cls(**given)

    @property
    def store(self) -> str:
        """The artifact store's URL, the default filled in."""
        # Not as_uri(): fsspec takes the path as it stands, and does not undo %20.
        return self.store_url or f"file://{self.home / 'store'}"

    @property
    def host_queue(self) -> str:
        """The queue that only the workers of this machine serve."""
        return f"host.{self.host}"


@cache
def known_settings() -> dict[str, Setting]:
    """What can be set, by its name."""
    return {field.name: setting_of(field) for field in fields(Settings)}


def _from_files() -> dict[str, Any]:
    values: dict[str, Any] = {}
    for path in config_files():
        values |= _read(path)
    return values


def _read(path: Path) -> dict[str, Any]:
    """What a file sets; nothing where there is none.

    Raises:
        UsageError: it cannot be read, or is not TOML.
    """
    if not path.exists():
        return {}
    import tomllib  # most have no such file

    try:
        return tomllib.loads(path.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"cvq.toml cannot be read: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None


def _from_environment() -> dict[str, str]:
    names = {f"CVQ_{name.upper()}": name for name in known_settings()}
    return {names[variable]: os.environ[variable] for variable in names if variable in os.environ}


def sources() -> dict[str, str]:
    """Where the value of each setting comes from: a variable, a file, or the default."""
    found = dict.fromkeys(known_settings(), "default")
    for path in config_files():
        found |= dict.fromkeys(found.keys() & _read(path).keys(), str(path))
    return found | {name: f"CVQ_{name.upper()}" for name in _from_environment()}


def unknown_variables() -> dict[str, str | None]:
    """Variables CVQ_… that mean nothing, each with the nearest that does."""
    known = {name.upper() for name in known_settings()}
    prefixed = [name for name in sorted(os.environ) if name.startswith("CVQ_")]
    of_jobs = {INSIDE_JOB, *VARIABLES}
    given = {name: name.removeprefix("CVQ_") for name in prefixed if name not in of_jobs}
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
