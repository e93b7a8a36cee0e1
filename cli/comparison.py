"""How jobs side by side are drawn: a column for each, or a line for each where they are many.

Where columns do not fit beside each other either, they go on below: nothing is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from cvq.figures import side_by_side

from .output import Column, on_terminal, say, show_csv, show_md, show_table
from .widths import cells, middle, terminal_width

if TYPE_CHECKING:
    from cvq.views.compare import Comparison, Line

_LEAST_NAME, _LEAST_CELL = 12, 8  # cells, to which names and values are shortened
_WIDEST = 24  # of a value where jobs are lines
_GAP = 2


class Drawing:
    """Some lines of a comparison, ready to be printed.

    Args:
        comparison: whose jobs they are.
        lines: those to show.
        precision: significant digits of a number; default: as many as tell them apart.
    """

    def __init__(
        self, comparison: Comparison, lines: Sequence[Line], precision: int | None = None
    ) -> None:
        self._jobs, self._lines = comparison.jobs, lines
        self._cells = {
            line.name: side_by_side(line.name, line.values, precision) for line in lines
        }

    def table(self) -> None:
        """Print a table: jobs are columns, or lines on a terminal where so many do not fit."""
        room = terminal_width() - _LEAST_NAME
        if not on_terminal() or room >= len(self._jobs) * (_LEAST_CELL + _GAP):
            show_table(self._beside(_marked), self._lines)
            return
        for place, columns in enumerate(self._blocks()):
            if place:
                say()
            show_table(columns, range(len(self._jobs)))

    def csv(self) -> None:
        """Print CSV with a row for each job and exact values."""
        jobs = [Column[int]("job", lambda place: "", lambda place: self._jobs[place].id)]
        show_csv([*jobs, *(_raw(line) for line in self._lines)], range(len(self._jobs)))

    def markdown(self) -> None:
        """Print a table of Markdown, the best value of a line in bold."""
        show_md(self._beside(_bold), self._lines)

    def _beside(self, mark: Callable[[str], str]) -> list[Column[Line]]:
        """A column for each job."""
        names: Column[Line] = Column("job", lambda line: line.name, least=_LEAST_NAME)
        return [names, *(self._of_job(place, mark) for place in range(len(self._jobs)))]

    def _of_job(self, place: int, mark: Callable[[str], str]) -> Column[Line]:
        def text(line: Line) -> str:
            cell = self._cells[line.name][place]
            return mark(cell) if place in line.best else cell

        return Column(
            str(self._jobs[place].id), text, style=lambda line: _style(line, place),
            least=_LEAST_CELL, short=_shortened,
        )  # fmt: skip

    def _blocks(self) -> Iterator[list[Column[int]]]:
        """A column for each line, as many at a time as there is room for."""
        first = Column[int]("job", lambda place: str(self._jobs[place].id), right=True)
        names = _short_names(self._lines)
        width = _width(first, len(self._jobs))
        block, used = [first], width
        for line in self._lines:
            column = self._of_line(line, names[line.name])
            needed = _GAP + min(_WIDEST, _width(column, len(self._jobs)))
            if len(block) > 1 and used + needed > terminal_width():
                yield block
                block, used = [first], width
            block.append(column)
            used += needed
        yield block

    def _of_line(self, line: Line, name: str) -> Column[int]:
        shown = self._cells[line.name]

        def text(place: int) -> str:
            cell = _shortened(shown[place], _WIDEST - 2)
            return _marked(cell) if place in line.best else cell

        return Column(
            middle(name, _WIDEST), text, style=lambda place: _style(line, place),
            least=_LEAST_CELL, short=_shortened,
        )  # fmt: skip


def _raw(line: Line) -> Column[int]:
    return Column(line.name, lambda place: "", lambda place: line.values[place])


def _width(column: Column[int], rows: int) -> int:
    return max(cells(column.name), *(cells(column.text(place)) for place in range(rows)))


def _style(line: Line, place: int) -> str:
    return "bold green" if place in line.best else ""


def _marked(cell: str) -> str:
    return f"{cell} *"


def _bold(cell: str) -> str:
    return f"**{cell}**"


def _shortened(cell: str, width: int) -> str:
    """A value in a width; the mark of the best stays."""
    if cell.endswith(" *") and cells(cell) > width:
        return middle(cell[:-2], width - 2) + " *"
    return middle(cell, width)


def _short_names(lines: Sequence[Line]) -> dict[str, str]:
    """Names without their group, where that leaves no two alike."""
    bare = {line.name: line.name.partition(".")[2] or line.name for line in lines}
    given = list(bare.values())
    return {name: short if given.count(short) == 1 else name for name, short in bare.items()}
