"""Kinds without any worker: what a context keeps, resumes from, refuses and shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import cvq
from cvq import Context, ImageFile, Kind, LocalContext, ModelFile, Spec
from cvq.errors import InvalidInputError, PermanentError, SpecError, UsageError


class CountSpec(Spec):
    """Count."""

    picture: ImageFile | None = None
    model: ModelFile | None = None
    steps: int = 3
    stop_after: int = 0


def count(spec: CountSpec, ctx: Context) -> dict[str, Any] | None:
    found = ctx.resume()
    begun, total = (found.step, found.state["total"]) if found else (0, 0)
    for step in range(begun + 1, spec.steps + 1):
        total += step
        ctx.progress(step, spec.steps)
        ctx.metrics(step, total=total, odd=float("nan"))
        if ctx.checkpoint_due():
            ctx.checkpoint(step, total=total)
        if step == INTERRUPTED_AT:
            raise KeyboardInterrupt
    for text in ("first", "last"):
        with ctx.artifact("a/notes.txt", role="report") as path:
            path.write_text(text)
    with ctx.artifact("A/Notes.txt") as path:
        path.write_text("another on any file system")
    ctx.confirm()
    given = [file.path.name for file in spec.inputs() if file.path]
    return {"begun": begun, "total": total, "given": given} if spec.steps else None


INTERRUPTED_AT: int | None = None
KIND = Kind("count", CountSpec, "local_count:count", "Count.")


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kind's function, by the name that it is loaded by."""
    module = type(cvq)("local_count")
    module.count = count  # type: ignore[attr-defined]
    monkeypatch.setitem(__import__("sys").modules, "local_count", module)


def test_what_a_kind_says_and_leaves_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ctx = LocalContext(tmp_path / "out", show=True)
    assert ctx.run(KIND) == {"begun": 0, "total": 6, "given": []}
    assert (ctx.job_id, ctx.attempt, ctx.device) == (0, 1, "cpu")
    assert [progress.done for progress in ctx.steps] == [1, 2, 3]
    assert ctx.metric_names == ["total", "odd"]
    assert ctx.curve("total") == [(1, 1.0), (2, 3.0), (3, 6.0)]
    assert ctx.curve("odd") == [(1, None), (2, None), (3, None)]
    assert ctx.curve("none") == []
    assert ctx.artifacts["a/notes.txt"].path.read_text() == "last"
    assert ctx.artifacts["a/notes.txt"].role == "report"
    assert ctx.artifacts["A/Notes.txt"].path.read_text() == "another on any file system"
    assert "step 3 of 3" in capsys.readouterr().err
    assert ctx.run(KIND, steps=0) == {}
    left = {str(path.relative_to(ctx.folder)) for path in ctx.folder.rglob("*.*")}
    assert left == {"a/notes.txt", "A/Notes-2.txt"}


def test_a_run_that_was_interrupted_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = LocalContext(tmp_path, checkpoint_every=0)
    monkeypatch.setattr(f"{__name__}.INTERRUPTED_AT", 4)
    with pytest.raises(KeyboardInterrupt):
        ctx.run(KIND, steps=6)
    third, fourth = sorted(tmp_path.rglob("checkpoint-*"))
    assert third.name == "checkpoint-00000003.safetensors"
    assert fourth.name == "checkpoint-00000004.safetensors"
    monkeypatch.setattr(f"{__name__}.INTERRUPTED_AT", None)
    # Another specification does not resume from it, and leaves it; the same does, past a damaged.
    assert LocalContext(tmp_path).run(KIND, steps=5)["begun"] == 0
    fourth.write_bytes(b"cut")
    assert LocalContext(tmp_path).run(KIND, steps=6) == {"begun": 3, "total": 21, "given": []}
    assert not list(tmp_path.rglob("checkpoint-*"))


def test_the_newest_checkpoints_are_kept_and_files_of_others_left(tmp_path: Path) -> None:
    mine = tmp_path / "checkpoint-mine.safetensors"
    mine.write_bytes(b"precious")
    ctx = LocalContext(tmp_path, checkpoint_every=0)
    for step in range(99_999_998, 100_000_002):
        ctx.checkpoint(step, total=step)
    with ctx.artifact("checkpoint-best.safetensors", role="checkpoint") as path:
        path.write_bytes(b"best")
    found = LocalContext(tmp_path).resume()
    assert found is not None
    assert found.step == 100_000_001
    assert len(list(tmp_path.rglob("checkpoint-????????*.safetensors"))) == 2
    ctx.run(KIND, steps=1)
    assert mine.read_bytes() == b"precious"
    assert ctx.artifacts["checkpoint-best.safetensors"].path.read_bytes() == b"best"


def test_what_is_no_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="None is not a kind"):
        LocalContext(tmp_path).run(None)  # type: ignore[arg-type]


def test_inputs_are_checked_and_brought(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "p.png")
    (tmp_path / "m.safetensors").write_bytes(b"weights")
    ctx = LocalContext(tmp_path / "out")
    given = ctx.run(KIND, picture=tmp_path / "p.png", model=tmp_path / "m.safetensors")["given"]
    assert len(given) == 2
    (tmp_path / "p.png").write_bytes(b"none")
    for values, error, said in (
        ({"picture": tmp_path / "p.png"}, InvalidInputError, "is not a picture"),
        ({"model": 7}, InvalidInputError, "model 7 is not a file: without a worker, give one"),
        ({"steps": "many"}, SpecError, "whole number"),
    ):
        with pytest.raises(error, match=said):
            ctx.run(KIND, **values)


def test_what_a_worker_refuses_is_refused(tmp_path: Path) -> None:
    ctx = LocalContext(tmp_path)
    with pytest.raises(PermanentError, match="no regular file"), ctx.artifact("x.txt"):
        pass
    with pytest.raises(PermanentError, match="not a name"), ctx.artifact("../x.txt"):
        pass
    with pytest.raises(PermanentError, match="is no number"):
        ctx.metrics(1, loss="low")  # type: ignore[arg-type]
    with pytest.raises(PermanentError, match="beyond"):
        ctx.progress(2**63, 2**63)
    with ctx.artifact("gone.png", role="preview"):
        pass
    assert ctx.artifacts == {}


def test_a_kind_is_run_by_its_name(tmp_path: Path) -> None:
    ctx = LocalContext(tmp_path)
    assert ctx.run("selftest", steps=2, pause=0)["steps"] == 2
    assert set(ctx.artifacts) == {"selftest.txt"}
