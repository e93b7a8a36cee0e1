"""Batches on the command line: sources in, one line told, one cancel, a table of results out."""

from __future__ import annotations

import csv
import io
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from cvq import Client
from cvq.inputs import items
from cvq.lifecycle import batches
from cvq.records import Job

from .conftest import Cli, FakeWorker

pytestmark = pytest.mark.usefixtures("batched")


def test_a_folder_makes_a_batch(run: Cli, client: Client, folder: Path) -> None:
    said = run("submit", "brightness", folder, "--scale", "2", "--tag", "for=poster")
    assert said.out == "batch 1: 3 jobs queued\n"
    assert said.err.splitlines() == [
        "photos: left out: 1 file (neither pictures, IDX files nor CIFAR batches): notes.txt",
        "no estimate: no brightness job has succeeded yet",
        "job 1: No live worker serves the queue 'default'. `cvq up -d` starts one.",
    ]
    jobs = list(client.batch(1).jobs)
    assert [job.name for job in jobs] == ["photos/1.png", "photos/2.png", "photos/b/3.png"]
    assert {(job.spec["scale"], job.tags["for"]) for job in jobs} == {(2.0, "poster")}
    assert [row["id"] for row in run("ls", "--batch", "1", "--json").json] == [3, 2, 1]
    assert run("ls", "--batch", "@", "--state", "failed", "-q").out == ""
    assert "no batch 7" in run("ls", "--batch", "7", code=2).err


def test_files_are_one_job_unless_each_is_asked_for(
    run: Cli, client: Client, folder: Path
) -> None:
    files = [folder / "1.png", folder / "2.png"]
    assert run("submit", "brightness", *files).out.startswith("job 1 queued")
    assert run("submit", "brightness", *files, "--each", "-q").out == "1\n"
    assert run("submit", "brightness", *(files * 501)).out == "batch 2: 1002 jobs queued\n"


def test_a_bad_file_is_told(run: Cli, client: Client, folder: Path) -> None:
    (folder / "0.png").write_bytes(b"")
    said = run("submit", "brightness", folder, "--json").json
    assert (said["jobs"], said["states"]) == (4, {"failed": 1, "queued": 3})
    out = run("submit", "brightness", folder).out
    assert out == "batch 2: 3 jobs queued (1 failed: photos/0.png is empty (0 bytes))\n"
    said = run("submit", "brightness", folder, "--strict", code=2)
    assert said.err.endswith(
        "cvq: error: nothing was queued, as 1 of 4 items cannot be used: photos/0.png is empty "
        "(0 bytes)\n"
    )
    assert len(run("batches", "-q").out.split()) == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["submit", "brightness", "empty"], "empty has no pictures: it is empty"),
        (["submit", "brightness", "no*.png"], "no*.png matches no file"),
        (["submit", "brightness", "@nowhere"], "nowhere cannot be read: No such file"),
        (["submit", "brightness", "photos", "--max-fails", "0"], "'--max-fails': 0 is not in"),
        (["watch", "--batch", "x"], "'x' is not a batch: write an id"),
        (["results", "x"], "'x' is not a batch: write an id"),
        (["submit", "brightness", "photos/1.png", "--strict"], "--strict is for batches"),
        (["submit", "add", "1", "2", "--each"], "give the numbers of the batch as a list"),
        (["submit", "brightness", "-", "--list", "-"], "stdin can be read once"),
        (["submit", "brightness", "-"], "brightness: there are no items"),
        (["submit", "add", "1", "2", "--list", "-"], "give the numbers of the batch once"),
        (["submit", "brightness", "photos", "--column", "x"], "--column: there is no .csv"),
        (["retry", "1"], "no job 1"),
        (["retry", "--batch", "1"], "no batch 1: `cvq batches` lists batches"),
        (["results", "1-3"], "1-3: give one batch, not a range"),
        (["results", "@"], "have not submitted that many batches"),
        (["cancel", "--batch", "3"], "no batch 3"),
        (["retry"], "which jobs? Give JOB, or a filter such as --batch 3 or --kind vae"),
        (["retry", "--failed", "--state", "failed"], "give --state, or --failed and --cancelled"),
        (["wait"], "which jobs? Give JOB, --batch BATCH or --sweep SWEEP"),
        (["watch", "1", "--batch", "1"], "no job 1"),
        (["watch", "--batch", "1", "--tail", "3"], "--tail is for a job's log"),
        (["watch", "--batch", "1"], "no batch 1"),
    ],
)
def test_what_is_wrong_is_one_line(
    run: Cli, client: Client, folder: Path, words: list[str], told: str
) -> None:
    Path("empty").mkdir()
    said = run(*words, code=2, input="")
    assert told in said.err.splitlines()[-1]
    assert said.out == ""
    assert run("batches", "-q").out == ""


def test_batches_are_listed(run: Cli, client: Client, added: list[Job]) -> None:
    run("submit", "add", "--list", "-", input="7 8\n")
    head, last, first = run("batches").out.splitlines()
    assert head.split() == [
        "ID", "STATE", "KIND", "NAME", "USER", "AGE", "KNOWN", "JOBS", "DONE", "FAILED",
        "CANCELLED",
    ]  # fmt: skip
    assert last.split()[:3] == ["2", "queued", "add"]
    assert first.split()[:4] == ["1", "queued", "add", "sums"]
    assert first.split()[-3:] == ["3", "2", "1"]
    assert run("batches", "-L", "1", "--md").out.startswith("| id | state | ")
    rows = list(csv.DictReader(io.StringIO(run("batches", "--csv").out)))
    assert (rows[1]["jobs"], rows[1]["done"], rows[1]["cancelled"]) == ("3", "2", "0")
    [only] = run("batches", "-n", "1", "--json").json
    assert only == {"id": 2, "state": "queued"} | only
    assert run("batches", "--user", "nobody").err.startswith("no batches: `cvq submit")


def test_what_is_known_is_told(
    run: Cli, client: Client, added: list[Job], worker: FakeWorker
) -> None:
    said = run("submit", "add", "--list", "-", input="1 2\n7 8\n").out
    assert said == (
        "batch 2: 1 job queued; 1 of 2 items is known from batch 1 (--no-cache computes it anew)\n"
    )
    rows = [json.loads(line) for line in run("results", "2", "--jsonl").out.splitlines()]
    assert [(row["name"], row["job"], row.get("sum")) for row in rows] == [
        ("1 2", added[0].id, 3.0), ("7 8", 4, None),
    ]  # fmt: skip
    said = run("submit", "add", "--list", "-", "--wait", input="1 2\n")
    assert said.out == "batch 3: 1 item known\n"
    assert "batch 3: 1 of 1 item is known from " in said.err
    assert run("submit", "add", "--list", "-", "--json", input="1 2\n").json == {
        "jobs": 0, "items": 1, "known": 1, "state": "succeeded", "states": {},
    } | run("batches", "-n", "1", "--json").json[0]  # fmt: skip
    assert run("wait", "--batch", "3").out == "batch 3: 1 item known\n"
    assert run("cancel", "--batch", "3", "-y").out == "batch 3 had already ended\n"
    assert run("retry", "--batch", "3").out == "batch 3: 0 jobs to be tried again\n"
    assert run("ls", "--batch", "3", "-q").out == ""
    out = run("submit", "add", "--list", "-", "--no-cache", input="1 2\n").out
    assert out == "batch 5: 1 job queued\n"


def test_a_batch_is_cancelled_and_tried_again(
    run: Cli, client: Client, added: list[Job], worker: FakeWorker
) -> None:
    assert run("cancel", "--batch", "1").out == "batch 1: 1 job cancelled\n"
    assert run("cancel", "--batch", "1").out == "batch 1 had already ended\n"
    assert run("retry", "--batch", "@", "--failed").out == "batch 1: 1 job to be tried again\n"
    [said] = run("retry", "--batch", "1", "--cancelled", "--json").json
    assert said["states"] == {"succeeded": 1, "queued": 2}
    worker.claim()
    said = run("cancel", "--batch", "1")
    assert said.out == "batch 1: 2 jobs cancelled, 1 of them running, which will stop\n"


def test_a_part_of_a_batch_is_cancelled(run: Cli, client: Client, added: list[Job]) -> None:
    assert "2 jobs" not in run("cancel", "--batch", "1", "--state", "failed").out
    assert (
        run("cancel", "--batch", "1", "--state", "queued").out == "job 3 (add 5 6) is cancelled\n"
    )


def test_many_jobs_of_a_batch_are_cancelled_in_a_line(
    run: Cli, client: Client, worker: FakeWorker
) -> None:
    run("submit", "add", "--list", "-", "--no-cache", input="1 2\n" * 30)
    alone = client.submit("selftest")
    worker.finish(worker.claim())
    worker.claim()
    said = run("cancel", "1-31")
    assert said.out.splitlines() == [
        "batch 1: 29 jobs cancelled, 1 of them running, which will stop, 1 had already ended",
        f"job {alone.id} (selftest) is cancelled",
    ]
    assert client.batch(1).states == {"succeeded": 1, "running": 1, "cancelled": 28}


def test_single_jobs_are_tried_again(
    run: Cli, client: Client, added: list[Job], worker: FakeWorker
) -> None:
    client.submit("selftest")
    said = run("retry", "1-3,4")
    assert said.out == "job 2 (add 3 4) is to be tried again\n"
    assert said.err.splitlines() == [
        "job 1 has succeeded: `cvq rerun 1` runs it anew",
        "job 3 is queued: there is nothing to try again",
        "job 4 is queued: there is nothing to try again",
    ]
    assert worker.claim().id == 2
    run("cancel", "3", "4")
    assert run("retry", "3", "-q").out == "3\n"
    assert "job 3 is queued: there is nothing to try again" in run("retry", "3", code=2).err
    assert run("retry", "--kind", "selftest", "--cancelled", "--dry-run", "-q").out == "4\n"
    assert run("retry", "--kind", "selftest").err == "no jobs to try again\n"
    [again] = run("retry", "--kind", "selftest", "--state", "cancelled", "--json").json
    assert (again["id"], again["state"]) == (4, "queued")


def test_what_was_refused_is_told(run: Cli, client: Client) -> None:
    run("submit", "add", "--list", "-", input="1 2\nx\n")
    assert run("retry", "2", code=2).err == (
        "cvq: error: job 2 was refused when it was submitted: submit its item anew\n"
    )
    said = run("retry", "--batch", "1", "--failed")
    assert said.out == "batch 1: 0 jobs to be tried again\n"
    assert said.err.startswith("1 job cannot be tried again: `cvq ls --batch 1 --state failed`")


def test_results_for_people(run: Cli, client: Client, added: list[Job]) -> None:
    said = run("results", "1")
    head, *rows = said.out.splitlines()
    assert head.split() == ["NAME", "JOB", "STATE", "SUM", "PARTS", "NOTE", "ERROR"]
    assert rows[0].split() == ["1", "2", "1", "succeeded", "3", "[1,", "2]", "=1+2"]
    assert rows[2].split() == ["5", "6", "3", "queued"]
    assert said.err == "1 job of batch 1 has not ended yet\n"


def test_results_as_csv_and_lines(run: Cli, client: Client, added: list[Job]) -> None:
    rows = list(csv.reader(io.StringIO(run("results", "1", "--csv").out)))
    assert rows == [
        ["name", "job", "state", "sum", "parts", "note", "error"],
        ["1 2", "1", "succeeded", "3.0", "[1, 2]", "'=1+2", ""],
        ["3 4", "2", "failed", "", "", "", "it is\nno number"],
        ["5 6", "3", "queued", "", "", "", ""],
    ]
    lines = [json.loads(line) for line in run("results", "1", "--jsonl").out.splitlines()]
    assert run("results", "1", "--json").json == lines
    assert lines[0]["parts"] == [1, 2]
    assert lines[1] == {
        "name": "3 4", "job": 2, "state": "failed", "error": "it is\nno number",
    }  # fmt: skip


def test_results_in_files(run: Cli, client: Client, added: list[Job], tmp_path: Path) -> None:
    import pyarrow.parquet as parquet

    for name in ("a.csv", "a.json", "a.jsonl", "a.parquet"):
        said = run("results", "1", "-o", tmp_path / name)
        assert said.err.splitlines()[0] == f"{tmp_path / name}: 3 rows"
    assert (tmp_path / "a.csv").read_text() == run("results", "1", "--csv").out
    assert (tmp_path / "a.json").read_text() == run("results", "1", "--json").out
    assert (tmp_path / "a.jsonl").read_text() == run("results", "1", "--jsonl").out
    table = parquet.read_table(tmp_path / "a.parquet")
    assert [str(kind) for kind in table.schema.types] == [
        "string", "int64", "string", "double", "string", "string", "string",
    ]  # fmt: skip
    assert table.to_pylist()[0] == {
        "name": "1 2", "job": 1, "state": "succeeded", "sum": 3.0, "parts": "[1, 2]",
        "note": "=1+2", "error": None,
    }  # fmt: skip
    for words in (["--parquet"], ["-o", tmp_path / "a.txt"], ["--csv", "--jsonl"]):
        said = run("results", "1", *words, code=2)
        assert said.out == ""


@pytest.mark.parametrize(
    ("outcomes", "code", "told"),
    [
        (["succeeded", "succeeded"], 0, "batch 1: 2 succeeded\n"),
        (["succeeded", "failed"], 1, "batch 1: 1 failed, 1 succeeded\n"),
        (["cancelled", "succeeded"], 3, "batch 1: 1 cancelled, 1 succeeded\n"),
    ],
)
def test_waiting_for_a_batch(
    run: Cli, client: Client, worker: FakeWorker, outcomes: list[str], code: int, told: str
) -> None:
    run("submit", "add", "--list", "-", input="1 2\n3 4\n")
    assert run("wait", "--batch", "1", "--timeout", "0", code=124).out == ""
    for outcome in outcomes:
        worker.finish(worker.claim(), outcome, reason=None if code == 0 else "error")
    said = run("wait", "--batch", "@", code=code)
    assert said.out == told
    assert "2/2" in said.err
    found: dict[str, Any] = run("wait", "--batch", "1", "--json", code=code).json
    assert found["id"] == 1


def test_ctrl_c_leaves_nothing_queued_or_says_what_is(
    run: Cli, client: Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    label = items.label

    def interrupted(name: str) -> str:
        signal.raise_signal(signal.SIGINT)
        return label(name)

    with monkeypatch.context() as patched:
        patched.setattr(items, "label", interrupted)
        said = run("submit", "brightness", folder / "1.png", "--each", code=130)
    assert (said.out, said.err.strip()) == ("", "interrupted: nothing was queued")
    assert run("batches", "-q").out == ""
    real = batches.submit

    def submit(*given: Any) -> int:
        signal.raise_signal(signal.SIGTERM)
        return real(*given)

    monkeypatch.setattr(batches, "submit", submit)
    said = run("submit", "add", "--list", "-", input="1 2", code=143)
    assert said.err == "batch 1 is queued: `cvq cancel --batch 1` cancels it\n"


def test_submit_waits_for_its_batch(run: Cli, client: Client) -> None:
    words = ["submit", "add", "--list", "-", "--timeout", "0", "--max-fails", "1"]
    said = run(*words, code=1, input="x\n1 2\n")
    assert said.out == "batch 1: 1 cancelled, 1 failed\n"
    assert said.err.startswith("batch 1: 0 jobs queued (1 failed: ")
    assert said.err.splitlines()[0].endswith("; the other 1 job cancelled)")
