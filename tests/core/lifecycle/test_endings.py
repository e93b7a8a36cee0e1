"""The sentences that tell one ending from another, as rows of every version hold them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from cvq.lifecycle import endings
from cvq.records import Attempt

ATTEMPT = Attempt(
    job_id=1, number=2, worker="lab.7", host="lab", pid=7, device="cpu", versions=None, seed=3,
    started_at=datetime(2026, 11, 1, tzinfo=UTC), finished_at=None, outcome="failed", reason=None,
    error=None, traceback=None, peak_memory=None, last_lines=None,
)  # fmt: skip


def test_the_sentences_are_never_reworded() -> None:
    assert endings.timeout(90, soft=False) == "the time limit of 90 s was reached"
    assert endings.timeout(1.5, soft=True) == "the soft time limit of 1.5 s was reached"
    assert endings.silence("lab.7", 2) == "worker lab.7 fell silent during attempt 2"


@pytest.mark.parametrize(
    ("reason", "error", "soft", "silent"),
    [
        ("timeout", "the soft time limit of 1.5 s was reached", True, False),
        ("timeout", "the time limit of 90 s was reached", False, False),
        ("error", "the soft time limit of 1.5 s was reached", False, False),
        ("worker-lost", "worker lab.7 fell silent during attempt 2", False, True),
        ("worker-lost", "worker lab.8 fell silent during attempt 2", False, False),
        ("worker-lost", "its worker was stopped", False, False),
    ],
)
def test_rows_are_told_apart_by_them(reason: str, error: str, soft: bool, silent: bool) -> None:
    attempt = replace(ATTEMPT, reason=reason, error=error)
    job: Any = type("Limited", (), {"soft_time_limit": 1.5})()
    assert endings.is_soft_timeout(job, attempt) is soft
    assert endings.is_silence(attempt) is silent


def test_a_job_without_a_soft_limit_has_no_ending_at_it() -> None:
    attempt = replace(ATTEMPT, reason="timeout", error="the time limit of 90 s was reached")
    job: Any = type("Unlimited", (), {"soft_time_limit": None})()
    assert endings.is_soft_timeout(job, attempt) is False
