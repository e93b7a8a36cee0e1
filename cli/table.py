"""Tables: aligned lines in a pipe; on a terminal, what fits of them.

In a pipe nothing is cut. On a terminal that is too narrow, what may be shortened is, then whole
columns go, the least important first; id, state and figure survive longest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .formats import clean
from .widths import cells as cells_of
from .widths import middle, terminal_width, wrap

if TYPE_CHECKING:
    from rich.text import Text

T = TypeVar("T")

_GAP = 2
_INDENT = 4  # of what stands below its row
_LEAST_WRAPPED = 20


@dataclass(frozen=True)
class Column(Generic[T]):
    """A column of a table.

    Attributes:
        name: its heading.
        text: the cell as people read it.
        raw: the cell in CSV; the text where not given.
        key: the heading in CSV; the name where not given.
        style: rich's style of a cell.
        right: numbers stand right.
        rank: on a terminal too narrow the column with the highest goes first; 0 never goes.
        least: to so many cells it may be shortened; None: never.
        after: it is shortened when no column of a higher rank is left; default: at once.
        short: shortens a cell to a width; default: its middle is left out.
        below: does not go where it does not fit, but stands in a line of its own, uncut.
        wrap: the last column of a table may go on in further lines, like a paragraph.
    """

    name: str
    text: Callable[[T], str]
    raw: Callable[[T], Any] | None = None
    key: str | None = None
    style: Callable[[T], str] | None = None
    right: bool = False
    rank: int = 0
    least: int | None = None
    after: int = 99
    short: Callable[[str, int], str] = middle
    below: bool = False
    wrap: bool = False


def plain_table(columns: Sequence[Column[T]], rows: Sequence[T]) -> list[str]:
    """Lines of aligned columns; nothing is cut."""
    return list(plain_lines(columns, rows, plain_widths(columns, rows)))


def plain_widths(columns: Sequence[Column[T]], rows: Iterable[T]) -> list[int]:
    """How wide the columns of such a table are, of which few rows are in memory."""
    widths = [cells_of(column.name) for column in columns]
    for row in rows:
        cells = [cells_of(_cell(column, row)) for column in columns]
        widths = list(map(max, widths, cells))
    return widths


def plain_lines(
    columns: Sequence[Column[T]], rows: Iterable[T], widths: Sequence[int]
) -> Iterator[str]:
    """The lines of such a table, its heading first."""
    yield _plain_line(columns, [column.name.upper() for column in columns], widths)
    for row in rows:
        yield _plain_line(columns, [_cell(column, row) for column in columns], widths)


def _plain_line(
    columns: Sequence[Column[Any]], cells: Sequence[str], widths: Sequence[int]
) -> str:
    padded = [
        _padded(cell, width, right=column.right)
        for cell, width, column in zip(cells, widths, columns, strict=True)
    ]
    return (" " * _GAP).join(padded).rstrip()


def table(columns: Sequence[Column[T]], rows: Sequence[T], width: int | None = None) -> Text:
    """The same for a terminal of a width; columns that are empty in every row are left out."""
    from rich.text import Text

    width = width or terminal_width()
    cells = [[_cell(column, row) for row in rows] for column in columns]
    filled = [i for i in range(len(columns)) if any(cells[i])]
    widths = fit([columns[i] for i in filled], [cells[i] for i in filled], width)
    beside = {i: size for i, size in zip(filled, widths, strict=True) if size}
    below = [i for i in filled if columns[i].below and i not in beside]
    lines = [Text((" " * _GAP).join(
        _padded(columns[i].name.upper(), size, right=columns[i].right)
        for i, size in beside.items()
    ).rstrip(), "bold")]  # fmt: skip
    for at, row in enumerate(rows):
        parts = {i: (cells[i][at], _style(columns[i], row)) for i in filled}
        lines += _row_lines(columns, beside, parts)
        lines += [Text(_below(parts[i][0], width), parts[i][1]) for i in below if parts[i][0]]
    return Text("\n").join(lines)


def _below(cell: str, width: int) -> str:
    """A cell in a line of its own, indented as far as it fits."""
    return " " * max(0, min(_INDENT, width - cells_of(cell))) + cell


def _row_lines(
    columns: Sequence[Column[T]], beside: dict[int, int], parts: dict[int, tuple[str, str]]
) -> list[Text]:
    """A row, and further lines of a paragraph in its last column."""
    from rich.text import Text

    line, more = Text(), []
    for place, (i, size) in enumerate(beside.items()):
        (cell, style), column = parts[i], columns[i]
        if cells_of(cell) > size and column.wrap:
            cell, *rest = wrap(cell, size, hang=0).split("\n")
            more = [Text(" " * (line.cell_len + _GAP) + text, style) for text in rest]
        elif cells_of(cell) > size:
            cell = column.short(cell, size)
        last = place == len(beside) - 1 and not column.right
        line.append(" " * _GAP if place else "")
        line.append(cell if last else _padded(cell, size, right=column.right), style)
    return [line, *more]


def fit(columns: Sequence[Column[Any]], cells: Sequence[list[str]], width: int) -> list[int]:
    """The width of each column on a terminal of a width; 0 where it has no room."""
    natural = [
        max(cells_of(text) for text in [column.name, *texts])
        for column, texts in zip(columns, cells, strict=True)
    ]
    shown = set(range(len(columns)))
    while True:
        widths = [size if i in shown else 0 for i, size in enumerate(natural)]
        excess = sum(widths) + _GAP * (len(shown) - 1) - width
        for i in sorted(shown, key=lambda i: -columns[i].rank):
            if columns[i].wrap and excess > 0:
                smaller = min(widths[i], max(_LEAST_WRAPPED, widths[i] - excess))
                widths[i], excess = smaller, excess - (widths[i] - smaller)
        going = [i for i in shown if columns[i].rank or columns[i].below]
        highest = max((columns[i].rank for i in going), default=0)
        excess = _shorten(columns, widths, excess, highest)
        if excess <= 0 or not going:
            return widths
        shown.remove(max(going, key=lambda i: (columns[i].below, columns[i].rank)))


def _shorten(columns: Sequence[Column[Any]], widths: list[int], excess: int, highest: int) -> int:
    """Shorten what may be, the widest first of those alike; return what is still too much."""

    def may_be(i: int) -> bool:
        least, name = columns[i].least, columns[i].name
        return least is not None and widths[i] > max(least, len(name))

    for after in sorted({column.after for column in columns}, reverse=True):
        while excess > 0 and highest <= after:
            able = [i for i, column in enumerate(columns) if column.after == after and may_be(i)]
            if not able:
                break
            widths[max(able, key=lambda i: widths[i])] -= 1
            excess -= 1
    return excess


def _cell(column: Column[T], row: T) -> str:
    return clean(column.text(row)).replace("\t", " ")


def _style(column: Column[T], row: T) -> str:
    return column.style(row) if column.style else ""


def _padded(cell: str, width: int, *, right: bool) -> str:
    blanks = " " * (width - cells_of(cell))
    return blanks + cell if right else cell + blanks
