"""What `submit` and `run` have in common: the options of every job, and its result's lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cvq.states import State

from . import estimates, formats
from .bars import counting_bar
from .colours import styled
from .debugging import spared
from .display import Form, FormOption
from .options import AHEAD, DURATION, REFERENCE, TAG, CommaList, FilePath
from .output import dump, note, on_terminal, say
from .resolving import resolve
from .widths import whole

if TYPE_CHECKING:
    from cvq.checks import JobOptions
    from cvq.client import Client
    from cvq.handle import JobHandle
    from cvq.kinds.kind import Kind
    from cvq.kinds.spec import Spec
    from cvq.lifecycle.twins import Twin
    from cvq.records import Artifact, Job


def describing_options() -> list[click.Parameter]:
    """Options that say what a job is and how it is to be run."""
    return [
        click.Option(["--name"], help="A name for people; need not be unique."),
        click.Option(
            ["--tag"], type=TAG, multiple=True, metavar="KEY=VALUE",
            help="A tag to find the job by; may be repeated.",
        ),
        click.Option(["--retries"], type=int, metavar="N",
                     help="More attempts after a crash or a lost worker.  [default: 2]"),
        click.Option(
            ["--time-limit"], type=DURATION, metavar="DURATION",
            help="Kill an attempt after this long: 90s, 5m, 1h30m.",
        ),
        click.Option(
            ["--soft-time-limit"], type=DURATION, metavar="DURATION",
            help="Ask the job to stop after this long: it saves a checkpoint and fails "
            "with `timeout`.",
        ),
        click.Option(
            ["--gpu/--no-gpu"], default=None,
            help="Only on a GPU; never on a GPU.  [default: either]",
        ),
        click.Option(["--no-cache"], is_flag=True,
                     help="Compute anew what an equal job has computed already."),
        click.Option(
            ["--params"], type=FilePath(), metavar="FILE",
            help="Values from a TOML or JSON file; those on the command line take precedence.",
        ),
    ]  # fmt: skip


def queueing_options() -> list[click.Parameter]:
    """Options that say when a job's turn comes."""
    return [
        click.Option(
            ["--priority"], type=int, metavar="0..9", help="9 goes first.  [default: 5]"
        ),
        click.Option(
            ["--after"], type=CommaList(REFERENCE), multiple=True, metavar="JOB,...",
            help="Start only when these jobs have succeeded; may be repeated.",
        ),
        click.Option(
            ["--at"], type=AHEAD, metavar="TIME",
            help="Do not start before: 2h (from now), 2026-11-01T18:00.",
        ),
        click.Option(["--queue"], metavar="NAME", help="A queue other than the default."),
    ]  # fmt: skip


def answering_options(*, quiet: str) -> list[click.Parameter]:
    """Options that say what is printed; `quiet` is what `-q` means here."""
    return [
        click.Option(
            ["--timeout"], type=DURATION, metavar="DURATION", help="Wait at most this long."
        ),
        *form_options(json="Print the job as JSON.", quiet=quiet),
        click.Option(
            ["--dry-run"], is_flag=True, help="Check everything, print the values, queue nothing."
        ),
    ]


def form_options(*, json: str, quiet: str) -> list[click.Parameter]:
    """`--json` and `--quiet`, of which one is given; whoever acts is told which."""
    return [
        FormOption(["--json", "as_json"], form=Form.JSON, expose_value=True, help=json),
        FormOption(["-q", "--quiet"], form=Form.QUIET, expose_value=True, help=quiet),
    ]


def client_options(client: Client, common: Mapping[str, Any]) -> dict[str, Any]:
    """The common options as keywords of `Client.submit`; those not given keep its defaults."""
    given = {
        "priority": common.get("priority"),
        "name": common["name"],
        "tags": dict(common["tag"]),
        "at": common.get("at"),
        "retries": common["retries"],
        "time_limit": common["time_limit"],
        "soft_time_limit": common["soft_time_limit"],
        "gpu": common["gpu"],
        "queue": common.get("queue"),
    }
    if common["no_cache"]:
        given["cache"] = False
    references = [item for group in common.get("after", ()) for item in group]
    if references:
        given["after"] = resolve(client, references)
    return {name: value for name, value in given.items() if value is not None}


def submit(
    client: Client, kind: Kind, values: Mapping[str, Any], options: Mapping[str, Any]
) -> JobHandle:
    """Submit a job; on a terminal a bar shows how far the packing of a data folder is."""
    with packing() as on_pack:
        return client.submit(kind.name, on_pack=on_pack, **options, **values)


@contextmanager
def packing() -> Iterator[Callable[[int, int], None] | None]:
    """On a terminal, a bar that shows how many files of a data folder are packed."""
    if not on_terminal(err=True):
        yield None
        return
    bar = counting_bar(beside=30)

    def show(done: int, total: int) -> None:
        if not bar.tasks:
            bar.start()
            bar.add_task("packing", total=total)
        bar.update(bar.task_ids[0], completed=done, total=total)

    try:
        yield show
    finally:
        bar.stop()


def dry_run(
    client: Client,
    kind: Kind,
    values: dict[str, Any],
    options: dict[str, Any],
    *,
    as_json: bool,
) -> None:
    """Print the specification as it would be stored, and what it would take.

    Args:
        client: who checks it.
        kind: of the job.
        values: its parameters.
        options: what it would be submitted with.
        as_json: print both in one object; the specification alone otherwise, and on stderr the
            rest for people.
    """
    from cvq.checks import JobOptions

    names = ("priority", "name", "tags", "queue", "retries", "time_limit", "soft_time_limit")
    checked = {name: options[name] for name in names if name in options}
    spec = client.check(kind.name, **checked, **values)
    shape = spec.model_dump(mode="json")
    asked = JobOptions(**{name: value for name, value in options.items() if name != "cache"})
    told = estimates.spec_estimate(client, kind, spec, asked)
    twin = _twin(client, kind, spec, asked) if options.get("cache", True) else None
    if as_json:
        estimate = None if told is None else told.to_json()
        shared = None if twin is None else {"job": twin.root, "done": twin.is_done}
        dump({"kind": kind.name, "spec": shape, "estimate": estimate, "twin": shared})
        return
    dump(shape)
    if at := options.get("at"):
        note(f"it would not start before {formats.moment(at)}")
    if twin is None:
        estimates.tell(told)
    elif twin.is_done:
        when = "" if asked.at or asked.after else " at once"
        note(f"the same as job {twin.root}, which has succeeded: it would have that result{when}")
    else:
        note(f"the same as job {twin.root}, which has not ended: it would share that result")


def _twin(client: Client, kind: Kind, spec: Spec, options: JobOptions) -> Twin | None:
    """The job whose result it would have; None where that cannot be told."""
    with spared():
        return client.twin_of(kind, spec, options)
    return None


def show_result(client: Client, handle: JobHandle, *, as_json: bool = False) -> None:
    """Print how a finished job ended, and where its files are."""
    if as_json:
        dump(client.to_json(handle.job))
    else:
        show_outcome(client, handle.job)
        _show_files(client, handle.artifacts)


def show_paths(client: Client, artifacts: list[Artifact]) -> None:
    """Print where each result is, a line each."""
    from cvq.results import results_of

    for artifact in results_of(artifacts):
        say(place(client, artifact), wrap=False)


def show_outcome(client: Client, job: Job) -> None:
    """Say how long a job took, what came out, and what is wrong with that.

    Of a failure the error tells.
    """
    from cvq.views.declared import headline_names

    if job.state != State.SUCCEEDED:
        return
    if job.twin_of is not None:
        note(twin_line(job))
        show_warnings(job)
        return
    took = formats.duration(job.seconds(job.finished_at)) if job.finished_at else ""
    figures = formats.headline(job, headline_names(client.settings, job), most=3)
    figures = figures or formats.result_figures(job)
    note(f"job {job.id} succeeded in {took}{': ' + figures if figures else ''}")
    show_warnings(job)


def twin_line(job: Job) -> str:
    """Say of which job one has its result, or is to have it."""
    if job.state == State.SUCCEEDED:
        return f"job {job.id} succeeded: the same as job {job.twin_of}"
    return f"job {job.id} {job.state}: the same as job {job.twin_of}, whose result it will share"


def show_warnings(job: Job) -> None:
    """Say what a job that succeeded says is wrong with what it made."""
    for warning in job.warnings:
        note(f"cvq: warning: job {job.id}: {formats.cut(warning, 500)}")


def _show_files(client: Client, artifacts: list[Artifact]) -> None:
    """Paths of the results in a pipe; on a terminal a line for each file."""
    from cvq.results import results_of

    if not on_terminal():
        show_paths(client, artifacts)
        return
    results = results_of(artifacts)
    for artifact in artifacts:
        where = whole(formats.clean(place(client, artifact)))
        line = f"{formats.clean(artifact.role):<10}  {formats.size(artifact.bytes):>8}  {where}"
        say(line if artifact in results else styled(line, "dim"))


def place(client: Client, artifact: Artifact) -> str:
    """Where an artifact is: its path on this machine, else its URI."""
    path: Path | None = client.artifacts.local_path(artifact.uri)
    return str(path or artifact.uri)
