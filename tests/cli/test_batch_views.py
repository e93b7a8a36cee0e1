"""What is seen of batches: while they go on, in lists, beside their jobs, and before they are."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from sqlalchemy import insert

from cvq import Client, bulk, making
from cvq import tables as t
from cvq.batch_handle import BatchHandle
from cvq.records import Job
from cvq_cli.pace import Pace

from .conftest import Cli, FakeWorker

pytestmark = pytest.mark.usefixtures("batched")


def lines(run: Cli, *words: object) -> list[list[str]]:
    """The cells of a table's rows, as far as they are single words."""
    return [line.split() for line in run(*words).out.splitlines()[1:]]


# --- While it goes on ---------------------------------------------------------------------------


def test_watching_ends_with_the_outcome(run: Cli, added: list[Job], worker: FakeWorker) -> None:
    worker.finish(worker.claim())
    said = run("watch", "--batch", "@", code=1)
    assert said.out == "batch 1: 1 failed, 2 succeeded\n"
    assert said.err.splitlines() == [
        "job 2 (3 4) failed (error): it is no number",
        "batch 1 failed  3/3, 1 failed",
        "cvq: error: batch 1: 1 of 3 jobs failed: `cvq ls --batch 1 --state failed` lists them",
    ]


def test_every_reason_is_told_once(run: Cli, worker: FakeWorker) -> None:
    run("submit", "add", "--list", "-", input="1 2\n" * 9)
    for reason in "aabbcdefg":
        worker.finish(worker.claim(), "failed", reason="error", error=reason)
    told = run("wait", "--batch", "1", code=1).err.splitlines()
    assert [line[-1] for line in told[:5]] == list("abcde")
    assert told[5] == "… and other failures: `cvq ls --batch 1 --state failed` lists them"
    assert told[6].startswith("batch 1 failed")


def test_watching_in_json_prints_a_line_for_each_change(
    run: Cli, added: list[Job], worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh, looks = BatchHandle.refresh, iter(range(9))

    def next_look(handle: BatchHandle) -> BatchHandle:
        if next(looks) == 3:
            worker.finish(worker.claim())
        return refresh(handle)

    monkeypatch.setattr(BatchHandle, "refresh", next_look)
    said = run("watch", "--batch", "1", "--json", code=1)
    states = [json.loads(line)["states"] for line in said.out.splitlines()]
    assert states == [
        {"failed": 1, "queued": 1, "succeeded": 1}, {"failed": 1, "succeeded": 2},
    ]  # fmt: skip


def test_ctrl_c_stops_watching_and_not_the_batch(
    run: Cli, client: Client, added: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh, looks = BatchHandle.refresh, iter(range(9))

    def interrupted(handle: BatchHandle) -> BatchHandle:
        if next(looks) == 2:
            signal.raise_signal(signal.SIGINT)
        return refresh(handle)

    monkeypatch.setattr(BatchHandle, "refresh", interrupted)
    said = run("watch", "--batch", "1", code=130)
    assert said.err.strip().splitlines()[-1] == (
        "batch 1 continues: `cvq watch --batch 1` follows it, `cvq cancel --batch 1` stops it"
    )
    assert client.job(3).state == "queued"


def test_what_a_batch_waits_for_is_told_once(run: Cli, client: Client, worker: FakeWorker) -> None:
    client.submit("selftest")
    words = ("submit", "add", "--list", "-", "--after", "1")
    worker.arrive()
    worker.claim()
    said = run(*words, "--wait", "--timeout", "0", code=124, input="1 2\n3 4\n").err
    assert said.count("waits for") == 1
    assert "job 2 waits for job 1 (running) to succeed" in said.splitlines()


def test_shards_count_by_their_items(
    run: Cli, folder: Path, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "SHARD", 2)
    run("submit", "brightness", folder, "--single")
    worker.finish(worker.claim())
    worker.progress(worker.claim(), 1, 2)
    said = run("watch", "--batch", "1", "--timeout", "0", code=124)
    assert said.err.splitlines()[0] == "batch 1 running  1/2 (75%), 1 running"


def test_a_pace_is_that_of_the_last_half_minute() -> None:
    now = [0.0]
    pace = Pace(clock=lambda: now[0])
    waiting = [(0.0, 0.0), (3600.0, 0.0)]  # for a training
    for now[0], share in (*waiting, (3610.0, 0.1), (3620.0, 0.2), (3640.0, 0.4)):
        speed, left = pace(share, idle=share == 0)
        assert (speed is None) is (share == 0)
    assert (speed, left) == (pytest.approx(0.01), pytest.approx(60.0))
    now[0] = 3740.0
    assert pace(0.5, idle=False)[0] == pytest.approx(0.1 / 100)


def test_a_pace_counts_from_the_first_job_that_runs() -> None:
    now = [0.0]
    pace = Pace(clock=lambda: now[0])
    for now[0], share in ((0.0, 0.0), (20.0, 0.0), (40.0, 0.5)):
        speed, _ = pace(share, idle=False)
    assert speed == pytest.approx(0.5 / 40)


# --- In lists -----------------------------------------------------------------------------------


def test_a_batch_is_one_line_of_the_list(
    run: Cli, client: Client, added: list[Job], worker: FakeWorker
) -> None:
    client.submit("selftest", name="alone")
    run("submit", "add", "--list", "-", input="7 8\n")
    assert [row[:3] for row in lines(run, "ls")] == [
        ["batch", "2", "queued"], ["4", "queued", "selftest"], ["batch", "1", "queued"],
    ]  # fmt: skip
    assert lines(run, "ls")[2][-3:] == ["2/3", "1", "failed"]
    assert len(lines(run, "ls", "--unfold")) == 5
    assert len(lines(run, "ls", "--sort", "id")) == 5
    assert len(run("ls", "--json").json) == 5
    assert run("ls", "-q").out.split() == ["5", "4", "3", "2", "1"]
    assert run("ls", "-n", "1").err == "… 2 more: -n 3 or --all\n"
    assert lines(run, "ls", "--batch", "1")[0][0] == "3"


def test_a_batch_that_needs_no_job_is_listed_and_waited_for(
    run: Cli, client: Client, worker: FakeWorker
) -> None:
    run("submit", "add", "--list", "-", input="1 2\n")
    worker.finish(worker.claim(), result={"sum": 3.0})
    dry = run("submit", "add", "--list", "-", "--dry-run", input="1 2\n")
    assert (dry.json["known"], dry.json["jobs"]) == (1, 0)
    assert dry.err == "it would be a batch of 0 jobs; 1 item known already\n"
    run("submit", "add", "--list", "-", input="1 2\n")
    assert [row[1] for row in lines(run, "ls")] == ["2", "1"]
    assert lines(run, "ls")[0][-3:] == ["1", "item", "known"]
    assert [row[1] for row in lines(run, "ls", "--kind", "add", "--since", "1h")] == ["2", "1"]
    assert [row[1] for row in lines(run, "ls", "--state", "succeeded")] == ["1"]
    assert run("watch", "--batch", "2").out == "batch 2: 1 item known\n"


def test_a_line_says_which_jobs_a_filter_means(run: Cli, added: list[Job]) -> None:
    [line] = lines(run, "ls", "--state", "failed")
    assert line[:5] == ["batch", "1", "failed", "add", "sums"]
    assert line[-4:] == ["1", "of", "3", "jobs"]
    assert lines(run, "ls", "--kind", "selftest") == []
    assert [row[1] for row in lines(run, "ls", "--user", added[0].user)] == ["1"]


def test_status_has_a_line_for_a_batch_until_it_ends(
    run: Cli, client: Client, added: list[Job], worker: FakeWorker
) -> None:
    worker.arrive("default")
    last = worker.claim()
    told = run("status").out
    assert "RUNNING" not in told.splitlines()[-3]
    assert [line.split() for line in told.splitlines()[-2:]] == [
        ["BATCH", "STATE", "KIND", "NAME", "KNOWN", "JOBS", "DONE", "FAILED"],
        ["1", "running", "add", "sums", "3", "2", "1"],
    ]
    seen = run("status", "--json").json
    assert (seen["running"], [batch["id"] for batch in seen["batches"]]) == ([], [1])
    worker.finish(last)
    assert run("status", "--json").json["batches"] == []


def test_a_slot_with_many_jobs_names_them_as_a_range(
    run: Cli, client: Client, worker: FakeWorker
) -> None:
    run("submit", "add", "--list", "-", input="1 2\n" * 5)
    worker.arrive("default")
    for _ in range(3):
        worker.claim()
    run("cancel", "2", code=0)
    assert " 1-3 " in run("workers").out


def test_a_job_names_its_batch(run: Cli, added: list[Job]) -> None:
    assert "batch      1 sums, 2 of 3 jobs done" in run("show", "2").out
    told = run("why", "2").out.splitlines()
    assert told[0] == "job 2 of batch 1  add  failed (error)"
    assert told[-1] == (
        "→ `cvq retry 2` tries it again, `cvq retry --batch 1 --failed` all of its batch that "
        "have failed."
    )
    assert run("why", "2", "--json").json["batch"] == 1


def test_what_was_refused_is_explained(run: Cli) -> None:
    run("submit", "add", "--list", "-", input="x\n1 2\n")
    assert run("why", "1").out.splitlines()[1:] == [
        "It was refused when batch 1 was submitted: add: numbers 'x': give a number.",
        "→ Mend its item, and submit that again.",
    ]


# --- Before it is one ---------------------------------------------------------------------------


def test_a_dry_run_tells_what_would_be_queued_and_keeps_nothing(
    run: Cli, client: Client, folder: Path
) -> None:
    (folder / "0.png").write_bytes(b"")
    said = run("submit", "brightness", folder, "--scale", "2", "--name", "n", "--dry-run")
    told = json.loads(said.out)
    assert told.pop("estimate")["based_on"] == 0
    assert told == {
        "kind": "brightness", "name": "n", "spec": {"seed": 0, "scale": 2.0, "model": None},
        "jobs": 4, "items": 4, "known": 0, "shards": False, "max_fails": None, "bad": 1,
        "errors": ["photos/0.png is empty (0 bytes)"],
    }  # fmt: skip
    assert said.err.splitlines()[-2:] == [
        "it would be a batch of 3 jobs; 1 item cannot be used: photos/0.png is empty (0 bytes)",
        "no estimate: no brightness job has succeeded yet; no worker that is up can run it",
    ]
    assert run("submit", "brightness", folder, "--dry-run", "--json").out == said.out.replace(
        '"n"', "null"
    ).replace("2.0", "1.0")
    assert run("submit", "brightness", folder, "--dry-run", "--strict", code=2).out == ""
    assert run("batches", "-q").out == ""
    assert not client.settings.home.joinpath("artifacts", "inputs").exists()


def test_a_dry_run_of_shards_decodes_no_picture(
    run: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "SHARD", 2)
    Path("list").write_text("photos/1.png\nphotos/none.png\nphotos/2.png\n")
    (folder / "2.png").write_bytes(b"none")
    words = ["submit", "brightness", "@list", "--single", "--dry-run"]
    said = run(*words)
    seen = json.loads(said.out)
    assert (seen["jobs"], seen["items"], seen["shards"], seen["bad"]) == (2, 3, True, 1)
    assert seen["errors"] == ["photos/none.png does not exist"]
    assert said.err.startswith("it would be a batch of 2 jobs with 3 items; 1 item cannot")
    assert "photos/none.png" in run(*words, "--strict", code=2).err


def test_what_a_job_makes_by_itself_may_be_a_job_each(
    run: Cli, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = run("submit", "count", "--number", 7, "--times", 3, "--each", "--dry-run").json
    assert (said["jobs"], said["spec"]["times"]) == (3, 1)
    run("submit", "count", "--number", 7, "--times", 3, "--each")
    assert [job.job.spec["number"] for job in client.batch(1).jobs] == [7, 8, 9]
    assert run("submit", "count", "--times", 3).out.startswith("job 4 queued")
    assert "--list FILE" in run("submit", "count", "--times", 3, "--single", code=2).err


def test_a_list_that_never_ends_is_refused_where_a_batch_is_full(
    run: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "MOST_JOBS", 3)
    said = run("submit", "add", "--list", "-", input="1 2\n" * 500, code=2)
    assert "a batch has 3 jobs at most, and there are more" in said.err
    assert run("batches", "-q").out == ""


def test_a_job_of_many_is_no_batch_by_itself(run: Cli, folder: Path) -> None:
    said = run("run", "brightness", folder, code=2)
    assert "`cvq submit brightness` makes a batch of them" in said.err
    Path("x.tar").write_bytes(b"none")
    words = ["run", "brightness", "x.tar", "--dry-run", "-o"]
    assert "brightness writes .parquet" in run(*words, "x.png", code=2).err
    assert "x.tar is not a .tar" in run(*words, "rows.parquet", code=2).err


@pytest.mark.parametrize(
    "damage",
    ["batches set jobs='x'", "batches set items='NaN'", "batches set known='x'",
     "sweeps set space='1.5'", "sweeps set options='5'", "sweeps set trials='x'"],
)  # fmt: skip
def test_a_damaged_batch_or_sweep_stops_no_list(run: Cli, client: Client, damage: str) -> None:
    about = {"kind": "classify", "user": client.settings.user, "created_at": t.now(), "spec": {}}
    with client.db.write() as connection:
        connection.execute(insert(t.batches).values(jobs=1, items=1, **about))
        connection.execute(insert(t.sweeps).values(
            stage="open", space=[], method="grid", options={}, seed=0, trials=1, **about,
        ))  # fmt: skip
        connection.exec_driver_sql(f"UPDATE {damage}")
    for words in (["ls"], ["batches", "--json"], ["sweep", "ls", "--json"], ["sweep", "show", "1"],
                  ["sweep", "cancel", "1"], ["results", "1"]):  # fmt: skip
        assert run(*words, code=None).code in (0, 1, 2), words
