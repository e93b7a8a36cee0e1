"""Jobs side by side as a notebook shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..figures import side_by_side
from . import cells

if TYPE_CHECKING:
    from ..views.compare import Comparison, Line

_MOST_JOBS = 20  # which are columns
_LONGEST = 40  # characters of a value


def comparison_html(found: Comparison) -> str:
    """What differs between the first jobs: a line for each word, the best of it in bold."""
    lines = found.differing
    jobs = found.jobs[:_MOST_JOBS]
    if not lines:
        return f"<div>{len(found.jobs)} jobs that differ in nothing</div>"
    heading = ["job", *(str(job.id) for job in jobs)]
    rows = [[cells.cell(line.name), *_values(line)] for line in lines[: cells.MOST_ROWS]]
    return (
        cells.table(heading, rows)
        + cells.more(len(lines) - len(rows), "line")
        + cells.more(len(found.jobs) - len(jobs), "job")
    )


def _values(line: Line) -> list[str]:
    shown = side_by_side(line.name, line.values)[:_MOST_JOBS]
    return [
        cells.best(text, _LONGEST) if place in line.best else cells.cell(text, _LONGEST)
        for place, text in enumerate(shown)
    ]
