"""What a job's process may say, and of what shape: anything else on its socket is no report.

A process that the job has started can write on the socket, too, and a kill cuts a line off.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# A line that one call can write without its being mixed with another process's.
LONGEST_EVENT = 60_000
EXIT_STOPPED = 75  # EX_TEMPFAIL: asked to stop, to be run again elsewhere
EXIT_CUT = 94  # the connection is closed: by the job itself, or nobody is left who could ask

_Check = Callable[[Any], bool]
_INT64 = 1 << 63
_LONGEST_REASON = 50


@dataclass(frozen=True)
class Request:
    """What a job process is told, through a JSON file.

    `inputs` is what staging has found of each input, in the specification's order; `checkpoint`
    the file to resume from; `notes` are lines for the job's log.
    """

    job_id: int
    attempt: int
    kind: str
    spec: dict[str, Any]
    spec_hash: str
    inputs: list[dict[str, Any]]
    folder: str
    cache: str
    device: str
    threads: int
    environment: dict[str, str]
    kinds: list[str]
    checkpoint: str | None
    checkpoint_every: float
    max_pixels: int
    notes: list[str]


def read_event(line: bytes) -> dict[str, Any]:
    """A report, as it was sent.

    Raises:
        ValueError: it is none, as to its name or to what it holds.
    """
    try:
        message = json.loads(line)
        event = message["event"]
        fields = _FIELDS[event]
    except (TypeError, KeyError, RecursionError) as error:
        raise ValueError("no event of a job") from error
    values = {name: message.get(name) for name in fields}
    if not all(fields[name](value) for name, value in values.items()):
        raise ValueError(f"{event} does not hold what it should")
    if event == "result" and "result" not in message:
        raise ValueError("a result without one")
    return {"event": event, **values}


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -_INT64 <= value < _INT64


def _number(value: Any) -> bool:
    """A number that is a float, or becomes one; NaN and infinity are."""
    return isinstance(value, float) or _whole(value)


def _text(value: Any) -> bool:
    return isinstance(value, str) and "\x00" not in value


def _words(value: Any) -> bool:
    return isinstance(value, str)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _or_none(check: _Check) -> _Check:
    return lambda value: value is None or check(value)


_FIELDS: dict[str, dict[str, _Check]] = {
    "progress": {
        "done": _whole,
        "total": _whole,
        "unit": _words,
        "share": _or_none(lambda value: _number(value) and 0 <= value <= 1),
    },
    "metrics": {
        "step": _whole,
        "values": lambda value: isinstance(value, dict) and all(map(_number, value.values())),
        "time": _number,
    },
    "artifact": {"path": _text, "name": _text, "role": _text, "media_type": _or_none(_text)},
    "confirm": {},
    "result": {"result": lambda _: True, "in_file": _or_none(_flag)},
    "error": {
        "reason": lambda value: _text(value) and 0 < len(value) <= _LONGEST_REASON,
        "message": _words,
        "traceback": _or_none(_words),
        "retry": _flag,
    },
    "stopped": {},
}
