"""A past for estimates and figures: jobs that have ended, put into the database as rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert

from cvq import tables as t
from cvq.db import Database
from cvq.lifecycle.jobs import columns
from cvq.records import NewJob
from cvq.states import State


def ended(
    database: Database,
    jobs: Iterable[tuple[Mapping[str, Any], float]],
    *,
    state: str = State.SUCCEEDED,
    ago: float = 3600.0,
    wait: float = 0.0,
    device: str = "cpu",
    host: str = "lab",
    **values: Any,
) -> None:
    """Enter jobs with a specification and a run time in seconds each, in this order.

    Each was submitted so many seconds `ago`, and was queued for `wait` seconds.
    """
    at = datetime.now(UTC) - timedelta(seconds=ago)
    with database.write() as connection:
        for spec, seconds in jobs:
            given: dict[str, Any] = {"kind": "selftest", "user": "ann", "spec_hash": "0"}
            new = NewJob(**(given | values), spec=dict(spec))
            start = at + timedelta(seconds=wait)
            times = {"started_at": start, "finished_at": start + timedelta(seconds=seconds)}
            reason = {"reason": "error"} if state == State.FAILED else {}
            row = columns(new, 0, at) | {"state": state, "attempt": 1} | times | reason
            job_id = connection.scalar(insert(t.jobs).values(row).returning(t.jobs.c.id))
            attempt = {"number": 1, "worker": f"{host}.1", "host": host, "device": device}
            connection.execute(
                insert(t.attempts).values(
                    job_id=job_id, outcome=state, **attempt, **times, **reason
                )
            )
