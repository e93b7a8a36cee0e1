"""The storm itself: does the acts in their time and replaces the workers."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial

import psutil

from cvq import queries
from cvq.errors import CvqError, DatabaseError

from .cluster import Cluster, Worker, wait_until
from .ledger import FINAL, Strike
from .plan import Act, Plan
from .submit import Submitter
from .warm import warm_processes

_MOST_DEATHS = 30  # of workers that nobody killed: there is no point in going on
_TURN_S = 0.02
_LOOK_S = 0.5

# Told now and then: seconds since the start, jobs submitted, jobs by state, acts done.
Watcher = Callable[[float, int, Mapping[str, int], int], None]


class Storm:
    """Does the acts of a plan to a cluster and notes what each of them hit."""

    def __init__(self, cluster: Cluster, plan: Plan) -> None:
        self.cluster = cluster
        self.plan = plan
        self.strikes: list[Strike] = []
        self.missed: Counter[str] = Counter()
        self.deaths: list[str] = []  # of workers that the storm had not struck
        self.stuck: list[str] = []
        self.states: dict[str, int] = {}
        self.redis_back: list[float] = []  # seconds from each kill of Redis until it answered
        self.seconds = 0.0
        self._thaws: list[tuple[float, int, Callable[[], None]]] = []
        self._gone: set[int] = set()
        self._redis_killed: float | None = None

    def blow(self, watch: Watcher) -> Submitter:
        """Do everything, until all jobs are final or the time to settle is over.

        Raises:
            CvqError: the workers do not come up or do not stay up.
        """
        self._start_workers()
        started = time.monotonic()
        submitter = Submitter(self.cluster, self.plan, started)
        submitter.start()
        try:
            self._run(started, submitter, watch)
        finally:
            for _, _, thaw in self._thaws:  # before all else: who is frozen may hold the database
                thaw()
            submitter.stop()
        if submitter.error is not None:
            raise submitter.error
        return submitter

    def _start_workers(self) -> None:
        wanted = self.cluster.options.workers
        for _ in range(wanted):
            self.cluster.start_worker()

        def are_up() -> bool:
            self._supervise()
            return len(self.cluster.up()) >= wanted

        if not wait_until(are_up, self.cluster.options.settle):
            raise CvqError(f"the workers do not come up: {self.cluster.workers[-1].last_words()}")

    def _run(self, started: float, submitter: Submitter, watch: Watcher) -> None:
        options = self.cluster.options
        acts = list(self.plan.acts)
        look_at = 0.0
        while True:
            self.seconds = time.monotonic() - started
            self._supervise()
            self._thaw_due()
            self._ask_redis()
            if acts and self.seconds >= acts[0].at and self._act(acts[0]):
                del acts[0]
            if submitter.error is not None:
                return
            if self.seconds >= look_at:
                look_at = self.seconds + _LOOK_S
                self._look()
                watch(self.seconds, submitter.submitted, self.states, len(self.strikes))
                final = sum(self.states.get(state, 0) for state in FINAL)
                over = self.seconds >= options.seconds and not acts
                if over and final >= len(self.plan.jobs) + len(self.plan.items):
                    return
                if self.seconds > options.seconds + options.settle:
                    return
            time.sleep(_TURN_S)

    def _look(self) -> None:
        with contextlib.suppress(DatabaseError), self.cluster.client.db.read() as connection:
            self.states = queries.count_states(connection)

    # ------------------------------------------------------------ workers

    def _supervise(self) -> None:
        """Start another worker for each that has died, as a service manager would."""
        for worker in list(self.cluster.workers):
            if worker.number in self._gone:
                continue
            code = worker.process.poll()
            if code is not None:
                self._gone.add(worker.number)
                self._note_end(worker, code)
            elif worker.leaving == "drained" and time.monotonic() > worker.leave_by:
                patience = self.cluster.options.settle
                self.stuck.append(f"worker {worker.number} did not leave within {patience:g} s")
                worker.process.kill()

    def _note_end(self, worker: Worker, code: int) -> None:
        if worker.leaving is None:
            when = "while it started" if worker.id is None else "unasked"
            end = f"worker {worker.number} left with {code} {when}: {worker.last_words()}"
            self.deaths.append(end)
            if len(self.deaths) > _MOST_DEATHS:
                raise CvqError(f"the workers do not stay up: {end}")
            self.cluster.start_worker()
        elif worker.leaving == "drained" and code and not self._is_held(code):
            self.stuck.append(f"worker {worker.number} was drained and left with {code}")

    def _is_held(self, code: int) -> bool:
        """Whether a worker could not take leave of a database whose one writer the storm froze."""
        now, lease = time.time(), self.cluster.options.lease
        return code == DatabaseError.exit_code and any(
            strike.held_database and (strike.until or now) >= now - lease
            for strike in self.strikes
        )

    # ------------------------------------------------------------ acts

    def _act(self, act: Act) -> bool:
        """Do it; False where there is nothing to hit yet, and time to try again."""
        do = {
            "kill-job": self._strike_job,
            "freeze-job": self._strike_job,
            "kill-supervisor": self._strike_job,
            "kill-warm": self._strike_warm,
            "freeze-warm": self._strike_warm,
            "kill-worker": self._strike_worker,
            "freeze-worker": self._strike_worker,
            "suspend-worker": self._strike_worker,
            "drain-worker": self._strike_worker,
            "kill-forkserver": self._strike_fork_server,
            "kill-redis": self._strike_redis,
            "flush-redis": self._strike_redis,
            "cut-one": self._cut,
            "cut-all": self._cut,
            "crash-postgres": self._cut,
        }[act.kind]
        with contextlib.suppress(DatabaseError, psutil.Error):
            if do(act):
                return True
        if self.seconds < act.at + self.cluster.options.every * 0.7:
            return False
        self.missed[act.kind] += 1
        return True

    def _strike_job(self, act: Act) -> bool:
        found = self.cluster.job_processes()
        if not found:
            return False
        hit = found[act.draw % len(found)]
        strike = _now(act, job=hit.job, attempt=hit.attempt)
        if act.kind == "kill-job":
            hit.process.kill()  # psutil asks first whether it is still the same process
        elif act.kind == "kill-supervisor":
            supervisor = hit.process.parent()
            if supervisor is None or not self.cluster.is_ours(supervisor):
                return False
            supervisor.kill()
        else:
            hit.process.suspend()
            if act.thaw_after is not None:
                self._thaw_later(act.thaw_after, partial(_resume, [hit.process]))
        self.strikes.append(strike)
        return True

    def _strike_warm(self, act: Act) -> bool:
        found = warm_processes(self.cluster)
        if not found:
            return False
        worker, process = found[act.draw % len(found)]
        strike = _now(act, worker=worker)
        if act.kind == "kill-warm":
            process.kill()
        else:
            process.suspend()
            if act.thaw_after is not None:
                self._thaw_later(act.thaw_after, partial(_resume, [process]))
        self.strikes.append(strike)
        return True

    def _strike_worker(self, act: Act) -> bool:
        found = self.cluster.up()
        if not found:
            return False
        worker = found[act.draw % len(found)]
        strike = _now(act, worker=worker.id)
        if act.thaw_after is not None:
            self._freeze(worker, act.thaw_after, with_jobs=act.kind == "suspend-worker")
            held = self.cluster.holds_database(worker)
            strike = dataclasses.replace(strike, held_database=held)
        else:
            killed = act.kind == "kill-worker"
            worker.leaving = "killed" if killed else "drained"
            worker.leave_by = time.monotonic() + self.cluster.options.settle
            worker.process.send_signal(signal.SIGKILL if killed else signal.SIGTERM)
            self.cluster.start_worker()
        self.strikes.append(strike)
        return True

    def _freeze(self, worker: Worker, seconds: float, *, with_jobs: bool) -> None:
        own = psutil.Process(worker.process.pid)
        below = own.children(recursive=True) if with_jobs else []
        worker.frozen = True
        for process in (own, *below):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()

        def resume() -> None:
            worker.frozen = False
            _resume([own])

        # The harder order: for a while nobody can tell the jobs that they are too late.
        self._thaw_later(seconds, partial(_resume, below))
        self._thaw_later(seconds + (self.cluster.options.lease / 2 if below else 0.0), resume)

    def _strike_fork_server(self, act: Act) -> bool:
        found = self.cluster.up()
        if not found:
            return False
        worker = found[act.draw % len(found)]
        server = self.cluster.fork_server(worker)
        if server is None:
            return False
        strike = _now(act, worker=worker.id)
        server.kill()
        self.strikes.append(strike)
        return True

    def _strike_redis(self, act: Act) -> bool:
        if act.kind == "flush-redis":
            done = self.cluster.flush_redis()
        elif done := (process := self.cluster.redis_process()) is not None:
            process.kill()
            self._redis_killed = time.monotonic()
        if done:
            self.strikes.append(_now(act))
        return done

    def _ask_redis(self) -> None:
        if self._redis_killed is not None and self.cluster.redis_process() is not None:
            self.redis_back.append(time.monotonic() - self._redis_killed)
            self._redis_killed = None

    def _cut(self, act: Act) -> bool:
        if act.kind == "crash-postgres":
            done = self.cluster.crash_postgres(act.draw)
        else:
            done = self.cluster.cut_connections(act.draw, everyone=act.kind == "cut-all") > 0
        if done:
            self.strikes.append(_now(act))
        return done

    def _thaw_later(self, seconds: float, resume: Callable[[], None]) -> None:
        """To be called right before the strike is noted."""
        self._thaws.append((time.monotonic() + seconds, len(self.strikes), resume))

    def _thaw_due(self) -> None:
        now = time.monotonic()
        for thaw in [thaw for thaw in self._thaws if thaw[0] <= now]:
            _, place, resume = thaw
            resume()
            self.strikes[place] = dataclasses.replace(self.strikes[place], until=time.time())
            self._thaws.remove(thaw)


def _resume(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.resume()


def _now(
    act: Act, *, worker: str | None = None, job: int | None = None, attempt: int | None = None
) -> Strike:
    return Strike(act.kind, time.time(), time.monotonic(), worker, job, attempt)
