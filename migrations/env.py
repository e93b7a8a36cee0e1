"""Runs the migrations on the connection that `cvq.db.Database.upgrade` hands over."""

from __future__ import annotations

from alembic import context
from sqlalchemy import text

from cvq.tables import metadata

# Any number, the same for all: two upgrades of one Postgres database wait for each other.
_ADVISORY_LOCK = 0x637671

connection = context.config.attributes["connection"]
if connection.dialect.name == "postgresql":
    connection.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",
)
with context.begin_transaction():
    context.run_migrations()
