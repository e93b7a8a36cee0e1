"""`cvq submit` of many items at once: a folder, a list or an archive in the place of files."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from cvq.errors import UsageError
from cvq.text import join

from . import batch_dry_run, batch_table, estimates, formats
from .bars import counting_bar
from .batch_follow import BatchHoldups, first_error, follow
from .from_spec import shape_of
from .interrupts import Interrupts
from .options import FilePath, count
from .output import dump, hint, is_dumb, note, on_terminal, say

if TYPE_CHECKING:
    from cvq.batch_handle import BatchHandle
    from cvq.client import Client
    from cvq.kinds.kind import Kind

_LINE_EVERY_S = 10.0
_ALONE = ("strict", "max_fails", "column")  # which mean nothing to a single job


def options(kind: Kind) -> list[click.Parameter]:
    """The options of kinds whose jobs have items."""
    if kind.items is None:
        return []
    by_itself = f"; of each of --{kind.many}, from --{kind.items} on" if kind.many else ""
    return [
        click.Option(
            ["--list", "lists"], type=FilePath(allow_dash=True), multiple=True, metavar="FILE",
            help="A list of items, a line each, beside which its files lie; - is stdin.",
        ),
        click.Option(["--column"], metavar="NAME",
                     help="The column of a .csv, .tsv or .parquet file that has the items."),
        click.Option(["--each"], is_flag=True,
                     help=f"A job for each, of a few files and of very many{by_itself}."),
        click.Option(["--single"], is_flag=True,
                     help="Few jobs of 1,000 pictures each, as for more than 2,000."),
        click.Option(["--strict"], is_flag=True, help="Queue nothing where an item is bad."),
        click.Option(
            ["--max-fails"], type=count(1), metavar="N",
            help="Cancel the rest of the batch once N of its items have failed.",
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


def source_in(kind: Kind, values: Mapping[str, Any]) -> str | None:
    """What stands in the place of files and means many, if anything does; a shard is one file."""
    from cvq.inputs.shards import ENDING
    from cvq.inputs.sources import is_source

    words = _words(kind, values) if kind.items else []
    return next((w for w in words if is_source(w) and not w.lower().endswith(ENDING)), None)


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
        with _given(kind, client, values, common) as given:
            found = batch_dry_run.look_at(kind, client, given, common, more)
        batch_dry_run.tell(client, found, more, common)
        return
    handle = _queued(kind, client, values, common, more)
    waits = common["wait"] or common["timeout"] is not None
    if not (waits and (common["as_json"] or common["quiet"])):
        _tell(client, handle, common, waits=waits)
    if waits:
        asked = {name: common[name] for name in ("timeout", "quiet", "as_json")}
        follow(handle, **asked)


def _queued(
    kind: Kind,
    client: Client,
    values: Mapping[str, Any],
    common: Mapping[str, Any],
    more: Mapping[str, Any],
) -> BatchHandle:
    handle = None
    options = {name: common[name] for name in ("strict", "max_fails", "each", "single")}
    try:
        with _given(kind, client, values, common) as given:
            handle = client.submit_many(
                kind.name, given.items, on_item=given.look, **options, **more, **given.values
            )
    except (KeyboardInterrupt, SystemExit):
        if handle is not None:  # it came too late
            note(f"batch {handle.id} is queued: `cvq cancel --batch {handle.id}` cancels it")
        raise
    return handle


@contextmanager
def _given(
    kind: Kind, client: Client, values: Mapping[str, Any], common: Mapping[str, Any]
) -> Iterator[batch_dry_run.Given]:
    """The items, with a bar of how many were looked at; Ctrl-C is heard between them."""
    with Interrupts() as interrupts, _counted(common) as show:

        def check() -> None:
            try:
                interrupts.check()
            except (KeyboardInterrupt, SystemExit):
                note("interrupted: nothing was queued")  # which comes after the last look
                raise

        def look(done: int, total: int | None) -> None:
            check()
            show(done, total)

        items, rest = _items(kind, client, values, common, check)
        yield batch_dry_run.Given(items, rest, look)


def _items(
    kind: Kind,
    client: Client,
    values: Mapping[str, Any],
    common: Mapping[str, Any],
    check: Callable[[], None],
) -> tuple[Any, dict[str, Any]]:
    """The items, and the other values of the specification."""
    from cvq.inputs.sources import STDIN, Sources, is_source
    from cvq.inputs.sources.tables import is_table

    words, lists = _words(kind, values), list(common["lists"])
    if (words + lists).count(STDIN) > 1:
        raise UsageError("stdin can be read once")
    if lists and kind.items in values and not _takes_files(kind):
        raise UsageError(f"give the {kind.items} of the batch once: as a list, or as values")
    if common["column"] and not any(map(is_table, words + lists)):
        raise UsageError("--column: there is no .csv, .tsv or .parquet file to look into")
    rest = {name: value for name, value in values.items() if name != kind.items}
    if not (words or lists):
        return _one_by_one(kind, values, common)
    if not lists and not any(map(is_source, words)):
        return words, rest  # of which the number is known
    stdin = _stdin() if STDIN in words + lists else None
    sources = Sources(
        client.settings, _takes_files(kind), common["column"], stdin, note, check
    )  # fmt: skip
    return sources.items(words, lists), rest


def _stdin() -> BinaryIO:
    if sys.stdin is None:
        raise UsageError("stdin is closed: there is no list to read")
    if sys.stdin.isatty():
        note("reading a list from the keyboard, a name a line: Ctrl-D ends it")
    return sys.stdin.buffer


def _one_by_one(
    kind: Kind, values: Mapping[str, Any], common: Mapping[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """What one job would make by itself, an item each, and the values of such a job."""
    from cvq.kinds import make_spec

    assert kind.items is not None
    if kind.many is None or not common["each"]:
        raise UsageError(f"give the {kind.items} of the batch as a list: --list FILE")
    spec = make_spec(kind, dict(values))
    first, number = getattr(spec, kind.items), getattr(spec, kind.many)
    rest = {name: value for name, value in values.items() if name != kind.items}
    return range(first, first + number), {**rest, kind.many: 1}


@contextmanager
def _counted(common: Mapping[str, Any]) -> Iterator[Callable[[int, int | None], None]]:
    """A bar that shows how many items are stored, or looked at; in a pipe a line now and then."""
    if common["quiet"]:
        yield lambda done, total: None
        return
    doing = "looking up, checking" if common["dry_run"] else "looking up, storing"
    if not on_terminal(err=True) or is_dumb():
        yield _Counter(doing)
        return
    bar = counting_bar(beside=48)
    task = bar.add_task(doing, total=None)
    with bar:
        yield lambda done, total: bar.update(task, completed=done, total=total)


class _Counter:
    """Says every ten seconds how many items there are so far."""

    def __init__(self, doing: str) -> None:
        self._doing, self._spoke = doing, time.monotonic()

    def __call__(self, done: int, total: int | None) -> None:
        if time.monotonic() - self._spoke >= _LINE_EVERY_S:
            self._spoke = time.monotonic()
            of = "" if total is None else f" of {total}"
            note(f"{self._doing} … {done}{of} so far")


def _tell(client: Client, handle: BatchHandle, common: Mapping[str, Any], *, waits: bool) -> None:
    batch = handle.batch
    if common["as_json"]:
        dump(batch_table.shape(batch))
    elif common["quiet"]:
        say(batch.id)
    else:
        (note if waits else say)(_queued_line(handle))
        estimates.tell(estimates.batch_estimate(client, batch), nobody=False)
        if not waits:
            hint(f"`cvq watch --batch {batch.id}` follows it, `cvq results {batch.id}` prints "
                 f"what came out, `cvq ls --batch {batch.id}` lists each job")  # fmt: skip
            BatchHoldups(handle)(handle.batch)


def _queued_line(handle: BatchHandle) -> str:
    batch = handle.batch
    if batch.known == batch.items:
        return f"batch {batch.id}: {_known(handle)}"
    queued = batch.jobs - batch.done
    state = "waiting" if batch.states.get("waiting") else "queued"
    line = f"batch {batch.id}: {formats.count(queued, 'job')} {state}"
    if batch.new > batch.jobs:
        line += f" with {formats.count(batch.new, 'item')}"
    if batch.failed:
        stopped = batch.states.get("cancelled")  # as --max-fails asks
        more = f"; the other {formats.count(stopped, 'job')} cancelled" if stopped else ""
        line += f" ({batch.failed} failed: {first_error(handle)}{more})"
    return line + (f"; {_known(handle)}" if batch.known else "")


def _known(handle: BatchHandle) -> str:
    batch = handle.batch
    number = f"{batch.known} of {formats.count(batch.items, 'item')}"
    verb, them = ("is", "it") if batch.known == 1 else ("are", "them")
    of = join([f"batch {number}" for number in handle.known_from], 3)
    return f"{number} {verb} known from {of} (--no-cache computes {them} anew)"
