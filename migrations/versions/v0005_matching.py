"""What a job needs of a worker, and what a worker offers."""

import hashlib
import json

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_BATCH = 1_000


def upgrade() -> None:
    op.add_column(
        "jobs",
        sa.Column("needs", sa.String(length=40), nullable=False, server_default=sa.text("''")),
    )
    op.add_column("workers", sa.Column("kinds", JSON))
    _fill_in(op.get_bind())
    op.create_index(
        "ix_jobs_needs",
        "jobs",
        ["queue", "needs", sa.text("priority DESC"), "fair_rank", "id"],
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )


def _fill_in(connection: sa.Connection) -> None:
    """The needs of the jobs that are still to run: a claim would else look at each by itself."""
    names = ("id", "state", "device", "kind", "needs")
    jobs = sa.table("jobs", *map(sa.column, names), sa.column("spec", JSON))
    wanted: list[sa.ColumnElement[bool]] = [jobs.c.state.in_(("waiting", "queued", "running"))]
    if connection.dialect.name == "sqlite":  # which keeps anything, and reads it as JSON or fails
        wanted.append(sa.func.json_valid(jobs.c.spec) == 1)
    fill = (
        jobs.update()
        .where(jobs.c.id == sa.bindparam("job"))
        .values(needs=sa.bindparam("key", type_=sa.String))
    )
    after = 0
    while rows := connection.execute(
        sa.select(jobs).where(jobs.c.id > after, *wanted).order_by(jobs.c.id).limit(_BATCH)
    ).all():
        after = rows[-1].id
        found = [
            {"job": row.id, "key": _key(row.device, row.kind, row.spec)}
            for row in rows
            if isinstance(row.spec, dict)
        ]
        if found:
            connection.execute(fill, found)


def _key(device: str | None, kind: str, spec: dict[str, object]) -> str:
    """As it was made at this revision."""
    text = json.dumps([device, kind, sorted(spec)])
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]
