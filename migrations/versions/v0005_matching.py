"""What a job needs of a worker, and what a worker offers."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    # Empty for the jobs that there are: the claim fills it in when their turn comes.
    op.add_column(
        "jobs",
        sa.Column("needs", sa.String(length=40), nullable=False, server_default=sa.text("''")),
    )
    op.add_column("workers", sa.Column("kinds", JSON))
    op.create_index(
        "ix_jobs_needs",
        "jobs",
        ["queue", "needs", sa.text("priority DESC"), "fair_rank", "id"],
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )
