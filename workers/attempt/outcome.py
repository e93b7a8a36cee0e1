"""How an attempt has ended, from what its process said, how that died, and what was requested."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cvq.errors import CvqError
from cvq.records import Outcome
from cvq.states import Reason, State

from ..failures import describe, may_pass
from ..process.exit_status import ProcessEnd, cause_of
from ..protocol import EXIT_CUT, Error, Result

_KILLED = "signal:KILL"
CUT = (
    "the job closed its connection to the worker, or shut it down: a descriptor that it had not "
    "opened itself, as os.closerange() does"
)


@dataclass(frozen=True)
class Ending:
    """What is known of an attempt whose process is gone.

    Attributes:
        result: what the process said, a large one read from its file.
        error: the same, where it has failed.
        requested: the end that was asked for.
        upload_error: why a file could not be stored that the job cannot do without.
        uploading: whether a file was still on its way.
        starts: how many fork servers were asked for a process.
        process: how that ended; None where none has run.
    """

    result: Result | None = None
    error: Error | None = None
    requested: Outcome | None = None
    upload_error: CvqError | None = None
    uploading: bool = False
    starts: int = 1
    process: ProcessEnd | None = None


def outcome_of(ending: Ending) -> Outcome:
    """How the attempt ended."""
    report = None if ending.process is None else ending.process.report
    memory = None if report is None else report.peak_memory
    return replace(_outcome_of(ending), peak_memory=memory)


def _outcome_of(ending: Ending) -> Outcome:
    upload_error, error, process = ending.upload_error, ending.error, ending.process
    # Whatever became of the process after it had said its result: the work is done.
    if ending.result is not None and upload_error is None and not ending.uploading:
        return Outcome(State.SUCCEEDED, result=ending.result.value)
    if ending.requested is not None:
        return ending.requested
    if upload_error is not None:
        reason = describe(upload_error).reason
        return _failed(reason, str(upload_error), retry=may_pass(upload_error))
    if process is None:
        words = f"{ending.starts} fork servers died before one had started the job's process"
        return _failed(Reason.WORKER_LOST, words, retry=True)
    if process.abandoned is not None:
        words = f"the job's process ended itself: {process.abandoned}"
        return _failed(Reason.WORKER_LOST, words, retry=True)
    if error is not None:
        # A program that the job ran may be the one that the kernel has killed.
        killed = error.reason == _KILLED and process.out_of_memory
        return replace(
            _failed(Reason.OOM if killed else error.reason, error.message, retry=error.retry),
            traceback=error.traceback,
        )
    if process.report is not None and process.report.exit == EXIT_CUT:
        return _failed(Reason.ERROR, CUT, retry=False)
    reason, words = cause_of(process.report, out_of_memory=process.out_of_memory)
    return _failed(reason, words, retry=True)


def failure_of(error: BaseException) -> Outcome:
    """How an attempt ended in which something was raised, here or in its process."""
    said = describe(error)
    return replace(_failed(said.reason, said.message, retry=said.retry), traceback=said.traceback)


def _failed(reason: str, error: str, *, retry: bool) -> Outcome:
    return Outcome(State.FAILED, reason, error, retry=retry)
