"""Cleaning up: jobs of the history that go for good, with their files.

In this order, so that a kill at any moment leaves nothing that is broken: the rows go, in short
transactions, each of which takes down the files that nobody names then; these files go; and what
is taken down of them goes last. Whoever prunes next finds what is left.
"""

from __future__ import annotations

from collections.abc import Callable

from ..artifacts import ArtifactStore
from ..db import Database
from . import estimate as _estimate
from . import files, plan, removal, space
from . import strays as _strays
from .choice import ANY_TAG, Choice
from .report import Report

OnProgress = Callable[[str, int, int], None]
"""Told what goes on, how much of it is done, and of how much; may raise to end it all."""

LOOKING, COUNTING = "looking for jobs", "counting"
JOBS, FILES, SPACE = "removing jobs", "removing files", "giving space back"
STRAYS = "looking through the store"


def estimate(
    database: Database,
    artifacts: Callable[[], ArtifactStore],
    choice: Choice,
    on_progress: OnProgress = lambda *_: None,
    *,
    strays: bool = False,
) -> Report:
    """What `prune` would remove and free."""
    found = plan.make(database, artifacts, choice, lambda *at: on_progress(LOOKING, *at))
    report = _estimate.estimate(
        database, artifacts, found, choice.groups, lambda *at: on_progress(COUNTING, *at)
    )
    if strays:
        look = lambda *at: on_progress(STRAYS, *at)  # noqa: E731
        _strays.remove_strays(database, artifacts(), report, look, dry=True)
    return report


def prune(
    database: Database,
    artifacts: Callable[[], ArtifactStore],
    choice: Choice,
    by: str,
    on_progress: OnProgress = lambda *_: None,
    *,
    vacuum: bool = False,
    strays: bool = False,
) -> Report:
    """Remove jobs with their rows and files, or some files of theirs.

    Args:
        database: of the jobs.
        artifacts: the store; asked only where it is needed.
        choice: which jobs.
        by: who removes them.
        on_progress: told how far it is; what it raises ends it, and nothing is broken then.
        vacuum: give the room in the file of an SQLite database back in any case, though nobody
            can write meanwhile.
        strays: remove files, too, that no row names; see `strays`.

    Raises:
        StoreError: the store cannot be written.
    """
    found = plan.make(database, artifacts, choice, lambda *at: on_progress(LOOKING, *at))
    report = Report(stays=found.stays)

    def tick(done: int, total: int) -> None:
        on_progress(JOBS, done, total)

    if choice.groups:
        removal.forget_files(database, found, choice.groups, by, report, tick)
    else:
        removal.remove(database, found, by, report, tick)
    files.remove_leftovers(database, artifacts, report, lambda *at: on_progress(FILES, *at))
    if strays:
        look = lambda *at: on_progress(STRAYS, *at)  # noqa: E731
        _strays.remove_strays(database, artifacts(), report, look)
    if report.rows or vacuum:
        space.give_back(database, report, lambda *at: on_progress(SPACE, *at), vacuum=vacuum)
    return report


__all__ = ["ANY_TAG", "Choice", "OnProgress", "Report", "estimate", "prune"]
