"""The database: whether it can be asked and written, its schema, and its clock."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, text

from .. import queries, schema
from ..db import Database
from ..errors import CvqError, MissingExtraError, SchemaError, UsageError
from ..tables import SCHEMA_VERSION
from ..text import duration
from .finding import Finding, note, ok, problem
from .reach import silence_at
from .setup import Setup

_SKEW_S = 5.0  # between two clocks, of which nobody speaks
_FEW = 10  # connections that are left
_EXAMPLE = "CVQ_DATABASE_URL=postgresql://user:password@host/name"
_PASSWORD = ("password", "authentication", "role", "pg_hba.conf")


def database(setup: Setup) -> Iterator[Finding]:
    """The database, in which nothing is changed."""
    try:
        db = setup.db
        found = list(_look_at(setup, db))
    except (CvqError, OSError) as error:
        yield _unreachable(setup, error)
        return
    yield from found or [ok("database", f"{db}, {_schema_said(db)}")]


def _schema_said(db: Database) -> str:
    version = schema.current(db)
    if version == SCHEMA_VERSION:
        return f"schema {version}"
    if version is None:
        return "which its first use makes"
    return f"schema {version}: its first use brings it to {SCHEMA_VERSION}"


def _look_at(setup: Setup, db: Database) -> Iterator[Finding]:
    version = schema.current(db)
    yield from _schema(db, version)
    if db.is_sqlite:
        yield from _file(db)
        return
    schema.check_encoding(db)
    with db.read() as connection:
        yield from _rights(db, connection)
        yield from _room(db, connection)
        before = setup.clock()
        theirs = queries.database_time(connection).timestamp()
        yield from judge_clock(str(db), theirs - (before + setup.clock()) / 2)


def _schema(db: Database, version: str | None) -> Iterator[Finding]:
    try:
        schema.check_own(db, version)
    except SchemaError as error:
        newer = version is not None and version > SCHEMA_VERSION and version.isdecimal()
        fix = "upgrade cvq here" if newer else "let CVQ_DATABASE_URL name an empty database"
        fault = "schema-newer" if newer else "schema-foreign"
        yield problem("database", fault, str(error), fix)
        return
    if version != SCHEMA_VERSION and not db.embedded:  # an embedded one is upgraded by its use
        has = f"schema {version}" if version else "no schema"
        yield problem(
            "database", "schema-old", f"{db} has {has}, and this cvq needs {SCHEMA_VERSION}",
            "`cvq db upgrade`", "upgrade-schema",
        )  # fmt: skip


def _file(db: Database) -> Iterator[Finding]:
    path = Path(db.url.database or ":memory:")
    shut = [each for each in (path, path.parent) if each.exists() and not os.access(each, os.W_OK)]
    if shut:
        yield problem(
            "database", "database-read-only", f"{shut[0]} cannot be written by this user",
            f"`chown $USER {shut[0]}` as root, or set CVQ_HOME to a folder of yours",
        )  # fmt: skip


def _rights(db: Database, connection: Connection) -> Iterator[Finding]:
    if connection.scalar(text("SHOW transaction_read_only")) == "on":
        is_copy = connection.scalar(text("SELECT pg_is_in_recovery()"))
        why = "is a copy of another, and takes" if is_copy else "is set to take"
        fix = "let CVQ_DATABASE_URL name the primary server"
        if not is_copy:
            fix = (
                f"`ALTER DATABASE {db.url.database} SET default_transaction_read_only = off` "
                "in psql"
            )
        yield problem("database", "database-read-only", f"{db} {why} no writes", fix)
        return
    may = "SELECT bool_and(has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE')) FROM pg_class c"
    mine = f"{may} WHERE c.relname IN ('jobs', 'attempts') AND c.relnamespace = " \
        "to_regnamespace(current_schema())"  # fmt: skip
    if connection.scalar(text(mine)) is False:
        yield problem(
            "database", "database-forbidden", f"its user may not write the tables of {db}",
            f"`GRANT ALL ON ALL TABLES IN SCHEMA public TO {db.url.username or 'cvq'}` in psql, "
            "as their owner",
        )  # fmt: skip


def _room(db: Database, connection: Connection) -> Iterator[Finding]:
    most, used = connection.execute(
        text(
            "SELECT current_setting('max_connections')::int "
            "- current_setting('superuser_reserved_connections')::int, "
            "(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')"
        )
    ).one()
    if most - used < _FEW:
        yield note(
            "database", "database-crowded", f"{db}: {used} of {most} connections are in use",
            f"`ALTER SYSTEM SET max_connections = {2 * most}` in psql and a restart of the "
            "server, or a pooler before it",
        )  # fmt: skip


def judge_clock(name: str, ahead: float) -> Iterator[Finding]:
    """What there is to say of a database whose clock is `ahead` of this machine's, in seconds."""
    if abs(ahead) > _SKEW_S:
        which = "ahead of" if ahead > 0 else "behind"
        yield note(
            "database", "clock-skew",
            f"the clock of {name} is {duration(abs(ahead))} {which} this machine's: ages and "
            f"`--at` are off by that (here it is {datetime.now(UTC):%H:%M:%S} UTC)",
            "`timedatectl set-ntp true` on both machines",
        )  # fmt: skip


def _unreachable(setup: Setup, error: Exception) -> Finding:
    said = str(error)
    if isinstance(error, MissingExtraError):
        fix = said.partition("packages: ")[2]
        return problem("database", "extra-missing", said, f"`{fix}`")
    if isinstance(error, UsageError):
        return problem("database", "database-url", said, f"`export {_EXAMPLE}`")
    if "encoding" in said:
        return problem(
            "database", "database-encoding", said,
            "`createdb -E UTF8 -T template0 NAME`, and let CVQ_DATABASE_URL name that",
        )  # fmt: skip
    if "not a database" in said:
        return problem(
            "database", "database-damaged", said,
            f"move {setup.db.url.database} away: `mv {setup.db.url.database}{{,.aside}}`",
        )  # fmt: skip
    return _server_unreachable(setup, said)


def _server_unreachable(setup: Setup, said: str) -> Finding:
    url = setup.db.url
    host = url.host or url.query.get("host")
    over_tcp = isinstance(host, str) and host and not host.startswith("/")
    if over_tcp and (silence := silence_at(str(host), url.port or 5432)):
        fix = f"{silence.fix}; or unset CVQ_DATABASE_URL, and cvq uses a file of its own"
        return problem("database", f"database-{silence.fault}", silence.text, fix)
    if "database" in said and "does not exist" in said and "role" not in said:
        fix = f"`createdb -E UTF8 -T template0 {url.database}` there, then `cvq db upgrade`"
        return problem("database", "database-missing", said, fix)
    if any(sign in said for sign in _PASSWORD):
        fix = f"correct user and password: `export {_EXAMPLE}`"
        return problem("database", "database-password", said, fix)
    if "SSL" in said or "certificate" in said:
        fix = "`?sslmode=require` at the end of CVQ_DATABASE_URL, and `&sslrootcert=FILE`"
        return problem("database", "database-tls", said, fix)
    return problem("database", "database-away", said, f"start it, or correct it: {_EXAMPLE}")


def has_jobs_table(setup: Setup) -> bool:
    """Whether the database can be asked for jobs and workers."""
    with contextlib.suppress(CvqError):
        return setup.db.exists and schema.current(setup.db) == SCHEMA_VERSION
    return False
