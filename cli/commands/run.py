"""`cvq run KIND …`: a job on this machine, with a worker of its own where none is up."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from cvq.errors import JobCancelledError, SetupError, WaitTimeoutError
from cvq.files import make_home

from .. import processes, saving, submitting
from ..from_spec import KindGroup
from ..output import note

if TYPE_CHECKING:
    import subprocess

    from cvq.client import Client, JobHandle
    from cvq.jobs import Job
    from cvq.kinds.spec import Kind

_LEAVE_S = 10.0  # what a worker may need beyond the grace that it gives its jobs
_LOOK_S = 1.0  # how often a worker is looked for
_GIVE_UP_S = 30.0  # how long a cancelled job may take to stop


def _options() -> list[click.Parameter]:
    return [
        *saving.output_options(),
        *submitting.describing_options(),
        *submitting.answering_options(),
    ]


def _run(kind: Kind, values: dict[str, Any], common: dict[str, Any]) -> None:
    from cvq.client import Client, raise_for_state

    target, force = None, common["force"]
    if common["output"]:
        target = saving.check_target(common["output"], force=force, make=not common["dry_run"])
        values = saving.with_format(kind, values, target)
    client = Client()
    options = submitting.client_options(client, common)
    if common["dry_run"]:
        submitting.dry_run(client, kind, values, options)
        return
    queue = client.settings.host_queue
    with processes.terminated_is_raised():
        handle = submitting.submit(client, kind, values, {"queue": queue, **options})
        job = _follow(client, handle, queue, common["timeout"])
    if target is not None and job.state == "succeeded":
        saving.copy_results(client, handle, target, force=force)
    submitting.show_result(client, handle, as_json=common["as_json"], quiet=common["quiet"])
    raise_for_state(job)


class _Worker:
    """What runs the job: one of this machine's workers that is up, or a temporary one.

    One that is up may leave before the job is done (it may be another `cvq run`'s), so it is
    looked for again and again. A temporary one goes on where others' jobs have come to lean on
    it; it leaves by itself, also where this process is killed.
    """

    def __init__(self, client: Client, queue: str, job_id: int) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self._client = client
        self._queue = queue
        self._job_id = job_id
        self._log = client.settings.home / "logs" / f"run-{job_id}.log"
        self._look_at = 0.0

    def look(self, job: Job) -> None:
        """See to it that somebody runs the job; raise where the temporary worker has stopped."""
        if job.finished:
            return
        if self.process is not None:
            if self.process.poll() is not None:
                raise SetupError(f"the worker stopped: {processes.last_line(self._log)}")
        elif time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + _LOOK_S
            if not self._is_served(job):
                make_home(self._client.settings.home)
                words = ["--queues", self._queue, "--slots", "1", "--parent", str(os.getpid())]
                self.process = processes.start(words, self._log)

    def stop(self, grace: float) -> None:
        """Let it leave in good order, then kill it."""
        if self.process is None or self.process.poll() is not None:
            return
        if self._is_wanted():
            note("the temporary worker goes on with another job, and leaves after it")
            return
        import psutil

        processes.stop([psutil.Process(self.process.pid)], grace)
        self.process.wait(timeout=5)

    def _is_served(self, job: Job) -> bool:
        """Whether a live worker has the job, or will take it."""
        from cvq import queries
        from cvq.tables import RUNNING

        with self._client.db.read() as session:
            if job.state == RUNNING:
                rows = queries.workers(session)
                return any(row["alive"] and row["id"] == job.lease_owner for row in rows)
            rows = queries.live_workers(session, self._queue)
            return any(row["host"] == self._client.settings.host for row in rows)

    def _is_wanted(self) -> bool:
        """Whether other jobs run on it, or wait for it."""
        from cvq import queries

        assert self.process is not None
        with self._client.db.read() as session:
            queued = queries.queued_by_queue(session).get(self._queue, 0)
            rows = queries.workers(session)
        ours = (self._client.settings.host, self.process.pid)
        running = {
            job for row in rows if (row["host"], row["pid"]) == ours for job in row["running"]
        }
        return bool(queued or running - {self._job_id})


def _follow(client: Client, handle: JobHandle, queue: str, timeout: float | None) -> Job:
    """Follow the job to its end, with a worker; what interrupts this cancels the job."""
    try:
        worker = _Worker(client, queue, handle.id)
        try:
            return _wait(client, handle, worker, timeout)
        finally:
            worker.stop(client.settings.grace + _LEAVE_S)
    except KeyboardInterrupt:
        raise JobCancelledError(f"job {handle.id} was cancelled by Ctrl-C") from None
    except WaitTimeoutError:
        raise WaitTimeoutError(
            f"job {handle.id} was not done after {timeout:g} s and was cancelled"
        ) from None


def _wait(client: Client, handle: JobHandle, worker: _Worker, timeout: float | None) -> Job:
    from ..follow import Follower, headline_names

    with Follower(headline_names(client.settings, handle.job.kind)) as follower:

        def look(job: Job) -> None:
            follower(job)
            worker.look(job)

        try:
            return handle.wait(timeout, check=False, on_look=look)
        except SetupError:  # nobody is there to see the cancelling
            handle.cancel()
            raise
        except (KeyboardInterrupt, processes.Terminated, WaitTimeoutError):
            _cancel(handle, worker, look)
            raise


def _cancel(handle: JobHandle, worker: _Worker, look: Callable[[Job], None]) -> None:
    """Cancel the job and wait until it has stopped; a second Ctrl-C stops it at once."""
    if handle.cancel().finished:
        return
    note(f"cancelling job {handle.id} …")
    try:
        handle.wait(_GIVE_UP_S, check=False, on_look=look)
    except (SetupError, WaitTimeoutError):
        return
    except KeyboardInterrupt:
        if worker.process is not None:
            worker.process.kill()


run = KindGroup(
    "run",
    action=_run,
    common=_options,
    help="Run a job on this machine and follow it to its end.\n\nThe job goes through the queue "
    "like any other. Where none of this machine's workers is up, one is started for the job and "
    "stopped after it. Ctrl-C cancels the job.",
    epilog="\b\nExamples:\n  cvq run style-transfer content.jpg style.jpg -o painted.png"
    "\n  cvq run selftest",
)
