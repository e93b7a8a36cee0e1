"""Reading a job's log while it is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import queries
from ..db import Database
from ..records import StoredLine


class LogReader:
    """Reads a job's lines from where it stopped last time.

    Attributes:
        after: the id of the last line read; 0 before the first.
        state: the job's state as of the last look.
        finished: whether the job had ended *before* the last look, so that nothing can follow.
    """

    def __init__(
        self, database: Database, job_id: int, *, tail: int | None = None, **chosen: Any
    ) -> None:
        self.database = database
        self.job_id = job_id
        self.tail = tail
        self.chosen = chosen
        self.after = 0
        self.state = ""
        self.finished = False

    def read(self) -> Sequence[StoredLine]:
        """The lines that are new."""
        with self.database.read() as connection:
            # The state first: a line written between the two looks is then never missed.
            job = queries.get_job(connection, self.job_id)
            rows = queries.logs_of(
                connection, self.job_id, after=self.after, tail=self.tail, **self.chosen
            )
        self.state, self.finished, self.tail = job.state, job.finished, None
        if rows:
            self.after = rows[-1].id
        return rows
