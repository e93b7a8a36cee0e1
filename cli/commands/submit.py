"""`cvq submit KIND …`: check, store the inputs, queue; with --wait, follow to the end."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from cvq.errors import CvqError
from cvq.states import State

from .. import batching, estimates, submitting
from ..formats import clean, moment, title
from ..from_spec import KindGroup
from ..holdups import Holdups
from ..main import drop_output
from ..output import dump, hint, note, say

if TYPE_CHECKING:
    from cvq.client import Client
    from cvq.handle import JobHandle
    from cvq.kinds.kind import Kind
    from cvq.records import Job


def _options(kind: Kind) -> list[click.Parameter]:
    wait = click.Option(["--wait"], is_flag=True, help="Follow the job; exit with its outcome.")
    return [
        *batching.options(kind),
        *submitting.describing_options(),
        *submitting.queueing_options(),
        wait,
        *submitting.answering_options(quiet="Print the id only."),
    ]


def _submit(kind: Kind, values: dict[str, Any], common: dict[str, Any]) -> None:
    from cvq.client import Client

    client = Client()
    options = submitting.client_options(client, common)
    if batching.is_batch(kind, values, common):
        batching.submit(kind, client, values, common, options)
        return
    if common["dry_run"]:
        submitting.dry_run(client, kind, values, options, as_json=common["as_json"])
        return
    handle = submitting.submit(client, kind, values, options)
    if not (common["wait"] or common["timeout"] is not None):
        _tell(client, handle, common)
        return
    if not (common["as_json"] or common["quiet"]):
        note(queued_line(handle.job))
        if not handle.finished:
            estimates.tell(estimates.job_estimate(client, handle.job), nobody=False)
    _follow(client, handle, common)


def _tell(client: Client, handle: JobHandle, common: dict[str, Any]) -> None:
    """Say that the job is queued. Who cannot be told has queued it all the same."""
    try:
        _show_queued(client, handle, as_json=common["as_json"], quiet=common["quiet"])
        sys.stdout.flush()
        if not (common["as_json"] or common["quiet"] or handle.finished):
            estimates.tell(estimates.job_estimate(client, handle.job), nobody=False)
        Holdups(client, busy=False)(handle.job)
    except (OSError, CvqError) as error:
        drop_output()
        said = error.strerror if isinstance(error, OSError) else error
        note(f"cvq: warning: job {handle.id} is queued, but its details could not be "
             f"printed: {said}")  # fmt: skip


def queued_line(job: Job) -> str:
    """Say which job was submitted, and what becomes of it."""
    if job.twin_of is not None and job.state in (State.SUCCEEDED, State.WAITING):
        return submitting.twin_line(job)
    line = f"job {job.id} {job.state}: {clean(job.kind)} {title(job)}".rstrip()
    return line + (f", not before {moment(job.not_before)}" if job.not_before else "")


def _show_queued(client: Client, handle: JobHandle, *, as_json: bool, quiet: bool) -> None:
    job = handle.job
    if as_json:
        told = estimates.job_estimate(client, job)
        dump({**client.to_json(job), "estimate": None if told is None else told.to_json()})
    elif quiet:
        say(job.id)
    else:
        say(queued_line(job))
        if job.finished:
            hint(f"`cvq get {job.id}` copies its files here, --no-cache computes it anew")
            return
        hint(f"`cvq watch {job.id}` follows it, `cvq show {job.id}` shows details, "
             f"`cvq get {job.id}` copies its files here")  # fmt: skip


def _follow(client: Client, handle: JobHandle, common: dict[str, Any]) -> None:
    from cvq.handle import raise_for_state

    follow_job(client, handle, common["timeout"], quiet=common["quiet"])
    if common["quiet"] and not common["as_json"]:
        say(handle.id)
    else:
        submitting.show_result(client, handle, as_json=common["as_json"])
    raise_for_state(handle.job)


def follow_job(client: Client, handle: JobHandle, timeout: float | None, *, quiet: bool) -> None:
    """Follow a job to its end, however it ends; what interrupts this leaves it as it is.

    Raises:
        WaitTimeoutError: it has not ended in time.
    """
    from cvq.views.declared import headline_names

    from ..follow import Follower
    from ..interrupts import Interrupts

    try:
        names = headline_names(client.settings, handle.job)
        with (
            Interrupts() as interrupts,
            closing(Follower(names, quiet=quiet)) as follower,
        ):
            holdups = Holdups(client, follower.say, busy=not quiet)

            def look(job: Job) -> None:
                interrupts.check()
                follower(job)
                holdups(job)

            handle.wait(timeout, check=False, on_look=look)
    except KeyboardInterrupt:
        note(f"job {handle.id} continues: `cvq watch {handle.id}` follows it, "
             f"`cvq cancel {handle.id}` stops it")  # fmt: skip
        raise


submit = KindGroup(
    "submit",
    action=_submit,
    common=_options,
    help="Queue a job.\n\nThe job is checked, its input files are stored, and it is entered in "
    "the database before this command returns. A folder, a list (@FILE, - for stdin), a zip or "
    "tar, a table or a bucket's prefix in the place of pictures makes a batch: a job for each. "
    "`cvq submit KIND --help` lists a kind's options.",
    epilog="\b\nExamples:\n  cvq submit style-transfer content.jpg style.jpg --wait"
    "\n  cvq submit style-transfer a.jpg b.jpg --size 320 --tag for=poster --json"
    "\n  cvq submit classify photos/ --model 42 --wait"
    "\n  cvq submit command --keep 'out/**' -- python train.py --lr 0.1",
)
