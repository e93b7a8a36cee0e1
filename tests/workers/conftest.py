"""What tests of models share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .recorder import Recorder


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Networks and pictures this small lose more by sharing work than they gain."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    """A job's context that keeps what it is told, in a folder beside those of the test."""
    (tmp_path / "trained").mkdir()
    return Recorder(tmp_path / "trained")
