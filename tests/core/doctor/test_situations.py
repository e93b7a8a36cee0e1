"""Every fault that can be brought about is named with its fix, and nothing healthy is blamed."""

from __future__ import annotations

import sys

import pytest

from benchmarks.doctor.faults import FAULTS, may_mount
from benchmarks.doctor.healthy import HEALTHY
from benchmarks.doctor.services import Postgres
from benchmarks.doctor.situations import Situation, examined, judged, place


@pytest.mark.slow
@pytest.mark.parametrize("situation", [*FAULTS, *HEALTHY], ids=lambda each: each.name)
def test_what_is_wrong_is_named_and_nothing_else(
    situation: Situation, postgres_server: str
) -> None:
    if situation.fault == "disk-full" and not may_mount():
        pytest.skip("only root makes a disk that is full")
    if "TLS" in situation.name and sys.platform == "darwin":
        pytest.skip("its openssl has no -addext")
    with (
        place(lambda: Postgres(postgres_server)) as where,
        situation.made(where) as environ,
    ):
        assert judged(situation, examined(environ, where.home)) == []


def test_there_are_as_many_as_were_promised() -> None:
    assert len(FAULTS) >= 12
    assert len(HEALTHY) >= 12
    assert len({each.fault for each in FAULTS}) == len(FAULTS)
