"""What a job's process may say on its socket, and what is no report."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cvq_workers.protocol import read_event

METRICS = {"event": "metrics", "step": 1, "values": {"loss": 0.5}, "time": 1e9}
PROGRESS = {"event": "progress", "done": 1, "total": 2, "unit": "step", "share": None}
FILE = {"event": "artifact", "path": "/a", "name": "a", "role": "result", "media_type": None}
ERROR = {"event": "error", "reason": "error", "message": "m", "traceback": None, "retry": False}


@pytest.mark.parametrize(
    "message",
    [
        METRICS,
        METRICS | {"values": {"\ud800": 1, "": float("nan"), "b": float("-inf"), "c": -0.0}},
        METRICS | {"step": -(2**63)},
        PROGRESS,
        PROGRESS | {"total": 2**63 - 1, "unit": "\x00", "share": 5e-324},
        FILE | {"media_type": "image/png"},
        ERROR,
    ],
)
def test_what_the_context_sends_is_taken_as_it_is(message: dict[str, Any]) -> None:
    line = json.dumps(message)
    assert json.dumps(read_event(line.encode())) == line


@pytest.mark.parametrize(
    "message",
    [
        *(METRICS | {"step": step} for step in ("1", 2**63, float("nan"), None, 1.0, True, [1])),
        *(METRICS | {"values": values} for values in (None, [1], "a", 1)),
        *(METRICS | {"values": {"a": value}} for value in ("1", None, [1], 10**400, True)),
        *(METRICS | {"time": time} for time in ("1", None, 10**400)),
        *(PROGRESS | {"done": done} for done in ("1", 2**63, float("inf"), None)),
        *(PROGRESS | {"share": share} for share in ("1", -1, 1.1, float("nan"))),
        PROGRESS | {"unit": {"a": 1}},
        {"event": "progress", "foo": 1},
        *(FILE | {"path": path} for path in (5, None, "/a\x00b")),
        FILE | {"name": None},
        FILE | {"role": []},
        FILE | {"media_type": {}},
        *(ERROR | {"reason": reason} for reason in ([1], "", "r" * 51, None)),
        ERROR | {"message": {"a": 1}},
        ERROR | {"retry": "x"},
        {"event": "error"},
        {"event": "result"},
        {"event": "result", "result": None, "in_file": "yes"},
        {"event": [1]},
        {"event": None},
        {"event": "nonsense", "line": "x"},
        {},
        [1],
        "event",
        None,
    ],
)
def test_anything_else_is_no_report(message: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the caller shows the line itself
        read_event(json.dumps(message).encode())


@pytest.mark.parametrize(
    "line", [b"", b"{", b"\xff\x00\xfe", b"[" * 59_000, b'{"event":' + b"[" * 59_000]
)
def test_what_is_no_json_is_no_report(line: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        read_event(line)
