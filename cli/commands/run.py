"""`cvq run KIND …`: a job on this machine, with a worker of its own where none is up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
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
    """The temporary worker, or nothing where one of this machine's workers is up."""

    def __init__(self, process: subprocess.Popen[bytes] | None = None, log: Path | None = None):
        self.process = process
        self.log = log

    def check(self, job: Job) -> None:
        """Raise where the worker has ended before the job."""
        if self.process is None or job.finished or self.process.poll() is None:
            return
        assert self.log is not None
        raise SetupError(f"the worker stopped: {processes.last_line(self.log)}")

    def stop(self, grace: float) -> None:
        """Let it leave in good order, then kill it."""
        if self.process is None or self.process.poll() is not None:
            return
        import psutil

        processes.stop([psutil.Process(self.process.pid)], grace)
        self.process.wait(timeout=5)


@contextmanager
def _worker(client: Client, queue: str, job_id: int) -> Iterator[_Worker]:
    """A worker that serves this machine's queue: one that is up, or a temporary one."""
    if _served(client, queue):
        yield _Worker()
        return
    make_home(client.settings.home)
    log = client.settings.home / "logs" / f"run-{job_id}.log"
    worker = _Worker(processes.start(["--queues", queue, "--slots", "1"], log), log)
    try:
        yield worker
    finally:
        worker.stop(client.settings.grace + _LEAVE_S)


def _served(client: Client, queue: str) -> bool:
    from cvq import queries

    with client.db.read() as session:
        workers = queries.live_workers(session, queue)
    return any(worker["host"] == client.settings.host for worker in workers)


def _follow(client: Client, handle: JobHandle, queue: str, timeout: float | None) -> Job:
    """Follow the job to its end, with a worker; what interrupts this cancels the job."""
    try:
        with _worker(client, queue, handle.id) as worker:
            return _wait(client, handle, worker, timeout)
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
            worker.check(job)

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
