"""${message}"""

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None

# On Postgres, a step may wait 5 s for a lock and take 15 min. What needs longer says so itself:
# op.execute("SET LOCAL statement_timeout = '2h'")


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}
