"""The sections in which `cvq show` tells of a job."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cvq.states import State

from . import again, formats, values
from .output import Column, fields, heading, paint, say, show_table

if TYPE_CHECKING:
    from cvq.batch import Batch
    from cvq.records import Artifact, Attempt, Job
    from cvq.views.curves import Curve
    from cvq.views.details import JobDetails
    from cvq.views.links import Links
    from cvq.views.timeline import Moment

    from .archive import Archive

_TRACEBACK_LINES = 12
_REVISION = 12  # digits of a git revision
_OF_DAY = 8  # characters of 12:34:56
_NAMED = 6  # jobs of a sort


def show_job(seen: JobDetails, estimate: str | None) -> None:
    """What it is called, where it stands, how far it is and, in words, what it will take."""
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
            ("note", _lines(job.note)),
            ("batch", seen.batch and _batch(seen.batch)),
            *_linked(seen.links),
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
            ("in the trash", formats.clock(job.trashed_at)),
        ]
    )


def _lines(note: str | None) -> list[str]:
    return (note or "").strip().splitlines()


def _batch(batch: Batch) -> str:
    name = f" {batch.name}" if batch.name else ""
    return f"{batch.id}{name}, {batch.done} of {formats.count(batch.jobs, 'job')} done"


def _linked(links: Links) -> Iterator[tuple[str, str | None]]:
    """The other jobs that it has to do with."""
    yield "sweep", None if links.sweep is None else str(links.sweep)
    yield "made from", None if links.made_from is None else f"job {links.made_from}"
    yield "made again as", _jobs(links.made_again)
    yield "shares with", None if links.twin_of is None else f"job {links.twin_of}"
    yield "shared by", _jobs(links.twins)
    yield "awaited by", _jobs(links.awaited_by)


def _jobs(ids: Sequence[int]) -> str | None:
    if not ids:
        return None
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    word = "job" if len(ids) == 1 else "jobs"
    return f"{word} {', '.join(map(str, ids[:_NAMED]))}{more}"


def show_spec(archive: Archive, job: Job) -> None:
    """What it was given, and what came out; files with where they are."""
    from cvq.views.declared import left_open

    heading("Specification")
    became = job.result if isinstance(job.result, dict) else {}
    auto = {name for name in left_open(archive.settings, job.kind) if job.spec.get(name) == 0}
    fields(
        [
            (
                name,
                _auto(archive, became.get(name))
                if name in auto
                else values.text_of(archive, value),
            )
            for name, value in job.spec.items()
        ]
    )
    for damaged in job.damage.values():
        say(formats.clean(f"The job's row in the database is damaged: {damaged}"))
    if job.result not in (None, {}):
        heading("Result")
        _show_result(archive, job)
    if job.warnings:
        heading("Warnings")
        for warning in job.warnings:
            say(formats.clean(warning))


def _auto(archive: Archive, became: Any) -> str:
    """A value that was left to the job, with what it became, where that is known."""
    return "auto" if became is None else f"auto ({values.text_of(archive, became)})"


def _show_result(archive: Archive, job: Job) -> None:
    if isinstance(job.result, dict):
        shown = {k: v for k, v in job.result.items() if not (k == "warnings" and job.warnings)}
        fields([(name, values.text_of(archive, value)) for name, value in shown.items()])
        return
    lines = values.text_of(archive, job.result)  # of a plug-in: a number, a list
    for line in [lines] if isinstance(lines, str) else lines:
        say(formats.clean(line))


def show_attempts(job: Job, attempts: Sequence[Attempt], now: datetime) -> None:
    """Where it was tried, and how that ended."""
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


def show_timeline(moments: Sequence[Moment]) -> None:
    """What happened to it, when, and how long that took."""
    heading("Timeline")
    show_table(
        [
            Column("time", lambda m: formats.clock(m.time), least=_OF_DAY, short=_time_of_day),
            Column("what", lambda moment: moment.what, least=10, after=1),
            Column("lasted", _lasted, right=True, rank=1),
            Column("by", lambda moment: moment.by, rank=2, least=8),
        ],
        moments,
    )


def _time_of_day(clock: str, width: int) -> str:
    """A time without its date, of which a narrow terminal has no room for a part."""
    return clock[-_OF_DAY:].rjust(width)


def _lasted(moment: Moment) -> str:
    if moment.seconds is None:
        return ""
    return formats.duration(moment.seconds) + (" so far" if moment.goes_on else "")


def show_metrics(curves: Sequence[Curve]) -> None:
    """The figures of its metrics, and their curves in a line each."""
    from .curves import columns

    if curves:
        heading("Metrics")
        show_table(columns(), curves)


def show_artifacts(archive: Archive, artifacts: list[Artifact]) -> None:
    """The files that it has left, and where they are."""
    from .artifact_table import columns

    if artifacts:
        heading("Artifacts")
        show_table(columns(lambda file: archive.place(file.uri)), artifacts)


def show_environment(job: Job, attempts: Sequence[Attempt]) -> None:
    """Where it ran and with what, and the working folder that it was submitted from."""
    last = attempts[-1] if attempts else None
    origin = job.origin or {}
    found = [
        ("host", last and last.host),
        ("device", last and last.device),
        ("seed", None if last is None or last.seed is None else str(last.seed)),
        ("versions", last and _versions(last.versions or {})),
        ("submitted on", _submitted(origin)),
        ("git", _git(origin.get("git"))),
        ("code", origin.get("code") and str(origin["code"])[:_REVISION]),
    ]
    if any(value for _, value in found):
        heading("Environment")
        fields(found)


def _versions(versions: dict[str, str]) -> str:
    return ", ".join(
        f"{name} {str(version)[:40]}" for name, version in versions.items() if name != "code"
    )


def _submitted(origin: dict[str, Any]) -> str:
    told = [f"{name} {origin[name]}" for name in ("cvq", "python") if origin.get(name)]
    return ", ".join([*([str(origin["host"])] if origin.get("host") else []), *told])


def _git(git: Any) -> str:
    """`3f2a91c0d4e5 (main), with changes that were not committed`."""
    if not isinstance(git, dict) or not git.get("revision"):
        return ""
    branch = f" ({git['branch']})" if git.get("branch") else ""
    dirty = {True: ", with changes that were not committed", False: ", clean"}
    state = dirty.get(git.get("dirty"), "")  # type: ignore[arg-type]
    return f"{str(git['revision'])[:_REVISION]}{branch}{state}"


def show_again(archive: Archive, job: Job) -> None:
    """The commands that do it again."""
    if lines := again.commands(archive.settings, job):
        heading("Again")
        for line in lines:
            say(formats.clean(line), hang=4)


def show_error(job: Job) -> None:
    """What went wrong in its last attempt."""
    if job.error:
        heading("Error")
        for line in job.error.strip().splitlines():
            say(formats.clean(line))


def show_last_lines(job: Job, attempts: Sequence[Attempt], *, every: bool) -> None:
    """The last words of the last attempt that failed, where the job did not succeed in the end."""
    ended_badly = [
        a for a in attempts if a.outcome not in (None, State.SUCCEEDED) and a.last_lines
    ]
    if not every:
        failed = [a for a in ended_badly if a.outcome == State.FAILED]
        ended_badly = failed[-1:] if job.state != State.SUCCEEDED else []
    for attempt in ended_badly:
        heading(f"Last lines of attempt {attempt.number}")
        for line in attempt.last_lines or []:
            say(formats.clean(line) if every else formats.cut(line))


def show_traceback(attempts: Sequence[Attempt], *, every: bool) -> None:
    """The traceback of the last attempt that has one; its end, unless every line is asked for."""
    attempt = next((a for a in reversed(attempts) if a.traceback), None)
    if attempt is None or attempt.traceback is None:
        return
    lines = attempt.traceback.rstrip().splitlines()
    shown = lines if every else lines[-_TRACEBACK_LINES:]
    heading(f"Traceback of attempt {attempt.number}")
    if len(shown) < len(lines):
        say(f"… {len(lines) - len(shown)} more lines: --traceback")
    for line in shown:
        say(formats.clean(line))
