"""The system's viewer of files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from cvq.endings import FILMS, PICTURES, TABLES, TEXTS, ending_of

_PATIENCE_S = 1.0  # in which a viewer that cannot open a file has said so
# What a viewer shows. Other files may be programs: some systems run them where they "open" them,
# and a browser runs the scripts of a page, of which an SVG is one.
_SHOWN = PICTURES | TABLES | TEXTS | FILMS | {"pdf"}


def opened(path: Path) -> str | None:
    """Open a file; return why it was not, or None.

    Args:
        path: absolute, so that no viewer takes it for an option.
    """
    if ending_of(path) not in _SHOWN:
        return f"a file called {path.suffix or 'so'} may be a program"
    if sys.platform != "darwin" and not _has_display():
        return "there is no display here"
    name = "open" if sys.platform == "darwin" else "xdg-open"
    if (program := shutil.which(name)) is None:
        return f"there is no {name} here"
    return _started(program, path)


def _has_display() -> bool:
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _started(program: str, path: Path) -> str | None:
    """Start a viewer, which outlives this command."""
    try:
        process = subprocess.Popen(
            [program, str(path.absolute())],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        code = process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        return None  # it is the viewer itself
    except OSError as error:
        return f"{program}: {error.strerror or error}"
    return None if code == 0 else f"{program} knows no viewer for it (it exited with {code})"
