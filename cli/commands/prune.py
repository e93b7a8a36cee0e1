"""`cvq prune`: jobs that go for good, with their files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from cvq.errors import UsageError
from cvq.text import count, size

from .. import options
from ..choosing import agreed, chosen, someone_is_there
from ..display import display
from ..output import note, say_each
from ..stages import in_stages

if TYPE_CHECKING:
    from datetime import datetime

    from cvq.client import Client
    from cvq.parse import Reference
    from cvq.pruning import Report
    from cvq.views.filters import Filter

_GROUPS = ("checkpoints", "samples", "results")
_MUCH = 20_000_000  # bytes of a database's file that hold nothing


class _Prune(click.Command):
    """Takes a KEY behind `=` alone: what follows `--keep-tagged` else is a job."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        words = [f"{word}=" if word == "--keep-tagged" else word for word in args]
        return super().parse_args(ctx, words)


@click.command(
    cls=_Prune,
    epilog="\b\nExamples:\n  cvq prune --older-than 30d --dry-run\n"
    "  cvq prune --older-than 90d --keep-tagged --yes\n"
    "  cvq prune --kind vae --where 'val_loss > 200' --keep-last 10\n"
    "  cvq prune --older-than 7d --files-only checkpoints,samples",
)
@click.argument("references", metavar="[JOB]...", type=options.REFERENCE, nargs=-1)
@click.option(
    "--older-than", type=options.AGO, metavar="TIME",
    help="Only jobs that ended before then: 30d, 12h, 2026-11-01.",
)  # fmt: skip
@options.filters
@click.option(
    "--keep-tagged", metavar="[=KEY]",
    help="Keep jobs with any tag; with --keep-tagged=KEY, those with this one.",
)  # fmt: skip
@click.option(
    "--keep-last", type=options.count(0), default=0, metavar="N",
    help="Keep the newest N of the jobs that are meant.",
)  # fmt: skip
@click.option(
    "--files-only", type=options.CommaList(click.Choice(_GROUPS)), metavar="GROUP,...",
    help="Keep the jobs, and remove files of theirs: " + ", ".join(_GROUPS) + ".",
)  # fmt: skip
@options.flag("--vacuum", help="Give all free room of an SQLite database back; nobody can write "
              "to it meanwhile.")  # fmt: skip
@options.flag(
    "--strays",
    help="Also remove files of the store that no job names, as one that was "
    "killed leaves them; not where another database has the same store.",
)
@options.flag("--dry-run", help="Only tell what would be removed.")
@options.yes
@options.as_json
def prune(
    references: Sequence[Reference],
    older_than: datetime | None,
    keep_tagged: str | None,
    keep_last: int,
    files_only: Sequence[str] | None,
    vacuum: bool,
    strays: bool,
    dry_run: bool,
    yes: bool,
    **filters: Any,
) -> int:
    """Remove jobs for good: with their logs, metrics and files.

    JOB and filters choose, as for `cvq ls`. Only jobs that have ended go, and none that another
    uses: its model, its result, or what a job waits for. A batch goes as a whole. Files that other
    jobs have too stay with these.

    What has been in the trash for CVQ_TRASH_DAYS goes too, but with --files-only; without JOB and
    filters, that alone does. JOB is an id, a range 3-7, @ (your last) or @~1 (the one before).
    """
    from cvq import pruning
    from cvq.client import Client
    from cvq.views.filters import Filter

    client = Client()
    wanted = chosen(client, references, filters, trashed=bool(references))
    if wanted is not None and references:
        _check_ended(client, wanted)
    if wanted is None and older_than is not None:
        wanted = Filter()
    if wanted is None and (keep_tagged is not None or keep_last or files_only):
        raise UsageError("of which jobs? Give --older-than, JOB, or a filter such as --kind")
    choice = pruning.Choice(
        wanted, older_than, keep_tagged, keep_last, files_only or (),
        trash_days=client.settings.trash_days,
    )  # fmt: skip
    ask = partial(pruning.estimate, client.db, lambda: client.artifacts, choice, strays=strays)
    return carry_out(ask, partial(
        pruning.prune, client.db, lambda: client.artifacts, choice, client.settings.user,
        vacuum=vacuum, strays=strays,
    ), files=bool(files_only), dry_run=dry_run, yes=yes)  # fmt: skip


def _check_ended(client: Client, wanted: Filter) -> None:
    """Refuse jobs that are named and have not ended."""
    from cvq.pruning import trash
    from cvq.views import filters

    with client.db.read() as connection:
        ids = filters.ids(connection, wanted)
    for job, state in trash.trashable(client.db, ids).unfinished.items():
        raise UsageError(f"job {job} is {state}: `cvq cancel {job}` first")


def carry_out(ask: Any, act: Any, *, files: bool, dry_run: bool, yes: bool) -> int:
    """Tell what would go, ask whether it shall, and let it go."""
    if not (dry_run or yes or someone_is_there()):
        raise UsageError("what is pruned is gone for good: give --yes, or --dry-run to look first")
    if not yes:
        with in_stages() as tell:
            would = ask(on_progress=tell)
        if dry_run:
            _display(would, files=files, would=True)
            return 0
        if would.jobs or would.batches or would.files:
            for line in _lines(would, files=files, would=True):
                note(line)
            if not agreed("Remove this for good?", yes=yes):
                note("nothing was removed")
                return 0
    try:
        with in_stages() as tell:
            report = act(on_progress=tell)
    except (KeyboardInterrupt, SystemExit):
        note("stopped: what is gone is gone, and the rest is as it was; run it again to go on")
        raise
    _display(report, files=files, would=False)
    return 0


def _display(report: Report, *, files: bool, would: bool) -> None:
    display(
        report,
        json=lambda report: {"dry_run": would, **vars(report), "stays": dict(report.stays)},
        text=lambda report: say_each(_lines(report, files=files, would=would)),
    )


def _lines(report: Report, *, files: bool, would: bool) -> Iterator[str]:
    """What goes or went, and why the rest stays."""
    verb = "would remove" if would else "removed"
    freed = size(report.bytes)
    if not (report.jobs or report.batches or report.files):
        yield f"{verb} nothing"
    elif files or not (report.jobs or report.batches):
        of = f" of {count(report.jobs, 'job')}" if report.jobs else ""
        yield f"{verb} {count(report.files, 'file')}{of}: {freed}"
    else:
        batches = f" ({count(report.batches, 'batch', 'batches')})" if report.batches else ""
        yield (
            f"{verb} {count(report.jobs, 'job')}{batches}: {count(report.rows, 'row')}, "
            f"{count(report.files, 'file')}, {freed}"
        )
    for why, number in report.stays.items():
        yield f"{count(number, 'job')} {'stays' if number == 1 else 'stay'}: {why}"
    if report.later:
        yield (
            f"{count(report.later, 'input')} of theirs stay for now, as they were used within the "
            "last day: a later `cvq prune` removes them"
        )
    if report.failed:
        yield (
            f"{count(report.failed, 'file')} could not be removed, which the next `cvq prune` "
            f"tries again: {report.trouble}"
        )
    if report.freed:
        yield f"the database's file is {size(report.freed)} smaller"
    if report.free > _MUCH:
        yield (
            f"{size(report.free)} of the database's file are free for later jobs: "
            "`cvq prune --vacuum` gives them back, though nobody can write meanwhile"
        )
