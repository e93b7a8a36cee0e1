"""Items that earlier batches have answered: the manifests of batches, and a key to find them.

And an index of the jobs of no batch, by age.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("batches", sa.Column("cache_key", sa.String(length=64)))
    op.add_column("batches", sa.Column("manifest", sa.String(length=64)))
    op.add_column(
        "batches",
        sa.Column("known", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
    )
    op.create_index("ix_batches_cache_key_id", "batches", ["cache_key", "id"])
    op.create_index(
        "ix_jobs_alone",
        "jobs",
        ["batch", "id"],
        sqlite_where=sa.text("batch IS NULL"),
        postgresql_where=sa.text("batch IS NULL"),
    )
