"""A job over shards: a row for each file, in a table that does not depend on how it came about."""

from __future__ import annotations

import builtins
import io
import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
from PIL import Image

from cvq import Answer, Argument, ImagesFile, Inference, Kind, LocalContext, Spec
from cvq.errors import InvalidInputError, MissingExtraError, PermanentError, TemporaryError
from cvq.inputs import shards
from cvq.kinds.running import run_kind
from cvq.pictures.decoding import decode_picture
from cvq_workers.failures import is_full
from cvq_workers.inference import table
from cvq_workers.inference.table import Table


class BrightnessSpec(Spec):
    """Say how bright pictures are."""

    images: Annotated[list[ImagesFile], Argument("IMAGE...")]


class Brightness(Inference):
    """Also gives the picture back, and notes where it is black."""

    def load(self, model: Any) -> None:
        assert model is None

    def decode(self, model: None, item: Any) -> Any:
        return decode_picture(item.read(), 1, 8)

    def infer(self, model: None, batch: Sequence[Any]) -> Iterator[Answer]:
        for pixels in batch:
            notes = () if pixels.any() else ("is black",)
            row = {"mean": float(pixels.mean()), "corners": [int(pixels[0, 0])]}
            yield Answer(row, {"copy.raw": pixels.tobytes()}, notes)


KIND = Kind(
    "brightness", BrightnessSpec, summary="Say how bright.", inference=f"{__name__}:Brightness",
    items="images",
)  # fmt: skip


def run(spec: BrightnessSpec, ctx: Any) -> dict[str, Any]:
    """Its own, which a job of a batch does not get."""
    return {"alone": True}


def png(level: int) -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.full((8, 8), level, np.uint8)).save(content, "PNG")
    return content.getvalue()


def shard(path: Path, count: int, **others: bytes) -> Path:
    files = {f"{n:05}.png": png(n % 256) for n in range(count)}
    shards.write(path, [*files.items(), *others.items()])
    return path


def rows(ctx: LocalContext) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = parquet.read_table(
        ctx.artifacts["rows.parquet"].path
    ).to_pylist()
    return found


def test_a_shard_leaves_a_row_for_each_of_its_files(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = shard(tmp_path / "x.tar", 300, **{"zebra.txt": b"no picture", "zero.png": b""})
    ctx = LocalContext(tmp_path / "out")
    with caplog.at_level(logging.INFO, "cvq.job"):
        result = ctx.run(KIND, images=[path])
    assert {k: result[k] for k in ("answer", "items", "failed", "warnings")} == {
        "answer": "302 items, 2 of them without an answer", "items": 302, "failed": 2,
        "warnings": ["2 items: is black"],
    }  # fmt: skip
    assert result["decode_per_s"] > 0
    assert result["forward_per_s"] > 0
    found = rows(ctx)
    assert found[7] == {
        "name": "00007.png", "mean": 7.0, "corners": [7], "copy.raw": bytes([7] * 64),
        "notes": None, "error": None,
    }  # fmt: skip
    assert [row["name"] for row in found] == sorted(row["name"] for row in found)
    assert [row["notes"] for row in found].count("is black") == 2
    assert found[300]["mean"] is None
    assert "is not a picture that cvq reads" in found[300]["error"]
    assert found[301]["error"]
    assert "zebra.txt has no answer: " in caplog.text
    assert ctx.steps[-1][:3] == (302, 302, "item")


def test_shards_and_pictures_may_be_mixed(tmp_path: Path) -> None:
    (tmp_path / "lone.png").write_bytes(png(9))
    ctx = LocalContext(tmp_path / "out")
    given = [shard(tmp_path / "x.tar", 2), tmp_path / "lone.png", shard(tmp_path / "y.tar", 1)]
    assert ctx.run(KIND, images=given)["items"] == 4
    assert [row["mean"] for row in rows(ctx)] == [0.0, 1.0, 9.0, 0.0]


def test_the_same_answers_make_the_same_bytes(tmp_path: Path) -> None:
    path = shard(tmp_path / "x.tar", 2500, **{"zebra.txt": b"no picture"})
    tables = []
    for name in ("first", "second"):
        ctx = LocalContext(tmp_path / name)
        ctx.run(KIND, images=[path])
        tables.append(ctx.artifacts["rows.parquet"].path.read_bytes())
    assert tables[0] == tables[1]
    groups = parquet.ParquetFile(io.BytesIO(tables[0])).metadata
    assert [groups.row_group(n).num_rows for n in range(groups.num_row_groups)] == [
        1000, 1000, 501,
    ]  # fmt: skip


def test_failures_before_the_first_answer_are_in_the_table(tmp_path: Path) -> None:
    files = [(f"{n:05}", b"") for n in range(1200)]
    shards.write(tmp_path / "x.tar", [*files, ("x.png", png(3))])
    ctx = LocalContext(tmp_path / "out")
    assert ctx.run(KIND, images=[tmp_path / "x.tar"])["failed"] == 1200
    found = rows(ctx)
    assert len(found) == 1201
    assert [row["error"] is None for row in found] == [False] * 1200 + [True]


def test_a_job_without_any_answer_fails_and_leaves_the_reasons(tmp_path: Path) -> None:
    shards.write(tmp_path / "x.tar", [("a", b""), ("b", b"b")])
    ctx = LocalContext(tmp_path / "out")
    with pytest.raises(PermanentError, match="none of 2 items has an answer; the first: "):
        ctx.run(KIND, images=[tmp_path / "x.tar"])
    assert [row["name"] for row in rows(ctx)] == ["a", "b"]


def test_few_pictures_need_no_table(tmp_path: Path) -> None:
    for level in (1, 2):
        (tmp_path / f"{level}.png").write_bytes(png(level))
    ctx = LocalContext(tmp_path / "out")
    result = ctx.run(KIND, images=[tmp_path / "1.png", tmp_path / "2.png"])
    assert result["rows_in"] == "rows.json"
    assert result["rows"] == json.loads(ctx.artifacts["rows.json"].path.read_text())
    assert [row["mean"] for row in result["rows"]] == [1.0, 2.0]
    assert set(ctx.artifacts) == {"rows.json", "001-1-copy.raw", "002-2-copy.raw"}


def test_one_picture_has_its_answer_for_a_result(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(png(0))
    ctx = LocalContext(tmp_path / "out")
    result = ctx.run(KIND, images=[tmp_path / "0.png"])
    assert result == {"mean": 0.0, "corners": [0], "warnings": ["is black"]}
    assert set(ctx.artifacts) == {"copy.raw"}


def test_a_job_of_a_batch_is_answered_alike_where_it_has_a_process_of_its_own(
    tmp_path: Path,
) -> None:
    (tmp_path / "3.png").write_bytes(png(3))
    kind = replace(KIND, run=f"{__name__}:run")
    file = ImagesFile(name="3.png", path=tmp_path / "3.png")
    spec = BrightnessSpec(images=[file])
    answers = [
        run_kind(kind, spec, LocalContext(tmp_path / str(in_batch)), in_batch=in_batch)
        for in_batch in (True, False)
    ]
    assert answers == [{"mean": 3.0, "corners": [3]}, {"alone": True}]


@pytest.mark.parametrize(
    ("raised", "told"),
    [(ConnectionError("away"), TemporaryError), (OSError("bad"), PermanentError)],
)
def test_a_lone_item_that_fails_fails_its_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception, told: type[Exception]
) -> None:
    def decode(self: Any, model: None, item: Any) -> Any:
        raise raised

    monkeypatch.setattr(Brightness, "decode", decode)
    (tmp_path / "1.png").write_bytes(png(1))
    with pytest.raises(told, match=str(raised)):
        LocalContext(tmp_path / "out").run(KIND, images=[tmp_path / "1.png"])


def test_a_truncated_shard_is_refused_before_the_job_is_queued(tmp_path: Path) -> None:
    path = shard(tmp_path / "x.tar", 3)
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(InvalidInputError, match=r"x\.tar is truncated after 1 files"):
        LocalContext(tmp_path / "out").run(KIND, images=[path])


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (lambda n: {"error": 1}, "the first: an answer has a field 'error', which is cvq's"),
        (lambda n: {"x": "text" if n == 1100 else n}, "make no table"),
        (lambda n: {"x": n, **({"y": 1} if n == 1100 else {})}, "'y' is in no row before"),
        (lambda n: {"x": 0.5 if n == 1100 else n}, "'x' was int64 before, and is double"),
        (lambda n: {"x": {"b" if n == 1100 else "a": n}}, "'x' was struct<a: int64> before"),
    ],
)
def test_rows_that_make_no_table_fail_the_job_and_say_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: Any, told: str
) -> None:
    numbers = iter(range(10_000))

    def infer(self: Any, model: None, batch: Sequence[Any]) -> Iterator[Any]:
        for _ in batch:
            yield row(next(numbers))

    monkeypatch.setattr(Brightness, "infer", infer)
    path = shard(tmp_path / "x.tar", 1200)
    with pytest.raises(PermanentError, match=told):
        LocalContext(tmp_path / "out").run(KIND, images=[path])


@pytest.mark.parametrize(
    "values",
    [
        (None, 1.5), (0.5, 2), ([1.5], []), ({"a": 1, "b": 2}, {"b": 3}), ("a", None),
    ],
)  # fmt: skip
def test_values_may_be_missing_or_narrower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: tuple[Any, Any]
) -> None:
    numbers = iter(range(10_000))

    def infer(self: Any, model: None, batch: Sequence[Any]) -> Iterator[Any]:
        for _ in batch:
            number = next(numbers)
            yield {"x": values[0] if number else values[1]} if number < 1000 else {"x": values[1]}

    monkeypatch.setattr(Brightness, "infer", infer)
    ctx = LocalContext(tmp_path / "out")
    ctx.run(KIND, images=[shard(tmp_path / "x.tar", 1100)])
    found = [row["x"] for row in rows(ctx)]
    for place, value in ((0, values[1]), (1, values[0]), (1050, values[1])):
        expected = {"a": None, **value} if isinstance(value, dict) else value
        assert found[place] == expected


def test_a_disk_that_is_full_is_told_as_such() -> None:
    def fill() -> None:
        with Table(Path("/dev/full")) as full:
            for number in range(5000):
                full.add(str(number), Answer({"x": number}, {"noise": os.urandom(2000)}))

    with pytest.raises(OSError, match="No space left") as caught:
        fill()
    assert is_full(caught.value)


def test_large_rows_are_written_sooner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "_GROUP_BYTES", 10_000)
    with Table(tmp_path / "rows.parquet") as rows:
        for number in range(25):
            rows.add(str(number), Answer({"text": "x" * 1000}))
    groups = parquet.ParquetFile(tmp_path / "rows.parquet").metadata
    assert [groups.row_group(n).num_rows for n in range(groups.num_row_groups)] == [10, 10, 5]


def test_rows_of_large_files_are_written_sooner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "_GROUP_BYTES", 1400)
    ctx = LocalContext(tmp_path / "out")
    ctx.run(KIND, images=[shard(tmp_path / "x.tar", 25)])
    groups = parquet.ParquetFile(ctx.artifacts["rows.parquet"].path).metadata
    assert [groups.row_group(n).num_rows for n in range(groups.num_row_groups)] == [10, 10, 5]


def test_pyarrow_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kw: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ModuleNotFoundError(name)
        return real(name, *args, **kw)

    path = shard(tmp_path / "x.tar", 2)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"a table of many answers needs .*parquet"):
        LocalContext(tmp_path / "out").run(KIND, images=[path])
