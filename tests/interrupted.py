"""A job that is interrupted right after a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cvq import LocalContext


class Interrupted(LocalContext):
    """Saves after every step, and raises KeyboardInterrupt after one of them."""

    def __init__(self, folder: Path, after: int) -> None:
        super().__init__(folder, checkpoint_every=0)
        self._after = after

    def checkpoint(self, step: int, **state: Any) -> None:
        super().checkpoint(step, **state)
        if step == self._after:
            raise KeyboardInterrupt
