"""What tests of models share."""

from __future__ import annotations

from pathlib import Path

import pytest

from cvq import LocalContext


@pytest.fixture
def ctx(tmp_path: Path) -> LocalContext:
    """A job's context that keeps what it is told, in a folder beside those of the test."""
    (tmp_path / "trained").mkdir()
    return LocalContext(tmp_path / "trained")
