"""What tests of models share."""

from __future__ import annotations

from pathlib import Path

import pytest

from .recorder import Recorder


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    """A job's context that keeps what it is told, in a folder beside those of the test."""
    (tmp_path / "trained").mkdir()
    return Recorder(tmp_path / "trained")
