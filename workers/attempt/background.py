"""Work beside the thread that watches over a job."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class Background(threading.Thread):
    """A function in a thread of its own, which can be left to itself; what it raised is kept."""

    def __init__(self, function: Callable[[], Any], name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._function = function
        self.error: BaseException | None = None

    def run(self) -> None:
        """Call the function."""
        try:
            self._function()
        except BaseException as error:  # a plug-in's sys.exit included: told by who waits
            self.error = error
