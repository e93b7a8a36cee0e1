"""What an inference has changed in its process, and not put back, is found."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from cvq_workers.job import process_state
from cvq_workers.job.process_state import ProcessState, is_crowded


def set_errors(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Any:
    before = np.seterr(divide="raise")
    return lambda: np.seterr(**before)


def set_dtype(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Any:
    torch.set_default_dtype(torch.float64)
    return lambda: torch.set_default_dtype(torch.float32)


def set_gradients(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Any:
    torch.set_grad_enabled(False)
    return lambda: torch.set_grad_enabled(True)


def set_folder(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Any:
    monkeypatch.chdir(folder)
    return monkeypatch.undo


def close_input(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Any:
    kept = os.dup(0)
    os.close(0)
    return lambda: (os.dup2(kept, 0), os.close(kept))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (close_input, "the standard streams"),
        (set_errors, "numpy's errstate"),
        (set_dtype, "PyTorch's default dtype"),
        (set_gradients, "PyTorch's gradients"),
        (set_folder, "the working folder"),
    ],
)
def test_a_change_is_told_until_it_is_put_back(
    tmp_path: Path, change: Callable[..., Any], told: str
) -> None:
    state = ProcessState()
    with pytest.MonkeyPatch.context() as monkeypatch:
        put_back = change(monkeypatch, tmp_path)
        try:
            found = state.changes()
        finally:
            put_back()
    assert found == [told]
    assert state.changes() == []


def test_threads_and_descriptors_that_were_left_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not is_crowded()
    with monkeypatch.context() as patch:
        patch.setattr(process_state, "_MOST_THREADS", threading.active_count() - 1)
        assert is_crowded()
    used = psutil.Process().num_fds()
    monkeypatch.setattr(process_state.resource, "getrlimit", lambda _: (2 * used - 2, 2 * used))
    assert is_crowded()
