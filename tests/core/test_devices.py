"""Which GPUs a machine has, which of them somebody means, and the slots that they make."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from gpus import FakeGpus

from cvq.devices import Gpu, Slot, chosen, find_gpus, make_slots, nvml, shared_out
from cvq.devices.gpus import visible
from cvq.errors import UsageError

WHOLE = [Gpu("0", "GPU-aa11"), Gpu("1", "GPU-ab22"), Gpu("2", "GPU-cc33")]
PARTS = [Gpu("0:0", "MIG-1", parent="GPU-aa11"), Gpu("0:1", "MIG-2", parent="GPU-aa11"), WHOLE[1]]


@pytest.fixture
def gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGpus:
    return FakeGpus(tmp_path, monkeypatch)


def test_the_driver_tells_of_gpus_and_of_the_parts_of_a_divided_one(gpus: FakeGpus) -> None:
    parts = [{"uuid": "MIG-1", "model": "A100 MIG 1g.5gb", "memory": 5e9}, {"uuid": "MIG-2"}]
    gpus.are(
        {"uuid": "GPU-1", "model": "NVIDIA A100", "memory": 40e9, "parts": parts},
        {"uuid": "GPU-2", "lost": True},
        {"uuid": "GPU-3", "model": "NVIDIA L4", "memory": 24e9},
    )
    first, second, third = find_gpus(os.environ)
    assert first == Gpu("0:0", "MIG-1", "A100 MIG 1g.5gb", 5_000_000_000, "GPU-1")
    assert (second.name, second.parent) == ("cuda:0:1", "GPU-1")
    assert third == Gpu("2", "GPU-3", "NVIDIA L4", 24_000_000_000)
    assert nvml.driver() == "590.1"


def test_without_a_driver_there_is_no_gpu(gpus: FakeGpus) -> None:
    gpus.without_driver()
    assert find_gpus(os.environ) == []
    assert nvml.driver() is None


def test_without_the_package_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert nvml.gpus() == []


@pytest.mark.parametrize(
    ("allowed", "seen"),
    [
        (None, ["0", "1", "2"]),
        ("", []),
        ("-1", []),
        ("2, 0", ["2", "0"]),
        ("0,-1,2", ["0"]),  # CUDA stops there, too
        ("1,7,0", ["1"]),
        ("GPU-cc,0,0", ["2", "0"]),
    ],
)
def test_the_gpus_that_a_cluster_manager_allows(allowed: str | None, seen: list[str]) -> None:
    assert [gpu.index for gpu in visible(WHOLE, allowed)] == seen


def test_a_part_is_allowed_by_its_own_name_or_its_gpus() -> None:
    assert visible(PARTS, "MIG-2") == [PARTS[1]]
    assert visible(PARTS, "0") == PARTS[:2]


def test_where_the_driver_tells_nothing_what_is_allowed_is_believed() -> None:
    assert [gpu.name for gpu in visible([], "3,5")] == ["cuda:3", "cuda:5"]


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        ("all", ["0", "1", "2"]),
        ("none", []),
        ("2,0", ["2", "0"]),
        ("GPU-ab22", ["1"]),
        ("gpu-ab, cuda:0", ["1", "0"]),
    ],
)
def test_gpus_are_chosen_by_number_or_uuid(wanted: str, meant: list[str]) -> None:
    assert [gpu.index for gpu in chosen(wanted, WHOLE)] == meant


def test_the_number_or_uuid_of_a_divided_gpu_means_all_of_it() -> None:
    assert chosen("0", PARTS) == chosen("GPU-aa", PARTS) == PARTS[:2]
    assert chosen("0:1", PARTS) == chosen("MIG-2", PARTS) == [PARTS[1]]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("3", "there is no GPU '3' here: there is 0 (GPU-aa11), 1 (GPU-ab22) and 2 (GPU-cc33)"),
        ("0,GPU-aa11", "GPU 0 (GPU-aa11) is named twice"),
        ("1,1", "GPU 1 (GPU-ab22) is named twice"),
        ("GPU-a", "'GPU-a' may be GPU-aa11 or GPU-ab22"),
        ("", "there is no GPU ''"),
        ("0,", "there is no GPU ''"),
        ("0;1", "there is no GPU '0;1'"),
    ],
)
def test_a_gpu_that_nobody_can_mean_is_refused(wanted: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        chosen(wanted, WHOLE)
    assert said in str(error.value)


def test_a_machine_without_gpus_says_so() -> None:
    with pytest.raises(UsageError, match="no NVIDIA GPU may be used on this machine"):
        chosen("0", [])


def test_a_slot_shows_its_job_one_gpu_by_its_uuid() -> None:
    slot = Slot("cuda:1", 3, WHOLE[1])
    shown = {"CUDA_VISIBLE_DEVICES": "GPU-ab22", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert slot.environment() == {**shown, "OMP_NUM_THREADS": "3"}
    assert slot.environment(gpu=False)["CUDA_VISIBLE_DEVICES"] == ""
    assert Slot("cpu", 3).environment()["CUDA_VISIBLE_DEVICES"] == ""


def test_each_gpu_has_a_slot_before_any_has_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cvq.devices.slots.cpu_count", lambda: 16)
    slots = make_slots(WHOLE[:2], per_gpu=2, on_cpu=1)
    assert [slot.device for slot in slots] == ["cuda:0", "cuda:1", "cuda:0", "cuda:1", "cpu"]
    assert {slot.threads for slot in slots} == {3}


def test_the_processor_has_a_slot_where_there_is_no_gpu() -> None:
    assert [slot.kind for slot in make_slots([])] != ["cuda"]
    assert len(make_slots([])) == 1
    assert [slot.device for slot in make_slots(WHOLE[:1])] == ["cuda:0"]


def test_slots_that_there_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="a worker needs a slot"):
        make_slots([], on_cpu=0)
    with pytest.raises(UsageError, match="at most 256 slots, not 300"):
        make_slots(WHOLE, per_gpu=100)


def test_so_many_slots_as_are_wanted_are_on_the_same_devices() -> None:
    slots = shared_out(make_slots(WHOLE[:2]), 3)
    assert [slot.device for slot in slots] == ["cuda:0", "cuda:1", "cuda:0"]
    assert [slot.gpu for slot in slots] == [WHOLE[0], WHOLE[1], WHOLE[0]]
