"""Reading a log while it is written."""

from __future__ import annotations

from datetime import UTC, datetime

from steps import DONE, claimed, new, submit

from cvq.db import Database
from cvq.lifecycle import attempts
from cvq.records import Job, LogLine
from cvq.views.logs import LogReader

TIME = datetime(2026, 11, 1, 12, tzinfo=UTC)


def write(database: Database, job: Job, *numbers: int) -> None:
    lines = [LogLine(number, TIME, "stdout", f"line {number}") for number in numbers]
    with database.write() as connection:
        attempts.report(connection, job.attempt_id, logs=lines)


def texts(reader: LogReader) -> list[str]:
    return [row.text for row in reader.read()]


def test_each_line_is_read_once(database: Database) -> None:
    submit(database, new())
    job = claimed(database)
    reader = LogReader(database, job.id, tail=2)
    assert (texts(reader), reader.after) == ([], 0)
    write(database, job, 1, 2)
    assert texts(reader) == ["line 1", "line 2"]
    assert texts(reader) == []
    assert (reader.state, reader.finished) == ("running", False)


def test_the_tail_is_of_what_was_there_first(database: Database) -> None:
    submit(database, new())
    job = claimed(database)
    write(database, job, 1, 2, 3)
    reader = LogReader(database, job.id, tail=1)
    assert texts(reader) == ["line 3"]
    write(database, job, 4, 5)
    assert texts(reader) == ["line 4", "line 5"]


def test_nothing_follows_the_look_that_saw_the_end(database: Database) -> None:
    submit(database, new())
    job = claimed(database)
    reader = LogReader(database, job.id)
    write(database, job, 1)
    with database.write() as connection:
        attempts.finish(connection, job.attempt_id, DONE, "w")
    assert texts(reader) == ["line 1"]
    assert (reader.state, reader.finished) == ("succeeded", True)
