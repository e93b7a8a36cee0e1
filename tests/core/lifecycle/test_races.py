"""What happens at the same moment has one winner."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from steps import DONE, claim, claimed, finish, get, new, reap_and_promote, submit, take_all

from cvq import queries
from cvq.db import Database
from cvq.ids import AttemptId
from cvq.lifecycle import jobs
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
