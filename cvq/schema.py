"""The schema of the job database: which version it has, whether it is cvq's, and its upgrade."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import bindparam, inspect, text

from . import postgres
from .db import Database
from .db_errors import sqlstate_of
from .errors import DatabaseError, SchemaError
from .files import lock
from .installing import install_hint
from .tables import SCHEMA_VERSION, metadata
from .text import duration, exactly, join

_VERSION = re.compile(r"\d{4}")  # what cvq's migrations are called


def current(database: Database) -> str | None:
    """The schema's version in the database, or None where there is no schema."""
    if not database.exists:
        return None
    query = (
        "SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'"
        if database.is_sqlite
        else "SELECT count(*) FROM information_schema.tables WHERE "
        "table_name = 'alembic_version' AND table_schema = current_schema()"
    )
    with database.read() as connection:
        if not connection.scalar(text(query)):
            return None
        version: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
        return version


def ensure(database: Database) -> None:
    """Check the schema; the embedded database is created or upgraded without being asked.

    Raises:
        SchemaError: a server database has another schema, or any has one that is newer or another
            application's.
    """
    version = current(database)
    if database.embedded and version != SCHEMA_VERSION:
        upgrade(database)
    else:
        check(database, version)


def check(database: Database, version: str | None) -> None:
    """Refuse a schema that is not this cvq's; `version` is what the database has.

    Raises:
        SchemaError: the message says what to do.
    """
    if version == SCHEMA_VERSION:
        return
    check_own(database, version)
    raise SchemaError(
        f"database {database} has {f'schema {version}' if version else 'no cvq schema'}, "
        f"this cvq needs {SCHEMA_VERSION}: run `cvq db upgrade`"
    )


def check_own(database: Database, version: str | None) -> None:
    """Refuse a schema that this cvq must not touch; `version` is what the database has.

    Raises:
        SchemaError: it is a newer cvq's, or another application's.
    """
    if version is None:
        if strange := _strange_tables(database):
            raise SchemaError(
                f"database {database} has another application's tables ({join(strange)}): "
                "give cvq a database of its own"
            )
    elif not _VERSION.fullmatch(version):
        raise SchemaError(
            f"database {database} belongs to another application, whose schema is {version}: "
            "give cvq a database of its own"
        )
    elif version > SCHEMA_VERSION:
        raise SchemaError(
            f"database {database} has schema {version}, newer than this cvq's {SCHEMA_VERSION}: "
            f"upgrade cvq ({install_hint()})"
        )


def check_encoding(database: Database) -> None:
    """Check that the database can hold any text.

    Raises:
        DatabaseError: it cannot; the message says what to do.
    """
    if database.is_sqlite:
        return
    with database.read() as connection:
        encoding = connection.scalar(text("SHOW server_encoding"))
    if encoding != "UTF8":
        raise DatabaseError(
            f"database {database} has the encoding {encoding}, in which not every text can be "
            "stored: create one with UTF8 (createdb -E UTF8 -T template0 NAME; "
            "pg_dump and psql bring over what there is)"
        )


def upgrade(database: Database) -> None:
    """Bring the schema to this version; safe when several processes do it at once.

    Raises:
        SchemaError: it is a newer cvq's, or another application's.
        DatabaseError: on Postgres, somebody else holds a lock that it needs, or it takes too long.
            Nothing was changed.
    """
    from alembic import command  # costs 0.1 s, needed once per schema version

    check_encoding(database)
    check_own(database, current(database))
    with _one_upgrade(database), _explained(database), database.write() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def alembic_config() -> Any:
    """Alembic's configuration, without an ini file."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "cvq_migrations:")
    return config


@contextmanager
def _one_upgrade(database: Database) -> Iterator[None]:
    """Keep other processes from upgrading a file meanwhile."""
    if database.is_sqlite and database.url.database:
        with lock(Path(f"{database.url.database}.upgrade-lock")):
            yield
    else:
        # Postgres serialises upgrades by itself: an advisory lock in the environment.
        yield


@contextmanager
def _explained(database: Database) -> Iterator[None]:
    """Say what to do about an upgrade that Postgres has broken off."""
    try:
        yield
    except DatabaseError as error:
        state = sqlstate_of(error.__cause__)
        limits = postgres.MIGRATION_LIMITS
        if state == postgres.LOCK_NOT_AVAILABLE:
            raise DatabaseError(
                f"database {database} was not changed, as others use its tables"
                f"{_users(database)} and did not give way for {exactly(limits.lock)}: stop the "
                "workers (`cvq down` on each machine) and whatever else uses it, and run "
                "`cvq db upgrade` again"
            ) from error
        if state == postgres.QUERY_CANCELED:
            raise DatabaseError(
                f"database {database} was not changed, as a step took longer than "
                f"{duration(limits.statement)}: run `cvq db upgrade` again with "
                "?options=-cstatement_timeout%3D24h at the end of CVQ_DATABASE_URL"
            ) from error
        raise


def _users(database: Database) -> str:
    """Who holds locks on the tables, in brackets; empty where they have gone meanwhile."""
    held = text(
        "SELECT DISTINCT a.pid, a.application_name, host(a.client_addr) AS host "
        "FROM pg_locks l JOIN pg_class c ON c.oid = l.relation "
        "JOIN pg_stat_activity a ON a.pid = l.pid "
        "WHERE c.relname IN :tables AND l.granted AND l.pid <> pg_backend_pid() ORDER BY a.pid"
    ).bindparams(bindparam("tables", list(metadata.tables), expanding=True))
    with database.read() as connection:
        rows = connection.execute(held).all()
    users = [
        " ".join(["pid", str(row.pid), *filter(None, [row.application_name, row.host])])
        for row in rows
    ]
    return f" ({join(users)})" if users else ""


def _strange_tables(database: Database) -> list[str]:
    """Tables that are called like cvq's where there is no schema of cvq's."""
    if not database.exists:
        return []
    with database.read() as connection:
        found = set(inspect(connection).get_table_names()).intersection(metadata.tables)
    # Another process may just have made them: together with their version.
    return sorted(found) if found and current(database) is None else []
