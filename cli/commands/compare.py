"""`cvq compare JOB...`: jobs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from cvq.errors import UsageError

from .. import options, resolving
from ..display import Form, display, form
from ..output import hint, note, say_each

if TYPE_CHECKING:
    from cvq.history import History
    from cvq.parse import Reference
    from cvq.views.compare import Comparison

_USUAL = 50  # jobs that a filter gives
_MOST = 1_000  # jobs of one command


@click.command(
    epilog="\b\nExamples:\n  cvq compare 12 15\n  cvq compare 12-20 --all\n"
    "  cvq compare --kind fmnist-cnn --where 'val_accuracy>0.9' --sort=-val_accuracy -n 10\n"
    "  cvq compare --batch @ --md > runs.md"
)
@click.argument("references", metavar="[JOB]...", type=options.REFERENCE, nargs=-1)
@options.filters
@click.option(
    "--sort",
    type=options.Query("key"),
    metavar="KEY",
    help="The order of jobs that a filter means, as in `cvq ls`.",
)
@click.option(
    "-n", "-L", "--limit", type=options.count(2, _MOST), default=_USUAL, metavar="N",
    help=f"How many jobs a filter may mean.  [default: {_USUAL}]",
)  # fmt: skip
@options.flag("--all", "everything", help="Show also what is the same in all of them.")
@click.option(
    "--precision", type=options.count(1, 17), metavar="N",
    help="Significant digits.  [default: 4, or as many as tell two values apart]",
)  # fmt: skip
@options.as_json
@options.as_csv
@options.as_md
@options.quiet
def compare(
    references: Sequence[Reference], sort: str | None, limit: int, everything: bool,
    precision: int | None, **filters: Any,
) -> None:  # fmt: skip
    """Show jobs side by side: only what differs between them.

    JOB is an id, a range 3-7, @ (your last) or @~1 (the one before); or the jobs are those that
    a filter means, as in `cvq ls`. They may be of several kinds. `*` marks the best value of each
    metric, where its kind or its name says which way it is better.

    CSV has a row for each job.
    """
    from cvq.history import History

    from ..comparison import Drawing

    history = History()
    ids = _jobs(history, references, limit, sort=sort, **filters)
    found = _compared(history, ids)
    lines = list(found.lines) if everything else found.differing
    drawing = Drawing(found, lines, precision)
    display(
        found,
        json=lambda found: found.to_json(lines),
        csv=lambda _: drawing.csv(),
        md=lambda _: drawing.markdown(),
        quiet=lambda _: say_each(ids),
        text=lambda _: drawing.table() if lines else None,
    )
    if not lines:
        note(f"these {len(ids)} jobs differ in nothing: --all shows what they have")
    elif form() is Form.TEXT and len(lines) < len(found.lines):
        hint(f"{len(found.lines) - len(lines)} lines are the same in all: --all shows them")


def _compared(history: History, ids: Sequence[int]) -> Comparison:
    from cvq.views.compare import compare

    with history.db.read() as connection:
        return compare(connection, ids)


def _jobs(
    history: History, references: Sequence[Reference], limit: int, **filters: Any
) -> list[int]:
    """The jobs that are named, or those that a filter means.

    Raises:
        UsageError: fewer than two, or both ways to name them.
    """
    given = any(filters.values())
    if references and given:
        raise UsageError("give jobs, or a filter, not both")
    if not references and not given:
        raise UsageError("which jobs? Give two or more, or a filter as for `cvq ls`")
    ids = (
        resolving.resolve(history, references, most=_MOST)
        if references
        else _found(history, limit, **filters)
    )
    if len(set(ids)) < 2:
        told = f"only job {ids[0]}" if ids else "no job"
        raise UsageError(f"that is {told}: it takes two to compare")
    return list(dict.fromkeys(ids))


def _found(history: History, limit: int, **filters: Any) -> list[int]:
    """The first so many that a filter means; a word where there are more."""
    wanted = resolving.make_filter(history, **filters, limit=limit + 1)
    for remark in history.check_filter(wanted):
        note(remark)
    found = [job.id for job in resolving.find(history, wanted)]
    if len(found) > limit:
        note(f"the first {limit} of these jobs: -n N compares more")
    return found[:limit]
