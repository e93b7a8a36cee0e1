"""Soft time limits, an attempt's last lines, reports that are written once, draining by order."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("soft_time_limit", sa.Float()))
    op.add_column("attempts", sa.Column("last_lines", JSON))
    op.add_column(
        "attempts",
        sa.Column("reports", sa.Integer(), nullable=False, server_default=sa.text("0")),
    )
    op.add_column("workers", sa.Column("drain", sa.String(length=10)))
