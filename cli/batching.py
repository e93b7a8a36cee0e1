"""`cvq submit` of many items at once: a folder, a list or an archive in the place of files."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import click

from cvq.errors import UsageError
from cvq.states import State
from cvq.text import join

from . import batch_table, formats, submitting
from .from_spec import shape_of
from .holdups import Holdups
from .interrupts import Interrupts
from .options import FilePath
from .output import console, dump, hint, is_dumb, note, on_terminal, say

if TYPE_CHECKING:
    from cvq.batch import Batch
    from cvq.batch_handle import BatchHandle
    from cvq.client import Client
    from cvq.kinds.kind import Kind
    from cvq.records import Job

_ALONE = ("strict", "no_cache", "max_fails", "column")  # which mean nothing to a single job


def options(kind: Kind) -> list[click.Parameter]:
    """The options of kinds whose jobs have items."""
    if kind.items is None:
        return []
    return [
        click.Option(
            ["--list", "lists"], type=FilePath(allow_dash=True), multiple=True, metavar="FILE",
            help="A list of items, a line each, beside which its files lie; - is stdin.",
        ),
        click.Option(["--column"], metavar="NAME",
                     help="The column of a .csv, .tsv or .parquet file that has the items."),
        click.Option(["--each"], is_flag=True,
                     help="A job for each, of a few files and of very many."),
        click.Option(["--single"], is_flag=True,
                     help="Few jobs of 1,000 pictures each, as for more than 2,000."),
        click.Option(["--strict"], is_flag=True, help="Queue nothing where an item is bad."),
        click.Option(["--no-cache"], is_flag=True,
                     help="Compute anew what an earlier batch has answered."),
        click.Option(
            ["--max-fails"], type=int, metavar="N",
            help="Cancel the rest of the batch once N of its jobs have failed.",
        ),
    ]  # fmt: skip


def is_batch(kind: Kind, values: Mapping[str, Any], common: Mapping[str, Any]) -> bool:
    """Whether a batch was asked for, and not one job.

    Raises:
        UsageError: it was not, and an option was given that only a batch has.
    """
    from cvq.inputs.sources import is_source

    if kind.items is None:
        return False
    words = _words(kind, values)
    many = len(words) > _most(kind)
    if common["each"] and common["single"]:
        raise UsageError("--each and --single cannot be combined: give one")
    if common["lists"] or common["each"] or common["single"] or many or any(map(is_source, words)):
        return True
    if given := [name for name in _ALONE if common[name]]:
        raise UsageError(
            f"--{given[0].replace('_', '-')} is for batches: give a folder, a list, an archive or "
            "a table, or --each"
        )
    return False


def _takes_files(kind: Kind) -> bool:
    assert kind.items is not None
    shape = shape_of(kind.spec.model_fields[kind.items].annotation)
    return isinstance(shape.type, FilePath)


def _words(kind: Kind, values: Mapping[str, Any]) -> list[str]:
    given = values.get(kind.items or "") or []
    words = given if isinstance(given, list | tuple) else [given]
    return [str(word) for word in words] if _takes_files(kind) else []


def _most(kind: Kind) -> int:
    """How many items one job may have."""
    field = kind.spec.model_fields[kind.items or ""]
    limits = (getattr(mark, "max_length", None) for mark in field.metadata)
    return next((limit for limit in limits if limit is not None), sys.maxsize)


def submit(
    kind: Kind,
    client: Client,
    values: dict[str, Any],
    common: Mapping[str, Any],
    more: Mapping[str, Any],
) -> None:
    """Submit a batch, say so, and where that is asked follow it to its end."""
    if common["dry_run"]:
        raise UsageError("--dry-run is for single jobs: a batch is checked as it is stored")
    handle = None
    try:
        with Interrupts() as interrupts, _storing(common["quiet"]) as show:

            def look(done: int, total: int | None) -> None:
                interrupts.check()
                show(done, total)

            items = _items(kind, client, values, common, interrupts.check)
            rest = {name: value for name, value in values.items() if name != kind.items}
            handle = client.submit_many(
                kind.name, items, on_item=look, strict=common["strict"],
                max_fails=common["max_fails"], each=common["each"], single=common["single"],
                cache=not common["no_cache"], **more, **rest,
            )  # fmt: skip
    except (KeyboardInterrupt, SystemExit):
        if handle is not None:  # it came too late
            note(f"batch {handle.id} is queued: `cvq cancel --batch {handle.id}` cancels it")
        raise
    waits = common["wait"] or common["timeout"] is not None
    if not (waits and (common["as_json"] or common["quiet"])):
        _tell(handle, common, waits=waits)
    if waits:
        asked = {name: common[name] for name in ("timeout", "quiet", "as_json")}
        follow(handle, **asked)


def _items(
    kind: Kind,
    client: Client,
    values: Mapping[str, Any],
    common: Mapping[str, Any],
    check: Callable[[], None],
) -> Any:
    from cvq.inputs.sources import STDIN, Sources, is_source
    from cvq.inputs.sources.tables import is_table

    words, lists = _words(kind, values), list(common["lists"])
    if (words + lists).count(STDIN) > 1:
        raise UsageError("stdin can be read once")
    if lists and kind.items in values and not _takes_files(kind):
        raise UsageError(f"give the {kind.items} of the batch once: as a list, or as values")
    if common["column"] and not any(map(is_table, words + lists)):
        raise UsageError("--column: there is no .csv, .tsv or .parquet file to look into")
    if not (words or lists):
        raise UsageError(f"give the {kind.items} of the batch as a list: --list FILE")
    if not lists and not any(map(is_source, words)):
        return words  # of which the number is known
    stdin = sys.stdin.buffer
    sources = Sources(
        client.settings, _takes_files(kind), common["column"], stdin, note, check
    )  # fmt: skip
    return sources.items(words, lists)


@contextmanager
def _storing(quiet: bool) -> Iterator[Callable[[int, int | None], None]]:
    """A bar that shows how many items are stored, on a terminal."""
    if quiet or not on_terminal(err=True) or is_dumb():
        yield lambda done, total: None
        return
    bar = submitting.counting_bar(beside=47)
    task = bar.add_task("looking up, storing", total=None)
    with bar:
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _tell(handle: BatchHandle, common: Mapping[str, Any], *, waits: bool) -> None:
    batch = handle.batch
    if common["as_json"]:
        dump(batch_table.shape(batch))
    elif common["quiet"]:
        say(batch.id)
    else:
        (note if waits else say)(_queued_line(handle))
        if not waits:
            hint(f"`cvq batches` shows how far it is, `cvq results {batch.id}` what came out, "
                 f"`cvq ls --batch {batch.id}` each job")  # fmt: skip
            _Holdups(handle)()


def _queued_line(handle: BatchHandle) -> str:
    batch = handle.batch
    if batch.known == batch.items:
        return f"batch {batch.id}: {_known(handle)}"
    queued = batch.jobs - batch.done
    state = "waiting" if batch.states.get("waiting") else "queued"
    line = f"batch {batch.id}: {formats.count(queued, 'job')} {state}"
    new = batch.items - batch.known
    if new > batch.jobs:
        line += f" with {formats.count(new, 'item')}"
    line += f" ({batch.failed} failed: {_first_error(handle)})" if batch.failed else ""
    return line + (f"; {_known(handle)}" if batch.known else "")


def _known(handle: BatchHandle) -> str:
    batch = handle.batch
    number = f"{batch.known} of {formats.count(batch.items, 'item')}"
    verb, them = ("is", "it") if batch.known == 1 else ("are", "them")
    of = join([f"batch {number}" for number in handle.known_from], 3)
    return f"{number} {verb} known from {of} (--no-cache computes {them} anew)"


def _first_error(handle: BatchHandle) -> str:
    first = _first(handle, State.FAILED)
    return formats.cut((first and first.error) or "", 120)


def _first(handle: BatchHandle, *states: str) -> Job | None:
    """The first job that is in one of some states."""
    from cvq import queries

    with handle.client.db.read() as connection:
        found = queries.ids_of_batch(connection, handle.id, states, 1)
        return queries.get_job(connection, found[0]) if found else None


class _Holdups:
    """Says, once a second, what keeps the first unfinished job of a batch from starting."""

    def __init__(self, handle: BatchHandle, tell: Callable[[str], None] = note) -> None:
        self._handle, self._holdups = handle, Holdups(handle.client, tell, busy=False)
        self._look_at = 0.0

    def __call__(self) -> None:
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + 1.0
            if first := _first(self._handle, State.WAITING, State.QUEUED):
                self._holdups(first)


def follow(
    handle: BatchHandle, *, timeout: float | None, quiet: bool = False, as_json: bool = False
) -> None:
    """Show one bar for all jobs until the last has ended, and how they did.

    Raises:
        WaitTimeoutError: they have not ended in time.
        JobFailedError: a job failed.
        JobCancelledError: a job was cancelled, and none failed.
    """
    from cvq.batch_handle import raise_for_states

    try:
        with Interrupts() as interrupts, closing(_view(quiet)) as view:
            holdups = _Holdups(handle, view.say)

            def look(batch: Batch) -> None:
                interrupts.check()
                view.show(batch)
                if not quiet:
                    holdups()

            handle.wait(timeout, check=False, on_look=look)
    except KeyboardInterrupt:
        note(f"batch {handle.id} continues: `cvq wait --batch {handle.id}` waits for it, "
             f"`cvq cancel --batch {handle.id}` stops it")  # fmt: skip
        raise
    batch = handle.batch
    if as_json:
        dump(batch_table.shape(batch))
    elif quiet:
        say(batch.id)
    else:
        parts = [f"{number} {state}" for state, number in sorted(batch.states.items())]
        parts += [f"{formats.count(batch.known, 'item')} known"] if batch.known else []
        say(f"batch {batch.id}: {', '.join(parts)}")
    raise_for_states(batch)


def _view(quiet: bool) -> _Bar | _Lines:
    return _Bar() if on_terminal(err=True) and not is_dumb() and not quiet else _Lines(quiet)


class _Pace:
    """How fast a batch goes, over the whole of what was seen of it."""

    def __init__(self) -> None:
        self._since: tuple[float, int] | None = None

    def __call__(self, batch: Batch) -> tuple[float | None, float | None]:
        """Jobs a second, and the seconds that are left; None where that is not known yet."""
        now = time.monotonic()
        if self._since is None:
            self._since = now, batch.done
        seconds, done = now - self._since[0], batch.done - self._since[1]
        if done <= 0 or seconds <= 0:
            return None, None
        return done / seconds, (batch.jobs - batch.done) * seconds / done


def _line(batch: Batch, pace: _Pace) -> str:
    speed, left = pace(batch)
    parts = [
        f"{batch.done}/{batch.jobs}",
        f"{batch.failed} failed" if batch.failed else "",
        f"{formats.number(speed)}/s" if speed is not None else "",
        f"{formats.duration(left)} left" if left and not batch.finished else "",
    ]
    return ", ".join(filter(None, parts))


class _Bar:
    """rich's progress bar: done of all, failed, jobs a second, time left."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

        screen = console(err=True)
        size = max(0, min(40, screen.width - 60))
        self._pace = _Pace()
        self._bar = Progress(
            SpinnerColumn(), TextColumn("{task.description}", markup=False),
            *([BarColumn(size)] if size else []),
            console=screen, transient=True,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=None)
        self._bar.start()

    def show(self, batch: Batch) -> None:
        line = f"batch {batch.id}  {_line(batch, self._pace)}"
        self._bar.update(self._task, description=line, completed=batch.done, total=batch.jobs)

    def say(self, text: str) -> None:
        self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        self._bar.stop()


class _Lines:
    """A line at every tenth of the jobs, and at the first."""

    def __init__(self, quiet: bool) -> None:
        self._quiet, self._pace, self._next = quiet, _Pace(), 0.0

    def show(self, batch: Batch) -> None:
        share = batch.done / max(1, batch.jobs)
        if not self._quiet and (share >= self._next or batch.finished):
            self._next = share + 0.1
            note(f"batch {batch.id} {batch.state}  {_line(batch, self._pace)}")

    def say(self, text: str) -> None:
        note(text)

    def close(self) -> None:
        pass
