"""`cvq rerun JOB… [--set …]`: a new job from an old one, its inputs from the store."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cvq.errors import CvqError, JobCancelledError, JobFailedError, UsageError, WaitTimeoutError
from cvq.states import State
from cvq.text import count

from .. import options, resolving, submitting
from ..display import Form, display, form
from ..exit_codes import worst
from ..options import FilePath
from ..output import dump, hint, note, say, say_each
from ..verifying import DIFFERENT, tell
from .submit import follow_job, queued_line

if TYPE_CHECKING:
    from cvq.client import Client
    from cvq.handle import JobHandle
    from cvq.parse import Reference
    from cvq.proofs.comparison import Comparison

_MOST = 1_000  # jobs of one command


def _setting(context: click.Context, param: click.Parameter, given: Sequence[str]) -> Any:
    """`name=value` as a pair; each name once."""
    found: dict[str, str] = {}
    for word in given:
        name, sign, value = word.partition("=")
        name = name.strip()
        if not sign or not name:
            raise click.BadParameter(f"'{word}': give NAME=VALUE", context, param)
        if name in found:
            raise click.BadParameter(f"{name} is given twice", context, param)
        found[name] = value
    return found


@click.command(
    epilog="\b\nExamples:\n  cvq rerun 12 --set learning-rate=0.01"
    "\n  cvq rerun 12 --set epochs=20 --set optimizer=sgd --wait"
    "\n  cvq rerun 12 --new-seed --name 'another seed'\n  cvq rerun 12 --verify"
    "\n  cvq rerun 12 --verify --proof 12.json"
    "\n\nExit codes with --verify: 0 every file is the same, 1 one differs."
    "\n\n`cvq retry` tries what has failed again, as the same jobs."
)
@options.jobs
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_setting,
    help="Another value of a field, as `cvq submit KIND --help` lists them; of one within "
    "another a.b=VALUE; lists with commas. May be repeated.",
)
@click.option("--seed", type=int, metavar="N", help="Another seed.  [default: the old job's]")
@options.flag("--new-seed", help="A seed that nobody has chosen.")
@options.flag("--wait", "waits", help="Follow the jobs; exit with their outcome.")
@click.option("--name", help="Another name.")
@click.option(
    "--tag",
    type=options.TAG,
    multiple=True,
    metavar="KEY=VALUE",
    help="Other tags, in the place of the old ones; may be repeated.",
)
@click.option("--priority", type=int, metavar="0..9", help="Another priority.")
@click.option("--queue", metavar="NAME", help="Another queue.")
@click.option("--retries", type=int, metavar="N", help="Another number of retries.")
@click.option(
    "--time-limit", type=options.DURATION, metavar="DURATION", help="Another time limit."
)
@click.option(
    "--soft-time-limit", type=options.DURATION, metavar="DURATION", help="Another soft time limit."
)
@click.option("--gpu/--no-gpu", default=None, help="Only on a GPU; never on a GPU.")
@click.option(
    "--cache/--no-cache",
    default=None,
    help="Whether the result of an equal job will do.  [default: where a value is given]",
)
@options.flag(
    "--verify",
    "verifies",
    help="Run the very same again, and compare every file by its SHA-256; exit with 1 where one "
    "differs.",
)
@click.option(
    "--proof",
    type=FilePath(),
    metavar="FILE",
    help="With --verify: write what the job was made from and by, and what came of it, for `cvq "
    "verify FILE` on another machine.",
)
@options.flag("--dry-run", help="Check everything, print the values, queue nothing.")
@options.timeout
@options.as_json
@options.quiet
def rerun(
    references: Sequence[Reference], settings: Mapping[str, str], seed: int | None,
    new_seed: bool, waits: bool, dry_run: bool, timeout: float | None, verifies: bool,
    proof: str | None, **given: Any,
) -> int:  # fmt: skip
    """Submit old jobs anew, with other values where they are given.

    The inputs come from the store: no file is needed any more. The seed, the name, tags, priority,
    queue and limits are the old ones, unless others are given. JOB is an id, a range 3-7, @ (your
    last) or @~1 (the one before).
    """
    from cvq.client import Client

    client = Client()
    if seed is not None and (new_seed or "seed" in settings):
        raise UsageError("one seed: give --seed, --new-seed or --set seed=N")
    ids = resolving.resolve(client, references)
    if verifies or proof:
        _check_verify(settings, seed, given, len(ids), new_seed=new_seed, dry_run=dry_run,
                      verifies=verifies, proof=proof)  # fmt: skip
        return _verify(client, ids, timeout, proof, single=resolving.is_single(references))
    if len(ids) > _MOST:
        raise UsageError(f"{count(len(ids), 'job')} are too many: give {_MOST} at most")
    kept = {"tags": dict(given.pop("tag")) or None, **given}
    values = [_values(client, job_id, settings, seed, new_seed=new_seed) for job_id in ids]
    if dry_run or len(ids) > 1:  # of several, all are right or none is queued
        kept_options = {name: value for name, value in kept.items() if name != "cache"}
        checked = [
            client.check_rerun(job_id, options=kept_options, **each)
            for job_id, each in zip(ids, values, strict=True)
        ]
        if dry_run:
            shown = [spec.model_dump(mode="json") for spec in checked]
            dump(shown[0] if resolving.is_single(references) else shown)
            return 0
    handles = [
        client.rerun(job_id, **kept, **each) for job_id, each in zip(ids, values, strict=True)
    ]
    return _answer(client, handles, single=resolving.is_single(references), waits=waits,
                   timeout=timeout)  # fmt: skip


def _check_verify(
    settings: Mapping[str, str], seed: int | None, given: Mapping[str, Any], jobs: int, *,
    new_seed: bool, dry_run: bool, verifies: bool, proof: str | None,
) -> None:  # fmt: skip
    """Refuse what --verify cannot do: it runs the very same again."""
    if not verifies:
        raise UsageError("--proof is written with --verify")
    if settings or seed is not None or new_seed or given["cache"]:
        raise UsageError("--verify runs the very same again: give no other values")
    if dry_run:
        raise UsageError("--verify and --dry-run cannot be combined: give one")
    if proof and jobs != 1:
        raise UsageError("--proof is of one job")
    for name in (
        "name",
        "tag",
        "priority",
        "queue",
        "retries",
        "time_limit",
        "soft_time_limit",
        "gpu",
    ):
        if given[name] not in (None, ()):
            raise UsageError(f"--verify runs the very same again: leave --{name.replace('_', '-')}"
                             " away")  # fmt: skip


def _verify(
    client: Client, ids: Sequence[int], timeout: float | None, proof: str | None, *, single: bool
) -> int:
    from cvq.proofs import document
    from cvq.proofs.comparison import check_succeeded

    for job_id in ids:
        check_succeeded(client.job(job_id).job)
    for job_id in ids if len(ids) > 1 else ():  # all can be run again, or none is queued
        client.check_rerun(job_id, options={})
    handles = [client.rerun(job_id, cache=False) for job_id in ids]
    if form() is Form.TEXT:
        for handle in handles:
            note(_line(handle))
    errors = follow_all(client, handles, timeout)
    if errors and single:
        raise errors[0]
    for error in errors:
        note(f"cvq: error: {error}")
    done = [
        (job_id, handle, client.compare_files(job_id, handle))
        for job_id, handle in zip(ids, handles, strict=True)
        if handle.state == State.SUCCEEDED
    ]
    shapes = [{"job": job, "again": handle.id, **f.to_json()} for job, handle, f in done]
    display(
        done,
        json=lambda _: shapes[0] if single else shapes,
        quiet=lambda done: say_each(handle.id for _, handle, _ in done),
        text=lambda done: _tell_verified(done),
    )
    if proof:
        document.write(client.proof(ids[0], done[0][2]), Path(proof))
        if form() is Form.TEXT:
            note(f"{proof} has the proof: `cvq verify {proof}` checks it")
    codes = {error.exit_code for error in errors}
    if any(not found.is_equal for _, _, found in done):
        codes.add(DIFFERENT)
    return worst(codes)


def _tell_verified(done: Sequence[tuple[int, JobHandle, Comparison]]) -> None:
    for job_id, handle, found in done:
        tell(found, f"job {job_id}", f"job {handle.id}")


def _values(
    client: Client, job_id: int, settings: Mapping[str, str], seed: int | None, *, new_seed: bool
) -> dict[str, Any]:
    """The values that are given of a job, as its kind takes them."""
    from cvq.again import new_seed as drawn
    from cvq.again import word_value
    from cvq.kinds import get_kind

    kind = get_kind(client.job(job_id).kind, client.settings)
    values = {name: word_value(kind, name, word) for name, word in settings.items()}
    if new_seed:
        values["seed"] = drawn()
    return values if seed is None else {**values, "seed": seed}


def _answer(
    client: Client, handles: Sequence[JobHandle], *, single: bool, waits: bool,
    timeout: float | None,
) -> int:  # fmt: skip
    """Say what was queued; follow it to its end where that was asked for."""
    errors: list[CvqError] = []
    if waits or timeout is not None:
        if form() is Form.TEXT:
            for handle in handles:
                note(_line(handle))
        errors = follow_all(client, handles, timeout)
    elif form() is Form.TEXT:
        for handle in handles:
            say(_line(handle))
        if single and not handles[0].finished:
            hint(f"`cvq watch {handles[0].id}` follows it, "
                 f"`cvq compare {handles[0].made_from} {handles[0].id}` shows both")  # fmt: skip
        return 0
    display(
        handles,
        json=lambda handles: _shape(client, handles, single=single),
        quiet=lambda handles: say_each(handle.id for handle in handles),
        text=lambda handles: _show(client, handles),
    )
    if single and errors:
        raise errors[0]
    for error in errors:
        note(f"cvq: error: {error}")
    codes = {error.exit_code for error in errors}
    return worst(codes)


def _show(client: Client, handles: Sequence[JobHandle]) -> None:
    for handle in handles:
        submitting.show_result(client, handle)


def _shape(client: Client, handles: Sequence[JobHandle], *, single: bool) -> Any:
    found = [client.to_json(handle.job) for handle in handles]
    return found[0] if single else found


def _line(handle: JobHandle) -> str:
    return f"{queued_line(handle.job)} (made from job {handle.made_from})"


def follow_all(
    client: Client, handles: Sequence[JobHandle], timeout: float | None
) -> list[CvqError]:
    """Follow jobs to their ends, one after the other; return what went wrong with some."""
    from cvq.handle import raise_for_state

    deadline = None if timeout is None else time.monotonic() + timeout
    errors: list[CvqError] = []
    for handle in handles:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        try:
            follow_job(client, handle, left, quiet=form() is not Form.TEXT)
            raise_for_state(handle.job)
        except (WaitTimeoutError, JobFailedError, JobCancelledError) as error:
            errors.append(error)
    return errors
