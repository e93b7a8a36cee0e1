"""The database itself: what goes wrong around it, and its clock."""

from __future__ import annotations

import sqlite3
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError, StatementError
from steps import opened

from cvq import queries, schema
from cvq import tables as t
from cvq.db import Database
from cvq.db_errors import is_about_a_value
from cvq.errors import CvqError, DatabaseError, MissingExtraError, UsageError
from cvq.lifecycle import jobs
from cvq.records import NewJob
from cvq.tables import now

# ---------------------------------------------------------------------------- what goes wrong


def refused(**settings: Any) -> CvqError:
    """The error of a first use; it is one line and shows no password."""
    with pytest.raises(CvqError) as caught, opened(**settings) as database:
        schema.ensure(database)
    message = str(caught.value)
    assert "\n" not in message
    assert "secret" not in message
    return caught.value


def test_a_file_that_is_no_database(home: Path) -> None:
    (home / "cvq.db").write_bytes(b"This is a text file, and not a short one. " * 50)
    error = refused()
    assert isinstance(error, DatabaseError)
    assert error.exit_code == 4
    assert "not a database" in str(error)
    assert "move it away" in str(error)


def test_who_comes_while_another_writes_may_read(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cvq.db._SQLITE_BUSY_MS", 50)
    with opened() as writing, opened() as reading:
        schema.ensure(writing)
        with writing.write() as connection:
            connection.execute(update(t.jobs).values(name="x"))
            with reading.read() as other:
                assert other.scalar(select(t.jobs.c.id)) is None


def test_a_folder_in_the_place_of_the_database(home: Path) -> None:
    (home / "cvq.db").mkdir()
    error = refused()
    assert isinstance(error, DatabaseError)
    assert "yours to write" in str(error)


def test_a_home_that_cannot_be_made(home: Path) -> None:
    (home / "file").touch()
    error = refused(home=home / "file" / "home")
    assert isinstance(error, DatabaseError)
    assert "CVQ_HOME" in str(error)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_home_where_nothing_can_be_written(home: Path) -> None:
    # A folder that exists, and that not even root can write to.
    error = refused(home=Path("/proc/self"))
    assert error.exit_code == 4
    assert "/proc/self" in str(error)


def test_a_database_on_a_full_disk(home: Path) -> None:
    with opened() as database:
        schema.ensure(database)
        with database.read() as connection:
            pages = connection.scalar(text("PRAGMA page_count"))

        def submit() -> None:
            with database.write() as connection:
                connection.execute(text(f"PRAGMA max_page_count={pages}"))
                jobs.submit(connection, NewJob("selftest", {"x": "x" * 1_000_000}, "0", "ann"))

        with pytest.raises(DatabaseError, match=r"full.*free some space"):
            submit()
        with database.read() as connection:
            assert queries.count_states(connection) == {}


def test_a_damaged_database(home: Path) -> None:
    with opened() as database:
        schema.ensure(database)
    with sqlite3.connect(home / "cvq.db") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    data = bytearray((home / "cvq.db").read_bytes())
    data[100:20000] = b"\x5a" * 19900
    (home / "cvq.db").write_bytes(data)
    assert isinstance(refused(), DatabaseError)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:secret@127.0.0.1:1/x",
        "postgres://u:secret@127.0.0.1:1/x",
        "postgresql://127.0.0.1:1/x?password=secret",
        "postgresql:///x?host=/nowhere&password=secret",
    ],
)
def test_a_postgres_that_is_not_there(home: Path, url: str) -> None:
    error = refused(database_url=url)
    assert isinstance(error, DatabaseError)
    assert error.exit_code == 4
    assert "is the server running" in str(error)


def test_a_wrong_password_is_not_shown(postgres_url: str, home: Path) -> None:
    # The test server trusts everybody, so the user is made up instead.
    url = postgres_url.replace("postgres:@", "nobody:secret@")
    assert "secret" in url
    assert isinstance(refused(database_url=url), DatabaseError)


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "postgresql://u:secret@localhost:port/x",
        "sqlite://u:secret@host/x",
        "mysql://u:secret@h/x",
        "foo://u:secret@h/x",
        "postgresql+asyncpg://u:secret@h/x",
    ],
)
def test_a_url_that_is_none(home: Path, url: str) -> None:
    error = refused(database_url=url)
    assert isinstance(error, UsageError)
    assert "CVQ_DATABASE_URL" in str(error)


def test_without_the_extra_the_error_names_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    error = refused(database_url="postgresql://u:secret@h/x")
    assert isinstance(error, MissingExtraError)
    assert "[postgres]'" in str(error)


def test_a_value_that_the_database_cannot_hold_is_the_callers_fault(database: Database) -> None:
    # Not a DatabaseError: trying again, as after a lost connection, would go on for ever.
    with pytest.raises(UsageError, match="cannot hold"), database.write() as connection:
        connection.execute(select(t.jobs).where(t.jobs.c.id == 10**30)).all()
    with pytest.raises(UsageError, match="cannot hold"), database.write() as connection:
        connection.execute(update(t.jobs).values(reason={"a": 1}))


def test_a_block_that_fails_leaves_nothing(database: Database) -> None:
    def submit_and_fail() -> None:
        with database.write() as connection:
            jobs.submit(connection, NewJob("selftest", {}, "0", "ann"))
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        submit_and_fail()
    with database.read() as connection:
        assert queries.count_states(connection) == {}


# ---------------------------------------------------------------------------- the clock


def test_the_clock_is_the_databases_and_in_utc(database: Database) -> None:
    before = datetime.now(UTC)
    with database.read() as connection:
        time = queries.database_time(connection)
    assert time.utcoffset() == timedelta(0)
    assert before <= time + timedelta(milliseconds=1)
    assert time <= datetime.now(UTC) + timedelta(milliseconds=1)


def test_the_clock_moves_within_a_transaction(database: Database) -> None:
    with database.read() as connection:
        start = queries.database_time(connection)
        for _ in range(100_000):
            if queries.database_time(connection) > start:
                break
        else:
            pytest.fail("the clock stands still")


@pytest.mark.parametrize("seconds", [0.25, 30, -30, 86_400 * 400, -86_400 * 400, 1e-3])
def test_the_clock_can_be_moved(database: Database, seconds: float) -> None:
    with database.read() as connection:
        row = connection.execute(select(now(seconds).label("moved"), now().label("now"))).one()
    assert abs((row.moved - row.now).total_seconds() - seconds) < 0.1


def test_stored_times_and_the_clock_are_in_one_order(database: Database) -> None:
    # On SQLite both are text, and have to be of one shape to the last digit.
    base = datetime.now(UTC).replace(microsecond=0)
    east = base.astimezone().replace(microsecond=0)
    stored = [
        ("past", base - timedelta(seconds=2)),
        ("local", east - timedelta(seconds=2)),
        ("whole", base - timedelta(days=400)),
        ("future", base + timedelta(seconds=60, microseconds=1)),
    ]
    with database.write() as connection:
        job_id = jobs.submit(connection, NewJob("selftest", {}, "0", "ann"))
        for number, (name, time) in enumerate(stored):
            line = {"attempt": 1, "seq": number, "stream": "out", "text": name, "time": time}
            connection.execute(insert(t.logs).values(job_id=job_id, **line))
        line = {"attempt": 1, "seq": 9, "stream": "out", "text": "clock"}
        connection.execute(insert(t.logs).values(job_id=job_id, **line, time=now()))
        rows = connection.execute(
            select(t.logs.c.text, t.logs.c.time).order_by(t.logs.c.time)
        ).all()
        until = connection.scalars(select(t.logs.c.text).where(t.logs.c.time <= now())).all()
    assert [row.text for row in rows] == ["whole", "past", "local", "clock", "future"]
    assert set(until) == {"whole", "past", "local", "clock"}
    times = {row.text: row.time for row in rows}
    assert times["future"] == stored[3][1]
    assert times["past"] == times["local"]


def test_times_keep_their_microseconds_and_their_zone(database: Database) -> None:
    zone = datetime(2026, 1, 2, 3, 4, 5, 678901).astimezone()
    with database.write() as connection:
        connection.execute(
            insert(t.workers).values(
                id="w", host="h", pid=1, devices=[], queues=[], slots=1, lease=1.0, state="up",
                started_at=zone, seen_at=datetime(1, 1, 2, tzinfo=UTC),
            )
        )  # fmt: skip
        row = connection.execute(select(t.workers)).one()
    assert row.started_at == zone
    assert row.started_at.utcoffset() == timedelta(0)
    assert row.seen_at == datetime(1, 1, 2, tzinfo=UTC)


def test_only_a_value_is_a_rows_fault() -> None:
    assert is_about_a_value(OverflowError())
    assert is_about_a_value(IntegrityError("", {}, Exception()))
    assert is_about_a_value(StatementError("", "", {}, ValueError()))
    assert not is_about_a_value(OperationalError("", {}, Exception("gone")))
    assert not is_about_a_value(ProgrammingError("", {}, Exception("no such table")))
    assert not is_about_a_value(MemoryError())
    assert not is_about_a_value(KeyError())
    assert not is_about_a_value(StatementError("", "", {}, AttributeError()))
    assert not is_about_a_value(DatabaseError("away"))
