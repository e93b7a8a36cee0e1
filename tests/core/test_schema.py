"""The schema: made, checked and upgraded, and never where it is somebody else's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, text
from steps import opened

from cvq import postgres, queries, schema
from cvq import tables as t
from cvq.db import Database
from cvq.errors import DatabaseError, SchemaError
from cvq.lifecycle import jobs
from cvq.records import NewJob
from waiting import HANG_S

# ---------------------------------------------------------------------------- first start


def test_the_embedded_database_makes_itself(home: Path) -> None:
    with opened() as database:
        assert schema.current(database) is None
        assert not (home / "cvq.db").exists(), "looking made a file"
        schema.ensure(database)
        assert schema.current(database) == t.SCHEMA_VERSION
        schema.ensure(database)
    assert (home / "cvq.db").exists()


@pytest.mark.parametrize("name", ["my home", "50%41", "what?", "a#b", "ü€", "a:b@c"])
def test_a_home_with_an_odd_name_is_used_as_it_is(home: Path, name: str) -> None:
    with opened(home=home / name) as database:
        schema.ensure(database)
    assert (home / name / "cvq.db").stat().st_size > 0
    assert [path.name for path in home.iterdir()] == [name]


_FIRST_START = """
import sys
from cvq import Settings, schema
from cvq.db import Database
from cvq.lifecycle import jobs
from cvq.records import NewJob
settings = Settings.load()
sys.stdin.readline()  # all start together
database = Database(settings)
schema.{call}(database)
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
    program = _FIRST_START.format(call="upgrade" if url else "ensure")
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

    assert ScriptDirectory.from_config(schema.alembic_config()).get_heads() == [t.SCHEMA_VERSION]


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
    "column_default, is_identity, ordinal_position, collation_name "
    "FROM information_schema.columns WHERE table_schema = 'public'",
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
            schema.ensure(database)
        assert schema.current(database) is None
        schema.upgrade(database)
        schema.ensure(database)


def test_a_named_sqlite_file_is_never_upgraded_without_being_told(home: Path) -> None:
    with opened(database_url=f"sqlite:///{home}/mine.db") as database:
        with pytest.raises(SchemaError, match="`cvq db upgrade`"):
            schema.ensure(database)
        schema.upgrade(database)
        schema.ensure(database)


def test_a_newer_schema_is_left_alone(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaError, match=r"newer.*upgrade cvq"):
        schema.ensure(database)
    assert schema.current(database) == "9999"


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("CREATE TABLE jobs (id INTEGER)", r"another application's tables \(jobs\): give cvq a"),
        (
            "CREATE TABLE alembic_version AS SELECT 'abc123' AS version_num",
            "belongs to another application, whose schema is abc123: give cvq a database of",
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
        before = schema.current(database)
        with pytest.raises(SchemaError, match=said):
            schema.ensure(database)
        with pytest.raises(SchemaError, match=said):
            schema.upgrade(database)
        assert schema.current(database) == before


def test_an_older_schema_on_a_server_names_the_command(postgres_url: str, home: Path) -> None:
    with opened(database_url=postgres_url) as database:
        schema.upgrade(database)
        with database.write() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
        with pytest.raises(SchemaError, match=r"has schema 0000.*`cvq db upgrade`"):
            schema.ensure(database)


def test_checkpoints_of_an_older_schema_are_told_from_a_jobs_own(home: Path) -> None:
    from alembic import command

    names = ("checkpoint-00000007.safetensors", "mine.pt", "checkpoint.png")
    with opened() as database:
        with database.engine.begin() as connection:
            config = schema.alembic_config()
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
        schema.upgrade(database)
        with database.read() as connection:
            roles = connection.scalars(text("SELECT role FROM artifacts ORDER BY id")).all()
    assert roles == ["cvq-checkpoint", "checkpoint", "checkpoint"]


def test_an_upgrade_fills_in_what_the_jobs_to_come_need(database: Database) -> None:
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    from alembic.script import ScriptDirectory

    [script] = [
        each
        for each in ScriptDirectory.from_config(schema.alembic_config()).walk_revisions()
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


# ---------------------------------------------------------------------------- in use


@pytest.fixture
def older(postgres_url: str, home: Path) -> Iterator[tuple[Database, Database]]:
    """Two clients of a Postgres database whose schema is the one before."""
    older = f"{int(t.SCHEMA_VERSION) - 1:04}"
    with opened(database_url=postgres_url) as database, opened(database_url=postgres_url) as other:
        with database.write() as connection:
            config = schema.alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, older)
        yield database, other
        assert schema.current(database) == older
        schema.upgrade(database)
        assert schema.current(database) == t.SCHEMA_VERSION


def test_an_upgrade_gives_up_on_tables_that_others_use(
    older: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "MIGRATION_LIMITS", postgres.MigrationLimits(0.1, 60.0))
    database, other = older
    with other.read() as connection:
        # A slow machine may take longer than a connection of cvq's may idle.
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        # Locks to the end of the block.
        connection.execute(text("SELECT count(*) FROM jobs, batches"))
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
        with pytest.raises(DatabaseError) as refusal:
            schema.upgrade(database)
    said = str(refusal.value)
    assert f"was not changed, as others use its tables (pid {pid}" in said
    assert "for 0.1s: stop the workers (`cvq down` on each machine)" in said


def test_an_upgrade_that_takes_too_long_is_taken_back(
    older: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "MIGRATION_LIMITS", postgres.MigrationLimits(60.0, 0.1))
    database, other = older
    with other.read() as connection:  # another upgrade that does not come to its end
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(0x637671)"))
        with pytest.raises(DatabaseError, match=r"a step took longer than .*statement_timeout"):
            schema.upgrade(database)


def test_limits_of_the_servers_own_are_kept(
    postgres_url: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "MIGRATION_LIMITS", postgres.MigrationLimits(60.0, 0.001))
    with opened(database_url=f"{postgres_url}&options=-cstatement_timeout%3D60s") as database:
        schema.upgrade(database)
        assert schema.current(database) == t.SCHEMA_VERSION
