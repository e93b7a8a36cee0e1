"""The command lines that do a job again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import click

from cvq.errors import CvqError
from cvq.text import exactly

from .main import COMMANDS

if TYPE_CHECKING:
    from cvq.kinds.kind import Kind
    from cvq.records import Job
    from cvq.settings import Settings

_MOST_WORDS = 60  # of a command that somebody might copy
_USUAL = {"queue": "default", "priority": 5}


def commands(settings: Settings, job: Job) -> list[str]:
    """What to type to do a job again, quoted for a shell: from the store, and from scratch."""
    again = [f"cvq rerun {job.id}"] if "rerun" in COMMANDS else []
    words = submission(settings, job)
    return again if words is None else [*again, shlex.join(words)]


def submission(settings: Settings, job: Job) -> list[str] | None:
    """The words of the submission, with what differs from the defaults, and the seed.

    Files go by the names that they had. None where the kind is not known here, the specification
    is damaged, or there are too many files to be named.
    """
    from cvq.kinds import get_kind

    from .commands.submit import submit

    if "spec" in job.damage:
        return None
    try:
        kind = get_kind(job.kind, settings)
        command = submit.get_command(click.Context(submit), job.kind)
    except CvqError:
        return None
    own = [param for param in command.params if (param.name or "").startswith("spec_")]
    arguments = [param for param in own if isinstance(param, click.Argument)]
    given = [word for param in arguments for word in _argument(param, job.spec)]
    options = [word for param in own for word in _option(kind, param, job.spec)]
    # A name that begins with a dash would be taken for an option, and so may be a program's words.
    is_rest = not command.context_settings.get("allow_interspersed_args", True)
    marked = is_rest or any(word.startswith("-") for word in given)
    positional = ["--", *given] if marked else given
    common = list(_common(job))
    if positional[:1] == ["--"]:
        words = ["cvq", "submit", job.kind, *options, *common, *positional]
    else:
        words = ["cvq", "submit", job.kind, *positional, *options, *common]
    return words if len(words) <= _MOST_WORDS else None


def _argument(param: click.Argument, spec: Mapping[str, Any]) -> list[str]:
    value = spec.get(_field(param))
    values = value if isinstance(value, list) else [] if value is None else [value]
    return [_word(each) for each in values]


def _option(kind: Kind, param: click.Parameter, spec: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(param, click.Option):
        return
    field = _field(param)
    value = spec.get(field)
    if field not in spec or (field != "seed" and _is_default(kind, field, value)):
        return
    if value is None:
        yield from (param.opts[0], "none")
        return
    if isinstance(value, bool) and param.is_flag:
        yield param.opts[0] if value else param.secondary_opts[0]
        return
    if param.multiple:
        for word in _pairs(value) if isinstance(value, dict) else map(_word, value):
            yield from (param.opts[0], word)
        return
    yield param.opts[0]
    yield ",".join(map(_word, value)) if isinstance(value, list) else _word(value)


def _field(param: click.Parameter) -> str:
    return (param.name or "").removeprefix("spec_")


def _is_default(kind: Kind, field: str, value: Any) -> bool:
    found = kind.spec.model_fields[field]
    if found.is_required():
        return False
    default = found.get_default(call_default_factory=True)
    if hasattr(default, "model_dump"):  # an input, which is not stored where it has a name alone
        return bool(default.model_dump(mode="json") == value)
    return bool(list(default) == value if isinstance(default, list | tuple) else default == value)


def _pairs(value: Mapping[str, Any]) -> Iterator[str]:
    for name, each in value.items():
        yield name if each is None else f"{name}={each}"


def _word(value: Any) -> str:
    """A value as it is typed: a file by its name, data as given, a model by its job's number."""
    if isinstance(value, dict):
        if value.get("job") is not None:
            return str(value["job"])
        if place := value.get("place"):  # of data in a program's folder
            name = value.get("name", "")
            return str(place if PurePosixPath(place).name == name else f"{place}={name}")
        return str(value.get("given") or value.get("name", ""))
    return str(value)


def _common(job: Job) -> Iterator[str]:
    """The options of every job that were given."""
    if job.name:
        yield from ("--name", job.name)
    for key, value in job.tags.items():
        yield from ("--tag", f"{key}={value}")
    for option, seconds in (
        ("--time-limit", job.time_limit),
        ("--soft-time-limit", job.soft_time_limit),
    ):
        if seconds is not None:
            yield from (option, exactly(seconds))
    if job.device in ("gpu", "cpu"):
        yield "--gpu" if job.device == "gpu" else "--no-gpu"
    for name, usual in _USUAL.items():
        if (value := getattr(job, name)) != usual:
            yield from (f"--{name}", str(value))
