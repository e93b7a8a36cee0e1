"""`cvq get --batch`: what the jobs of a batch have left, each file named after its item."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from cvq.errors import UsageError
from cvq.row_names import TABLE

from .bars import counting_bar
from .batch_table import tell_unfinished
from .display import display
from .formats import clean, count
from .interrupts import Interrupts
from .output import is_dumb, note, on_terminal, say
from .widths import whole

if TYPE_CHECKING:
    from cvq.batch_handle import BatchHandle
    from cvq.names import Names
    from cvq.records import Artifact

_CHUNK = 500  # items whose files are looked up at a time
_LONGEST = 250  # characters of the name of an item, as part of that of a file


class Wanted(NamedTuple):
    """Which files are copied, and whether they replace others: see `cvq.results.choose`."""

    role: str | None
    name: str
    force: bool


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
        plan = _plan(handle, folder, wanted, interrupts.check)
        if not plan:
            raise UsageError(_lack(handle, wanted))
        pairs = [(copy.artifact, copy.target) for copy in plan]
        missing = {target for _, target in missing_copies(pairs, force=wanted.force)}
        todo = [copy for copy in plan if copy.target in missing]
        _copy_all(handle, todo, interrupts.check)
    _tell(plan, folder, unchanged=len(plan) - len(todo))
    tell_unfinished(handle.batch)


def _plan(
    handle: BatchHandle, folder: Path, wanted: Wanted, check: Callable[[], None]
) -> list[Copy]:
    from cvq import queries
    from cvq.names import Names
    from cvq.results import choose

    names, plan, tables = Names(), [], set[int]()
    rows = handle.results()
    while some := list(itertools.islice(rows, _CHUNK)):
        check()
        with handle.client.db.read() as connection:
            files = queries.artifacts_of(connection, {row["job"] for row in some if row["job"]})
        for row in some:
            for artifact in choose(files.get(row["job"], []), wanted.role, wanted.name):
                if _is_table(artifact):  # of all the items of a shard
                    if row["job"] in tables:
                        continue
                    tables.add(row["job"])
                plan.append(_place(row["name"] or "", row["job"], artifact, folder, names))
    return plan


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


@contextmanager
def _counted(total: int) -> Iterator[Callable[[], None]]:
    if not on_terminal(err=True) or is_dumb():
        yield lambda: None
        return
    bar = counting_bar(beside=36)
    task = bar.add_task("copying", total=total)
    with bar:
        yield lambda: bar.advance(task)


def _tell(plan: list[Copy], folder: Path, *, unchanged: int) -> None:
    from cvq.views import shapes

    def text(plan: list[Copy]) -> None:
        if on_terminal():
            say(f"{count(len(plan), 'file')} in {whole(clean(str(folder)))}")
        else:
            for copy in plan:
                say(copy.target, wrap=False)
        if unchanged:
            note(f"{unchanged} of {len(plan)} were there already")
        if tables := sum(_is_table(copy.artifact) for copy in plan):
            note(f"{count(tables, 'table')} of shards: a row for each item, its files in columns")

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
