"""The words that the database keeps for states, reasons and roles, without SQLAlchemy.

Each is a text as well, equal to what is stored.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a job is in its life."""

    WAITING = "waiting"  # for its time, or for another job
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL = (State.SUCCEEDED, State.FAILED, State.CANCELLED)


class WorkerState(StrEnum):
    """What a worker says of itself."""

    UP = "up"
    DRAINING = "draining"  # takes no more jobs
    GONE = "gone"


class Drain(StrEnum):
    """How a worker is asked to leave."""

    STOP = "stop"  # its jobs go back to the queue
    FINISH = "finish"  # its jobs end first


class Reason(StrEnum):
    """Why a job or an attempt did not succeed.

    Besides these there are `signal:NAME` and `exit:N`, and whatever an exception of the job's own
    says.
    """

    ERROR = "error"
    OOM = "oom"
    CUDA_OOM = "cuda-oom"
    DISK_FULL = "disk-full"
    TIMEOUT = "timeout"
    FREEZE = "freeze"
    PREEMPTED = "preempted"  # by a worker that drains
    WORKER_LOST = "worker-lost"  # the one for which a job itself cannot be blamed
    ATTEMPTS_EXHAUSTED = "attempts-exhausted"
    DEPENDENCY_FAILED = "dependency-failed"
    PRUNED = "pruned"  # by its sweep: it was cancelled, and has not failed


class Role(StrEnum):
    """What a file is to the job that has left it. A job may use other words as well."""

    RESULT = "result"
    MODEL = "model"  # for inference by other jobs
    REPORT = "report"
    PLOT = "plot"
    PREVIEW = "preview"
    SAMPLE = "sample"
    CHECKPOINT = "cvq-checkpoint"  # what a later attempt resumes from; never a job's own to give


# Files without which a job is as good: one that cannot be stored is told in the job's log.
DISPENSABLE = frozenset({Role.PREVIEW, Role.SAMPLE, Role.PLOT})
