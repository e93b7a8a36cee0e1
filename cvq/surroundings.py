"""What a process may lack where it was started: standard streams, a folder to stand in."""

from __future__ import annotations

import codecs
import io
import os
import sys
from pathlib import Path

_PLAIN = {"…": "...", "→": "->", "━": "-", **dict(zip("▁▂▃▄▅▆▇█", "_.-:=+*#", strict=True))}


def prepare() -> None:
    """Give a process what the rest of the code takes for granted.

    A stream that was closed (`<&-`, `>&-`) leaves its number to the next file that is opened, and
    a server's socket would then be written to as stdout. Python has None for such a stream. In a
    folder that was removed, much of Python fails. A locale that does not know a character must
    not cost the line that it stands in.
    """
    _fill_streams()
    _forgive_characters()
    leave_removed_folder()


def leave_removed_folder(other: str = "/") -> None:
    """Go to another folder where the present one is not there any more."""
    try:
        Path.cwd()
    except OSError:
        os.chdir(other)


def _forgive_characters() -> None:
    """Let stdout and stderr write what their encoding lacks in other characters."""
    codecs.register_error("cvq", _written_otherwise)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # ASCII says that nobody has set a locale; today's terminals read UTF-8 (as in Click).
            unset = codecs.lookup(stream.encoding).name == "ascii"
            stream.reconfigure(encoding="utf-8" if unset else None, errors="cvq")


def _written_otherwise(error: UnicodeError) -> tuple[str, int]:
    """An error handler: `…` as `...`, a bar as a sign, anything else as `\\u65e5`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_PLAIN.get(char) or _escaped(char) for char in text), error.end


def _escaped(char: str) -> str:
    return char.encode("ascii", "backslashreplace").decode()


def _fill_streams() -> None:
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest number
        if getattr(sys, name) is None:
            null = open(os.devnull, "r" if name == "stdin" else "w")  # noqa: PTH123, SIM115
            setattr(sys, name, null)
            setattr(sys, f"__{name}__", null)
