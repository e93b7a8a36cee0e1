"""How text fits a terminal: its cells, lines wrapped at spaces, what is left out of a long word.

Pure functions but for `terminal_width`. A cell is the room of an ASCII letter; East Asian
characters and most emoji take two, combining marks none.
"""

from __future__ import annotations

import os
import re
import sys

from .colours import bare

_USUAL = 80  # cells of a terminal that does not say
_USUAL_LINES = 24
_HANG = 2
LEAST = 24  # cells beside an indent; where a terminal has fewer, the indent is small
# Without asking rich, whose import costs more than a page of help: Latin letters, dashes, … and →.
_NARROW = re.compile("[\0-\u02ff\u2010-\u2027\u2190-\u2193]*")
_BLANK = "\ue000"  # a blank at which no line is broken; of Unicode's private characters
# A word, and a command to copy with all that stands before and after it.
_UNITS = re.compile(r"(\s*)((?:`[^`]*`|\S)+)")


def terminal_width(*, err: bool = False) -> int:
    """Cells in a line of the terminal behind stdout (or stderr); COLUMNS wins, as elsewhere."""
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given):
        return int(given)
    try:
        return os.get_terminal_size((sys.stderr if err else sys.stdout).fileno()).columns or _USUAL
    except (OSError, ValueError, AttributeError):
        return _USUAL


def terminal_height() -> int:
    """Lines of the terminal behind stdout; LINES wins, as elsewhere."""
    given = os.environ.get("LINES", "")
    if given.isdecimal() and int(given):
        return int(given)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).lines or _USUAL_LINES
    except (OSError, ValueError, AttributeError):
        return _USUAL_LINES


def cells(text: str) -> int:
    """The cells that a text takes."""
    if _NARROW.fullmatch(text):
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def whole(text: object) -> str:
    """A path (say) with blanks, at which `wrap` does not break it."""
    return str(text).replace(" ", _BLANK)


def plain_blanks(text: str) -> str:
    """The same as it is printed."""
    return text.replace(_BLANK, " ")


def wrap(text: str, width: int, hang: int | None = None) -> str:
    """Lines no wider than a terminal, broken at spaces only; those that fit stay as they are.

    What is longer than a line, as a path may be, has one of its own and is not broken; nor is a
    command in backticks.

    Args:
        text: one line or several; colours take no room.
        width: of the terminal, in cells.
        hang: the indent of further lines; default: two more than that of the first.
    """
    return "\n".join(_wrapped(line, width, hang) for line in text.split("\n"))


def _wrapped(line: str, width: int, hang: int | None) -> str:
    if _shown(line) <= width:
        return line
    lead = len(line) - len(line.lstrip())
    hang = lead + _HANG if hang is None else hang
    if width - hang < LEAST:
        hang = min(hang, 2 * _HANG)
        line = " " * min(lead, hang) + line.lstrip()
    lines, end = [""], 0
    for found in _UNITS.finditer(line):
        space, word = found.groups()
        size = _shown(word)
        if size and end + len(space) + size > width:
            indent = max(0, min(hang if end else len(space), width - size))
            lines[-1:] = [lines[-1]] * bool(end) + [" " * indent + word]
            end = indent + size
        else:
            lines[-1] += space + word
            end += len(space) + size
    return "\n".join(lines)


def _shown(text: str) -> int:
    return cells(bare(text))


def middle(text: str, width: int) -> str:
    """A text in so many cells, its middle left out where it is too long: both ends tell."""
    if cells(text) <= width:
        return text
    if width < 2:
        return "…"[:width]
    end = (width - 1) // 2
    return _first(text, width - 1 - end).rstrip() + "…" + _last(text, end).lstrip()


def ending(text: str, width: int) -> str:
    """A text in so many cells, its end left out where it is too long; whole words where it can."""
    if cells(text) <= width:
        return text
    if width < 2:
        return "…"[:width]
    kept = _first(text, width - 1)
    words = kept.rpartition(" ")[0]
    if text[len(kept)] != " " and cells(words) * 4 >= width * 3:
        kept = words
    return kept.rstrip() + "…"


def name(text: str, width: int) -> str:
    """What somebody named, in so many cells: a file keeps its suffix, a phrase its beginning.

    Of `lr=0.1 width=16`, as trials of a sweep are called, both ends stay: they begin alike.
    """
    if "=" in text:
        return middle(text, width)
    stem, dot, suffix = text.rpartition(".")
    room = width - cells(dot + suffix)
    if stem and " " not in text and len(suffix) <= 12 and room >= 6:
        return text if cells(text) <= width else f"{_first(stem, room - 1)}…{dot}{suffix}"
    return ending(text, width)


def items(text: str, width: int) -> str:
    """A list such as `12,13,14` in so many cells: whole items, as many as there is room for."""
    if cells(text) <= width:
        return text
    kept = _first(text, width - 1).rpartition(",")
    return f"{kept[0]},…" if kept[0] else middle(text, width)


def _first(text: str, width: int) -> str:
    """As much of the beginning as a width holds, no character cut from its accents."""
    taken = end = 0
    for _, stop, size in _characters(text):
        if taken + size > width:
            break
        taken, end = taken + size, stop
    return text[:end]


def _last(text: str, width: int) -> str:
    taken, begin = 0, len(text)
    for start, _, size in reversed(_characters(text)):
        if taken + size > width:
            break
        taken, begin = taken + size, start
    return text[begin:]


def _characters(text: str) -> list[tuple[int, int, int]]:
    """What a reader takes for a character: where it begins and ends, and its cells."""
    from rich.cells import split_graphemes

    return split_graphemes(text)[0]
