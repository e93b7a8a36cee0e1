"""How an attempt ended, from what is known of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cvq.errors import PermanentError, TemporaryError
from cvq.records import Outcome
from cvq_workers.attempt.outcome import CUT, Ending, failure_of, outcome_of
from cvq_workers.process.exit_status import ProcessEnd
from cvq_workers.protocol import EXIT_CUT, EXIT_STOPPED, Ended, Error, Result

DONE = Result(7, 1, {"ok": 1})
FAILED = Error(7, 1, "cuda-oom", "no memory", "Traceback", retry=False)
CANCELLED = Outcome("cancelled")
GONE = ProcessEnd(Ended(0, None, 4096))


def ended(**values: Any) -> Outcome:
    return outcome_of(Ending(**{"process": GONE} | values))


@pytest.mark.parametrize(
    "besides",
    [
        {},
        {"requested": CANCELLED},
        {"error": FAILED},
        {"process": replace(GONE, abandoned="the lease ended")},
        {"process": ProcessEnd(Ended(None, 9, 4096), out_of_memory=True)},
        {"process": ProcessEnd(None)},
    ],
)
def test_work_that_is_done_has_succeeded_whatever_became_of_its_process(
    besides: dict[str, Any],
) -> None:
    outcome = ended(result=DONE, **besides)
    assert (outcome.state, outcome.result) == ("succeeded", {"ok": 1})


@pytest.mark.parametrize("besides", [{"uploading": True}, {"upload_error": PermanentError("x")}])
def test_work_whose_files_are_not_stored_is_not_done(besides: dict[str, Any]) -> None:
    assert ended(result=DONE, requested=CANCELLED, **besides).state == "cancelled"


@pytest.mark.parametrize(
    ("known", "reason", "error", "retry"),
    [
        ({"upload_error": PermanentError("no role")}, "error", "no role", False),
        ({"upload_error": TemporaryError("full"), "error": FAILED}, "error", "full", True),
        (
            {"process": None, "starts": 3},
            "worker-lost",
            "3 fork servers died before one had started the job's process",
            True,
        ),
        (
            {"process": ProcessEnd(abandoned="the lease ended"), "error": FAILED},
            "worker-lost",
            "the job's process ended itself: the lease ended",
            True,
        ),
        ({"error": FAILED}, "cuda-oom", "no memory", False),
        ({"process": ProcessEnd(Ended(EXIT_CUT, None, 0))}, "error", CUT, False),
        (
            {"process": ProcessEnd(Ended(EXIT_STOPPED, None, 0))},
            "exit:75",
            "the job's process left with exit code 75",
            True,
        ),
        (
            {"process": ProcessEnd(None)},
            "worker-lost",
            "the job's supervisor died, and the job with it",
            True,
        ),
        (
            {"process": ProcessEnd(Ended(None, 9, 0), out_of_memory=True)},
            "oom",
            "the kernel killed the job's process: the machine or container had no memory",
            True,
        ),
    ],
)
def test_what_failed_says_why(
    known: dict[str, Any], reason: str, error: str, *, retry: bool
) -> None:
    outcome = ended(**known)
    assert (outcome.state, outcome.reason, outcome.error) == ("failed", reason, error)
    assert outcome.retry is retry


@pytest.mark.parametrize(
    "besides", [{"error": FAILED}, {"process": None}, {"process": ProcessEnd(Ended(None, 15, 0))}]
)
def test_an_end_that_was_requested_is_no_fault_of_the_job(besides: dict[str, Any]) -> None:
    requested = Outcome("queued", "preempted")
    assert replace(ended(requested=requested, **besides), peak_memory=None) == requested


def test_the_memory_is_noted_however_the_attempt_ended() -> None:
    memories = [ended(**known).peak_memory for known in ({"result": DONE}, {"error": FAILED}, {})]
    assert memories == [4096] * 3
    assert ended(requested=CANCELLED).peak_memory == 4096


def test_the_traceback_is_kept() -> None:
    assert ended(error=FAILED).traceback == "Traceback"
    raised = failure_of(ConnectionError("gone"))
    assert (raised.reason, raised.retry) == ("error", True)
    assert "ConnectionError: gone" in str(raised.traceback)
