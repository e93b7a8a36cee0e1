"""What a process may lack where it was started: standard streams, a folder to stand in."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def prepare() -> None:
    """Give a process what the rest of the code takes for granted.

    A stream that was closed (`<&-`, `>&-`) leaves its number to the next file that is opened, and
    a server's socket would then be written to as stdout. Python has None for such a stream. In a
    folder that was removed, much of Python fails.
    """
    _fill_streams()
    leave_removed_folder()


def leave_removed_folder(other: str = "/") -> None:
    """Go to another folder where the present one is not there any more."""
    try:
        Path.cwd()
    except OSError:
        os.chdir(other)


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
