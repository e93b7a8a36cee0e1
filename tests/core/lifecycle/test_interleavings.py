"""Any interleaving of workers, users and clocks agrees with a model in plain Python."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete, func, select
from steps import DONE, claim, claimed, finish, new, submit

from cvq import tables as t
from cvq.db import Database
from cvq.errors import LeaseLostError
from cvq.ids import AttemptId
from cvq.lifecycle import attempts, jobs, leases
from cvq.records import LogLine, Outcome
from cvq.states import FINAL, State


@dataclass
class Model:
    """What a job should be."""

    priority: int
    max_attempts: int
    state: str
    parents: list[int]
    future: bool
    attempt: int = 0
    expired: bool = False
    cancel: bool = False
    token: str | None = None
    reports: int = 0
    history: list[str] = field(default_factory=list)


class Life(RuleBasedStateMachine):
    """The store against a model that does the same with plain Python."""

    database: Database

    @initialize()
    def empty(self) -> None:
        with self.database.write() as connection:
            connection.execute(delete(t.jobs))
        self.jobs: dict[int, Model] = {}
        self.attempts: list[AttemptId] = []
        self.reports: dict[AttemptId, int] = {}

    def pick(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from(sorted(self.jobs)), label="job")

    def pick_attempt(self, data: st.DataObject) -> AttemptId:
        return data.draw(st.sampled_from(self.attempts), label="attempt")

    def holds(self, attempt: AttemptId) -> bool:
        job = self.jobs[attempt.job_id]
        return job.state == State.RUNNING and job.attempt == attempt.attempt

    @rule(
        data=st.data(),
        user=st.sampled_from("ab"),
        priority=st.sampled_from([0, 5, 9]),
        max_attempts=st.integers(1, 3),
        when=st.sampled_from([None, None, None, -60, 3600]),
    )
    def submit(
        self, data: st.DataObject, user: str, priority: int, max_attempts: int, when: int | None
    ) -> None:
        known = sorted(self.jobs)
        parents = data.draw(st.lists(st.sampled_from(known), max_size=2)) if known else []
        not_before = None if when is None else datetime.now(UTC) + timedelta(seconds=when)
        [job_id] = submit(
            self.database,
            new(
                user,
                priority=priority,
                max_attempts=max_attempts,
                after=tuple(parents),
                not_before=not_before,
            ),
        )
        assert job_id not in self.jobs, "an id was given twice"
        self.jobs[job_id] = Model(
            priority=priority,
            max_attempts=max_attempts,
            state=State.WAITING if parents or when is not None else State.QUEUED,
            parents=parents,
            future=when is not None and when > 0,
        )

    @rule(lease=st.sampled_from([60.0, 60.0, -1.0]))
    def claim(self, lease: float) -> None:
        with self.database.read() as connection:
            best = connection.scalar(
                select(t.jobs.c.id)
                .where(t.jobs.c.state == State.QUEUED)
                .order_by(t.jobs.c.priority.desc(), t.jobs.c.fair_rank, t.jobs.c.id)
                .limit(1)
            )
        token = uuid.uuid4().hex
        job = claim(self.database, token=token, lease=lease)
        assert (job.id if job else None) == best
        if job is None:
            assert State.QUEUED not in [model.state for model in self.jobs.values()]
            return
        model = self.jobs[job.id]
        assert model.state == State.QUEUED
        model.state, model.token, model.expired = State.RUNNING, token, lease < 0
        model.attempt += 1
        assert job.attempt == model.attempt
        self.attempts.append(job.attempt_id)

    @precondition(lambda self: self.attempts)
    @rule(data=st.data())
    def claim_again(self, data: st.DataObject) -> None:
        attempt = self.pick_attempt(data)
        if self.holds(attempt):
            again = claimed(self.database, token=self.jobs[attempt.job_id].token)
            assert again.attempt_id == attempt

    @precondition(lambda self: self.attempts)
    @rule(data=st.data(), seconds=st.sampled_from([60.0, -1.0]))
    def renew(self, data: st.DataObject, seconds: float) -> None:
        held = data.draw(st.lists(st.sampled_from(self.attempts), min_size=1))
        with self.database.write() as connection:
            kept = leases.renew(connection, "w", seconds, held)
        wanted = {attempt for attempt in held if self.holds(attempt)}
        assert kept == {attempt: self.jobs[attempt.job_id].cancel for attempt in wanted}
        # A lease that somebody else took over is not prolonged by its old holder's word.
        for job_id in {attempt.job_id for attempt in held}:
            if any(attempt.job_id == job_id for attempt in wanted):
                self.jobs[job_id].expired = seconds < 0

    @precondition(lambda self: self.attempts)
    @rule(data=st.data())
    def report(self, data: st.DataObject) -> None:
        attempt = self.pick_attempt(data)
        line = LogLine(1, datetime.now(UTC), "stdout", "text")
        number = self.reports.get(attempt, 0) + 1

        def write() -> None:
            with self.database.write() as connection:
                attempts.report(
                    connection, attempt, number=number, progress={"done": 1}, logs=[line]
                )

        if self.holds(attempt):
            write()
            write()  # its answer was lost
            self.reports[attempt] = number
            self.jobs[attempt.job_id].reports += 1
        else:
            with pytest.raises(LeaseLostError):
                write()

    @precondition(lambda self: self.attempts)
    @rule(
        data=st.data(),
        outcome=st.sampled_from(
            [
                DONE,
                Outcome(State.FAILED, "error", "no", retry=False),
                Outcome(State.FAILED, "signal:SEGV", "no", retry=True),
                Outcome(State.FAILED, "signal:SEGV", "no", retry=True),
                Outcome(State.QUEUED, "preempted"),
                Outcome(State.CANCELLED),
            ]
        ),
    )
    def finish(self, data: st.DataObject, outcome: Outcome) -> None:
        attempt = self.pick_attempt(data)
        if not self.holds(attempt):
            with pytest.raises(LeaseLostError):
                finish(self.database, attempt, outcome)
            return
        model = self.jobs[attempt.job_id]
        model.state = self.after(model, outcome)
        assert finish(self.database, attempt, outcome) == model.state
        with self.database.write() as connection:  # its answer was lost
            assert attempts.finish(connection, attempt, outcome, "w", again=True) == model.state

    def after(self, model: Model, outcome: Outcome) -> str:
        state = outcome.state
        if outcome.retry and model.attempt < model.max_attempts:
            state = State.WAITING
            model.future = False
        if outcome.state == State.QUEUED:
            model.max_attempts += 1
        if model.cancel and state in (State.WAITING, State.QUEUED):
            state = State.CANCELLED
        return state

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job_id = self.pick(data)
        model = self.jobs[job_id]
        if model.state == State.RUNNING and not model.expired:
            model.cancel = True
        elif model.state not in FINAL:
            model.state, model.cancel = State.CANCELLED, True
        with self.database.write() as connection:
            assert jobs.cancel(connection, job_id, "ann").state == model.state

    @rule()
    def reap(self) -> None:
        dead = [m for m in self.jobs.values() if m.state == State.RUNNING and m.expired]
        with self.database.write() as connection:
            assert len(attempts.reap(connection, "reaper")) == len(dead)
        for model in dead:
            model.state = (
                State.CANCELLED
                if model.cancel
                else self.after(model, Outcome(State.FAILED, "worker-lost", retry=True))
            )

    @rule()
    def promote(self) -> None:
        def waiting() -> list[Model]:
            return [model for model in self.jobs.values() if model.state == State.WAITING]

        def parents(model: Model) -> set[str]:
            return {self.jobs[parent].state for parent in model.parents}

        while doomed := [m for m in waiting() if parents(m) & {State.FAILED, State.CANCELLED}]:
            for model in doomed:
                model.state = State.FAILED
        ready = [m for m in waiting() if parents(m) <= {State.SUCCEEDED} and not m.future]
        for model in ready:
            model.state = State.QUEUED
        with self.database.write() as connection:
            assert jobs.promote(connection, "promoter") == len(ready)

    @invariant()
    def agrees_with_the_model(self) -> None:
        with self.database.read() as connection:
            rows = connection.execute(select(t.jobs).order_by(t.jobs.c.id)).all()
            tries = connection.execute(
                select(t.attempts).order_by(t.attempts.c.job_id, t.attempts.c.number)
            ).all()
            logged = connection.execute(
                select(t.logs.c.job_id, func.count()).group_by(t.logs.c.job_id)
            )
            lines = {row[0]: row[1] for row in logged.all()}
        assert [row.id for row in rows] == sorted(self.jobs)
        for row in rows:
            model = self.jobs[row.id]
            assert (row.state, row.attempt) == (model.state, model.attempt)
            assert row.max_attempts == model.max_attempts
            assert row.attempt <= row.max_attempts
            running = row.state == State.RUNNING
            assert (row.lease_owner is not None, row.lease_until is not None) == (running, running)
            assert row.claim_token == (model.token if running else None)
            assert (row.finished_at is not None) == (row.state in FINAL)
            mine = [one for one in tries if one.job_id == row.id]
            assert [one.number for one in mine] == list(range(1, row.attempt + 1))
            open_ones = [one.number for one in mine if one.finished_at is None]
            assert open_ones == ([row.attempt] if running else [])
            assert lines.get(row.id, 0) == model.reports
            # Final states are final.
            if model.history and model.history[-1] in FINAL:
                assert row.state == model.history[-1]
            model.history.append(row.state)


@pytest.mark.slow
def test_any_interleaving_agrees_with_the_model(database: Database) -> None:
    machine = type("Life", (Life,), {"database": database})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=50 if database.is_sqlite else 15,
            stateful_step_count=40,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
