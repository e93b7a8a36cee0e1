"""One worker process besides Celery: its slots run jobs, and its threads keep all going."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import threading
import time
from collections.abc import Callable

from cvq import schema
from cvq.devices import GpuLocks, Slot, shared_out
from cvq.errors import CvqError, MissingExtraError, SetupError, StoreError
from cvq.lifecycle import workers
from cvq.presence import Presence
from cvq.settings import Settings

from .announce import announcement, kinds_here
from .claiming import Claim, Claiming
from .heartbeat import Heartbeat
from .launch.launcher import Launcher
from .running import Running
from .slots import Slots
from .sparse_log import Sparse
from .upkeep import Upkeep
from .versions import Code
from .wakeups import WakeUps
from .worker import Worker

log = logging.getLogger("cvq.worker")
_SPARSE = Sparse()

_BEAT_S = 0.5  # how soon a cancel is seen
_UPKEEP_S = 1.0  # how soon a dead worker's jobs and lost messages are looked for
_LAST_ACT_S = 2.0  # what a thread's last act may take
_SILENT_S = 8.0  # how long a worker that leaves waits for the database


class Runtime:
    """Starts and ends a worker, and runs jobs in its slots.

    Args:
        slots: places for jobs; as many threads call `work` at once.
        queues: what is served, the best job of all of them first.
        burst, parent, stop_with: when to leave, see `Upkeep`.
        share_gpu: whether other workers may use the same GPUs.
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
        share_gpu: bool = False,
    ) -> None:
        self.started = False
        self._share_gpu = share_gpu
        self._locks: GpuLocks | None = None
        self.worker = Worker(settings, slots, queues)
        self.claiming = Claiming(self.worker)
        self.heartbeat = Heartbeat(self.worker)
        self.upkeep = Upkeep(
            self.worker, self.claiming, burst=burst, parent=parent, stop_with=stop_with
        )
        self.wakeups = WakeUps(self.worker, self.claiming, self.work)
        self._launcher = Launcher(
            settings.start_method, settings.preload, settings.kinds, settings.pass_env
        )
        self.running = Running(self.worker, self._launcher)
        self._presence: Presence | None = None
        self._threads: list[threading.Thread] = []
        self._closing = threading.Lock()
        log.addFilter(_SPARSE)

    def check(self) -> None:
        """Fail early, with one line, on anything without which no job could run.

        Raises:
            SetupError: PyTorch, the database, the store or Redis is missing, or another worker
                has a GPU of this one's.
        """
        gpus = {slot.gpu.uuid: slot.gpu for slot in self.worker.slots if slot.gpu is not None}
        self._locks = GpuLocks(
            gpus.values(), self.worker.settings.gpu_locks, share=self._share_gpu
        )
        self._launcher.kept = self._locks.descriptors
        if importlib.util.find_spec("torch") is None:
            raise MissingExtraError("worker", "a worker")
        self.worker.when_up(lambda: schema.check_encoding(self.worker.db))
        self.worker.artifacts.probe()
        self.worker.broker.connect()

    def resize(self, count: int) -> None:
        """Have so many slots, on the same devices; before the start."""
        slots = self.worker.slots
        if count != len(slots):
            self.worker.slots = Slots(shared_out(list(slots), count))

    def start(self) -> None:
        """Enter the worker in the database and start its heartbeat."""
        worker = self.worker
        self._presence = Presence(worker.settings.home, worker.id)
        self._launcher.warm_up()
        kinds, broken = kinds_here(worker.settings)
        announced = announcement(kinds, broken)
        with contextlib.suppress(StoreError):  # a job that needs it will say so
            announced["store"] = worker.artifacts.identity()
        self.claiming.announce(announced, Code(kinds.values()))
        worker.when_up(lambda: worker.register(announced))
        worker.heard_at = time.monotonic()
        # Apart: a Redis that hangs holds up neither a lease nor the search for dead ones.
        for act, pause in (
            (self.heartbeat.beat, _BEAT_S),
            (self.upkeep.look, _UPKEEP_S),
            (self.wakeups.repair, _UPKEEP_S),
            (self.heartbeat.watch_database, _BEAT_S),
            (self._keep_locks, _UPKEEP_S),
        ):
            thread = threading.Thread(target=self._repeat, args=(pause, act), daemon=True)
            thread.start()
            self._threads.append(thread)
        self.started = True
        devices = ", ".join(slot.device for slot in worker.slots)
        log.info("worker %s is up: %s; queues %s", worker.id, devices, ", ".join(worker.queues))

    def _keep_locks(self) -> None:
        if self._locks is not None:
            self._locks.keep()

    def _repeat(self, pause: float, act: Callable[[], None]) -> None:
        """Act again and again until the end, whatever goes wrong."""
        while not self.worker.departure.stopping.wait(pause):
            try:
                act()
            except CvqError as error:
                log.warning("%s", error)
            except Exception:
                log.exception("%s", act.__qualname__)

    # ------------------------------------------------------------ jobs

    def work(self) -> int:
        """Run the best queued job, then the next, until none is left. Return how many."""
        slot = self.worker.slots.take()
        if slot is None:
            return 0  # every slot is busy, and each looks for more by itself
        done = 0

        def claim() -> Claim | None:
            nonlocal done
            if self.worker.departure.draining:
                return None
            found = self.claiming.claim(slot, self.running.resident(slot))
            done += len(found.jobs) if found else 0
            return found

        try:
            while found := claim():
                self.running.run(found, slot, claim)
        finally:
            self.worker.slots.give_back(slot)
        return done

    # ------------------------------------------------------------ the end

    def drain(self, grace: float | None = None) -> None:
        """Take no more jobs and stop the running ones; called again, at once."""
        departure = self.worker.departure
        departure.draining = True
        departure.asked.set()
        grace = self.worker.attempts.announce_stop(grace)
        threading.Thread(target=self._leave_in_time, args=(grace,), daemon=True).start()
        self.worker.attempts.stop(grace)

    def close(self) -> None:
        """Drain, wait for the jobs' ends, and leave nothing behind; once, whoever calls first."""
        with self._closing:
            if not self.worker.departure.stopping.is_set():
                self._close()

    def _close(self) -> None:
        worker, departure = self.worker, self.worker.departure
        if not departure.asked.is_set():
            self.drain()
        # A slot that is claiming is waited for, too: what it gets goes back to the queue.
        worker.slots.wait_until_idle()
        departure.stopping.set()
        for thread in self._threads:
            thread.join(_LAST_ACT_S)  # one may wait for a Redis that hangs
        with contextlib.suppress(CvqError), worker.db.write() as connection:
            workers.deregister(connection, worker.id)
        departure.left.set()
        self.running.close()
        self._launcher.close()
        if self._presence is not None:
            self._presence.leave()
        if self._locks is not None:
            self._locks.free()
        log.info("worker %s has left", worker.id)

    def _leave_in_time(self, grace: float) -> None:
        """Leave also where the database does not answer: jobs here end with this process.

        Their leases run out, and others take them over.
        """
        worker = self.worker
        worker.departure.left.wait(grace)
        while not worker.departure.left.wait(_BEAT_S):
            if time.monotonic() - worker.heard_at > _SILENT_S:
                log.error("worker %s leaves although the database does not answer", worker.id)
                logging.shutdown()
                os._exit(SetupError.exit_code)
