"""The id of an attempt; without SQLAlchemy, as a job's supervisor needs it, too."""

from __future__ import annotations

from typing import NamedTuple


class AttemptId(NamedTuple):
    """A job's id and the number of an attempt of it."""

    job_id: int
    attempt: int
