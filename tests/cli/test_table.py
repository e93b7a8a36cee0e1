"""What a narrow terminal still shows: id, state and figure survive longest."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from cvq import Client, Settings
from cvq.batch import Batch
from cvq.records import Job, Worker
from cvq.states import WorkerState
from cvq.views.curves import Curve
from cvq_cli import (
    answer_table,
    artifact_table,
    batch_table,
    curves,
    formats,
    job_table,
)
from cvq_cli.commands import kinds, worker
from cvq_cli.table import Column, plain_table, table

NOW = datetime(2026, 11, 30, tzinfo=UTC)
WIDTHS = (20, 40, 60, 80, 120, 200)


def job(**given: Any) -> Job:
    values: dict[str, Any] = dict.fromkeys(Job.__dataclass_fields__)
    values |= {
        "id": 123456, "kind": "style-transfer", "state": "succeeded", "user": "mnemosyne",
        "spec": {}, "tags": {}, "metrics": {}, "priority": 5, "attempt": 1,
        "created_at": NOW - timedelta(days=2), "started_at": NOW - timedelta(hours=2),
        "finished_at": NOW, "cancel_requested": False,
    }  # fmt: skip
    return Job(**values | given)


PICTURES = [{"name": f"picture-{n}.png", "sha256": "0" * 64} for n in range(48)]
JOBS = [
    job(spec={"images": PICTURES}, metrics={"total_loss": 21.531}),
    job(id=7, kind="fmnist-cnn", name="a name that is much too long for anybody to read " * 3,
        state="failed", reason="attempts-exhausted", metrics={"val_accuracy": 0.93}),
    job(id=8, name="日本語の名前はもっと長い" * 4, state="running", finished_at=None,
        progress={"done": 30, "total": 100, "eta_s": 12.0}, metrics={"total_loss": 1e-7}),
    job(id=9, state="queued", cancel_requested=True, started_at=None, finished_at=None),
]  # fmt: skip


def drawn(columns: list[Column[Any]], rows: list[Any], width: int) -> list[str]:
    return table(columns, rows, width).plain.splitlines()


@pytest.mark.parametrize("width", WIDTHS)
def test_a_list_of_jobs(width: int) -> None:
    from rich.cells import cell_len

    lines = drawn(job_table.columns(Settings(), NOW), JOBS, width)
    assert len(lines) == len(JOBS) + 1
    assert max(map(cell_len, lines)) <= max(width, 27)
    for line, shown in zip(lines[1:], JOBS, strict=True):
        assert line.split()[0] == str(shown.id)
        assert shown.state in line
    assert lines[1].endswith("21.53")
    assert lines[2].endswith("0.93")
    if width >= 40:
        assert lines[1].endswith(" total_loss 21.53")
        assert lines[2].endswith(" val_accuracy 0.93")
    if width >= 60:
        assert "30/100" in lines[3]
    if width >= 80:
        assert "48 pic" in lines[1]
    if width >= 120:
        assert "style-transfer" in lines[1]
        assert "failed (attempts-exhausted)" in lines[2]
        assert "30/100, 12s left" in lines[3]
    if width >= 200:
        assert "48 pictures: picture-0.png … picture-47.png" in lines[1]
        assert "mnemosyne" in lines[1]


def test_columns_of_a_list_go_one_after_the_other() -> None:
    """The least important goes first, wholly; none is squeezed to nothing."""
    columns = job_table.columns(Settings(), NOW)
    seen = [drawn(columns, JOBS, width)[0].split() for width in range(200, 10, -1)]
    gone = [name for before, after in pairwise(seen)
            for name in before if name not in after]  # fmt: skip
    assert gone == ["USER", "AGE", "TIME", "NAME", "KIND", "PROGRESS"]
    assert seen[-1] == ["ID", "STATE", "HEADLINE"]


def test_in_a_pipe_nothing_is_cut() -> None:
    text = "\n".join(plain_table(job_table.columns(Settings(), NOW), JOBS))
    assert "…" not in text.replace("picture-0.png … picture-47.png", "")
    assert JOBS[1].name
    assert JOBS[1].name.strip() in text


@pytest.mark.parametrize("width", WIDTHS[1:])
def test_files_keep_name_and_place(client: Client, width: int) -> None:
    from cvq.records import Artifact

    uri = f"file://{client.settings.home}/store/jobs/1/1/"
    rows = [
        Artifact(name, "result", "application/json", uri + name, "0" * 64, 12)
        for name in ("a.json", "report-of-every-class-and-every-threshold.json")
    ]
    text = "\n".join(
        drawn(artifact_table.columns(lambda file: file.uri.removeprefix("file://")), rows, width)
    )
    for row in rows:
        assert f"{client.settings.home}/store/jobs/1/1/{row.name}" in text
    assert "a.json" in text
    assert re.search(r"report-of.*…?.*\.json +result" if width >= 40 else "report", text)


@pytest.mark.parametrize("width", WIDTHS)
def test_metrics_keep_name_and_value(width: int) -> None:
    shown = [Curve("val_accuracy", [1, 2], [0.975, 0.963], 0.975, 0.975, 1, epochs={1: 1})]
    lines = drawn(curves.columns(), shown, width)
    assert re.search(r"val.*acy +0\.975", lines[1])
    assert (" 0.975 @1" in lines[1]) == (width >= 40)
    assert ("POINTS" in lines[0]) == (width >= 60)


def up(**values: Any) -> Worker:
    """A worker that is up."""
    rest = {"versions": None, "kinds": None, "lease": 60.0, "drain": None, "seen_at": NOW}
    return Worker(state=WorkerState.UP, alive=True, started_at=NOW, **rest, **values)


@pytest.mark.parametrize("width", WIDTHS)
def test_workers_keep_id_and_state(width: int) -> None:
    row = up(
        id="a-host-with-a-name.example.org-4242", pid=4242,
        host="a-host-with-a-name.example.org", devices=["cuda:0", "cuda:1"], slots=2,
        queues=["default", "gpu", "host.a-host-with-a-name.example.org"], running=[12, 13],
    )  # fmt: skip
    head, line = drawn(worker.columns(), [row], width)
    assert head.split()[:2] == ["ID", "STATE"]
    assert re.match(r"a-host\S*4242 +up", line)
    assert ("12,13" in line) == (width >= 40)


def test_a_worker_says_where_it_is_before_which_queues_it_serves() -> None:
    row = up(
        id="vm.31421.62b9", pid=31421, host="vm",
        devices=["cpu"], slots=1, queues=["default", "host.vm"], running=[],
    )  # fmt: skip
    assert drawn(worker.columns(), [row], 40)[0].split() == ["ID", "STATE", "HOST", "DEVICES"]
    assert "default,…" in drawn(worker.columns(), [row], 60)[1]


@pytest.mark.parametrize("width", WIDTHS[1:])
def test_kinds_are_told_whole(width: int) -> None:
    from cvq.kinds import all_kinds

    found = list(all_kinds(Settings()).values())
    lines = drawn(kinds._columns(), found, width)
    assert max(map(len, lines)) <= width
    text = " ".join(" ".join(lines).split())
    for kind in found:
        assert kind.name in text
    for word in found[0].summary.split():
        assert word in text


def test_shortened_words() -> None:
    assert formats.figure("val_accuracy 0.93", 12) == "val…acy 0.93"
    assert formats.figure("val_accuracy 0.93", 4) == "0.93"
    assert formats.figure("a name of words 1e-07", 12) == "a n…ds 1e-07"
    assert formats.state("failed (attempts-exhausted)", 20) == "failed (attempts-e…)"
    assert formats.state("failed (attempts-exhausted)", 9) == "failed"
    assert formats.state("running, to be cancelled", 9) == "running"


def test_titles_of_many_files_are_short() -> None:
    def named(*names: str) -> str:
        return formats.title(job(spec={"files": [{"name": n, "sha256": None} for n in names]}))

    assert named("a.png", "b.jpg") == "a.png b.jpg"
    assert named("a.png", "b.JPG", "c.png", "d.png", "z.png") == "5 pictures: a.png … z.png"
    assert named("a.png", "b.zip", "c.png", "d.png", "z.png") == "5 files: a.png … z.png"
    assert formats.title(job(name="mine", spec={"images": PICTURES})) == "mine"


def test_a_title_has_the_files_in_the_order_of_the_kinds_fields() -> None:
    files = {name: {"name": f"{name}.jpg", "sha256": "0"} for name in ("style", "content")}
    spec = {**files, "style": [files["style"]]}  # as Postgres gives them back
    assert formats.title(job(kind="style-transfer", spec=spec)) == "content.jpg style.jpg"
    assert formats.title(job(kind="somebodys", spec=files)) == "style.jpg content.jpg"


ANSWERS = [
    {"name": "photos/a shoe.png", "job": 7, "state": "succeeded", "class": "shoe",
     "probability": 0.766598, "top": [{"class": "shoe", "probability": 0.766598}] * 3,
     "notes": "dark on light: inverted, as the model has light on dark", "error": None},
    {"name": "photos/cut.png", "job": 8, "state": "failed",
     "error": "photos/cut.png is damaged: image file is truncated"},
]  # fmt: skip


def test_answers_of_a_batch_keep_names_figures_and_errors_on_a_narrow_terminal() -> None:
    head, shoe, *cut = drawn(answer_table.columns(ANSWERS), ANSWERS, 80)
    assert head.split() == ["NAME", "JOB", "STATE", "CLASS", "PROBABILITY", "ERROR"]
    assert shoe.split() == ["photos/a", "shoe.png", "7", "succeeded", "shoe", "0.7666"]
    assert cut[0].startswith("photos/cut.png ")
    error = " ".join(" ".join(cut).split()[3:])
    assert error == ANSWERS[1]["error"]


def test_answers_of_a_batch_are_whole_where_there_is_room() -> None:
    lines = drawn(answer_table.columns(ANSWERS), ANSWERS, 300)
    assert lines[0].split()[5:] == ["TOP", "NOTES", "ERROR"]
    assert not any("…" in line for line in lines)


def test_the_first_answer_of_a_batch_goes_last() -> None:
    lines = drawn(answer_table.columns(ANSWERS), ANSWERS, 44)
    assert lines[0].split() == ["NAME", "JOB", "STATE", "CLASS"]


@pytest.mark.parametrize("width", WIDTHS)
def test_no_answer_of_a_batch_is_cut_in_its_middle(width: int) -> None:
    text = "\n".join(drawn(answer_table.columns(ANSWERS), ANSWERS, width))
    assert "PROBABILITY" not in text or "0.7666" in text
    assert "succeeded" in text
    assert "failed" in text


def test_a_batch_without_a_name_is_called_by_its_items() -> None:
    batch = Batch(
        id=3, kind="add", user="mnemosyne", name=None, spec={}, items=25, known=0, states={},
        jobs=25, max_fails=None, created_at=NOW,
    )  # fmt: skip
    columns = {column.name: column for column in batch_table.columns(NOW)}
    name = columns["name"]
    assert name.text(batch) == "25 items"
    assert name.raw is not None
    assert name.raw(batch) == ""
