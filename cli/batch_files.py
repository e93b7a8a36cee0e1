"""`cvq get --batch`: what the jobs of a batch have left, each file named after its item."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from cvq.errors import UsageError
from cvq.files import atomic
from cvq.row_names import TABLE

from .bars import counting_bar
from .batch_table import tell_unfinished
from .display import display
from .formats import clean, count
from .getting import Wanted
from .interrupts import Interrupts
from .output import is_dumb, note, on_terminal, say
from .widths import whole

if TYPE_CHECKING:
    from cvq.batch_handle import BatchHandle
    from cvq.names import Names
    from cvq.records import Artifact

_CHUNK = 500  # items whose files are looked up at a time
_LONGEST = 250  # characters of the name of an item, as part of that of a file


class Copy(NamedTuple):
    """A file of the job that has answered an item, and where it goes."""

    item: str
    job: int
    artifact: Artifact
    target: Path


def get(handle: BatchHandle, folder: Path | None, wanted: Wanted) -> None:
    """Copy the files of a batch into a folder, by default one that is called after it."""
    from cvq.results import missing_copies

    folder = folder or Path(f"batch-{handle.id}")
    with Interrupts() as interrupts:
        plan, tables = _plan(handle, folder, wanted, interrupts.check)
        if not plan:
            raise UsageError(_lack(handle, wanted))
        pairs = [(copy.artifact, copy.target) for copy in plan]
        missing = {target for _, target in missing_copies(pairs, force=wanted.force)}
        todo = [copy for copy in plan if copy.target in missing]
        _copy_all(handle, todo, interrupts.check)
        unpacked = _unpack_all(tables, folder, wanted.force, interrupts.check)
    _tell(plan, folder, unchanged=len(plan) - len(todo), unpacked=unpacked)
    tell_unfinished(handle.batch)


def _plan(
    handle: BatchHandle, folder: Path, wanted: Wanted, check: Callable[[], None]
) -> tuple[list[Copy], dict[Path, Counter[str]]]:
    """What to copy, and how often a table's rows of each name are of this batch."""
    from cvq import queries
    from cvq.names import Names
    from cvq.results import choose

    names, plan, tables = Names(), [], dict[int, Counter[str]]()
    rows = handle.results()
    while some := list(itertools.islice(rows, _CHUNK)):
        check()
        with handle.client.db.read() as connection:
            files = queries.artifacts_of(connection, {row["job"] for row in some if row["job"]})
        for row in some:
            for artifact in choose(files.get(row["job"], []), wanted.role, wanted.name):
                if _is_table(artifact):  # of all the items of a shard
                    items = tables.setdefault(row["job"], Counter())
                    items[row["name"] or ""] += 1
                    if items.total() > 1:
                        continue
                plan.append(_place(row["name"] or "", row["job"], artifact, folder, names))
    return plan, {one.target: tables[one.job] for one in plan if _is_table(one.artifact)}


def _is_table(artifact: Artifact) -> bool:
    return artifact.name == TABLE


def _place(item: str, job: int, artifact: Artifact, folder: Path, names: Names) -> Copy:
    wanted = f"job-{job}" if _is_table(artifact) else _without_ending(item) or f"job-{job}"
    path = names.place(f"{wanted}-{artifact.name.replace('/', '-')}")
    return Copy(item, job, artifact, folder / path)


def _without_ending(item: str) -> str:
    """What an item is called, as a path that leads nowhere else: `/a/../b.png` is `a/b`."""
    parts = [part for part in item.split("/") if part not in ("", ".", "..")]
    if not parts:
        return ""
    parts[-1] = PurePosixPath(parts[-1]).stem[:_LONGEST]
    while len("/".join(parts)) > _LONGEST:
        del parts[0]
    return "/".join(parts)


def _lack(handle: BatchHandle, wanted: Wanted) -> str:
    like = "" if wanted.name == "*" else f" like '{wanted.name}'"
    of = "" if wanted.role in (None, "all") else f" of role '{wanted.role}'"
    state = "" if handle.batch.finished else " yet"
    return (
        f"batch {handle.id} has no files{of}{like}{state}: `cvq results {handle.id}` prints what "
        "came out"
    )


def _copy_all(handle: BatchHandle, todo: list[Copy], check: Callable[[], None]) -> None:
    with _counted(len(todo)) as advance:
        for done, copy in enumerate(todo):
            try:
                check()
            except (KeyboardInterrupt, SystemExit):
                note(f"interrupted: {done} of {count(len(todo), 'file')} copied; the same command "
                     "goes on")  # fmt: skip
                raise
            handle.client.fetch(copy.job, copy.artifact, copy.target)
            advance()


def _unpack_all(
    tables: Mapping[Path, Counter[str]], folder: Path, force: bool, check: Callable[[], None]
) -> int:
    """Write the files that the rows of tables have, each named after its item; how many."""
    from cvq.names import Names
    from cvq.views.answers import files_of_rows

    names, written = Names(), 0
    with _counted(sum(items.total() for items in tables.values()), "unpacking") as advance:
        for table, items in tables.items():
            left = items.copy()
            for item, files in files_of_rows(table):
                check()
                left[item] -= 1
                if left[item] < 0:  # of another batch, which has answered more than this asks
                    continue
                for name, content in files.items():
                    stem = _without_ending(item) or table.stem
                    path = names.place(f"{stem}-{name.replace('/', '-')}")
                    _write(folder / path, content, force)
                    written += 1
                advance()
    return written


def _write(target: Path, content: bytes, force: bool) -> None:
    from cvq.results import is_missing

    if not is_missing(target, hashlib.sha256(content).hexdigest(), force=force):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic(target) as partial:
        partial.write_bytes(content)


@contextmanager
def _counted(total: int, what: str = "copying") -> Iterator[Callable[[], None]]:
    if not on_terminal(err=True) or is_dumb():
        yield lambda: None
        return
    bar = counting_bar(beside=36)
    task = bar.add_task(what, total=total)
    with bar:
        yield lambda: bar.advance(task)


def _tell(plan: list[Copy], folder: Path, *, unchanged: int, unpacked: int) -> None:
    from cvq.views import shapes

    def text(plan: list[Copy]) -> None:
        if on_terminal():
            say(f"{count(len(plan), 'file')} in {whole(clean(str(folder)))}")
        else:
            for copy in plan:
                say(copy.target, wrap=False)
        if unchanged:
            were = "was" if unchanged == 1 else "were"
            note(f"{unchanged} of {len(plan)} {were} there already")
        if tables := sum(_is_table(copy.artifact) for copy in plan):
            note(f"{count(tables, 'table')} of shards, a row for each item, with "
                 f"{count(unpacked, 'file')} beside")  # fmt: skip

    display(
        plan,
        json=lambda plan: [
            {**shapes.artifact(one.artifact), "item": one.item, "job": one.job,
             "path": str(one.target)}
            for one in plan
        ],
        text=text,
        quiet=lambda _: None,
    )  # fmt: skip
