"""Batches of jobs, and which jobs ran in one micro-batch."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "batches",
        sa.Column("id", ID, primary_key=True),
        sa.Column("kind", sa.String(length=100), nullable=False),
        sa.Column("user", sa.String(length=200), nullable=False),
        sa.Column("name", sa.String(length=200)),
        sa.Column("spec", JSON, nullable=False),
        sa.Column("jobs", sa.Integer(), nullable=False),
        sa.Column("items", sa.BigInteger(), nullable=False),
        sa.Column("max_fails", sa.Integer()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_batches"),
        sqlite_autoincrement=True,
    )
    op.add_column("jobs", sa.Column("batch", sa.BigInteger()))
    op.create_index("ix_jobs_batch_state", "jobs", ["batch", "state"])
    op.create_index(
        "ix_jobs_batch_key",
        "jobs",
        ["queue", "batch_key", sa.text("priority DESC"), "fair_rank", "id"],
        sqlite_where=sa.text("state = 'queued' AND batch_key IS NOT NULL"),
        postgresql_where=sa.text("state = 'queued' AND batch_key IS NOT NULL"),
    )
    op.add_column("attempts", sa.Column("micro_batch", sa.String(length=40)))
    op.add_column("attempts", sa.Column("micro_batch_size", sa.Integer()))
