"""Files that a job has left and no longer needs: forgotten here, and removed by the caller then.

Each function is fenced: it is refused once the attempt is not the running one.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, delete, select

from .. import tables as t
from ..given import among
from ..ids import AttemptId
from ..records import Artifact
from ..states import Role
from ..tables import now
from .leases import fence


def drop(connection: Connection, attempt: AttemptId, artifacts: Iterable[Artifact]) -> None:
    """Forget files of a job, also of its earlier attempts; the caller removes them afterwards.

    Raises:
        LeaseLostError: the attempt is no longer the running one; nothing was written.
    """
    uris = [artifact.uri for artifact in artifacts]
    if uris:
        fence(connection, attempt)
        connection.execute(
            delete(t.artifacts).where(
                t.artifacts.c.job_id == attempt.job_id, t.artifacts.c.uri.in_(uris)
            )
        )


def drop_replaced(connection: Connection, attempt: AttemptId, grace: float) -> list[Artifact]:
    """Forget files of a job whose name a later one has taken, also of its earlier attempts.

    Args:
        connection: the transaction.
        attempt: the one that asks.
        grace: seconds for which a file is kept after it was replaced.

    Returns:
        the files that are now nobody's: the caller removes them.

    Raises:
        LeaseLostError: the attempt is no longer the running one; nothing was written.
    """
    fence(connection, attempt)
    late = (t.artifacts.c.created_at <= now(-grace)).label("late")
    rows = connection.execute(
        select(t.artifacts, late)
        .where(t.artifacts.c.job_id == attempt.job_id, t.artifacts.c.role != Role.CHECKPOINT)
        .order_by(t.artifacts.c.id.desc())
    ).all()
    newer: dict[str, bool] = {}  # by name: whether the next younger file is old enough
    dropped = []
    for row in rows:
        if newer.get(row.name):
            dropped.append(row)
        newer[row.name] = bool(row.late)
    ids = {row.id for row in dropped}
    connection.execute(delete(t.artifacts).where(among(t.artifacts.c.id, ids)))
    kept = {row.uri for row in rows if row.id not in ids}
    return [Artifact.from_row(row) for row in dropped if row.uri not in kept]
