"""How the terminal at hand can show a picture."""

from __future__ import annotations

import codecs
import os
import sys
from enum import StrEnum
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from cvq.errors import MissingExtraError

from ..output import console, is_dumb
from .blocks import Depth as Depth


class How(StrEnum):
    """A way to show pictures."""

    KITTY = "kitty"
    SIXEL = "sixel"
    ITERM = "iterm2"
    BLOCKS = "blocks"
    SIGNS = "ascii"


EXTRA = "preview"
_LIBRARY = "textual_image"
# Inside of these a program does not reach the terminal, or what it draws is left behind.
_BETWEEN = ("TMUX", "STY", "ZELLIJ")
_KITTY = ("xterm-kitty", "xterm-ghostty")
_SIXEL = ("foot", "mlterm", "contour", "yaft", "wezterm")
# TERM_PROGRAM of those that show sixel, VS Code among them.
_SIXEL_PROGRAMS = ("wezterm", "mintty", "vscode", "rio", "konsole")


def best() -> How:
    """The best that the terminal and what is installed can do."""
    pixels = announced()
    if pixels is How.ITERM:
        return pixels
    if pixels is not None and find_spec(_LIBRARY) is not None:
        return pixels
    return How.SIGNS if depth() is Depth.SIGNS else How.BLOCKS


def announced() -> How | None:
    """The protocol for pixels that the terminal says it has, by its environment.

    It is not asked: what answers late, as over a slow line, would be taken for what is typed.
    """
    given = os.environ
    term, program = given.get("TERM", "").lower(), given.get("TERM_PROGRAM", "").lower()
    if any(name in given for name in _BETWEEN) or term.startswith(("screen", "tmux")) or is_dumb():
        return None
    if "KITTY_WINDOW_ID" in given or term in _KITTY or program in ("kitty", "ghostty"):
        return How.KITTY
    if program == "iterm.app":
        return How.ITERM
    if term.startswith(_SIXEL) or program in _SIXEL_PROGRAMS or "KONSOLE_VERSION" in given:
        return How.SIXEL
    return None


def is_extra_missing() -> bool:
    """Whether one more package would show pixels here."""
    return announced() in (How.KITTY, How.SIXEL) and find_spec(_LIBRARY) is None


def depth() -> Depth:
    """The colours that the terminal has, and whether it can write a half block."""
    colours = console()
    utf8 = codecs.lookup(sys.stdout.encoding or "utf-8").name == "utf-8"
    if not utf8 or is_dumb() or colours.no_color:
        return Depth.SIGNS
    system = colours.color_system
    if system == "truecolor":
        return Depth.TRUE
    return Depth.MANY if system == "256" else Depth.SIGNS


def pixels(how: How) -> Any:
    """The class of what rich prints as pixels: `Image(picture, width=cells, height="auto")`.

    Raises:
        MissingExtraError: the library is not installed.
    """
    if how is How.ITERM:
        from .iterm import Picture

        return Picture
    if find_spec(_LIBRARY) is None:
        raise MissingExtraError(EXTRA, f"a picture as {how}")
    # It asks the terminal when it is loaded, unless there is none.
    terminal, sys.__stdout__ = sys.__stdout__, None  # type: ignore[misc]
    try:
        module = import_module(f"{_LIBRARY}.renderable")
    finally:
        sys.__stdout__ = terminal  # type: ignore[misc]
    return module.TGPImage if how is How.KITTY else module.SixelImage
