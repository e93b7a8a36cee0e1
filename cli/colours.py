"""Colours of our own in what is printed, which nobody else's words can have.

A line is put together of our words and others': of jobs, users, errors, files. What is to be
coloured stands between marks that hold a random number, so that `output.say` knows them from
whatever colours a job may be called by; what is not so marked is shown as text.
"""

from __future__ import annotations

import os
import re

_KEY = f"\x1b{os.urandom(8).hex()}"
MARKS = re.compile(f"({_KEY}\\[[0-9;]*m)")
RESET = "0"
_FACES = {"bold": "1", "dim": "2"}
_NAMED = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_CODES = {
    **_FACES,
    **{name: str(30 + place) for place, name in enumerate(_NAMED)},
    **{f"bright_{name}": str(90 + place) for place, name in enumerate(_NAMED)},
}


def mark(codes: str) -> str:
    """What begins a style: the codes as a terminal has them, such as `1` or `38;5;16`."""
    return f"{_KEY}[{codes}m"


def styled(text: str, style: str) -> str:
    """A text in one of the colours, `bold` or `dim`; in no style where none is named."""
    return f"{mark(_CODES[style])}{text}{mark(RESET)}" if style else text


def bare(text: str) -> str:
    """A text without our marks."""
    return MARKS.sub("", text) if _KEY in text else text


def shown(text: str) -> str:
    """A text as a terminal takes it: our marks, and no others, are colours."""
    return text.replace(_KEY, "\x1b")
