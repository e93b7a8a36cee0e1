"""Curves drawn with dots of Braille, or with letters where there are neither dots nor colours.

plotille draws the lines; the axes, with places that read well and logarithms, are made here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import groupby
from operator import itemgetter, or_

from cvq.thinning import Point, thin

from . import formats
from .output import coloured, paint
from .widths import cells, middle

_COLOURS = ("cyan", "magenta", "yellow", "green", "blue", "red", "white")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_EMPTY = 0x2800  # Braille without a dot
_ROWS, _CELLS = 4, 10  # between two marks of an axis
_LEAST_CELLS = 8  # of a line that is drawn


@dataclass(frozen=True)
class Series:
    """A curve with its name for the legend."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Axis:
    """How values lie on an axis.

    Attributes:
        log: by their logarithm; only values above 0 have a place.
        text: writes a value beside a mark.
        whole: marks lie at whole numbers.
    """

    name: str
    log: bool = False
    text: Callable[[float], str] = field(default=formats.number)
    whole: bool = False

    def place(self, value: float) -> float | None:
        """Where a value lies; None where it has no place."""
        if not math.isfinite(value):
            return None
        if not self.log:
            return value
        return math.log10(value) if value > 0 else None


def plot(
    series: Sequence[Series], x: Axis, y: Axis, *, width: int, height: int, unicode: bool = True
) -> list[str]:
    """Draw curves as lines of text, with a legend where there are several.

    Args:
        series: of one metric, or of several.
        x, y: the axes.
        width: cells of the terminal.
        height: lines of the curves, without the axis and the legend.
        unicode: whether there are Braille and lines; else letters.
    """
    placed = [_placed(each.points, x, y) for each in series]
    known = [point for points in placed for point in points]
    values = [value for _, value in known if value is not None]
    if not values:
        return ["nothing to draw: no value has a place on these axes"]
    left, right = _limits([at for at, value in known if value is not None])
    low, high = _limits(values)
    marks = _marks(low, high, max(2, height // _ROWS), y)
    margin = max(cells(text) for _, text in marks)
    size = max(_LEAST_CELLS, width - margin - 2)
    grids = [_drawn(points, (left, right), (low, high), size, height) for points in placed]
    lines = _framed(_merged(grids, unicode=unicode), marks, (low, high), margin, unicode=unicode)
    lines += _below((left, right), size, margin, x, unicode=unicode)
    return [*lines, *_legend(series, width, unicode=unicode)]


def _placed(points: Sequence[Point], x: Axis, y: Axis) -> list[tuple[float, float | None]]:
    found = []
    for at, value in points:
        place = x.place(at)
        if place is not None:
            found.append((place, None if value is None else y.place(value)))
    return found


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """The ends of an axis, apart also where all values are one."""
    low, high = min(values), max(values)
    if high - low > 1e-12 * max(abs(low), abs(high)):
        return low, high
    room = abs(low) / 10 or 1.0
    return low - room, high + room


def _drawn(
    points: Sequence[Point],
    x: tuple[float, float],
    y: tuple[float, float],
    width: int,
    height: int,
) -> list[str]:
    """The rows of one curve, of Braille, the uppermost first."""
    from plotille import Canvas

    canvas = Canvas(width, height, 0, 0, 1, 1)
    before: tuple[float, float] | None = None
    for at, value in thin(points, 2 * width):
        here = None
        if value is not None:
            # A place at the very end would lie on the next cell.
            here = _share(at, x), _share(value, y)
            canvas.line(*(before or here), *here)
        before = here
    rows: list[str] = canvas.plot(linesep="\n").split("\n")
    return rows


def _share(value: float, limits: tuple[float, float]) -> float:
    return min(0.9999, max(0.0, (value - limits[0]) / (limits[1] - limits[0])))


def _merged(grids: Sequence[list[str]], *, unicode: bool) -> list[str]:
    """Several curves in one; where two meet, the later one has the colour."""
    letters = not unicode or (len(grids) > 1 and not coloured())
    return [
        _row([_cell(cell, letters=letters) for cell in zip(*several, strict=True)])
        for several in zip(*grids, strict=True)
    ]


def _cell(cells: Sequence[str], *, letters: bool) -> tuple[str, str]:
    """What stands in a cell of all curves together, and its colour."""
    dots = [ord(each) - _EMPTY if ord(each) > _EMPTY else 0 for each in cells]
    drawn = [place for place, each in enumerate(dots) if each]
    if not drawn:
        return " ", ""
    if letters:
        return _mark(drawn[-1], len(cells)), ""
    return chr(_EMPTY + reduce(or_, dots)), _colour(drawn[-1])


def _row(cells: Sequence[tuple[str, str]]) -> str:
    parts = []
    for colour, run in groupby(cells, key=itemgetter(1)):
        text = "".join(cell for cell, _ in run)
        parts.append(paint(text, colour) if colour else text)
    return "".join(parts)


def _colour(place: int) -> str:
    return _COLOURS[place % len(_COLOURS)]


def _mark(place: int, several: int) -> str:
    return "*" if several == 1 else _LETTERS[place % len(_LETTERS)]


def _framed(
    rows: list[str],
    marks: Sequence[tuple[float, str]],
    limits: tuple[float, float],
    margin: int,
    *,
    unicode: bool,
) -> list[str]:
    """The rows behind an axis with the marks that fall on each."""
    line, tick = ("│", "┤") if unicode else ("|", "+")
    at = {}
    for value, text in marks:
        share = (value - limits[0]) / (limits[1] - limits[0])
        at[min(len(rows) - 1, int((1 - share) * len(rows)))] = text
    return [
        f"{at.get(place, ''):>{margin}} {tick if place in at else line}{row}"
        for place, row in enumerate(rows)
    ]


def _below(
    limits: tuple[float, float], size: int, margin: int, axis: Axis, *, unicode: bool
) -> list[str]:
    """The axis below, its marks, and its name where there is room."""
    line, tick, corner = ("─", "┬", "└") if unicode else ("-", "+", "+")
    marks = _marks(*limits, max(2, size // _CELLS), axis)
    drawn, texts = [line] * size, ""
    for value, text in marks:
        share = (value - limits[0]) / (limits[1] - limits[0])
        at = min(size - 1, int(share * size))
        begin = min(max(0, at - len(text) // 2), size - len(text))
        if texts and begin <= len(texts):
            continue
        drawn[at] = tick
        texts = texts.ljust(begin) + text
    named = f"{texts}  {axis.name}"
    room = " " * (margin + 2)
    return [
        " " * (margin + 1) + corner + "".join(drawn),
        room + (named if len(named) <= size else texts),
    ]


def _marks(low: float, high: float, most: int, axis: Axis) -> list[tuple[float, str]]:
    """Places on an axis that read well, with their texts, no more than so many."""
    if axis.log:
        found = _powers(low, high, most)
    else:
        step = _step(high - low, most)
        step = max(1.0, step) if axis.whole else step
        first = math.ceil(low / step - 1e-9)
        found = []
        while (first + len(found)) * step <= high + 1e-9 * step and len(found) <= most:
            found.append((first + len(found)) * step)
    if not found:
        found = [low, high]
    return [(place, axis.text(10**place if axis.log else place + 0.0)) for place in found]


def _step(length: float, most: int) -> float:
    """1, 2 or 5 times a power of ten that divides a length into no more parts than asked."""
    raw = length / most
    power = 10.0 ** math.floor(math.log10(raw))
    return next(times * power for times in (1, 2, 5, 10) if times * power >= raw * 0.999)


def _powers(low: float, high: float, most: int) -> list[float]:
    """Powers of ten between two logarithms; with their doubles and fives where they are few."""
    tens = range(math.floor(low), math.ceil(high) + 1)
    for within in ((1, 2, 5), (1, 3), (1,)):
        found = [power + math.log10(each) for power in tens for each in within]
        found = [place for place in found if low - 1e-9 <= place <= high + 1e-9]
        if len(found) <= most:
            return found
    return found[:: -(-len(found) // most)]


def _legend(series: Sequence[Series], width: int, *, unicode: bool) -> list[str]:
    if len(series) < 2:
        return []
    letters = not unicode or not coloured()
    lines = []
    for place, each in enumerate(series):
        sign = _mark(place, len(series)) if letters else paint("──", _colour(place))
        room = width - 2 - (1 if letters else 2)
        lines.append(f"{sign}  {middle(formats.clean(each.name), room)}")
    return lines
