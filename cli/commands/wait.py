"""`cvq wait JOB…`: nothing but the outcome."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from cvq.errors import JobCancelledError, JobFailedError, UsageError, WaitTimeoutError

from .. import options, resolving
from ..batch_follow import follow
from ..display import Form, form
from ..exit_codes import worst
from ..holdups import Holdups
from ..output import dump, note
from ..submitting import show_warnings

if TYPE_CHECKING:
    from cvq.client import Client
    from cvq.parse import Reference


@click.command(
    epilog="\b\nExamples:\n  cvq wait 12 && cvq get 12\n  cvq wait 3-7 --timeout 1h"
    "\n  cvq wait --batch 3 && cvq results 3\n  cvq wait --sweep @ --timeout 8h"
    "\n\nExit codes: 0 all succeeded, 1 one failed, 3 one was cancelled, 124 time ran out."
)
@click.argument("references", metavar="[JOB]...", type=options.REFERENCE, nargs=-1)
@click.option(
    "--batch",
    type=options.BATCH,
    metavar="BATCH",
    help="Wait for a batch, an id or @ for your last, with one bar for all its jobs.",
)
@click.option(
    "--sweep",
    type=options.SWEEP,
    metavar="SWEEP",
    help="Wait for a sweep, an id or @ for your last, with one bar for all its trials.",
)
@options.timeout
@options.as_json
@options.flag("-q", "--quiet", help="Do not say why a job did not succeed.")
def wait(
    references: Sequence[Reference], batch: Reference | None, sweep: Reference | None,
    timeout: float | None, quiet: bool,
) -> int:  # fmt: skip
    """Wait for jobs to end; exit with their outcome.

    JOB is an id, a range 3-7, @ (your last) or @~1 (the one before). Prints only why jobs failed,
    what trainings warn of, and what keeps a job from starting.
    """
    from cvq.client import Client

    client = Client()
    if sum((bool(references), batch is not None, sweep is not None)) != 1:
        raise UsageError("which jobs? Give JOB, --batch BATCH or --sweep SWEEP")
    if batch is not None:
        handle = client.batch(resolving.resolve_batch(client, batch))
        follow(handle, timeout=timeout, quiet=quiet, as_json=form() is Form.JSON)
        return 0
    if sweep is not None:
        from .. import sweep_follow

        [number] = resolving.resolve_sweeps(client, [sweep])
        known = client.sweep_of(number)
        sweep_follow.follow(known, timeout=timeout, quiet=quiet, as_json=form() is Form.JSON)
        return 0
    ids = resolving.resolve(client, references)
    deadline = None if timeout is None else time.monotonic() + timeout
    codes = {_outcome(client, job_id, deadline, quiet=quiet) for job_id in ids}
    if form() is Form.JSON:
        found = [client.to_json(client.job(job_id).job) for job_id in ids]
        dump(found[0] if resolving.is_single(references) else found)
    return worst(codes)


def _outcome(client: Client, job_id: int, deadline: float | None, *, quiet: bool) -> int:
    left = None if deadline is None else max(0.0, deadline - time.monotonic())
    handle = client.job(job_id)
    try:
        handle.wait(left, on_look=Holdups(client, busy=not quiet))
    except WaitTimeoutError as error:
        code, said = error.exit_code, f"timed out: job {job_id} is still {handle.job.state}"
    except (JobFailedError, JobCancelledError) as error:
        code, said = error.exit_code, str(error)
    else:
        if not quiet:
            show_warnings(handle.job)
        return 0
    if not quiet:
        note(f"cvq: error: {said}")
    return code
