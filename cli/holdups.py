"""A line for whoever waits for a job that does not begin: nobody can run it, or all are busy.

Or it waits for another, whose model (say) it needs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from .formats import clean
from .output import note

if TYPE_CHECKING:
    from cvq.client import Client
    from cvq.records import Job

_LOOK_S = 1.0


class Holdups:
    """Says what holds a job up when it begins to; made for `JobHandle.wait(on_look=…)`.

    Args:
        client: whose database is asked.
        tell: what says a line; by default, on stderr.
        busy: whether to say, too, that the job waits behind others.
        parents: whether to say, too, which jobs it waits for; default: as `busy`.
    """

    def __init__(
        self,
        client: Client,
        tell: Callable[[str], None] = note,
        *,
        busy: bool = True,
        parents: bool | None = None,
    ) -> None:
        self._client = client
        self._tell = tell
        self._busy = busy
        self._parents = busy if parents is None else parents
        self._state = ""
        self._look_at = 0.0
        self._nobody: bool | None = None  # of what was said last; None where nothing holds it up

    def __call__(self, job: Job) -> None:
        """Look at a job, once a second and at every change of its state."""
        if job.state == self._state and time.monotonic() < self._look_at:
            return
        from cvq import queries
        from cvq.explain.holdups import holdup

        self._state, self._look_at = job.state, time.monotonic() + _LOOK_S
        with self._client.db.read() as connection:
            # Read anew: it may have begun since this look.
            found = holdup(connection, queries.get_job(connection, job.id))
            awaited = queries.awaited_by(connection, job.id) if self._parents else []
        if found is None and awaited:
            self._tell_parents(job, awaited)
        before, self._nobody = self._nobody, None if found is None else found.nobody
        if found is None or found.nobody is before:
            return
        if found.nobody or self._busy:
            self._tell(clean(f"job {job.id}: {found.text}"))

    def _tell_parents(self, job: Job, awaited: list[Job]) -> None:
        """Say once what a job waits for that goes on well."""
        from cvq.explain.phrases import named

        self._parents = False
        self._tell(clean(f"job {job.id} waits for {named(awaited)} to succeed"))
