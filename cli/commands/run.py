"""`cvq run KIND …`: a job on this machine, with a worker of its own where none can run it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from cvq.errors import JobCancelledError, SetupError, UsageError, WaitTimeoutError
from cvq.files import make_home
from cvq.matching import Candidates, Needs, misfit_of_all, offers_of
from cvq.states import State
from cvq.text import exactly

from .. import batching, processes, saving, submitting
from ..from_spec import KindGroup
from ..interrupts import Interrupts, Terminated
from ..output import note

if TYPE_CHECKING:
    import subprocess

    from cvq.client import Client
    from cvq.handle import JobHandle
    from cvq.kinds.kind import Kind
    from cvq.records import Job

_LOOK_S = 1.0  # how often a worker is looked for
_GIVE_UP_S = 30.0  # how long a cancelled job may take to stop


def _options(_: Kind) -> list[click.Parameter]:
    return [
        *saving.output_options(),
        *submitting.describing_options(),
        *submitting.answering_options(quiet="Print nothing but the paths of the results."),
    ]


def _run(kind: Kind, values: dict[str, Any], common: dict[str, Any]) -> None:
    from cvq.client import Client
    from cvq.handle import raise_for_state

    if source := batching.source_in(kind, values):
        raise UsageError(f"{source} may be many items: `cvq submit {kind.name}` makes a batch of "
                         "them, and with --wait follows it")  # fmt: skip
    target, force, given = None, common["force"], common["output"]
    if given:
        target = saving.check_target(given, force=force)
        if not saving.is_folder(given):
            values = saving.with_format(kind, values, target)
    client = Client()
    options = submitting.client_options(client, common)
    if common["dry_run"]:
        submitting.dry_run(client, kind, values, options, as_json=common["as_json"])
        return
    queue = client.settings.host_queue
    handle = submitting.submit(client, kind, values, {"queue": queue, **options})
    job = _follow(client, handle, common["timeout"], quiet=common["quiet"])
    if target is not None and job.state == State.SUCCEEDED:
        saving.copy_results(
            client, handle, target,
            folder=saving.is_folder(given), force=force, quiet=common["quiet"],
        )  # fmt: skip
    if common["quiet"] and not common["as_json"]:
        submitting.show_paths(client, handle.artifacts)
    else:
        submitting.show_result(client, handle, as_json=common["as_json"])
    raise_for_state(job)


class _Worker:
    """What runs the job: one of this machine's workers that is up and can, or a temporary one.

    One that is up may leave before the job is done (it may be another `cvq run`'s), so it is
    looked for again and again. A temporary one goes on where others' jobs have come to lean on
    it; it leaves by itself, also where this process is killed.
    """

    def __init__(self, client: Client, job_id: int) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self._client = client
        self._job_id = job_id
        self._log = client.settings.home / "logs" / f"run-{job_id}.log"
        self._look_at = 0.0
        self._is_up = False  # the temporary one

    def look(self, job: Job) -> bool:
        """See to it that somebody runs the job; return whether whoever does is up.

        Raises:
            SetupError: the temporary worker has stopped, or cannot run this job either.
        """
        if job.finished:
            return True
        if self.process is not None and self.process.poll() is not None:
            raise SetupError(f"the worker stopped: {processes.last_line(self._log)}")
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + _LOOK_S
            served = self._is_served(job)
            if self.process is not None:
                self._is_up = served or self._has_come_up(job)
            elif not served:
                make_home(self._client.settings.home)
                words = ["--queues", job.queue, "--slots", "1", "--parent", str(os.getpid())]
                self.process = processes.start(words, self._log)
        return self.process is None or self._is_up

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

        with self._client.db.read() as connection:
            workers = queries.workers(connection)
        if job.state == State.RUNNING:
            return any(worker.alive and worker.id == job.lease_owner for worker in workers)
        return bool(Candidates.of(job, workers).able)

    def _has_come_up(self, job: Job) -> bool:
        """Whether the temporary worker is up.

        Raises:
            SetupError: it is, and cannot run the job.
        """
        from cvq import queries

        assert self.process is not None
        with self._client.db.read() as connection:
            workers = Candidates.of(job, queries.workers(connection)).taking
        ours = (self._client.settings.host, self.process.pid)
        worker = next((each for each in workers if (each.host, each.pid) == ours), None)
        no = worker and misfit_of_all(Needs.of(job), offers_of(worker))
        if no:
            raise SetupError(
                f"job {job.id} cannot run on this machine, whose worker {no.why}: {no.advice}"
            )
        return worker is not None

    def _is_wanted(self) -> bool:
        """Whether other jobs run on it, or wait for it."""
        from cvq import queries

        assert self.process is not None
        with self._client.db.read() as connection:
            queue = queries.get_job(connection, self._job_id).queue
            queued = queries.queued_by_queue(connection).get(queue, 0)
            rows = queries.workers(connection)
        ours = (self._client.settings.host, self.process.pid)
        running = {job for row in rows if (row.host, row.pid) == ours for job in row.running}
        return bool(queued or running - {self._job_id})


def _follow(client: Client, handle: JobHandle, timeout: float | None, *, quiet: bool) -> Job:
    """Follow the job to its end, with a worker; what interrupts this cancels the job."""
    try:
        worker = _Worker(client, handle.id)
        with Interrupts() as interrupts:
            try:
                return _wait(client, handle, worker, interrupts, timeout, quiet=quiet)
            finally:
                worker.stop(client.settings.grace + processes.LEAVE_S)
    except KeyboardInterrupt:
        raise JobCancelledError(f"job {handle.id} was cancelled by Ctrl-C") from None
    except WaitTimeoutError:
        raise WaitTimeoutError(
            f"job {handle.id} was not done after {exactly(timeout)} and was cancelled"
        ) from None


def _wait(
    client: Client, handle: JobHandle, worker: _Worker, interrupts: Interrupts,
    timeout: float | None, *, quiet: bool,
) -> Job:  # fmt: skip
    from cvq.views.declared import headline_names

    from ..follow import Follower
    from ..holdups import Holdups

    names = headline_names(client.settings, handle.job)
    with closing(Follower(names, quiet=quiet)) as follower:
        holdups = Holdups(client, follower.say, busy=not quiet)

        def look(job: Job) -> None:
            interrupts.check()
            follower(job)
            if worker.look(job):
                holdups(job)

        try:
            return handle.wait(timeout, check=False, on_look=look).job
        except SetupError:  # nobody is there to see the cancelling
            handle.cancel()
            raise
        except (KeyboardInterrupt, Terminated, WaitTimeoutError):
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
    "like any other. If no worker on this machine can run it, one is started for the job and "
    "stopped afterwards. Ctrl-C cancels the job.",
    epilog="\b\nExamples:\n  cvq run style-transfer content.jpg style.jpg -o painted.png"
    "\n  cvq run selftest",
)
