"""What happens at the same moment has one winner."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, select, text
from steps import DONE, QUEUE, claim, claimed, finish, get, new, reap_and_promote, submit, take_all

from cvq import queries
from cvq import tables as t
from cvq.db import Database
from cvq.ids import AttemptId
from cvq.lifecycle import attempts, claims, jobs, leases
from cvq.states import State


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Run the calls in threads that start together."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(run, call) for call in calls]]


def test_no_job_is_given_to_two_threads(database: Database) -> None:
    ids = submit(database, *[new(user) for user in "abcd" for _ in range(20)])

    def work() -> list[int]:
        taken = []
        while (job := claim(database)) is not None:
            taken.append(job.id)
        return taken

    taken = [job_id for mine in at_once(*[work] * 8) for job_id in mine]
    assert sorted(taken) == ids


def test_jobs_submitted_at_once_all_arrive(database: Database) -> None:
    def send() -> list[int]:
        return [submit(database, new())[0] for _ in range(10)]

    ids = [job_id for mine in at_once(*[send] * 6) for job_id in mine]
    assert len(set(ids)) == 60
    assert sorted(take_all(database)) == sorted(ids)


def test_cancel_and_finish_at_once_agree_on_one_end(database: Database) -> None:
    for _ in range(15):
        [job_id] = submit(database, new())
        attempt = claimed(database).attempt_id

        def end(attempt: AttemptId = attempt) -> str:
            return finish(database, attempt, DONE)

        def cancel(job_id: int = job_id) -> str:
            with database.write() as connection:
                return jobs.cancel(connection, job_id, "ann").state

        at_once(end, cancel, cancel)
        assert get(database, job_id).state == State.SUCCEEDED


def test_reapers_at_once_end_an_attempt_once(database: Database) -> None:
    ids = submit(database, *[new() for _ in range(10)])
    for _ in ids:
        claimed(database, lease=-1.0)
    counts = at_once(*[lambda: reap_and_promote(database)] * 4)
    assert len(counts) == 4
    with database.read() as connection:
        for job_id in ids:
            ended = [row.what for row in queries.events_of(connection, job_id)]
            assert ended.count("attempt 1 failed (worker-lost)") == 1
            assert ended.count("queued") == 1


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_nobody_waits_for_a_job_that_another_has_locked(database: Database) -> None:
    """SQLite has one writer at a time, and its transactions do wait for each other."""
    past = datetime.now(UTC) - timedelta(seconds=60)
    submit(database, new())
    expired = claimed(database, lease=-1.0).attempt_id
    _, good, _ = submit(database, new(priority=9), new(), new(not_before=past))

    def claim_in(connection: Connection, token: str) -> int | None:
        job = claims.claim(
            connection, worker="w", host="h", queues=[QUEUE], token=token, lease=60.0
        )
        return job and job.id

    with database.write() as holder, database.write() as other:
        holder.execute(select(t.jobs.c.id).where(t.jobs.c.id != good).with_for_update())
        other.execute(text("SET LOCAL lock_timeout = '1s'"))  # who waits fails, and does not hang
        assert [claim_in(other, token) for token in ("one", "two")] == [good, None]
        assert leases.renew(other, "w", 60.0, [expired]) == {}
        assert leases.still_held(other, "w", [expired]) == {expired}
        assert attempts.reap(other, "w") == []
        assert jobs.promote(other, "w") == 0
