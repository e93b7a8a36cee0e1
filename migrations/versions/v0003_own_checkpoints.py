"""Checkpoints that cvq resumes from get a role of their own, which no job gives its files."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "UPDATE artifacts SET role = 'cvq-checkpoint' "
        "WHERE role = 'checkpoint' AND name LIKE 'checkpoint-%.safetensors'"
    )
