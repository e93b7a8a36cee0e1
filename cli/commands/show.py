"""`cvq show JOB`: everything that is known of a job."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from cvq.states import State

from .. import estimates, formats, options
from ..display import display_each
from ..output import Column, fields, heading, paint, say, show_table
from ..widths import whole

if TYPE_CHECKING:
    from cvq.batch import Batch
    from cvq.client import Client
    from cvq.parse import Reference
    from cvq.records import Artifact, Attempt, Event, Job
    from cvq.views.curves import Curve
    from cvq.views.details import JobDetails

_TRACEBACK_LINES = 12
_DEEPEST = 5  # level of a result that is shown


@click.command(epilog="\b\nExamples:\n  cvq show @\n  cvq show 3-7 --json")
@options.jobs
@options.as_json
@options.flag(
    "--traceback",
    help="Show the whole traceback, not only its end, and every failed attempt's last lines.",
)
def show(references: Sequence[Reference], traceback: bool) -> None:
    """Show everything known about a job.

    JOB is an id, a range 3-7, @ (your last) or @~1 (the one before).
    """
    from cvq.client import Client

    client = Client()
    ids = options.resolve(client, references)
    display_each(
        [client.job(job_id).job for job_id in ids],
        json=lambda job: _as_json(client, job),
        text=lambda job: _show(client, job.id, whole=traceback),
        single=options.is_single(references),
    )


def _as_json(client: Client, job: Job) -> dict[str, Any]:
    from cvq import queries
    from cvq.views import shapes

    with client.db.read() as connection:
        attempts = queries.attempts_of(connection, job.id)
    told = estimates.job_estimate(client, job)
    return client.to_json(job) | {
        "attempts": [shapes.attempt(each) for each in attempts],
        "estimate": None if told is None else told.to_json(),
    }


def _show(client: Client, job_id: int, *, whole: bool) -> None:
    from cvq.views.details import details_of

    with client.db.read() as connection:
        seen = details_of(connection, client.settings, job_id)
    _show_job(seen, estimates.estimate_of(client, seen.job))
    _show_spec(client, seen.job)
    _show_attempts(seen.job, seen.attempts, seen.now)
    _show_metrics(seen.curves)
    _show_artifacts(client, seen.artifacts)
    _show_events(seen.events)
    _show_error(seen.job)
    _show_last_lines(seen.job, seen.attempts, whole=whole)
    _show_traceback(seen.attempts, whole=whole)


def _show_job(seen: JobDetails, estimate: str | None) -> None:
    job = seen.job
    state = paint(formats.outcome(job), formats.STATE_STYLES[job.state])
    say(f"job {job.id}  {formats.clean(job.kind)}  {state}")
    queue = f"{job.queue}, priority {job.priority}"
    if seen.ahead is not None:
        queue += f", {seen.ahead} before it"
    fields(
        [
            ("name", job.name),
            ("user", job.user),
            ("tags", "  ".join(f"{key}={value}" for key, value in job.tags.items())),
            ("batch", seen.batch and _batch(seen.batch)),
            ("queue", queue),
            ("device", {"gpu": "only a GPU", "cpu": "no GPU"}.get(job.device or "")),
            ("time limit", formats.duration(job.time_limit)),
            ("soft time limit", formats.duration(job.soft_time_limit)),
            ("after", ", ".join(f"job {parent.id} ({parent.state})" for parent in seen.parents)),
            ("not before", formats.clock(job.not_before) if job.state == State.WAITING else None),
            ("submitted", formats.clock(job.created_at)),
            ("started", formats.clock(job.started_at)),
            ("finished", formats.clock(job.finished_at)),
            ("time", formats.duration(job.seconds(seen.now))),
            ("progress", formats.progress(job)),
            ("estimate", estimate),
            ("attempts", f"{job.attempt} of {job.max_attempts}"),
        ]
    )


def _batch(batch: Batch) -> str:
    name = f" {batch.name}" if batch.name else ""
    return f"{batch.id}{name}, {batch.done} of {formats.count(batch.jobs, 'job')} done"


def _show_spec(client: Client, job: Job) -> None:
    from cvq.views.declared import left_open

    heading("Specification")
    became = job.result if isinstance(job.result, dict) else {}
    auto = {name for name in left_open(client.settings, job.kind) if job.spec.get(name) == 0}
    fields(
        [
            (name, _auto(client, became.get(name)) if name in auto else _value(client, value))
            for name, value in job.spec.items()
        ]
    )
    for damaged in job.damage.values():
        say(formats.clean(f"The job's row in the database is damaged: {damaged}"))
    if job.result not in (None, {}):
        heading("Result")
        _show_result(client, job)
    if job.warnings:
        heading("Warnings")
        for warning in job.warnings:
            say(formats.clean(warning))


def _auto(client: Client, became: Any) -> str:
    """A value that was left to the job, with what it became, where that is known."""
    return "auto" if became is None else f"auto ({_value(client, became)})"


def _show_result(client: Client, job: Job) -> None:
    if isinstance(job.result, dict):
        shown = {k: v for k, v in job.result.items() if not (k == "warnings" and job.warnings)}
        fields([(name, _value(client, value)) for name, value in shown.items()])
        return
    lines = _value(client, job.result)  # of a plug-in: a number, a list
    for line in [lines] if isinstance(lines, str) else lines:
        say(formats.clean(line))


def _value(client: Client, value: Any) -> str | list[str]:
    """Text for people: files and records have a line each, plain numbers share one."""
    if not isinstance(value, list):
        return _item(client, value)
    items = [_item(client, item) for item in value]
    return items if _has_records(value) else ", ".join(items)


def _item(client: Client, value: Any, depth: int = 0) -> str:
    if depth > _DEEPEST and isinstance(value, dict | list):
        return "… (see --json)"
    if isinstance(value, dict):
        if "sha256" in value and "name" in value:
            return _file(client, value)
        # Records within records are left to --json.
        plain = {key: item for key, item in value.items() if not _has_records(item)}
        return ", ".join(f"{key} {_item(client, item, depth + 1)}" for key, item in plain.items())
    if isinstance(value, list):
        return f"({', '.join(_item(client, item, depth + 1) for item in value)})"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value)


def _has_records(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(item, dict) for item in value)


def _file(client: Client, value: dict[str, Any]) -> str:
    if value["sha256"] is None:
        return str(value["name"])
    uri = client.artifacts.input_uri(value["sha256"])
    return f"{value['name']} ({whole(client.artifacts.local_path(uri) or uri)})"


def _show_attempts(job: Job, attempts: Sequence[Attempt], now: datetime) -> None:
    if not attempts:
        return
    heading("Attempts")
    show_table(
        [
            Column("no", lambda a: str(a.number), right=True),
            Column("outcome", lambda a: a.outcome or State.RUNNING,
                   style=lambda a: formats.STATE_STYLES.get(a.outcome or State.RUNNING, "")),
            Column("reason", lambda a: a.reason or "", rank=1),
            Column("worker", lambda a: a.worker, rank=3, least=12),
            Column("device", lambda a: a.device or "", rank=5, least=8),
            Column("time", lambda a: formats.duration(a.seconds(now)), right=True, rank=2),
            Column("memory", lambda a: formats.size(a.peak_memory), right=True, rank=4),
        ],
        attempts,
    )  # fmt: skip
    for attempt in attempts:
        if attempt.micro_batch_size and attempt.micro_batch_size > 1:
            others = formats.count(attempt.micro_batch_size - 1, "other job")
            say(f"attempt {attempt.number}: answered together with {others}")
        # The last one's error has a section of its own.
        if attempt.error and not (attempt is attempts[-1] and attempt.error == job.error):
            say(f"attempt {attempt.number}: {formats.one_line(attempt.error)}")


def _show_metrics(curves: Sequence[Curve]) -> None:
    from ..curves import columns

    if curves:
        heading("Metrics")
        show_table(columns(), curves)


def _show_artifacts(client: Client, artifacts: list[Artifact]) -> None:
    from ..artifact_table import columns

    if artifacts:
        heading("Artifacts")
        show_table(columns(client), artifacts)


def _show_events(events: Sequence[Event]) -> None:
    heading("Events")
    for event in events:
        say(
            f"{formats.clock(event.time)}  {formats.clean(event.what)}  {formats.clean(event.by)}",
            hang=21,
        )


def _show_error(job: Job) -> None:
    if job.error:
        heading("Error")
        for line in job.error.strip().splitlines():
            say(formats.clean(line))


def _show_last_lines(job: Job, attempts: Sequence[Attempt], *, whole: bool) -> None:
    """The last words of the last attempt that failed, where the job did not succeed in the end."""
    ended_badly = [
        a for a in attempts if a.outcome not in (None, State.SUCCEEDED) and a.last_lines
    ]
    if not whole:
        failed = [a for a in ended_badly if a.outcome == State.FAILED]
        ended_badly = failed[-1:] if job.state != State.SUCCEEDED else []
    for attempt in ended_badly:
        heading(f"Last lines of attempt {attempt.number}")
        for line in attempt.last_lines or []:
            say(formats.clean(line) if whole else formats.cut(line))


def _show_traceback(attempts: Sequence[Attempt], *, whole: bool) -> None:
    attempt = next((a for a in reversed(attempts) if a.traceback), None)
    if attempt is None or attempt.traceback is None:
        return
    lines = attempt.traceback.rstrip().splitlines()
    shown = lines if whole else lines[-_TRACEBACK_LINES:]
    heading(f"Traceback of attempt {attempt.number}")
    if len(shown) < len(lines):
        say(f"… {len(lines) - len(shown)} more lines: --traceback")
    for line in shown:
        say(formats.clean(line))
