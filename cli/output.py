"""What commands print: tables, JSON, CSV; with rich on a terminal, plain lines in a pipe.

Everything that a command writes goes through here, and nothing leaves that would steer the
reader's terminal: names, errors and logs are others' words. In a pipe no cell is cut or wrapped.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from cvq.errors import UsageError
from cvq.text import UNPRINTABLE, clean_lines

from . import widths
from .colours import MARKS, bare, styled
from .colours import shown as in_colours
from .formats import clean
from .table import Column as Column
from .table import plain_table as plain_table
from .table import table as table

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment
    from rich.text import Text

T = TypeVar("T")

_MARKUP = re.compile(r"[\\|\[\]`]")  # what begins something in a table of Markdown
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def on_terminal(*, err: bool = False) -> bool:
    """Whether stdout (or stderr) is a terminal that a person reads."""
    return (sys.stderr if err else sys.stdout).isatty()


def is_dumb() -> bool:
    """Whether the terminal understands no colours and cannot move its cursor."""
    return os.environ.get("TERM", "").lower() in ("", "dumb", "unknown")


def console(*, err: bool = False) -> Console:
    """A rich console; rich itself honours NO_COLOR and TERM=dumb."""
    from rich.console import Console

    class CleanConsole(Console):
        """One that shows what would steer the terminal as a mark, as wide as it was."""

        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                text = segment.text
                if segment.control is None and text != "\n" and UNPRINTABLE.search(text):
                    segment = segment._replace(text=UNPRINTABLE.sub(_mark, text))
                yield segment

    return CleanConsole(stderr=err, highlight=False, soft_wrap=False)


class _Screen(io.StringIO):
    """Takes what is said in the place of stdout, and has its size and its characters."""

    def __init__(self) -> None:
        super().__init__()
        self._of = sys.stdout

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._of.encoding

    def isatty(self) -> bool:
        return self._of.isatty()

    def fileno(self) -> int:
        return self._of.fileno()


def captured(tell: Callable[[], None]) -> Text:
    """What a function says, to be drawn on a screen that rich holds."""
    from rich.text import Text

    stream = _Screen()
    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        tell()
    return Text.from_ansi(stream.getvalue())


def _mark(found: re.Match[str]) -> str:
    return found[0] if found[0] == "\n" else "\ufffd"


def say(
    text: object = "",
    *,
    err: bool = False,
    wrap: bool = True,
    hang: int | None = None,
    lines: bool = False,
) -> None:
    """Print a line; on a terminal our own colours stay, and nothing else that is not text.

    Args:
        text: what to print.
        err: on stderr.
        lines: it has several lines; otherwise an end of a line within it is somebody else's, who
            might begin one of ours.
        wrap: break lines that are wider than a terminal, at spaces; see `widths.wrap`. Nothing is
            broken in a pipe.
        hang: the indent of the further lines of one that is broken.
    """
    person = on_terminal(err=err)
    parts = MARKS.split(str(text)) if person and not is_dumb() else [bare(str(text))]
    neat = clean_lines if lines else clean
    shown = "".join(part if MARKS.fullmatch(part) else neat(part) for part in parts)
    if person and wrap:
        shown = widths.wrap(shown, widths.terminal_width(err=err), hang)
    click.echo(in_colours(widths.plain_blanks(shown)), file=_beside_bar(err), err=err)


def _beside_bar(err: bool) -> IO[str] | None:
    """What rich puts in the place of a stream while it draws there, to print above that.

    Click, left to itself, finds the stream behind it, and writes into the middle of a bar.
    """
    stream = sys.stderr if err else sys.stdout
    return stream if type(stream).__module__ == "rich.file_proxy" else None


def say_each(lines: Iterable[object], *, wrap: bool = True) -> None:
    """Print a line for each."""
    for line in lines:
        say(line, wrap=wrap)


def note(message: str) -> None:
    """A line for people, on stderr, beside the result; nothing fails where nobody can read it."""
    with contextlib.suppress(OSError):
        say(message, err=True)


def hint(message: str) -> None:
    """A line of advice, only where a person is reading."""
    if on_terminal() and on_terminal(err=True):
        note(message)


def dump(value: Any) -> None:
    """JSON for people and programs."""
    say(json_text(value, indent=2), wrap=False, lines=True)


def dump_each(values: Iterable[Any]) -> None:
    """The same as `dump` of a list, one by one: not all of them need be in memory."""
    held = "["  # as a comma follows where another value does
    for value in values:
        say(held, wrap=False, lines=True)
        held = "  " + json_text(value, indent=2).replace("\n", "\n  ") + ","
    say("[]" if held == "[" else f"{held[:-1]}\n]", wrap=False, lines=True)


def dump_line(value: Any) -> None:
    """One JSON value on one line, at once: for what goes on."""
    say(json_text(value), wrap=False)
    sys.stdout.flush()


def writes_utf8() -> bool:
    """Whether stdout takes every character."""
    return codecs.lookup(sys.stdout.encoding or "utf-8").name == "utf-8"


def json_text(value: Any, indent: int | None = None) -> str:
    """A value as JSON in characters that stdout can show, and none that steers a terminal."""
    text = json.dumps(value, indent=indent, ensure_ascii=not writes_utf8(), default=str)
    # Outside of words JSON has no such character but the end of a line.
    return UNPRINTABLE.sub(
        lambda found: found[0] if found[0] == "\n" else json.dumps(found[0])[1:-1], text
    ).replace("\x7f", "\\u007f")


def pour(path: Path) -> None:
    """Write a file to stdout, byte by byte as it is: into a pipe or a file, never to a terminal.

    Raises:
        UsageError: a person is reading, whose terminal the bytes could steer.
    """
    if on_terminal():
        raise UsageError("a terminal is not shown a file's bytes: give -o FILE, or use a pipe")
    with path.open("rb") as file:
        shutil.copyfileobj(file, sys.stdout.buffer)
    sys.stdout.buffer.flush()


def show_csv(columns: Sequence[Column[T]], rows: Iterable[T]) -> None:
    """Print rows as CSV with a heading."""
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([cell(column.key or column.name) for column in columns])
    for row in rows:
        writer.writerow([cell((column.raw or column.text)(row)) for column in columns])


def show_md(columns: Sequence[Column[T]], rows: Iterable[T]) -> None:
    """Print rows as a table of Markdown."""
    say_each(md_lines(columns, rows), wrap=False)


def md_lines(columns: Sequence[Column[T]], rows: Iterable[T]) -> Iterator[str]:
    """Rows as the lines of a table of Markdown, with the cells that people read, uncut."""

    def line(cells: Iterable[str]) -> str:
        return f"| {' | '.join(cells)} |"

    yield line(_in_md(column.name) for column in columns)
    yield line("--:" if column.right else "---" for column in columns)
    for row in rows:
        yield line(_in_md(column.text(row)) for column in columns)


def _in_md(text: str) -> str:
    """A cell that cannot end its row, nor begin HTML, a link, a picture or code."""
    line = " ".join(clean(text).split())
    return _MARKUP.sub(r"\\\g<0>", line).replace("<", "&lt;")


def cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula; numbers stay numbers."""
    if not isinstance(value, str):
        return value
    text = f"'{value}" if value.startswith(_FORMULA) and not _is_number(value) else value
    return clean(text) if on_terminal() else clean_lines(text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii() and not text.startswith(("\t", "\r"))


def show_table(columns: Sequence[Column[T]], rows: Sequence[T]) -> None:
    """Print rows as a table."""
    if on_terminal():
        # Only what must not be cut is longer than a line: the terminal itself wraps it.
        console().print(table(columns, rows), soft_wrap=True)
    else:
        for line in plain_table(columns, rows):
            say(line)


def fields(pairs: Sequence[tuple[str, object]]) -> None:
    """Print names and values, leaving out the empty ones; each item of a list has its own line."""
    given = [(name, value) for name, value in pairs if value not in (None, "", [], {})]
    width = max((len(name) for name, _ in given), default=0)
    for name, value in given:
        label = styled(name.ljust(width), "bold")
        for count, item in enumerate(value if isinstance(value, list) else [value]):
            say(f"{' ' * width if count else label}  {clean(item)}", hang=width + 2)


def heading(text: str) -> None:
    """A blank line and a title."""
    say()
    say(styled(text, "bold"))


def coloured() -> bool:
    """Whether stdout is a terminal where colours are wanted."""
    return on_terminal() and not os.environ.get("NO_COLOR") and not is_dumb()


def paint(text: str, colour: str) -> str:
    """Text in one of Click's colours, on a terminal where colours are wanted."""
    return styled(text, colour) if coloured() else text
