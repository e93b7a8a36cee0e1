"""What a job's process may say on its sockets, and what is no message."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvq_workers.protocol import (
    EVENTS,
    LONGEST_EVENT,
    ORDERS,
    PULSE_OF_JOB,
    PULSE_OF_WORKER,
    REPORTS,
    Launch,
    Message,
    Metrics,
    Request,
    decode,
    encode,
)

METRICS = {"type": "Metrics", "job_id": 7, "attempt": 2, "step": 1, "values": {"a": 0.5}}
METRICS |= {"time": 1e9}
PROGRESS = {"type": "Progress", "job_id": 7, "attempt": 2, "done": 1, "total": 2}
PROGRESS |= {"unit": "step", "share": None}
FILE = {"type": "ArtifactWritten", "job_id": 7, "attempt": 2, "path": "/a", "name": "a"}
FILE |= {"role": "result", "media_type": None}
ERROR = {"type": "Error", "job_id": 7, "attempt": 2, "reason": "error", "traceback": None}
RESULT = {"type": "Result", "job_id": 7, "attempt": 2, "value": None, "in_file": False}

ALL = (*EVENTS, *PULSE_OF_JOB, *PULSE_OF_WORKER, *ORDERS, *REPORTS, *get_args(Launch))


def line(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode()


@pytest.mark.parametrize(
    "message",
    [
        METRICS,
        METRICS | {"values": {"\ud800": 1, "": float("nan"), "b": float("-inf"), "c": -0.0}},
        METRICS | {"step": -(2**63)},
        PROGRESS,
        PROGRESS | {"total": 2**63 - 1, "unit": "\x00", "share": 5e-324},
        FILE | {"media_type": "image/png"},
        ERROR | {"message": "m", "retry": False},
        RESULT | {"value": [0, {"é": None}]},
    ],
)
def test_what_the_context_sends_is_taken_as_it_is(message: dict[str, Any]) -> None:
    event = decode(line(message), EVENTS)
    assert json.dumps({"type": type(event).__name__} | asdict(event), sort_keys=True) == (
        json.dumps(message, sort_keys=True)
    )
    assert event.attempt_id == (7, 2)


@pytest.mark.parametrize(
    "message",
    [
        *(METRICS | {"job_id": job_id} for job_id in ("7", None, 7.0, True)),
        *(METRICS | {"attempt": attempt} for attempt in ("2", None, 2**63)),
        *(METRICS | {"step": step} for step in ("1", 2**63, float("nan"), None, 1.0, True, [1])),
        *(METRICS | {"values": values} for values in (None, [1], "a", 1)),
        *(METRICS | {"values": {"a": value}} for value in ("1", None, [1], 10**400, True)),
        *(METRICS | {"time": time} for time in ("1", None, 10**400, 1e300, float("nan"))),
        *(PROGRESS | {"done": done} for done in ("1", 2**63, float("inf"), None)),
        *(PROGRESS | {"share": share} for share in ("1", -1, 1.1, float("nan"))),
        PROGRESS | {"unit": {"a": 1}},
        {"type": "Progress", "foo": 1},
        *(FILE | {"path": path} for path in (5, None, "/a\x00b")),
        FILE | {"name": None},
        FILE | {"role": []},
        FILE | {"media_type": {}},
        *(
            ERROR | {"message": "m", "retry": False, "reason": reason}
            for reason in ([1], "", "r" * 51, None)
        ),
        ERROR | {"message": {"a": 1}, "retry": False},
        ERROR | {"message": "m", "retry": "x"},
        {"type": "Error"},
        {"type": "Result"},
        RESULT | {"in_file": "yes"},
        {name: value for name, value in RESULT.items() if name != "attempt"},
        {name: value for name, value in RESULT.items() if name != "value"},
        {"type": "Beat", "job_id": 7, "attempt": 2, "until": 1.0},  # the worker's to say
        {"type": [1]},
        {"type": None},
        {},
        [1],
        "type",
        None,
    ],
)
def test_anything_else_is_no_event(message: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the caller shows the line itself
        decode(line(message), EVENTS)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"\xff\x00\xfe", b"[" * 59_000, b'{"type":' + b"[" * 59_000]
)
def test_what_is_no_json_is_no_message(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        decode(text, EVENTS)


# ---------------------------------------------------------------------------- what is sent arrives

WHOLE = st.integers(-(2**63), 2**63 - 1)
NUMBER = st.floats(allow_nan=False) | WHOLE
TEXT = st.text(st.characters())
LABEL = st.text(st.characters(exclude_characters="\x00"))
ANYTHING = st.recursive(
    st.none() | st.booleans() | WHOLE | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "share": st.none() | st.floats(0, 1),
    "values": st.dictionaries(TEXT, NUMBER),
    "time": st.floats(-1e10, 1e10),
    "media_type": st.none() | LABEL,
    "value": ANYTHING,
    "in_file": st.booleans(),
    "retry": st.booleans(),
    "crowded": st.booleans(),
    "reason": st.text(st.characters(exclude_characters="\x00"), min_size=1, max_size=50),
    "traceback": st.none() | TEXT,
    "until": NUMBER,
    "exit": st.none() | WHOLE,
    "signal": st.none() | WHOLE,
    **dict.fromkeys(["modules", "kinds", "resident", "changed"], st.lists(TEXT)),
    **dict.fromkeys(["path", "name", "role"], LABEL),
    **dict.fromkeys(["unit", "message", "why", "job_file", "file"], TEXT),
}


def messages() -> st.SearchStrategy[Message]:
    return st.one_of(
        st.builds(cls, **{field.name: VALUES.get(field.name, WHOLE) for field in fields(cls)})
        for cls in ALL
    )


@given(messages())
def test_what_is_sent_arrives_as_it_was(message: Message) -> None:
    text = encode(message)
    assert text.endswith(b"\n")
    assert text.count(b"\n") == 1
    assert decode(text, ALL) == message


def test_each_message_has_a_name_of_its_own() -> None:
    assert len({cls.__name__ for cls in ALL}) == len(ALL)


def test_numbers_that_are_none_arrive() -> None:
    sent = Metrics(7, 2, 1, {"a": math.nan, "b": math.inf}, 1e9)
    assert repr(decode(encode(sent), EVENTS)) == repr(sent)


def test_the_most_metrics_at_once_fit_into_one_event() -> None:
    names = ("\U0001f600" * 97 + f"{number:03}" for number in range(100))
    values = dict.fromkeys(names, -1.2345678901234567e-300)
    assert len(encode(Metrics(2**63 - 1, 2**31, 2**63 - 1, values, 1e9))) < LONGEST_EVENT


def test_a_request_is_read_as_it_was_written(tmp_path: Path) -> None:
    request = Request(
        job_id=7, attempt=2, kind="selftest", spec={"a": [1]}, spec_hash="0",
        inputs=[{"path": "/p"}], folder="/f", cache="/c", device="cpu", threads=1,
        environment={"A": "b"}, kinds=["mine"], checkpoint=None, checkpoint_every=60.0,
        max_pixels=100, in_batch=True, notes=["n"],
    )  # fmt: skip
    request.write(tmp_path / "job.json")
    assert Request.read(tmp_path / "job.json") == request
    assert request.attempt_id == (7, 2)
