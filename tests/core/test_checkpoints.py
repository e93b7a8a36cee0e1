"""Checkpoint files: what goes in comes out, and what is no checkpoint is told as such."""

from __future__ import annotations

import collections
import enum
import json
import math
import random
import struct
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from cvq import checkpoints
from cvq.errors import CheckpointError, PermanentError

JOB = {"kind": "fmnist-cnn", "spec_hash": "a" * 64}


def saved(folder: Path, **state: Any) -> Path:
    path = folder / checkpoints.file_name(7)
    checkpoints.write(path, **JOB, step=7, state=state)
    return path


def same(one: Any, other: Any) -> bool:
    """Whether two values are alike in every respect: types, bits, data types and strides."""
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        alike = (one.dtype, one.shape, one.stride()) == (other.dtype, other.shape, other.stride())
        return alike and torch.equal(bits(one), bits(other))
    if isinstance(one, np.ndarray | np.generic):
        alike = (one.dtype, one.shape, one.strides) == (other.dtype, other.shape, other.strides)
        return (
            alike
            and one.dtype.byteorder == other.dtype.byteorder
            and (one.tobytes() == other.tobytes())
        )
    if isinstance(one, float):
        return struct.pack("d", one) == struct.pack("d", other)
    if isinstance(one, dict):
        keys = same(list(one), list(other))
        more = same(getattr(one, "_metadata", None), getattr(other, "_metadata", None))
        return keys and more and all(map(same, one.values(), other.values()))
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)


BASE = torch.arange(120.0)
IMAGE = torch.rand(2, 3, 4, 5)
ARRAY = np.arange(24.0).reshape(2, 3, 4)
TENSORS = [
    torch.arange(6.0).view(2, 3),
    torch.tensor(3),
    torch.tensor(-0.0),
    torch.tensor([torch.nan, torch.inf]),
    torch.empty(0, 4),
    torch.empty(4, 0).T,
    torch.tensor([True]),
    torch.ones(2, 3, dtype=torch.bfloat16).T,
    IMAGE.contiguous(memory_format=torch.channels_last),
    torch.rand(8, 4, 1, 1).to(memory_format=torch.channels_last),
    IMAGE.permute(3, 0, 2, 1),
    BASE[::3],
    BASE[5:9],
    BASE.view(10, 12)[:, 1::2],
    torch.rand(1, 7).expand(5, 7),
    BASE.unfold(0, 4, 2),
]
ARRAYS = [
    np.arange(4, dtype=">i2"),
    np.float32(2.5),
    np.float64(0.1),
    np.str_("word"),
    np.datetime64("2026-01-01"),
    np.array(2.0),
    np.array(["a", "bc"]),
    np.array(["2026-01-01"], dtype="datetime64[ns]"),
    np.array([1 + 2j]),
    np.zeros((2, 0, 3)),
    np.asfortranarray(ARRAY),
    ARRAY.transpose(1, 2, 0),
    ARRAY[:, ::2],
    np.broadcast_to(np.arange(3.0), (4, 3)),
    np.zeros(0)[:, None].T,
]
WORDS = st.text(max_size=5) | st.sampled_from(["\ud83d\ude00", "half \udc80", "\x00", "int"])
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), WORDS,
    st.sampled_from([2**63, -(2**63) - 1, 10**50, -math.nan, -0.0]),
    st.sampled_from([*TENSORS, *ARRAYS, torch.Size([2, 3]), Counter({3: 2}), OrderedDict()]),
)  # fmt: skip
KEYS = st.one_of(
    st.integers(), st.booleans(), WORDS, st.none(), st.tuples(st.integers(), st.text(max_size=2))
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(KEYS, inner, max_size=3),
        st.dictionaries(KEYS, inner, max_size=3).map(OrderedDict),
    ),
    max_leaves=10,
)


@pytest.mark.slow
@given(TREES)
@settings(max_examples=150, suppress_health_check=list(HealthCheck))
def test_what_goes_in_comes_out(tmp_path: Path, tree: Any) -> None:
    found = checkpoints.read(saved(tmp_path, tree=tree), **JOB)
    assert found.step == 7
    assert same({"tree": tree}, found.state)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-00000007.safetensors"]


@pytest.mark.slow
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


@pytest.mark.parametrize(
    "value", [*TENSORS, *ARRAYS], ids=lambda value: f"{type(value).__name__}{value.shape}"
)
def test_what_is_computed_on_comes_back_with_its_layout(tmp_path: Path, value: Any) -> None:
    found = checkpoints.read(saved(tmp_path, value=[value]), **JOB)
    assert same({"value": [value]}, found.state)


def test_a_tied_tensor_stays_one(tmp_path: Path) -> None:
    network = torch.nn.ModuleDict({"in": torch.nn.Linear(3, 3), "out": torch.nn.Linear(3, 3)})
    network["out"].weight = network["in"].weight
    found = checkpoints.read(saved(tmp_path, network=network.state_dict()), **JOB).state["network"]
    assert same(found, network.state_dict())
    assert found["in.weight"] is found["out.weight"]
    assert found["in.bias"] is not found["out.bias"]


def test_the_schedules_of_pytorch_come_back_with_their_types(tmp_path: Path) -> None:
    optimiser = torch.optim.Adam([torch.nn.Parameter(torch.ones(2))])
    states = [
        torch.optim.lr_scheduler.MultiStepLR(optimiser, [3, 5, 5]).state_dict(),
        torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser).state_dict(),
        torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.1, 20).state_dict(),
    ]
    assert same(checkpoints.read(saved(tmp_path, states=states), **JOB).state["states"], states)


class Colour(enum.IntEnum):
    RED = 1


class Word(str):
    __slots__ = ()


Pair = collections.namedtuple("Pair", "one two")
RECORDS = np.zeros(2, dtype=[("x", "i4"), ("y", "f8")])


@pytest.mark.filterwarnings("ignore")  # of PyTorch, on its own beta features
@pytest.mark.parametrize(
    ("make", "what", "advice"),
    [
        (object, "object", "what it is made of"),
        (lambda: {1, 2}, "set", "a sorted list"),
        (lambda: b"bytes", "bytes", "what it is made of"),
        (lambda: 1j, "complex", "what it is made of"),
        (lambda: Colour.RED, "Colour", "int(x)"),
        (lambda: Word("a"), "Word", "str(x)"),
        (lambda: Pair(1, 2), "Pair", "dict(x._asdict())"),
        (lambda: collections.defaultdict(list), "defaultdict", "dict(…)"),
        (lambda: collections.deque([1]), "deque", "list(…)"),
        (lambda: {torch.tensor(1): 2}, "key of type torch.Tensor", "words or numbers"),
        (lambda: {Colour.RED: 2}, "key of type", "words or numbers"),
        (lambda: np.array([object()]), "array of object", "array of numbers"),
        (lambda: RECORDS, "array of [('x', '<i4'), ('y', '<f8')]", "each field"),
        (lambda: RECORDS[0], "array of [('x', '<i4'), ('y', '<f8')]", "each field"),
        (lambda: RECORDS["y"], "a view", "x.copy()"),
        (lambda: RECORDS.view(np.recarray), "recarray", "numpy.array"),
        (lambda: np.ma.masked_array([1, 2], [0, 1]), "MaskedArray", "a mask"),
        (lambda: np.matrix([[1.0]]), "matrix", "numpy.array"),
        (lambda: np.arange(5.0)[::-1], "backwards", "x.copy()"),
        (lambda: np.zeros((99, 99))[:, 0], "thin slice", "x.copy()"),
        (lambda: torch.zeros(99, 99)[:, 0], "thin slice", "x.clone()"),
        (lambda: torch.nn.Parameter(torch.ones(2)), "Parameter", "x.detach()"),
        (lambda: torch.ones(2, requires_grad=True), "gradients", "x.detach()"),
        (lambda: torch.eye(2).to_sparse(), "sparse", "x.to_dense()"),
        (lambda: torch.ones(2, device="meta"), "without values", "on a device"),
        (lambda: torch.ones(2, dtype=torch.complex64), "complex64", "another dtype"),
        (lambda: torch.ones(2, dtype=torch.complex64).conj(), "conjugated", "x.clone()"),
    ],
)
def test_what_would_not_come_back_as_it_is_is_refused_with_its_place(
    tmp_path: Path, make: Any, what: str, advice: str
) -> None:
    with pytest.raises(PermanentError, match="a checkpoint holds") as caught:
        saved(tmp_path, optimiser={"state": [1, {"value": make()}]})
    said = str(caught.value)
    assert said.startswith('state["optimiser"]["state"][1]["value"] is of a kind')
    assert what in said
    assert advice in said
    assert "\n" not in said
    assert list(tmp_path.iterdir()) == []


def test_a_number_longer_than_python_prints_comes_back(tmp_path: Path) -> None:
    found = checkpoints.read(saved(tmp_path, big=-(10**5000)), **JOB)
    assert found.state["big"] == -(10**5000)


def test_a_list_in_itself_is_refused(tmp_path: Path) -> None:
    loop: list[Any] = []
    loop.append(loop)
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    for value in (loop, deep):
        with pytest.raises(PermanentError, match="nested too deep"):
            saved(tmp_path, value=value)


def test_a_checkpoint_of_format_1_is_still_read(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint-00000003.safetensors"
    version, state, numbers = random.getstate()
    python = {"tuple": [version, {"tuple": list(state)}, numbers]}
    tree = {
        "dict": [
            [
                "state",
                {"dict": [["w", {"tensor": ["0", [1, 2]]}], ["a", {"array": ["1", "<f8", [1]]}]]},
            ],
            ["random", {"dict": [["python", python]]}],
        ]
    }
    metadata = {
        "format": "cvq-checkpoint", "version": "1", **JOB, "step": "3", "framework": "pt",
        "tree": json.dumps(tree),
    }  # fmt: skip
    leaves = {"0": torch.ones(2, 3), "1": torch.from_numpy(np.ones(1).view(np.uint8))}
    save_file(leaves, path, metadata)
    found = checkpoints.read(path, **JOB)
    assert same(found.state, {"w": torch.ones(3, 2).T, "a": np.ones(1)})


@given(cut=st.floats(0, 0.999))
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
def test_a_truncated_file_is_refused(tmp_path: Path, cut: float) -> None:
    path = saved(tmp_path, weights=torch.rand(50))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * cut)])
    with pytest.raises(CheckpointError, match=r"^[^\n]*not a checkpoint, or is cut off"):
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
    assert "not a checkpoint" in refusal(text)
    assert "not a checkpoint" in refusal(tmp_path)
    foreign = tmp_path / "foreign.safetensors"
    save_file({"weights": torch.rand(5)}, foreign)
    assert "not a checkpoint of cvq" in refusal(foreign)


def test_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "VERSION", "0")
    path = saved(tmp_path, weights=torch.rand(5))
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="has version 0, this cvq reads 1 and 2"):
        checkpoints.check(path, **JOB)
