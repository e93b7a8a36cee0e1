"""The database itself: first starts, versions, what goes wrong around it, and its clock."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, text, update
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError, StatementError

from cvq import Settings, queries
from cvq import tables as t
from cvq.db import Database, alembic_config, is_about_a_value
from cvq.errors import CvqError, DatabaseError, MissingExtraError, SchemaError, UsageError
from cvq.lifecycle import jobs
from cvq.records import NewJob
from cvq.tables import now
from waiting import HANG_S


@contextmanager
def opened(**settings: Any) -> Iterator[Database]:
    database = Database(Settings.load(**settings))
    try:
        yield database
    finally:
        database.engine.dispose()


# ---------------------------------------------------------------------------- first start


def test_the_embedded_database_makes_itself(home: Path) -> None:
    with opened() as database:
        assert database.current_version() is None
        assert not (home / "cvq.db").exists(), "looking made a file"
        database.ensure_schema()
        assert database.current_version() == t.SCHEMA_VERSION
        database.ensure_schema()
    assert (home / "cvq.db").exists()


@pytest.mark.parametrize("name", ["my home", "50%41", "what?", "a#b", "ü€", "a:b@c"])
def test_a_home_with_an_odd_name_is_used_as_it_is(home: Path, name: str) -> None:
    with opened(home=home / name) as database:
        database.ensure_schema()
    assert (home / name / "cvq.db").stat().st_size > 0
    assert [path.name for path in home.iterdir()] == [name]


_FIRST_START = """
import sys
from cvq import Settings
from cvq.db import Database
from cvq.lifecycle import jobs
from cvq.records import NewJob
settings = Settings.load()
sys.stdin.readline()  # all start together
database = Database(settings)
database.{call}()
with database.write() as connection:
    jobs.submit(connection, NewJob("selftest", {{}}, "0", "ann"))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_processes_that_start_at_once_share_one_database(
    home: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("postgres_url") if kind == "postgres" else None
    count = 3 if url else 5
    program = _FIRST_START.format(call="upgrade" if url else "ensure_schema")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | ({"CVQ_DATABASE_URL": url} if url else {}),
        )
        for _ in range(count)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate(timeout=HANG_S)
        assert process.returncode == 0, errors
    with opened(database_url=url) as database, database.read() as connection:
        assert queries.count_states(connection) == {"queued": count}
        assert connection.scalar(text("SELECT count(*) FROM alembic_version")) == 1


# ---------------------------------------------------------------------------- versions


def test_the_code_expects_the_newest_migration() -> None:
    from alembic.script import ScriptDirectory

    assert ScriptDirectory.from_config(alembic_config()).get_heads() == [t.SCHEMA_VERSION]


def _sqlite_schema(connection: Connection) -> dict[str, Any]:
    found: dict[str, Any] = {}
    rows = connection.execute(text("SELECT type, name, tbl_name, sql FROM sqlite_master")).all()
    for kind, name, table, sql in rows:
        if table in ("alembic_version", "sqlite_sequence"):
            continue
        if kind == "table":
            found[name] = [
                tuple(row) for row in connection.execute(text(f'PRAGMA table_xinfo("{name}")'))
            ]
            found[name, "keys"] = sorted(
                tuple(row)[2:]
                for row in connection.execute(text(f'PRAGMA foreign_key_list("{name}")'))
            )
            # What the pragmas do not tell, such as AUTOINCREMENT and names of constraints.
            found[name, "words"] = sorted(re.findall(r"[\w']+", sql))
        else:
            found[name] = re.sub(r'[\s"]+', " ", sql or "").replace(" ,", ",")
    return found


_POSTGRES_SCHEMA = (
    "SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, "
    "column_default, is_identity, ordinal_position FROM information_schema.columns "
    "WHERE table_schema = 'public'",
    "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
    "WHERE connamespace = 'public'::regnamespace",
    "SELECT sequencename, data_type::text FROM pg_sequences WHERE schemaname = 'public'",
)


def _postgres_schema(connection: Connection) -> list[list[tuple[Any, ...]]]:
    return [
        sorted(
            tuple(str(value) for value in row)
            for row in connection.execute(text(query))
            if "alembic_version" not in str(row)
        )
        for query in _POSTGRES_SCHEMA
    ]


def test_upgrading_gives_the_schema_of_the_tables(database: Database) -> None:
    look = _sqlite_schema if database.is_sqlite else _postgres_schema
    with database.write() as connection:
        upgraded = look(connection)
        t.metadata.drop_all(connection)
        emptied = look(connection)
        t.metadata.create_all(connection)
        made = look(connection)
    assert emptied != made
    assert upgraded == made


def test_a_server_database_is_never_upgraded_without_being_told(
    postgres_url: str, home: Path
) -> None:
    with opened(database_url=postgres_url) as database:
        with pytest.raises(SchemaError, match=r"no cvq schema.*`cvq db upgrade`"):
            database.ensure_schema()
        assert database.current_version() is None
        database.upgrade()
        database.ensure_schema()


def test_a_named_sqlite_file_is_never_upgraded_without_being_told(home: Path) -> None:
    with opened(database_url=f"sqlite:///{home}/mine.db") as database:
        with pytest.raises(SchemaError, match="`cvq db upgrade`"):
            database.ensure_schema()
        database.upgrade()
        database.ensure_schema()


def test_a_newer_schema_is_left_alone(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaError, match=r"newer.*upgrade cvq"):
        database.ensure_schema()
    assert database.current_version() == "9999"


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("CREATE TABLE jobs (id INTEGER)", r"another application's tables \(jobs\): give cvq a"),
        (
            "CREATE TABLE alembic_version AS SELECT 'abc123' AS version_num",
            "belongs to another application, whose schema is abc123: give cvq a",
        ),
    ],
)
def test_a_database_of_another_application_is_left_alone(
    request: pytest.FixtureRequest, home: Path, kind: str, statement: str, said: str
) -> None:
    url = request.getfixturevalue("postgres_url") if kind == "postgres" else None
    with opened(database_url=url or f"sqlite:///{home}/cvq.db") as database:
        with database.write() as connection:
            connection.execute(text(statement))
        before = database.current_version()
        with pytest.raises(SchemaError, match=said):
            database.ensure_schema()
        with pytest.raises(SchemaError, match=said):
            database.upgrade()
        assert database.current_version() == before


def test_an_older_schema_on_a_server_names_the_command(postgres_url: str, home: Path) -> None:
    with opened(database_url=postgres_url) as database:
        database.upgrade()
        with database.write() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
        with pytest.raises(SchemaError, match=r"has schema 0000.*`cvq db upgrade`"):
            database.ensure_schema()


def test_checkpoints_of_an_older_schema_are_told_from_a_jobs_own(home: Path) -> None:
    from alembic import command

    from cvq.db import alembic_config

    names = ("checkpoint-00000007.safetensors", "mine.pt", "checkpoint.png")
    with opened() as database:
        with database.engine.begin() as connection:
            config = alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, "0002")
            connection.execute(
                text(
                    "INSERT INTO jobs (id, kind, queue, priority, fair_rank, user, tags, spec, "
                    "spec_hash, state, attempt, max_attempts, cancel_requested, metrics, "
                    "created_at) VALUES (1, 'k', 'q', 5, 0, 'u', '{}', '{}', '', 'failed', 1, 1, "
                    "0, '{}', '2026-01-01 00:00:00.000000')"
                )
            )
            for name in names:
                connection.execute(
                    text(
                        "INSERT INTO artifacts (job_id, attempt, name, role, media_type, uri, "
                        "sha256, bytes, created_at) VALUES (1, 1, :name, 'checkpoint', 'x', "
                        "'file:///x', '', 1, '2026-01-01 00:00:00.000000')"
                    ),
                    {"name": name},
                )
        database.upgrade()
        with database.read() as connection:
            roles = connection.scalars(text("SELECT role FROM artifacts ORDER BY id")).all()
    assert roles == ["cvq-checkpoint", "checkpoint", "checkpoint"]


def test_an_upgrade_fills_in_what_the_jobs_to_come_need(database: Database) -> None:
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    from alembic.script import ScriptDirectory

    [script] = [
        each
        for each in ScriptDirectory.from_config(alembic_config()).walk_revisions()
        if "matching" in each.path
    ]
    look = text("SELECT id, needs FROM jobs ORDER BY id")
    with database.write() as connection:
        for device in (None, "gpu", "cpu"):
            spec = {"radius": 4, "größe": 1}
            job = NewJob(kind="blur", spec=spec, spec_hash="", user="ann", device=device)
            last = jobs.submit(connection, job)
        wanted = dict(tuple(row) for row in connection.execute(look))
        if database.is_sqlite:  # a damaged row is left to the claim
            connection.execute(text(f"UPDATE jobs SET spec = '[' WHERE id = {last}"))
            wanted[last] = ""
        connection.execute(text("DROP INDEX ix_jobs_needs"))
        connection.execute(text("ALTER TABLE jobs DROP COLUMN needs"))
        connection.execute(text("ALTER TABLE workers DROP COLUMN kinds"))
        with Operations.context(MigrationContext.configure(connection)):
            script.module.upgrade()
        found = dict(tuple(row) for row in connection.execute(look))
    assert found == wanted
    assert len(set(found.values())) == 3


# ---------------------------------------------------------------------------- what goes wrong


def refused(**settings: Any) -> CvqError:
    """The error of a first use; it is one line and shows no password."""
    with pytest.raises(CvqError) as caught, opened(**settings) as database:
        database.ensure_schema()
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
        database.ensure_schema()
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
        database.ensure_schema()
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
