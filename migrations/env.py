"""Runs the migrations on the connection that `cvq.schema.upgrade` hands over."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, text

from cvq import postgres
from cvq.tables import metadata

# Any number, the same for all: two upgrades of one Postgres database wait for each other.
_ADVISORY_LOCK = 0x637671


def _begin(connection: Connection) -> None:
    """Wait until no other upgrade runs, and then for nobody for long."""
    limits = postgres.MIGRATION_LIMITS
    _limit(connection, "statement_timeout", limits.statement)
    connection.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
    _limit(connection, "lock_timeout", limits.lock)


def _limit(connection: Connection, name: str, seconds: float) -> None:
    """Set a limit to the end of the transaction, unless the URL or the server has set one."""
    if connection.scalar(text(f"SHOW {name}")) == "0":
        connection.execute(text(f"SET LOCAL {name} = {round(seconds * 1000)}"))


connection = context.config.attributes["connection"]
if connection.dialect.name == "postgresql":
    _begin(connection)
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",
)
with context.begin_transaction():
    context.run_migrations()
