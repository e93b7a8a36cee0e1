"""The columns of a list of jobs, in which a batch may stand for its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cvq.errors import UsageError
from cvq.states import State

from . import batch_table, formats
from .display import Form, Listing, form
from .job_fields import plain
from .outlook import COLUMNS, ESTIMATE
from .output import Column
from .widths import ending, name

if TYPE_CHECKING:
    from cvq.batch import Batch
    from cvq.history import History
    from cvq.records import Job
    from cvq.settings import Settings
    from cvq.views.filters import Filter
    from cvq.views.folded import Row

    from .job_fields import Chosen
    from .outlook import Outlook

DEFAULT = ("id", "state", "kind", "name", "user", "age", "time", "progress", "headline")
# What a query calls otherwise, or what stands in one of these.
_SHOWN = {*DEFAULT, "created", "created_at", "duration", "status", "reason", "batch", "sweep"}

# States of a batch's jobs that its number of those done does not tell.
_TOLD = (State.RUNNING, State.FAILED, State.CANCELLED)


def columns(
    settings: Settings, now: datetime, outlook: Outlook | None = None
) -> list[Column[Job]]:
    """What `cvq ls` shows of a job; CSV has exact times, seconds and all metrics' names.

    The `outlook` has what is estimated of one that has not ended.
    """
    from cvq.views.declared import headline_names
    from cvq.views.shapes import iso

    def headline(job: Job) -> str:
        return formats.headline(job, headline_names(settings, job))

    def progress(job: Job) -> str:
        said = formats.progress(job) if job.state == State.RUNNING else ""
        if job.twin_of is not None and job.state in (State.WAITING, State.SUCCEEDED):
            said = f"as job {job.twin_of}"  # which does the same
        told = outlook.cell(job) if outlook else ""
        return ", ".join(filter(None, [said, told]))

    return [
        Column("id", lambda job: str(job.id), lambda job: job.id, right=True),
        Column(
            "state",
            formats.outcome,
            lambda job: job.state,
            style=lambda job: formats.STATE_STYLES[job.state],
            least=9,
            after=3,
            short=formats.state,
        ),
        Column("kind", lambda job: job.kind, rank=2, least=10, after=4, short=ending),
        Column("name", formats.title, rank=3, least=12, short=name),
        Column("user", lambda job: job.user, rank=6, least=8, short=ending),
        Column(
            "age",
            lambda job: formats.age(job.created_at, now),
            lambda job: iso(job.created_at),
            "created_at",
            right=True,
            rank=5,
        ),
        Column(
            "time",
            lambda job: formats.duration(job.seconds(now)),
            lambda job: job.seconds(now),
            "seconds",
            right=True,
            rank=4,
        ),
        Column(
            "progress", progress, _done, right=True, rank=1, least=9, after=5, short=formats.done
        ),
        Column("headline", headline, least=8, after=0, short=formats.figure),
    ]


def _done(job: Job) -> float | None:
    at = job.progress or {}
    return at["done"] / at["total"] if at.get("total") else None


@dataclass(frozen=True)
class Choice:
    """What is to be shown of jobs.

    Attributes:
        columns: of the table, by their names.
        keys: of JSON; empty where all are wanted.
        fields: those of both that a query knows, and the table and JSON do not have by themselves.
        estimates: whether estimates are among them.
    """

    columns: Sequence[str] = DEFAULT
    keys: Sequence[str] = ()
    fields: Sequence[str] = ()
    estimates: bool = False


def choose(wanted: Filter, columns: Sequence[str] | None, keys: Sequence[str]) -> Choice:
    """What is to be shown of the jobs of a filter.

    Args:
        wanted: the filter; what is asked of jobs there, or sorted by, is shown to people.
        columns: as they were asked for; `+NAME` is added to those that there are anyway.
        keys: of JSON, as they were asked for.

    Raises:
        UsageError: the fields of JSON were asked for twice.
    """
    if columns and keys:
        raise UsageError("--json FIELD,… and --columns cannot be combined: give one")
    if form() is Form.JSON:
        asked = [*(keys or [name.removeprefix("+") for name in columns or ()])]
        estimates = not asked or not COLUMNS.isdisjoint(asked) or ESTIMATE in asked
        known = {*_json_names(), *COLUMNS, ESTIMATE}
        return Choice(
            keys=asked,
            fields=[name for name in asked if name not in known],
            estimates=estimates,
        )
    if columns:
        names = [name.removeprefix("+") for name in columns]
        added = any(name.startswith("+") for name in columns)
    else:
        names, added = [*_asked(wanted)] if form() in (Form.TEXT, Form.MD) else [], True
    shown = list(dict.fromkeys([*(DEFAULT if added else ()), *names]))
    fields = [name for name in shown if name not in {*DEFAULT, *COLUMNS}]
    return Choice(shown, fields=fields, estimates=not COLUMNS.isdisjoint(shown))


def _asked(wanted: Filter) -> Iterator[str]:
    """The fields that a filter asks for, as they were written, but for what is shown anyway."""
    from cvq.query.meaning import fields_of

    for field in [*(key.field for key in wanted.keys), *fields_of(wanted.where)]:
        if str(field.place) not in _SHOWN:
            yield str(field.place)


def _json_names() -> set[str]:
    from cvq.views.shapes import job_names

    return set(job_names())


def listing(
    client: History,
    chosen: Chosen | None = None,
    choice: Choice | None = None,
    outlook: Outlook | None = None,
) -> Listing[Job]:
    """A list of jobs in every form."""
    choice = choice or Choice()

    def shown() -> list[Column[Job]]:
        now = _now(client)
        found = {column.name: column for column in columns(client.settings, now, outlook)}
        found |= outlook.columns(now) if outlook else {}
        found |= {column.name: column for column in chosen.columns()} if chosen else {}
        return [found[name] for name in choice.columns]

    return Listing(
        columns=shown,
        shape=lambda jobs: _shapes(client, jobs, choice.keys, chosen, outlook),
        quiet=lambda job: job.id,
    )


def folded(client: History, outlook: Outlook | None = None) -> Listing[Row]:
    """A list of jobs and batches, for people."""
    return Listing(
        columns=lambda: folded_columns(client.settings, _now(client), outlook),
        shape=lambda rows: [],
        quiet=lambda row: row.id,
    )


def folded_columns(
    settings: Settings, now: datetime, outlook: Outlook | None = None
) -> list[Column[Row]]:
    """The same columns, in which a batch has what there is to say of all its jobs."""
    of_batch: Mapping[str, Callable[[Batch], str]] = {
        "id": lambda batch: f"batch {batch.id}",
        "state": lambda batch: batch.state,
        "kind": lambda batch: formats.clean(batch.kind),
        "name": batch_table.title,
        "user": lambda batch: formats.clean(batch.user),
        "age": lambda batch: formats.age(batch.created_at, now),
        "progress": lambda batch: (
            f"{batch.done}/{batch.jobs}" if batch.jobs and _is_whole(batch) else ""
        ),
        "headline": _told,
    }
    of_jobs = columns(settings, now, outlook)
    return [_either(column, of_batch.get(column.name)) for column in of_jobs]


def _either(column: Column[Job], of_batch: Callable[[Batch], str] | None) -> Column[Row]:
    from cvq.batch import Batch

    def text(row: Row) -> str:
        if isinstance(row, Batch):
            return "" if of_batch is None else of_batch(row)
        return column.text(row)

    style = None if column.style is None else (lambda row: formats.STATE_STYLES[row.state])
    return replace(column, text=text, raw=None, style=style)  # type: ignore[return-value]


def _is_whole(batch: Batch) -> bool:
    """Whether all its jobs are meant, and not some that a filter has found."""
    return sum(batch.states.values()) >= batch.jobs


def _told(batch: Batch) -> str:
    if not _is_whole(batch):
        return f"{sum(batch.states.values())} of {formats.count(batch.jobs, 'job')}"
    told = {state: number for state, number in batch.states.items() if state in _TOLD}
    known = [f"{formats.count(batch.known, 'item')} known"] if batch.known else []
    return ", ".join([*([formats.states(told)] if told else []), *known])


def _now(client: History) -> datetime:
    from cvq import queries

    with client.db.read() as connection:
        return queries.database_time(connection)


def _shapes(
    client: History,
    jobs: Sequence[Job],
    keys: Sequence[str],
    chosen: Chosen | None,
    outlook: Outlook | None,
) -> Iterator[dict[str, Any]]:
    from cvq.views import shapes

    if keys and "artifacts" not in keys:
        found: Iterator[dict[str, Any]] = (shapes.job(job, ()) for job in jobs)
    else:
        with client.db.read() as connection:
            found = iter(list(shapes.jobs(connection, jobs)))
    for job, shape in zip(jobs, found, strict=True):
        values = chosen.of(job) if chosen else {}
        told = outlook.shape(job) if outlook else {}
        known = {**{name: plain(value) for name, value in values.items()}, **told, **shape}
        yield {name: known[name] for name in keys or [*shape, *(ESTIMATE,) * bool(told)]}
