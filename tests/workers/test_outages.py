"""Workers whose database goes away, falls silent, is locked or refuses a value."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from proxy import Proxy, proxied
from sqlalchemy import Connection, text, update

from conftest import TESTS, Worker, close, created
from cvq import Client, Settings, queries, schema
from cvq import tables as t
from cvq.artifacts import ArtifactStore
from cvq.db import Database
from cvq.devices import Slot
from cvq.errors import DatabaseAwayError, DatabaseError
from cvq.ids import AttemptId
from cvq.kinds import get_kind
from cvq.lifecycle import attempts, claims, jobs, workers
from cvq.records import Job, NewJob, Outcome
from cvq.states import Drain, State
from cvq_workers.attempt.attempt import Attempt
from cvq_workers.attempt.execution import Execution
from cvq_workers.attempt.leased import LeasedDatabase
from cvq_workers.attempt.record import Record
from cvq_workers.attempt.reports import Reports
from cvq_workers.claiming import Claim
from cvq_workers.clock import lease_clock
from cvq_workers.heartbeat import Heartbeat
from cvq_workers.protocol import Metrics
from cvq_workers.runtime import Runtime
from waiting import HANG_S, eventually

pytestmark = pytest.mark.slow


class Cut:
    """A worker whose network to Postgres can be cut, and a client whose network cannot."""

    def __init__(self, client: Client, proxy: Proxy, url: str) -> None:
        self.client = client
        self.proxy = proxy
        self.log = client.settings.home / "worker.log"
        self.environment = {
            "CVQ_DATABASE_URL": url, "PYTHONPATH": str(TESTS), "CVQ_KINDS": "misbehave",
            "CVQ_PRELOAD": "", "CVQ_GRACE": "1",
        }  # fmt: skip

    def start(self, lease: int) -> None:
        """Start the worker."""
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cvq_workers", "--gpus", "none", "--lease", str(lease)],
                stdout=log,
                stderr=log,
                env=os.environ | self.environment,
                start_new_session=True,
            )

    def seen_at(self) -> Any:
        """When the worker was last heard of; None before it has come up."""
        assert self.process.poll() is None, self.log.read_text()
        with self.client.db.read() as connection:
            return next((row.seen_at for row in queries.workers(connection)), None)


@pytest.fixture
def cut(
    home: Path, postgres_server: str, upgraded: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cut]:
    monkeypatch.syspath_prepend(TESTS)
    with created(postgres_server, upgraded) as url, proxied(url) as (proxy, through):
        client = Client(Settings.load(database_url=url, kinds=["misbehave"]))
        worker = Cut(client, proxy, through)
        yield worker
        with contextlib.suppress(ProcessLookupError):
            worker.process.kill()
        worker.process.wait()
        close(client)


def test_a_worker_waits_for_its_database_and_outlives_its_silence(cut: Cut) -> None:
    cut.start(lease=3)
    eventually(lambda: "the worker waits for it" in cut.log.read_text())
    cut.proxy.listen()
    eventually(cut.seen_at)
    job = cut.client.submit("misbehave", how="hang")
    eventually(lambda: job.refresh().progress)
    cut.proxy.stall()
    seen = cut.seen_at()
    eventually(lambda: cut.seen_at() > seen)  # on new connections
    job.cancel()
    assert job.wait(HANG_S, check=False).state == "cancelled"
    assert cut.client.submit("selftest", steps=1).wait(HANG_S).attempt == 1
    assert cut.log.read_text().count("the worker waits for it") < 10
    cut.process.terminate()
    assert cut.process.wait(HANG_S) == 0


def test_a_worker_leaves_although_its_database_is_away(cut: Cut) -> None:
    cut.proxy.listen()
    cut.start(lease=3600)  # for which it would try on
    eventually(cut.seen_at)
    job = cut.client.submit("misbehave", how="hang")
    eventually(lambda: job.refresh().progress)
    cut.proxy.close()
    eventually(lambda: "is the server running" in cut.log.read_text())
    cut.process.terminate()
    assert cut.process.wait(HANG_S) == 4
    assert "leaves although the database does not answer" in cut.log.read_text()


def test_a_large_result_on_a_slow_network_costs_no_attempt(cut: Cut) -> None:
    cut.proxy.listen()
    cut.start(lease=30)
    eventually(cut.seen_at)
    cut.proxy.slow_down(4e5)
    # More than ten seconds' worth, the heartbeat's patience; a busy machine has the rest.
    code = "r = {'score': 0.5, 'prediction': ['x' * 50] * 100_000}"
    job = cut.client.submit("misbehave", how="python", code=code).wait(HANG_S)
    assert job.attempt == 1
    assert len(job.result["prediction"]) == 100_000
    assert [found.id for found in cut.client.jobs(where="result.score=0.5")] == [job.id]
    assert "asking anew" not in cut.log.read_text()


def test_a_row_that_somebody_has_locked_holds_up_no_other(
    home: Path, postgres_server: str, upgraded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with created(postgres_server, upgraded) as url:
        database = Database(Settings.load(database_url=url))
        worker = runtime_of(database).worker
        locked, free = (CountedBeats(running(database)) for _ in range(2))
        with database.write() as connection:
            connection.execute(update(t.jobs).values(lease_owner=worker.id))
        heartbeat = Heartbeat(worker)
        for attempt in (locked, free):
            worker.attempts.add(attempt)  # type: ignore[arg-type]
        with database.write() as connection:
            attempts.report(connection, locked.id, progress={"done": 1})
            heartbeat.beat()
            assert (free.beats, locked.beats, locked.lost) == (1, 0, False)
        heartbeat.beat()
        assert (free.beats, locked.beats, locked.lost) == (2, 1, False)
        database.engine.dispose()


class CountedBeats:
    """An attempt that counts its beats."""

    def __init__(self, job: Job) -> None:
        self.id = job.attempt_id
        self.leased_until = 0.0
        self.beats = 0
        self.lost = False

    def beat(self, _: float) -> None:
        self.beats += 1

    def lose(self) -> None:
        self.lost = True


def test_a_lock_shorter_than_the_lease_costs_no_attempt(
    client: Client, start_worker: Callable[..., Worker]
) -> None:
    start_worker("--slots", "8", "--lease", "60")
    jobs = [client.submit("misbehave", how="steps", lines=40, retries=3) for _ in range(8)]
    for job in jobs:
        eventually(lambda job=job: job.refresh().progress)
    with client.db.write():
        threading.Event().wait(5)  # what holds the lock
    assert [job.wait(HANG_S).attempt for job in jobs] == [1] * 8


# ---------------------------------------------------------------------------- a slot's own errors


SLOT = Slot("cpu", 1)


def runtime_of(database: Database, **more: Any) -> Runtime:
    """A worker with one slot, not started, whose slot takes any job."""
    runtime = Runtime(database.settings, [SLOT], ["default"], **more)
    runtime.worker.__dict__["db"] = database
    runtime.claiming.announce(None)
    return runtime


def running(database: Database, **values: Any) -> Job:
    with database.write() as connection:
        jobs.submit(connection, NewJob("selftest", {"seed": 1}, "0", "ann", **values))
        job = claims.claim(
            connection, worker="w", host="h", queues=["default"], token=uuid.uuid4().hex, lease=600
        )
    assert job is not None
    return job


def record_of(database: Database, job: Job, reports: Reports | None = None) -> Record:
    attempt = Attempt(job, database.settings, lease_clock())
    leased = LeasedDatabase(database, [attempt], patience=0)
    artifacts = ArtifactStore(f"file://{database.settings.home / 'store'}")
    return Record(job, reports or Reports(), leased, artifacts, "w")


def ended(database: Database, job: Job) -> Job:
    return found(database, job.id)


def found(database: Database, job_id: int) -> Job:
    with database.read() as connection:
        return queries.get_job(connection, job_id)


def test_an_end_that_cannot_be_stored_is_stored_in_plain_words(
    home: Path, postgres_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "check_encoding", lambda _: None)
    latin = "template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"
    with created(postgres_server, latin) as url:
        database = Database(Settings.load(database_url=url))
        schema.upgrade(database)
        job = running(database)
        record = record_of(database, job)
        outcome = Outcome(State.FAILED, "error", "ValueError: 日本", "line 日本", retry=False)
        assert record.finish(outcome) == State.FAILED
        assert ended(database, job).error == "ValueError: \\u65e5\\u672c"
        job = running(database)
        done = Outcome(State.SUCCEEDED, result={"said": "日本"})
        assert record_of(database, job).finish(done) == State.FAILED
        error = ended(database, job).error
        assert error is not None
        assert error.startswith("its result cannot be stored: the database cannot hold")
        database.engine.dispose()


def test_what_a_database_goes_on_to_refuse_ends_the_attempt_and_not_its_lease(
    database: Database,
) -> None:
    job = running(database)
    reports = Reports()
    record = record_of(database, job, reports)
    with database.write() as connection:
        connection.execute(text("ALTER TABLE metrics RENAME TO elsewhere"))
    reports.add_metrics(Metrics(*job.attempt_id, 1, {"loss": 0.5}, 1e9))
    with pytest.raises(DatabaseError, match="metrics"):
        record.flush()
    assert record.finish(Outcome(State.FAILED, "error", "refused", retry=False)) == State.FAILED


@pytest.mark.parametrize(
    "error", [SystemExit("no licence"), KeyboardInterrupt(), RecursionError()]
)
def test_a_slot_outlives_whatever_a_job_does_to_it(
    database: Database, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fall(_: Execution) -> None:
        raise error

    job = running(database, max_attempts=1)
    monkeypatch.setattr(Execution, "run", fall)
    runtime_of(database).running.run(Claim([job], 0.0), SLOT, lambda: None)
    found = ended(database, job)
    assert (found.state, found.attempt) == ("failed", 1)
    assert found.error
    assert found.reason == "error"


def test_a_worker_without_descriptors_fails_no_job_for_good(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fall(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    job = running(database, max_attempts=2)
    monkeypatch.setattr("cvq_workers.attempt.execution.JobProcess", fall)
    runtime_of(database).running.run(Claim([job], lease_clock()), SLOT, lambda: None)
    found = ended(database, job)
    assert (found.state, found.reason) == ("waiting", "error")
    assert "Too many open files" in str(found.error)


class Unheard(Database):
    """A database whose answers to a commit are lost while `deaf`."""

    deaf = True

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        with super().write() as connection:
            yield connection
        if self.deaf:
            raise DatabaseAwayError("the answer was lost")


def test_a_claim_without_an_answer_is_asked_for_again_later(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf = Unheard(database.settings)
    runtime = runtime_of(deaf, burst=True)
    departure, claiming = runtime.worker.departure, runtime.claiming
    left: list[str] = []
    monkeypatch.setattr(departure, "leave", lambda: left.append("left"))
    with database.write() as connection:
        job_id = jobs.submit(connection, NewJob("selftest", {"seed": 1}, "0", "ann"))
    departure.asked.set()  # so that no pause is made
    begun = lease_clock()
    assert claiming.claim(SLOT) is None
    assert found(database, job_id).state == State.RUNNING
    runtime.upkeep.look()
    assert left == []  # the job is this worker's to find again
    deaf.deaf = False
    between = lease_clock()
    claimed = claiming.claim(SLOT)
    assert claimed is not None
    assert [(job.id, job.attempt) for job in claimed.jobs] == [(job_id, 1)]
    assert begun <= claimed.asked_at <= between  # its lease began when it was asked for first
    assert claiming.claim(SLOT) is None  # with a token of its own
    assert not claiming.unanswered
    deaf.engine.dispose()


def test_a_claim_that_is_not_answered_is_asked_for_once_more_by_a_worker_that_leaves(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf = Unheard(database.settings)
    runtime = runtime_of(deaf)
    with database.write() as connection:
        job_id = jobs.submit(connection, NewJob("selftest", {"seed": 1}, "0", "ann"))

    def told_to_leave(_: float) -> bool:
        runtime.worker.departure.asked.set()
        deaf.deaf = False
        return True

    monkeypatch.setattr(runtime.worker.departure.asked, "wait", told_to_leave)
    claimed = runtime.claiming.claim(SLOT)
    assert claimed is not None
    assert [(job.id, job.attempt) for job in claimed.jobs] == [(job_id, 1)]
    deaf.engine.dispose()


def test_a_renewal_that_fails_makes_no_lease_longer_than_it_is(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    runtime = runtime_of(database)
    claim, renew = claims.claim_batch, runtime.claiming._renew
    tried: list[AttemptId] = []

    def late(*given: Any, **more: Any) -> list[Job]:
        now[0] += 0.0 if tried else 0.6 * database.settings.lease
        return claim(*given, **more)

    def fail_once(attempts: list[AttemptId]) -> set[AttemptId]:
        tried.extend(attempts)
        if len(tried) == 1:
            raise DatabaseAwayError("gone")
        return renew(attempts)

    monkeypatch.setattr("cvq_workers.claiming.lease_clock", lambda: now[0])
    monkeypatch.setattr(claims, "claim_batch", late)
    monkeypatch.setattr(runtime.claiming, "_renew", fail_once)
    monkeypatch.setattr(runtime.worker.departure.asked, "wait", lambda _: False)
    with database.write() as connection:
        jobs.submit(connection, NewJob("selftest", {"seed": 1}, "0", "ann"))
    claimed = runtime.claiming.claim(SLOT)
    assert claimed is not None
    # It counts from a renewal, and not from one that has failed.
    assert tried == [claimed.jobs[0].attempt_id] * 2


def test_a_beat_that_fails_holds_up_no_other(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = runtime_of(database).worker
    beaten: list[AttemptId] = []

    class Beaten:
        def __init__(self, job: Job) -> None:
            self.id = job.attempt_id
            self.leased_until = 0.0

        def beat(self, _: float) -> None:
            beaten.append(self.id)
            raise RuntimeError("no cgroup")

    jobs = [running(database) for _ in range(2)]
    with database.write() as connection:
        connection.execute(update(t.jobs).values(lease_owner=worker.id, claim_token=None))
    for job in jobs:
        worker.attempts.add(Beaten(job))  # type: ignore[arg-type]
    Heartbeat(worker).beat()
    assert sorted(beaten) == sorted(job.attempt_id for job in jobs)


def test_what_is_claimed_early_keeps_its_lease_also_where_it_is_of_another_kind(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = runtime_of(database)
    running_, held = runtime.running, runtime.worker.attempts.held
    first, other = running(database), running(database)
    kind = get_kind("selftest", database.settings)
    seen: list[set[AttemptId]] = []

    class Early:
        def __init__(self, more: Any, _over: object) -> None:
            self._more = more

        def run(self, _first: object) -> Any:
            found = self._more()
            seen.append(set(held()))
            return found

    monkeypatch.setattr("cvq_workers.running.Relay", Early)
    monkeypatch.setattr(
        running_, "_kind_for_warm", lambda job, _: kind if job.id == first.id else None
    )
    monkeypatch.setattr(
        running_, "_run_alone", lambda attempt, _: seen.append({attempt.id} & set(held()))
    )
    running_.run(Claim([first], 0.0), SLOT, lambda: Claim([other], 0.0))
    assert seen == [{first.attempt_id, other.attempt_id}, {other.attempt_id}]


def test_a_worker_that_is_done_does_not_leave_while_a_slot_claims(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # After a claim's commit, before its attempt, a job is neither queued nor seen to run here.
    runtime = runtime_of(database, burst=True)
    left: list[str] = []
    slots: list[Slot] = []

    def claim(of: Slot, _resident: object) -> None:
        slots.append(of)
        runtime.upkeep.look()
        runtime.heartbeat.apply_drain(Drain.FINISH)

    monkeypatch.setattr(runtime.worker.departure, "leave", lambda: left.append("left"))
    monkeypatch.setattr(runtime.claiming, "claim", claim)
    runtime.work()
    assert (slots, left) == ([SLOT], [])
    runtime.upkeep.look()
    runtime.heartbeat.apply_drain(Drain.FINISH)
    assert left == ["left", "left"]


def test_a_job_that_is_claimed_while_its_worker_leaves_goes_back_to_the_queue(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = runtime_of(database)
    with database.write() as connection:
        job_id = jobs.submit(connection, NewJob("selftest", {"seed": 1}, "0", "ann"))
    slots, claim, deregister = runtime.worker.slots, claims.claim_batch, workers.deregister
    wait, waits = slots.wait_until_idle, threading.Event()
    closer = threading.Thread(target=runtime.close)
    left_behind: list[str] = []

    def wait_until_idle() -> None:
        waits.set()
        wait()

    def claim_late(*given: Any, **more: Any) -> list[Job]:
        if not waits.is_set():
            closer.start()
            assert waits.wait(HANG_S)
        return claim(*given, **more)

    def deregister_last(connection: Connection, worker: str) -> None:
        left_behind.append(found(database, job_id).state)
        deregister(connection, worker)

    monkeypatch.setattr(slots, "wait_until_idle", wait_until_idle)
    monkeypatch.setattr(claims, "claim_batch", claim_late)
    monkeypatch.setattr(workers, "deregister", deregister_last)
    assert runtime.work() == 1
    closer.join(HANG_S)
    assert left_behind == [State.QUEUED]
    job = found(database, job_id)
    assert (job.reason, job.attempt) == ("preempted", 1)


def test_what_was_asked_just_before_a_hang_up_is_hung_up_on_as_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits: list[float] = []
    worker: Any = SimpleNamespace(
        settings=SimpleNamespace(lease=15.0), db=SimpleNamespace(hang_up=limits.append)
    )
    heartbeat = Heartbeat(worker)
    now = 1000.0
    monkeypatch.setattr("cvq_workers.heartbeat.time.monotonic", lambda: now)
    heartbeat._asked_at = 994.0
    heartbeat.watch_database()
    heartbeat._asked_at = None  # it has asked anew, and been answered
    for now in (1004.0, 1011.0):  # noqa: B007 - read by the clock
        heartbeat.watch_database()
    assert limits[:2] == [5.0, 5.0]
    assert limits[2] > 60.0
