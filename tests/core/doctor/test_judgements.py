"""What is said of facts, without a server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cvq.doctor import REMEDIES, Finding, Level
from cvq.doctor.broker import Redis
from cvq.doctor.broker import judge as judge_redis
from cvq.doctor.database import judge_clock
from cvq.doctor.fleet import judge_listening, judge_silent, judge_stores, judge_versions
from cvq.doctor.gpus import Driver, Torch
from cvq.doctor.gpus import judge as judge_gpu
from cvq.doctor.hearing import Listener
from cvq.doctor.machine import Disk, judge_disk
from cvq.records import Worker
from cvq.states import WorkerState

NOW = datetime(2026, 11, 1, tzinfo=UTC)
A100 = ("NVIDIA A100",)


def worker(name: str = "a.1.x", **more: object) -> Worker:
    host, pid, _ = name.split(".")
    given: dict[str, object] = {
        "id": name, "host": host, "pid": int(pid), "devices": ["cpu"], "queues": ["default"],
        "slots": 1, "versions": {}, "kinds": {}, "lease": 30.0, "state": WorkerState.UP,
        "drain": None, "started_at": NOW, "seen_at": NOW, "alive": True, **more,
    }  # fmt: skip
    return Worker(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("driver", "torch", "there", "environ", "fault"),
    [
        (None, None, False, {}, None),
        (None, Torch("2.9+cu128", "12.8"), False, {}, None),
        (Driver(error="could not communicate"), None, False, {}, None),
        (Driver(error="could not communicate"), None, True, {}, "driver-fails"),
        (Driver(error="Driver/library version mismatch"), None, False, {}, "driver-fails"),
        (Driver(A100, "535.1", "12.2"), Torch("2.9+cu128", "12.8"), True, {}, None),
        (Driver(A100, "470.1", "11.4"), Torch("2.9+cu128", "12.8"), True, {}, "driver-too-old"),
        (Driver(A100, "580.1", "13.0"), Torch("2.9+cu128", "12.8"), True, {}, None),
        (Driver(A100, "580.1", "13.0"), Torch("2.9+cpu", None), True, {}, "torch-without-cuda"),
        (Driver(A100, "580.1", "13.0"), Torch("2.9+rocm", None, "6.3"), True, {}, None),
        (Driver(A100, "580.1", "13.0"), Torch("2.9+cpu", None), True,
         {"CUDA_VISIBLE_DEVICES": ""}, None),
        (Driver(A100, None, None), Torch("2.9+cu128", "12.8"), True, {}, None),
    ],
)  # fmt: skip
def test_gpus(
    driver: Driver | None, torch: Torch | None, there: bool, environ: dict[str, str],
    fault: str | None,
) -> None:  # fmt: skip
    assert judge_gpu(driver, torch, there, environ).fault == fault


@pytest.mark.parametrize(
    ("server", "fault"),
    [
        (Redis(), None),
        (Redis("9.1.2", "allkeys-lru", most=0), None),  # without a bound nothing is removed
        (Redis("9.1.2", "allkeys-lfu", most=1000), "redis-evicts"),
        (Redis("9.1.2", "volatile-ttl", most=1000, used=10), None),
        (Redis("9.1.2", "noeviction", most=1000, used=990), "redis-nearly-full"),
        (Redis("5.0.14"), "redis-old"),
        (Redis("6.0.16"), None),
        (Redis("10.2.0"), None),
        (Redis("9.1.2", mode="cluster"), "redis-cluster"),
    ],
)
def test_redis(server: Redis, fault: str | None) -> None:
    assert [each.fault for each in judge_redis("redis://x", server)] == [fault]


@pytest.mark.parametrize(
    ("free", "files", "fault"),
    [
        (10**12, None, None), (2 * 10**9, 10, None), (2 * 10**9, 0, "disk-full"),
        (5 * 10**8, 10, "disk-nearly-full"), (10**6, 10, "disk-full"),
    ],
)  # fmt: skip
def test_disks(free: int, files: int | None, fault: str | None) -> None:
    assert judge_disk(Disk(Path("/x"), free, 10**13, files)).fault == fault


@pytest.mark.parametrize(
    ("ahead", "words"), [(4.0, []), (-4.0, []), (90.0, ["1m30s ahead"]), (-90.0, ["behind"])]
)
def test_clocks(ahead: float, words: list[str]) -> None:
    found = list(judge_clock("db", ahead))
    assert [each.fault for each in found] == ["clock-skew"] * len(words)
    assert all(word in found[0].text for word in words)


def test_workers_that_differ() -> None:
    assert list(judge_silent([], NOW)) == []
    assert list(judge_versions([worker(), worker(versions=None)])) == []
    assert list(judge_stores([worker(), worker(kinds={"store": "one"})], "one")) == []
    [silent] = judge_silent([worker()], NOW + timedelta(hours=2))
    assert "2h00m ago" in silent.text
    [old] = judge_versions([worker(versions={"cvq": "0.0.1"})])
    assert "cvq 0.0.1" in old.text
    [apart] = judge_stores([worker(kinds={"store": "another"})], "one")
    assert apart.level is Level.PROBLEM


def test_who_listens() -> None:
    known = [worker("a.1.x"), worker("b.2.y", state=WorkerState.GONE, alive=False)]
    here, left, strange = Listener("a", 1), Listener("b", 2), Listener("c", 3)
    later = NOW + timedelta(minutes=1)
    assert list(judge_listening("redis", known, {here, left}, later)) == []
    assert list(judge_listening("redis", known, set(), NOW)) == []  # it has just started
    faults = [each.fault for each in judge_listening("redis", known, {strange}, later)]
    assert faults == ["worker-other-redis", "worker-other-database"]


def test_every_remedy_says_what_it_would_do() -> None:
    assert all(remedy.would[0].islower() for remedy in REMEDIES.values())


def test_a_finding_that_is_no_fault_needs_no_fix() -> None:
    assert Finding("redis", Level.OK, "answers").fix is None
