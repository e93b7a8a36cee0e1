"""Results on their way: small ones in the message, large ones in a file, all of them clean."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cvq.attributes import words_of
from cvq.errors import PermanentError
from cvq.summaries import numbers_of
from cvq_workers import results


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: float


@pytest.mark.parametrize(
    ("result", "stored"),
    [
        ({"a": [1, 2.5, None, True], "ü": "日本"}, {"a": [1, 2.5, None, True], "ü": "日本"}),
        ({"nul": "a\x00\x00b", "\x00": 1}, {"nul": "a\ufffd\ufffdb", "\ufffd": 1}),
        ({"text": "\\u0000 is how one writes it"}, {"text": "\\u0000 is how one writes it"}),
        ({"half": "\ud800"}, {"half": "?"}),
        ({1: "a key"}, {"1": "a key"}),
    ],
)
def test_a_small_result_is_encoded_as_every_database_takes_it(
    result: Any, stored: Any, tmp_path: Path
) -> None:
    encoded = results.write(result, tmp_path)
    assert encoded is not None
    assert json.loads(encoded) == stored


def test_a_large_result_goes_through_a_file(tmp_path: Path) -> None:
    result = {"prediction": [0.123456789] * 100_000}
    assert results.write(result, tmp_path) is None
    assert json.loads(results.read(tmp_path).text) == result


def test_either_way_the_same_numbers_can_be_asked_for(tmp_path: Path) -> None:
    numbers = {
        "score": 0.5, "count": 3, "good": True, "per": {1: 2, None: 3.5, "x\x00": {"y": 1e300}},
        "none": None, "text": "7", "too large": 10**400, **{f"n{i}": i for i in range(600)},
    }  # fmt: skip
    small = results.write(numbers, tmp_path)
    assert small is not None
    assert results.write(numbers | {"prediction": [0.5] * 100_000}, tmp_path) is None
    expected = numbers_of(json.loads(small))
    assert len(expected) == 500
    assert {"good", "per.1", "per.null", "per.x\ufffd.y"} < expected.keys()
    assert results.read(tmp_path).numbers == expected
    assert results.read(tmp_path).words == words_of(json.loads(small))


@pytest.mark.parametrize(
    "said",
    [
        '{"numbers": {"a": "b"}, "words": {}}', '{"numbers": {"a": 1e999}, "words": {}}',
        '{"numbers": {}, "words": {"a": 1}}', '{"numbers": {}}', "[1.0]", '{"numbers": 1}',
    ],
)  # fmt: skip
def test_figures_that_are_none_are_refused(tmp_path: Path, said: str) -> None:
    assert results.write(["x"] * 100_000, tmp_path) is None
    (tmp_path / results.FIGURES).write_text(said)
    with pytest.raises(PermanentError, match="is not what the job's process has written"):
        results.read(tmp_path)


def test_one_that_is_too_large_is_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "LARGEST", 1_000_000)
    with pytest.raises(PermanentError, match=r"larger than 1 MB as JSON.*ctx.artifact"):
        results.write(["x" * 100] * 20_000, tmp_path)


def test_a_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("{}")
    (tmp_path / results.FILE).symlink_to(tmp_path / "secret")
    with pytest.raises(PermanentError):
        results.read(tmp_path)


@pytest.mark.parametrize(
    ("result", "stored"),
    [
        (
            {"a": np.float32(0.5), "b": np.int64(3), "c": np.bool_(True)},
            {"a": 0.5, "b": 3, "c": True},
        ),
        (
            {"a": np.arange(3), "day": np.datetime64("2026-11-01")},
            {"a": [0, 1, 2], "day": "2026-11-01"},
        ),
        ({"a": torch.tensor(0.5), "b": torch.ones(2, 1)}, {"a": 0.5, "b": [[1.0], [1.0]]}),
        (
            {"at": Path("/a/b"), "when": datetime(2026, 11, 1, 12)},
            {"at": "/a/b", "when": "2026-11-01T12:00:00"},
        ),
        ({"set": {7}, (1, 2): 3, None: 4}, {"set": [7], "(1, 2)": 3, "null": 4}),
        (
            {"colour": Colour.RED, "point": Point(1, 2.5)},
            {"colour": "red", "point": {"x": 1, "y": 2.5}},
        ),
    ],
)
def test_what_python_has_and_json_has_not_is_the_nearest_that_it_has(
    result: Any, stored: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    encoded = results.write(result, tmp_path)
    assert encoded is not None
    assert json.loads(encoded) == stored
    assert caplog.messages == []


class Silent:
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("result", "stored", "said"),
    [
        (
            {"a": [1, math.nan]},
            {"a": [1, None]},
            "result.a[1] is nan, a number that JSON does not have",
        ),
        ({"a": np.float32(math.inf)}, {"a": None}, "result.a is inf, a number"),
        ({"a": 1 << 20_000}, {"a": hex(1 << 20_000)}, "result.a has more digits than JSON"),
        ({"a": 1j}, {"a": "1j"}, "result.a is of type complex: its text is stored"),
        ({"a": b"x"}, {"a": "b'x'"}, "result.a is of type bytes: its text is stored"),
        (Silent(), "<Silent>", "result is of type Silent: its text is stored"),
    ],
)
def test_what_a_result_loses_the_log_says_and_the_job_is_not_lost(
    result: Any, stored: Any, said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    encoded = results.write(result, tmp_path)
    assert encoded is not None
    assert json.loads(encoded) == stored
    assert said in caplog.text


def test_a_result_that_has_itself_in_it_ends_somewhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    circle: dict[str, Any] = {"score": 0.5}
    circle["again"] = circle
    encoded = results.write(circle, tmp_path)
    assert encoded is not None
    assert json.loads(encoded)["score"] == 0.5
    assert "is nested too deeply: its text is stored" in caplog.text


def test_numbers_of_a_large_result_are_numbers_whatever_their_type(tmp_path: Path) -> None:
    result = {"score": np.float32(0.5), "prediction": np.zeros(100_000)}
    assert results.write(result, tmp_path) is None
    assert results.read(tmp_path).numbers["score"] == 0.5
