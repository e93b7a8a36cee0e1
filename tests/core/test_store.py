"""A job's life in the database: what no interleaving of workers, users and clocks may break."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

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
from sqlalchemy import delete, event, func, select, text
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError, StatementError

from cvq import Settings, queries
from cvq import tables as t
from cvq.db import Database, is_about_a_value
from cvq.errors import DatabaseError, LeaseLostError, UnknownJobError, UsageError
from cvq.explain.diagnosis import explain
from cvq.lifecycle import store
from cvq.lifecycle.store import LogLine, MetricPoint
from cvq.matching import Needs, Offer
from cvq.records import Artifact, AttemptId, Job, NewJob, Outcome
from cvq.states import FINAL, Role, State
from cvq.views import filters, shapes

QUEUE = "default"


def new(user: str = "ann", **values: Any) -> NewJob:
    return NewJob(kind="selftest", spec={"seed": 7}, spec_hash="0" * 64, user=user, **values)


def submit(database: Database, *jobs: NewJob) -> list[int]:
    with database.write() as connection:
        return [store.submit(connection, job) for job in jobs]


def claim(
    database: Database,
    *,
    token: str | None = None,
    lease: float = 60.0,
    queues: tuple[str, ...] = (QUEUE,),
    worker: str = "w",
    offer: Offer | None = None,
) -> Job | None:
    with database.write() as connection:
        return store.claim(
            connection,
            worker=worker,
            host="h",
            queues=queues,
            token=token or uuid.uuid4().hex,
            lease=lease,
            offer=offer,
        )


def claimed(database: Database, **values: Any) -> Job:
    job = claim(database, **values)
    assert job is not None
    return job


def finish(database: Database, attempt: AttemptId, outcome: Outcome) -> str:
    with database.write() as connection:
        return store.finish(connection, attempt, outcome, "w")


def get(database: Database, job_id: int) -> Job:
    with database.read() as connection:
        return queries.get_job(connection, job_id)


def reap_and_promote(database: Database) -> None:
    with database.write() as connection:
        store.reap(connection, "reaper")
        store.promote(connection, "reaper")


DONE = Outcome(State.SUCCEEDED, result={})


@pytest.fixture(autouse=True)
def _no_backoff(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "backoff" not in request.node.name:
        monkeypatch.setattr(store, "_backoff", lambda attempt: -1.0)


# ---------------------------------------------------------------------------- damaged rows

_NO_UTF8 = "CAST(CAST(X'41ff' AS BLOB) AS TEXT)"  # in a way that Postgres does not know
_DAMAGE = {
    "spec is a list": "spec='[1]'",
    "spec is null": "spec='null'",
    "spec is no JSON": "spec='{oops'",
    "time limit is no number": "time_limit='abc'",
    "retries are no number": "max_attempts='many'",
    "kind is bytes": "kind=CAST(X'ff' AS BLOB)",
    "device is bytes": "device=CAST(X'ff' AS BLOB)",
    **{f"{column} is no UTF-8": f"{column}={_NO_UTF8}" for column in ("kind", "device", "spec")},
}
_BEARABLE = {
    "tags are a number": "tags='7'",
    "tags are no JSON": "tags='{oops'",
    "metrics are no JSON": "metrics='oops'",
    "created some time": "created_at='yesterday'",
    "queued some time": "queued_at='yesterday'",
    "result is no JSON": "result='{'",
    "rank is a word": "fair_rank='x'",
    "rank is the last there is": "fair_rank=9223372036854775807",
    "rank is infinite": "fair_rank=1e999",
    "rank is bytes": "fair_rank=CAST(X'ff' AS BLOB)",
    "priority is a word": "priority='x'",
    "priority is bytes": "priority=CAST(X'ff' AS BLOB)",
    "needs are bytes": "needs=CAST(X'ff' AS BLOB)",
    "needs are a broken word": "needs=char(0) || 'x'",
    "user is bytes": "\"user\"=CAST(X'ff' AS BLOB)",
    "attempt is a word": "attempt='x'",
    "attempt is bytes": "attempt=CAST(X'ff' AS BLOB)",
    "name is bytes": "name=CAST(X'ff' AS BLOB)",
    **{
        f"{column} is no UTF-8": f'"{column}"={_NO_UTF8}'
        for column in ("name", "user", "needs", "tags", "metrics", "spec_hash", "created_at")
    },
}


def damaged(database: Database, column: str) -> int:
    """A queued job, a column of which holds what it cannot; skipped where the database objects."""
    (job_id,) = submit(database, new())
    try:
        with database.write() as connection:
            connection.execute(text(f"UPDATE jobs SET {column} WHERE id = {job_id}"))
    except (UsageError, DatabaseError):
        assert not database.is_sqlite
        pytest.skip("Postgres does not take it in the first place")
    return job_id


def test_a_value_that_the_database_refuses_blocks_no_queue(database: Database) -> None:
    bad, good = submit(database, NewJob("own", {"seed": 2**70}, "0", "ann"), new())
    assert claimed(database).id == good
    job = get(database, bad)
    assert (job.state, job.reason, job.attempt) == ("failed", "error", 0)
    assert job.error == (
        "it cannot be started: the seed is a number of 72 bits, and the database holds 64 of them"
    )


@pytest.mark.parametrize("column", _DAMAGE.values(), ids=_DAMAGE)
def test_a_damaged_job_fails_by_itself(database: Database, column: str) -> None:
    bad = damaged(database, column)
    (good,) = submit(database, new())
    assert claimed(database, offer=Offer("cpu", _KINDS)).id == good
    job = get(database, bad)
    assert (job.state, job.reason) == ("failed", "error")
    assert job.error is not None
    assert job.error.startswith(f"it cannot be started: its {column.partition('=')[0]} cannot")


@pytest.mark.parametrize("column", [*_DAMAGE.values(), *_BEARABLE.values()])
def test_a_damaged_row_stops_no_statement(database: Database, column: str) -> None:
    bad = {state: damaged(database, column) for state in State}
    (other,) = submit(database, new("bob"))
    offer = Offer("cpu", _KINDS)
    while (attempt := claimed(database, offer=offer).attempt_id).job_id != other:
        pass  # what can be claimed in spite of it
    with database.write() as connection:
        due = {"lease_owner": "x", "lease_until": t.now(-9), "not_before": t.now(-9)}
        for state, job_id in bad.items():
            row = t.jobs.update().where(t.jobs.c.id == job_id)
            connection.execute(row.values(state=state, **due))
        assert store.renew(connection, "w", 60, [attempt]) == {attempt: False}
        store.report(connection, attempt, metrics=[MetricPoint("x", 1, 2.0, datetime.now(UTC))])
        assert store.promote(connection, "w") == 1
        assert [job_id for job_id, _ in store.reap(connection, "w")] == [bad[State.RUNNING]]
    with database.read() as connection:
        assert filters.find(connection, filters.Filter(tags=[("a", None)])) == []
        filters.check(
            connection, filters.Filter(tags=[("a", None)])
        )  # which looks through all tags
        for job in filters.find(connection, filters.Filter()):
            assert shapes.job(job, [])["id"] == job.id
            assert explain(connection, job).why
    assert finish(database, attempt, DONE) == State.SUCCEEDED
    with database.write() as connection:
        assert all(store.cancel(connection, job_id, "ann").finished for job_id in bad.values())


@pytest.mark.parametrize("error", [KeyError("kinds"), AttributeError("x"), ValueError("y")])
def test_a_mistake_of_cvqs_own_is_blamed_on_no_job(
    database: Database, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fall(*_: object) -> None:
        raise error

    (job_id,) = submit(database, new())
    monkeypatch.setattr(store, "misfit", fall)
    with pytest.raises(type(error)):
        claim(database, offer=Offer("cpu", None))
    assert get(database, job_id).state == "queued"


def test_a_row_that_nobody_can_make_sense_of_fails_by_itself(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = submit(database, new(name="bad"), new())
    understand = Needs.of

    def fall(job: Job | NewJob) -> Needs:
        if job.name == "bad":
            raise TypeError("unhashable")
        return understand(job)

    monkeypatch.setattr(Needs, "of", fall)
    assert claimed(database).id == good
    error = get(database, bad).error
    assert error == "it cannot be started: its row cannot be read (TypeError: unhashable)"


def test_only_a_value_is_a_rows_fault() -> None:
    assert is_about_a_value(OverflowError())
    assert is_about_a_value(IntegrityError("", {}, Exception()))
    assert is_about_a_value(StatementError("", "", {}, ValueError()))
    assert not is_about_a_value(OperationalError("", {}, Exception("gone")))
    assert not is_about_a_value(ProgrammingError("", {}, Exception("no such table")))
    assert not is_about_a_value(MemoryError())
    assert not is_about_a_value(KeyError())
    assert not is_about_a_value(StatementError("", "", {}, AttributeError()))
    assert not is_about_a_value(DatabaseError("away"))


# ---------------------------------------------------------------------------- what fits

_KINDS: dict[str, Any] = {"kinds": {"selftest": {"fields": ["seed"], "missing": []}}, "broken": {}}


def test_a_claim_takes_what_fits(database: Database) -> None:
    gpu, unknown, newer, good, other = submit(
        database,
        new(device="gpu", priority=9),
        NewJob("nope", {}, "0", "ann", priority=9),
        NewJob("selftest", {"seed": 1, "news": 1}, "0", "ann", priority=9),
        new(priority=1),
        new(priority=2, device="cpu"),
    )
    offer = Offer("cpu", _KINDS)
    assert [claimed(database, offer=offer).id for _ in range(2)] == [other, good]
    assert claim(database, offer=offer) is None
    assert [get(database, job_id).state for job_id in (gpu, unknown, newer)] == ["queued"] * 3
    assert [get(database, job_id).attempt for job_id in (gpu, unknown, newer)] == [0] * 3
    assert claimed(database, offer=Offer("cuda", _KINDS)).id == gpu
    assert claimed(database).id == unknown  # of a cvq that announces nothing


def test_jobs_of_an_older_schema_are_matched_when_their_turn_comes(database: Database) -> None:
    gpu, good, later = submit(database, new(device="gpu"), new(), new(device="gpu"))
    with database.write() as connection:
        connection.execute(t.jobs.update().values(needs=""))
    offer = Offer("cpu", _KINDS)
    assert claimed(database, offer=offer).id == good
    assert claim(database, offer=offer) is None
    assert get(database, gpu).state == get(database, later).state == "queued"
    assert [claimed(database, offer=Offer("cuda", _KINDS)).id for _ in range(2)] == [gpu, later]


def test_what_does_not_fit_is_passed_over_whole(database: Database) -> None:
    submit(database, *[new(device="gpu", priority=9) for _ in range(200)])
    (good,) = submit(database, new())
    offer = Offer("cpu", _KINDS)
    sent: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *a: sent.append(a[2]))
    assert claimed(database, offer=offer).id == good
    assert offer.refused == {Needs.of(new(device="gpu")).key}
    assert len(sent) < 25, sent


# ---------------------------------------------------------------------------- any interleaving


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
        self.leases: list[AttemptId] = []
        self.reports: dict[AttemptId, int] = {}

    def pick(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from(sorted(self.jobs)), label="job")

    def pick_lease(self, data: st.DataObject) -> AttemptId:
        return data.draw(st.sampled_from(self.leases), label="lease")

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
        self.leases.append(job.attempt_id)

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def claim_again(self, data: st.DataObject) -> None:
        attempt = self.pick_lease(data)
        if self.holds(attempt):
            again = claimed(self.database, token=self.jobs[attempt.job_id].token)
            assert again.attempt_id == attempt

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), seconds=st.sampled_from([60.0, -1.0]))
    def renew(self, data: st.DataObject, seconds: float) -> None:
        held = data.draw(st.lists(st.sampled_from(self.leases), min_size=1))
        with self.database.write() as connection:
            kept = store.renew(connection, "w", seconds, held)
        wanted = {attempt for attempt in held if self.holds(attempt)}
        assert kept == {attempt: self.jobs[attempt.job_id].cancel for attempt in wanted}
        # A lease that somebody else took over is not prolonged by its old holder's word.
        for job_id in {attempt.job_id for attempt in held}:
            if any(attempt.job_id == job_id for attempt in wanted):
                self.jobs[job_id].expired = seconds < 0

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def report(self, data: st.DataObject) -> None:
        attempt = self.pick_lease(data)
        line = LogLine(1, datetime.now(UTC), "stdout", "text")
        number = self.reports.get(attempt, 0) + 1

        def write() -> None:
            with self.database.write() as connection:
                store.report(connection, attempt, number=number, progress={"done": 1}, logs=[line])

        if self.holds(attempt):
            write()
            write()  # its answer was lost
            self.reports[attempt] = number
            self.jobs[attempt.job_id].reports += 1
        else:
            with pytest.raises(LeaseLostError):
                write()

    @precondition(lambda self: self.leases)
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
        attempt = self.pick_lease(data)
        if not self.holds(attempt):
            with pytest.raises(LeaseLostError):
                finish(self.database, attempt, outcome)
            return
        model = self.jobs[attempt.job_id]
        model.state = self.after(model, outcome)
        assert finish(self.database, attempt, outcome) == model.state
        with self.database.write() as connection:  # its answer was lost
            assert store.finish(connection, attempt, outcome, "w", again=True) == model.state

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
            assert store.cancel(connection, job_id, "ann").state == model.state

    @rule()
    def reap(self) -> None:
        dead = [m for m in self.jobs.values() if m.state == State.RUNNING and m.expired]
        with self.database.write() as connection:
            assert len(store.reap(connection, "reaper")) == len(dead)
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
            assert store.promote(connection, "promoter") == len(ready)

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


# ---------------------------------------------------------------------------- order


def take_all(database: Database, limit: int = 1000) -> list[int]:
    """The ids in the order in which one slot takes and ends them."""
    order: list[int] = []
    while len(order) < limit and (job := claim(database)) is not None:
        finish(database, job.attempt_id, DONE)
        order.append(job.id)
    return order


def test_priority_comes_first_then_age(database: Database) -> None:
    low, high, also_high = submit(database, new(priority=1), new(priority=9), new(priority=9))
    assert take_all(database) == [high, also_high, low]


def test_500_jobs_of_one_user_block_nobody(database: Database) -> None:
    submit(database, *[new("ann") for _ in range(500)])
    for _ in range(30):
        finish(database, claimed(database).attempt_id, DONE)
    bobs = submit(database, *[new("bob") for _ in range(3)])
    assert set(bobs) <= set(take_all(database, limit=7))


def test_waiting_jobs_take_turns_with_others_once_their_time_comes(database: Database) -> None:
    past = datetime.now(UTC) - timedelta(seconds=60)
    submit(database, *[new("ann", not_before=past) for _ in range(50)])
    with database.write() as connection:
        assert store.promote(connection, "w") == 50
    bobs = submit(database, new("bob"), new("bob"))
    assert set(bobs) <= set(take_all(database, limit=5))


def test_a_job_that_comes_back_gives_nobody_else_a_lead(database: Database) -> None:
    # Its rank is from long ago. Were it the lowest of the queue, bob would begin there, too.
    [old] = submit(database, new("ann"))
    held = claimed(database)
    assert held.id == old
    anns = submit(database, *[new("ann") for _ in range(60)])
    for _ in range(30):
        finish(database, claimed(database).attempt_id, DONE)
    assert finish(database, held.attempt_id, Outcome(State.QUEUED, "preempted")) == State.QUEUED
    submit(database, *[new("bob") for _ in range(30)])
    order = take_all(database, limit=21)
    assert order[0] == old, "it lost its turn"
    assert 8 <= len(set(order[1:]) & set(anns)) <= 12


def test_who_has_only_running_jobs_is_not_put_behind_a_newcomer(database: Database) -> None:
    submit(database, *[new("ann") for _ in range(20)])
    for _ in range(19):
        finish(database, claimed(database).attempt_id, DONE)
    claimed(database)
    submit(database, *[new("bob") for _ in range(20)])
    [late] = submit(database, new("ann"))
    assert late in take_all(database, limit=3)


def test_only_the_queues_asked_for_are_served(database: Database) -> None:
    gpu, cpu = submit(database, new(queue="gpu", priority=9), new(queue="cpu"))
    assert claim(database, queues=("other",)) is None
    assert claimed(database, queues=("cpu", "other")).id == cpu
    other, best = submit(database, new(queue="cpu", priority=8), new(queue="gpu", priority=9))
    both = ("cpu", "gpu")
    assert [claimed(database, queues=both).id for _ in range(3)] == [gpu, best, other]


# ---------------------------------------------------------------------------- many at once


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
                return store.cancel(connection, job_id, "ann").state

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


# ---------------------------------------------------------------------------- single rules


def test_a_claim_whose_answer_was_lost_is_asked_for_again(database: Database) -> None:
    submit(database, new(), new())
    first = claimed(database, token="same")
    assert claimed(database, token="same").attempt_id == first.attempt_id
    finish(database, first.attempt_id, DONE)
    assert claimed(database, token="same").id != first.id


def test_a_connection_cut_during_a_claim_costs_no_job(postgres_url: str, home: Any) -> None:
    database = Database(Settings.load(database_url=postgres_url))
    database.upgrade()
    [job_id] = submit(database, new())

    def claim_and_be_cut_off() -> None:
        with database.write() as connection:
            store.claim(connection, worker="w", host="h", queues=[QUEUE], token="t", lease=60)
            pid = connection.scalar(text("SELECT pg_backend_pid()"))
            with database.write() as other:
                other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})

    with pytest.raises(DatabaseError, match=r"^[^\n]+$"):
        claim_and_be_cut_off()
    job = claimed(database, token="t")
    assert (job.id, job.attempt) == (job_id, 1)
    database.engine.dispose()


def test_a_server_that_was_restarted_costs_no_error(postgres_url: str, home: Any) -> None:
    database = Database(Settings.load(database_url=postgres_url))
    database.upgrade()
    submit(database, new())
    killer = Database(Settings.load(database_url=postgres_url))
    with killer.write() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid != pg_backend_pid()"
            )
        )
    assert claim(database) is not None
    database.engine.dispose()
    killer.engine.dispose()


def test_a_silent_worker_loses_its_job_to_the_next(database: Database) -> None:
    [job_id] = submit(database, new(max_attempts=2))
    lost = claimed(database, lease=-1.0).attempt_id
    reap_and_promote(database)
    job = claimed(database, worker="other")
    assert (job.id, job.attempt) == (job_id, 2)
    with pytest.raises(LeaseLostError), database.write() as connection:
        store.report(connection, lost, progress={"done": 1})
    with pytest.raises(LeaseLostError):
        finish(database, lost, DONE)
    with database.write() as connection:
        assert store.renew(connection, "w", 60, [lost]) == {}
    finish(database, job.attempt_id, DONE)
    assert get(database, job_id).state == State.SUCCEEDED


def test_a_job_that_always_loses_its_worker_is_given_up(database: Database) -> None:
    [job_id] = submit(database, new(max_attempts=2))
    for _ in range(2):
        claimed(database, lease=-1.0)
        reap_and_promote(database)
    job = get(database, job_id)
    assert (job.state, job.reason, job.attempt) == (State.FAILED, "attempts-exhausted", 2)
    assert job.error is not None
    assert "fell silent" in job.error
    assert claim(database) is None


def test_failed_attempts_wait_longer_and_longer_by_the_backoff(database: Database) -> None:
    [job_id] = submit(database, new(max_attempts=5))
    for number in range(4):
        job = claimed(database)
        with database.read() as connection:
            before = queries.database_time(connection)
        finish(database, job.attempt_id, Outcome(State.FAILED, "error", "no", retry=True))
        with database.write() as connection:
            assert store.promote(connection, "w") == 0
            not_before = queries.get_job(connection, job_id).not_before
            assert not_before is not None
            longest = timedelta(seconds=2 * 2**number)
            assert before + longest / 2 <= not_before
            assert not_before <= queries.database_time(connection) + longest
            connection.execute(t.jobs.update().values(not_before=None))
            store.promote(connection, "w")


def test_lost_workers_do_not_lengthen_the_backoff(database: Database) -> None:
    [job_id] = submit(database, new(max_attempts=9))
    for _ in range(4):
        claimed(database, lease=-1.0)
        reap_and_promote(database)
    finish(
        database, claimed(database).attempt_id, Outcome(State.FAILED, "exit:1", "no", retry=True)
    )
    with database.read() as connection:
        not_before = queries.get_job(connection, job_id).not_before
        assert not_before is not None
        assert (not_before - queries.database_time(connection)).total_seconds() <= 2


def test_a_clock_set_back_does_not_prolong_a_pause_before_a_retry(database: Database) -> None:
    [retried] = submit(database, new())
    finish(
        database, claimed(database).attempt_id, Outcome(State.FAILED, "exit:1", "no", retry=True)
    )
    hour = datetime.now(UTC) + timedelta(hours=1)
    [later] = submit(database, new(not_before=hour))
    with database.write() as connection:
        connection.execute(t.jobs.update().where(t.jobs.c.id == retried).values(not_before=hour))
    reap_and_promote(database)
    assert (get(database, retried).state, get(database, later).state) == (
        State.QUEUED,
        State.WAITING,
    )


def test_only_the_leases_that_are_suspected_and_unchanged_are_reaped(database: Database) -> None:
    submit(database, new(), new(), new())
    dead, renewed, other = (claimed(database, lease=-1.0) for _ in range(3))
    assert dead.lease_until
    assert renewed.lease_until
    with database.write() as connection:
        store.renew(connection, "w", 60, [renewed.attempt_id])
        suspects = {dead.attempt_id: dead.lease_until, renewed.attempt_id: renewed.lease_until}
        assert store.reap(connection, "reaper", suspects) == [dead.attempt_id]
        assert store.reap(connection, "reaper", {}) == []
        assert store.reap(connection, "reaper") == [other.attempt_id]


def test_an_attempt_keeps_its_last_lines(database: Database) -> None:
    submit(database, new())
    attempt = claimed(database).attempt_id
    moment = datetime.now(UTC)
    lines = [LogLine(number, moment, "stdout", f"line {number}") for number in range(30)]
    with database.write() as connection:
        store.report(connection, attempt, logs=lines)
    finish(database, attempt, Outcome(State.FAILED, "exit:1", "no"))
    with database.read() as connection:
        [attempt] = queries.attempts_of(connection, attempt.job_id)
    assert attempt.last_lines == [f"line {number}" for number in range(20, 30)]


def test_success_forgets_the_checkpoints_and_nothing_else(database: Database) -> None:
    [job_id] = submit(database, new())
    attempt = claimed(database).attempt_id
    files = [
        Artifact(name, role, "m", f"file:///{name}", "0" * 64, 1)
        for name, role in (
            ("c1", Role.CHECKPOINT),
            ("c2", Role.CHECKPOINT),
            ("r", "result"),
            ("own", "checkpoint"),
        )
    ]
    with database.write() as connection:
        store.report(connection, attempt, artifacts=files)
        assert [c.name for c in queries.checkpoints_of(connection, job_id)] == ["c2", "c1"]
        store.drop_artifacts(connection, attempt, files[:1])
        assert [c.name for c in queries.checkpoints_of(connection, job_id)] == ["c2"]
    finish(database, attempt, DONE)
    with database.read() as connection:
        assert [a.name for a in queries.artifacts_of(connection, [job_id])[job_id]] == ["r", "own"]
    with pytest.raises(LeaseLostError), database.write() as connection:
        store.drop_artifacts(connection, attempt, files)


def test_postgres_hangs_up_on_who_freezes_inside_a_transaction(
    postgres_url: str, home: Any
) -> None:
    database = Database(Settings.load(database_url=postgres_url))
    with database.read() as connection:
        limit = connection.scalar(text("SHOW idle_in_transaction_session_timeout"))
    database.engine.dispose()
    assert limit == "10s"


def test_a_cancelled_job_is_not_tried_again(database: Database) -> None:
    [job_id] = submit(database, new(max_attempts=3))
    job = claimed(database)
    with database.write() as connection:
        assert store.cancel(connection, job_id, "ann").cancel_requested
    finish(database, job.attempt_id, Outcome(State.FAILED, "signal:TERM", "killed", retry=True))
    assert get(database, job_id).state == State.CANCELLED


def test_children_follow_their_parents(database: Database) -> None:
    good, bad = submit(database, new(), new())
    [after_good] = submit(database, new(after=(good, good)))
    [after_bad] = submit(database, new(after=(good, bad)))
    [grandchild] = submit(database, new(after=(after_bad,)))
    reap_and_promote(database)
    assert get(database, after_good).state == State.WAITING
    finish(database, claimed(database).attempt_id, DONE)
    finish(database, claimed(database).attempt_id, Outcome(State.FAILED, "error", "no"))
    reap_and_promote(database)
    assert get(database, after_good).state == State.QUEUED
    for job_id in (after_bad, grandchild):
        job = get(database, job_id)
        assert (job.state, job.reason) == (State.FAILED, "dependency-failed")


def test_an_unknown_parent_leaves_no_job(database: Database) -> None:
    for parent in (4711, 2**62):
        with pytest.raises(UnknownJobError, match=str(parent)):
            submit(database, new(after=(parent,)))
    with pytest.raises(UsageError):
        submit(database, new(after=(10**30,)))
    with database.read() as connection:
        assert queries.count_states(connection) == {}


def test_a_job_does_not_start_before_its_time(database: Database) -> None:
    [job_id] = submit(database, new(not_before=datetime.now(UTC) + timedelta(hours=1)))
    reap_and_promote(database)
    assert get(database, job_id).state == State.WAITING
    assert claim(database) is None


def test_cancelling_an_unknown_job_says_so(database: Database) -> None:
    with pytest.raises(UnknownJobError, match="4711"), database.write() as connection:
        store.cancel(connection, 4711, "ann")


# ---------------------------------------------------------------------------- odd content


def test_whatever_a_job_says_can_be_stored(database: Database) -> None:
    # NULs, half a character, far too long names, numbers that JSON does not know.
    submit(database, new())
    job = claimed(database)
    odd = "a\x00b\udcffc"
    moment = datetime(2026, 11, 1, 12, 0, 0, 123456, UTC)
    with database.write() as connection:
        store.report(
            connection,
            job.attempt_id,
            pid=1,
            progress={"done": 1, "unit": odd, "eta_s": float("inf")},
            logs=[LogLine(1, moment, "stdout", odd), LogLine(2, moment, "stdout", "ü€😀")],
            metrics=[
                MetricPoint("m" * 500, 1, 0.5, moment),
                MetricPoint("nan", 1, float("nan"), moment),
                MetricPoint("inf", 1, float("-inf"), moment),
            ],
            artifacts=[Artifact("a.png", "r" * 500, "m" * 500, "file:///a", "0" * 64, 2**40)],
        )
    finish(
        database,
        job.attempt_id,
        Outcome(
            State.FAILED, "r" * 500, odd, odd * 1000, result={odd: [odd, float("nan"), {"x": 1.5}]}
        ),
    )
    ended = get(database, job.id)
    clean = "a\ufffdb?c"
    assert ended.error == clean
    assert ended.result == {clean: [clean, None, {"x": 1.5}]}
    assert ended.progress == {"done": 1, "unit": clean, "eta_s": None}
    assert ended.metrics == {"m" * 100: 0.5, "nan": None, "inf": None}
    with database.read() as connection:
        lines = queries.logs_of(connection, job.id)
        assert [(line.text, line.time) for line in lines] == [(clean, moment), ("ü€😀", moment)]
        values = [point.value for point in queries.metric_points(connection, job.id)]
        assert values == [0.5, None, None]
        assert [a.role for a in queries.artifacts_of(connection, [job.id])[job.id]] == ["r" * 50]


def test_a_huge_specification_survives(database: Database) -> None:
    spec = {"seed": 2**32 - 1, "text": "ü" * 1_000_000, "deep": [[[{"a": None}]]]}
    with database.write() as connection:
        job_id = store.submit(connection, NewJob("selftest", spec, "0" * 64, "ännchen"))
    assert claimed(database).spec == spec
    assert get(database, job_id).user == "ännchen"
    with database.read() as connection:
        assert queries.attempts_of(connection, job_id)[0].seed == 2**32 - 1


def test_workers_come_and_go(database: Database) -> None:
    entry = {"host": "h", "pid": 1, "devices": ["cpu"], "queues": [QUEUE], "slots": 1}
    with database.write() as connection:
        store.worker_started(connection, id="w1", lease=30.0, versions={"python": "3"}, **entry)
        store.worker_started(connection, id="w2", lease=0.0, **entry)
        found = {row["id"]: row for row in queries.workers(connection)}
        assert (found["w1"]["alive"], found["w2"]["alive"]) == (True, False)
        store.worker_seen(connection, "w1", "draining")
        assert queries.live_workers(connection, QUEUE) == []
        store.worker_left(connection, "w1")
        assert [row["id"] for row in queries.workers(connection)] == ["w2"]
