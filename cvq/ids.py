"""What names an attempt; without SQLAlchemy, as a job's supervisor needs it, too."""

from __future__ import annotations

from typing import NamedTuple


class AttemptId(NamedTuple):
    """The right to write about a job: its id and the attempt that holds it."""

    job_id: int
    attempt: int
