"""Checkpoint files: what goes in comes out, and what is no checkpoint is told as such."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from cvq.errors import CheckpointError, PermanentError
from cvq_workers import checkpoints

JOB = {"kind": "fmnist-cnn", "spec_hash": "a" * 64}


def saved(folder: Path, **state: Any) -> Path:
    path = folder / checkpoints.file_name(7)
    checkpoints.write(path, **JOB, step=7, state=state)
    return path


def same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        alike = (one.dtype, one.stride()) == (other.dtype, other.stride())
        return alike and torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and bool((one == other).all())
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5),
    st.sampled_from([
        torch.arange(6.0).view(2, 3), torch.tensor(3), torch.empty(0, 4), torch.tensor([True]),
        torch.ones(2, 3, dtype=torch.bfloat16).T,
        torch.rand(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        np.arange(4, dtype=">i2"), np.float32(2.5),
        np.zeros((2, 0, 3)),
    ]),
)  # fmt: skip
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.integers() | st.text(max_size=3), inner, max_size=3),
    ),
    max_leaves=10,
)


@given(TREES)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_goes_in_comes_out(tmp_path: Path, tree: Any) -> None:
    found = checkpoints.read(saved(tmp_path, tree=tree), **JOB)
    assert found.step == 7
    assert same({"tree": tree}, found.state)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-00000007.safetensors"]


def test_a_network_its_optimiser_and_its_schedule_go_on_as_if_never_stopped(
    tmp_path: Path,
) -> None:
    def make() -> tuple[Any, Any, Any]:
        torch.manual_seed(1)
        network = torch.nn.Sequential(
            torch.nn.Linear(4, 8), torch.nn.Dropout(0.3), torch.nn.BatchNorm1d(8)
        )
        optimiser = torch.optim.AdamW(network.parameters(), lr=0.1)
        return network, optimiser, torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.1, 20)

    def train(network: Any, optimiser: Any, schedule: Any, steps: int) -> None:
        for _ in range(steps):
            loss = network(torch.randn(16, 4)).square().mean() * random.random() * np.random.rand()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()

    parts = make()
    train(*parts, 5)
    names = ("network", "optimiser", "schedule")
    states = {name: part.state_dict() for name, part in zip(names, parts, strict=True)}
    path = saved(tmp_path, **states)
    train(*parts, 5)
    again = make()
    found = checkpoints.read(path, **JOB)
    for name, part in zip(names, again, strict=True):
        part.load_state_dict(found.state[name])
    train(*again, 5)
    assert same(dict(parts[0].state_dict()), dict(again[0].state_dict()))


def test_tensors_that_share_memory_are_no_trouble(tmp_path: Path) -> None:
    whole = torch.arange(12.0).view(3, 4)
    found = checkpoints.read(saved(tmp_path, whole=whole, row=whole[1], tied=whole), **JOB)
    assert torch.equal(found.state["row"], whole[1])
    assert torch.equal(found.state["tied"], whole)


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", np.array([object()])])
def test_what_no_checkpoint_holds_is_named(tmp_path: Path, value: Any) -> None:
    with pytest.raises(PermanentError, match="a checkpoint holds"):
        saved(tmp_path, value=value)
    assert list(tmp_path.iterdir()) == []


@given(cut=st.floats(0, 0.999))
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_truncated_file_is_refused(tmp_path: Path, cut: float) -> None:
    path = saved(tmp_path, weights=torch.rand(50))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * cut)])
    with pytest.raises(CheckpointError, match=r"^[^\n]*no checkpoint, or cut off"):
        checkpoints.check(path, **JOB)


def test_files_of_others_are_refused(tmp_path: Path) -> None:
    def refusal(path: Path, **job: str) -> str:
        with pytest.raises(CheckpointError) as caught:
            checkpoints.check(path, **JOB | job)
        with pytest.raises(CheckpointError):
            checkpoints.read(path, **JOB | job)
        return str(caught.value)

    path = saved(tmp_path, weights=torch.rand(5))
    assert checkpoints.check(path, **JOB) == 7
    assert "of a fmnist-cnn job, not of vae" in refusal(path, kind="vae")
    assert "another specification" in refusal(path, spec_hash="b" * 64)
    text = tmp_path / "notes.txt"
    text.write_text("dear diary " * 100)
    assert "no checkpoint" in refusal(text)
    assert "no checkpoint" in refusal(tmp_path)
    foreign = tmp_path / "foreign.safetensors"
    save_file({"weights": torch.rand(5)}, foreign)
    assert "no checkpoint of cvq" in refusal(foreign)


def test_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "VERSION", "0")
    path = saved(tmp_path, weights=torch.rand(5))
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="has version 0, this cvq reads 1"):
        checkpoints.check(path, **JOB)
