"""What the attempts of a micro-batch leave: each for itself, whatever becomes of another's."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from steps import claimed, new, submit

from cvq import Client, queries
from cvq.ids import AttemptId
from cvq.lifecycle import attempts as lifecycle
from cvq.records import Job, Outcome
from cvq.states import State
from cvq_workers import results
from cvq_workers.attempt.attempt import Attempt
from cvq_workers.attempt.execution import Site
from cvq_workers.protocol import ArtifactWritten, Progress
from cvq_workers.warm.books import Books
from cvq_workers.warm.transcript import Transcript


@pytest.fixture
def jobs(client: Client) -> list[Job]:
    submit(client.db, new(), new())
    return [claimed(client.db), claimed(client.db)]


@pytest.fixture
def transcript() -> Transcript:
    return Transcript()


@pytest.fixture
def books(client: Client, jobs: list[Job], tmp_path: Path, transcript: Transcript) -> Any:
    launcher: Any = None
    site = Site("w", client.settings, client.db, client.artifacts, launcher)
    now = time.monotonic()
    attempts = {job.attempt_id: Attempt(job, client.settings, now) for job in jobs}
    books = Books(site, attempts, tmp_path, transcript)
    yield books
    books.close()


def leave(books: Books, attempt: AttemptId, folder: Path, content: str) -> None:
    """A file of an attempt, as its process announces it."""
    path = folder / f"{attempt.job_id}-{content}"
    path.write_text(content)
    books.upload(ArtifactWritten(*attempt, str(path), "drawn.txt", "result", None))


def test_a_value_that_is_refused_costs_no_other_job_its_files(
    client: Client, books: Books, jobs: list[Job], tmp_path: Path
) -> None:
    first, second = (job.attempt_id for job in jobs)
    leave(books, first, tmp_path, "kept")
    books.await_files()
    bad = Outcome(State.SUCCEEDED, result={"number": 1, "bad": object()})
    books.finish({first: Outcome(State.SUCCEEDED, result={"number": 2}), second: bad})
    assert client.job(first.job_id).state == "succeeded"
    assert client.job(second.job_id).state == "failed"
    assert [file.name for file in client.artifacts_of(first.job_id)] == ["drawn.txt"]


def test_what_is_answered_anew_leaves_its_files_once(
    client: Client, books: Books, jobs: list[Job], tmp_path: Path
) -> None:
    first, second = (job.attempt_id for job in jobs)
    leave(books, first, tmp_path, "before the crash")
    leave(books, second, tmp_path, "answered")
    books.restart([first])
    leave(books, first, tmp_path, "after it")
    books.await_files()
    books.finish({id_: Outcome(State.SUCCEEDED, result={}) for id_ in (first, second)})
    [file] = client.artifacts_of(first.job_id)
    assert (file.name, file.bytes) == ("drawn.txt", len("after it"))
    [file] = client.artifacts_of(second.job_id)
    assert file.bytes == len("answered")


def test_a_lease_that_one_has_lost_keeps_no_other_from_telling_its_progress(
    client: Client, books: Books, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (job.attempt_id for job in jobs)
    monkeypatch.setattr("cvq_workers.warm.books._FLUSH_S", 0.0)
    with client.db.write() as connection:
        lifecycle.finish(connection, first, Outcome(State.CANCELLED), "somebody")
    for id_ in (first, second):
        books.note_progress(Progress(*id_, 1, 2, "item", None))
    books.flush()
    assert (client.job(second.job_id).progress or {})["done"] == 1


def test_what_was_said_is_there_when_an_attempt_has_ended(
    client: Client, books: Books, jobs: list[Job], transcript: Transcript
) -> None:
    first, second = (job.attempt_id for job in jobs)
    transcript.begin([first, second])
    transcript.write("stderr", b"it is dark in here")
    bad = Outcome(State.FAILED, "error", "it was dark")
    books.finish({first: Outcome(State.SUCCEEDED, result={}), second: bad})
    with client.db.read() as connection:
        for id_ in (first, second):
            [line] = queries.logs_of(connection, id_.job_id)
            assert line.text == "it is dark in here"
        assert queries.attempts_of(connection, second.job_id)[0].last_lines == [line.text]


def test_all_that_is_written_is_locked_at_once(
    client: Client, books: Books, jobs: list[Job], transcript: Transcript, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Else two that write into the same jobs may wait for each other."""
    first, second = (job.attempt_id for job in jobs)
    locked: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, values: Any, _x: Any, _many: bool) -> None:
        if "json_each" in statement and "FROM jobs" in statement:
            locked.append(str(values))

    monkeypatch.setattr("cvq_workers.warm.books._FLUSH_S", 0.0)
    event.listen(client.db.engine, "before_cursor_execute", note)
    transcript.begin([second])
    transcript.write("stderr", b"it is dark in here")
    books.note_progress(Progress(*first, 1, 2, "item", None))
    books.flush()
    leave(books, second, tmp_path, "drawn")
    books.await_files()
    flushed = len(locked)
    books.finish({id_: Outcome(State.SUCCEEDED, result={}) for id_ in (first, second)})
    for statement in (locked[0], locked[flushed]):
        assert str(first.job_id) in statement
        assert str(second.job_id) in statement


def test_large_results_are_read_a_few_at_a_time(
    books: Books, jobs: list[Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cvq_workers.warm.books._MOST_HELD", 150_000)
    ends: dict[AttemptId, Outcome] = {}
    for number in range(5):
        folder = tmp_path / f"{number}"
        assert results.write({"text": "x" * 100_000}, folder) is None
        ends[AttemptId(number, 1)] = Outcome(State.SUCCEEDED, result=results.Filed(folder))
    (tmp_path / "4/result.json").unlink()
    ends[AttemptId(5, 1)] = Outcome(State.SUCCEEDED, result={"small": 1})
    results.write({"text": "x" * 600_000}, tmp_path / "large")
    large = Outcome(State.SUCCEEDED, result=results.Filed(tmp_path / "large"))
    parts = list(books.parts(ends | {AttemptId(6, 1): large}))
    assert [len(part) for part in parts] == [2, 2, 1, 2]
    assert list(parts[2]) == [AttemptId(6, 1)]
    assert parts[0][AttemptId(0, 1)].result.text.startswith('{"text": "xxx')
    assert parts[3][AttemptId(4, 1)].state == "failed"
    assert parts[3][AttemptId(5, 1)].result == {"small": 1}


def test_a_large_result_is_written_by_itself_and_never_twice(
    client: Client, books: Books, jobs: list[Job], tmp_path: Path
) -> None:
    first, second = (job.attempt_id for job in jobs)
    results.write({"number": 1, "text": "x" * 600_000}, tmp_path / "large")
    large = Outcome(State.SUCCEEDED, result=results.Filed(tmp_path / "large"))
    with client.db.write() as connection:
        lifecycle.finish(connection, second, Outcome(State.CANCELLED), "somebody")
    for part in books.parts({first: large, second: large}):
        states = books.finish(part)
        assert states == ({first: "succeeded"} if first in part else {})
    result = client.job(first.job_id).result or {}
    assert (result["number"], len(result["text"])) == (1, 600_000)
    assert client.job(second.job_id).state == "cancelled"
