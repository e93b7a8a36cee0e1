"""Every error that cvq raises on purpose, each with its exit code.

    CvqError                    1
    ├── UsageError              2    a value, name or file given by the user is wrong
    │   ├── UnknownKindError
    │   ├── SpecError                a value of a job's specification
    │   ├── UnknownJobError
    │   │   └── PrunedJobError       there was such a job
    │   ├── UnknownBatchError
    │   │   └── PrunedBatchError
    │   ├── UnknownSweepError
    │   │   └── PrunedSweepError
    │   ├── SweepDrivenError         somebody else goes on with a sweep
    │   └── InvalidInputError
    ├── SetupError              4    something around cvq is missing, down or full
    │   ├── DatabaseError
    │   │   └── DatabaseAwayError    it may be back in a moment
    │   ├── SchemaError
    │   ├── BrokerError
    │   │   └── BrokerTimeoutError
    │   ├── StoreError
    │   └── MissingExtraError
    ├── JobFailedError          1    a job that somebody waited for failed
    ├── JobCancelledError       3    ... or was cancelled
    ├── WaitTimeoutError      124    ... or did not end in time
    ├── PermanentError          1    raised in a job: trying again would not help
    │   └── CheckpointError          a checkpoint that this job cannot resume from
    ├── ProgramError            1    raised in a job: a program that it ran has failed
    ├── TemporaryError          1    raised in a job: another attempt may succeed
    └── LeaseLostError          1    raised in a worker: the attempt is no longer the running one

A message says what is wrong, with which job or file, and what to do next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from .installing import install_hint
from .text import did_you_mean, nearest, one_line

if TYPE_CHECKING:
    from .complaints import Problem


class CvqError(Exception):
    """Base of all; `exit_code` is what the command line exits with.

    The message is one line; `drawing` is what is printed below it, and shows the place.
    """

    exit_code: ClassVar[int] = 1
    drawing = ""


class UsageError(CvqError):
    """A value, name or file given by the user is wrong."""

    exit_code = 2


class UnknownKindError(UsageError):
    """No job kind has this name; the nearest one is named."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        hint = did_you_mean(nearest(name, known, cutoff=0.5))
        super().__init__(
            f"unknown kind '{name}': {hint}{' ' if hint else ''}`cvq kinds` lists all of them, "
            "and CVQ_KINDS names the modules of your own"
        )


class SpecError(UsageError):
    """Values of a specification are missing, unknown or out of their bounds.

    Args:
        kind: the job kind.
        problems: what is wrong with each.
    """

    def __init__(self, kind: str, problems: Sequence[Problem]) -> None:
        self.kind = kind
        self.problems = problems
        super().__init__(self.sentence(str))

    def sentence(self, name: Callable[[str], str]) -> str:
        """All in one line; `name` says what a field is called where it was given."""
        found = [problem.sentence(name(problem.field or "")) for problem in self.problems]
        return f"{self.kind}: {'; '.join(found)}"


class UnknownJobError(UsageError):
    """No job answers to this reference."""

    def __init__(self, reference: object) -> None:
        super().__init__(f"no job {reference}: `cvq ls` lists jobs")


class PrunedJobError(UnknownJobError):
    """There was a job of this number, and it was pruned.

    Args:
        job: its number, or `3-7` for several.
        day: when, as `2026-11-30`.
        by: who has done it.
    """

    def __init__(self, job: int | str, day: str, by: str) -> None:
        what = f"job {job} was" if isinstance(job, int) else f"jobs {job} were"
        UsageError.__init__(self, f"{what} pruned on {day} by {one_line(by)}")


class UnknownBatchError(UsageError):
    """No batch has this number."""

    def __init__(self, number: int) -> None:
        super().__init__(f"no batch {number}: `cvq batches` lists batches")


class PrunedBatchError(UnknownBatchError):
    """There was a batch of this number, and it was pruned: see `PrunedJobError`."""

    def __init__(self, number: int, day: str, by: str) -> None:
        UsageError.__init__(self, f"batch {number} was pruned on {day} by {one_line(by)}")


class UnknownSweepError(UsageError):
    """No sweep has this number."""

    def __init__(self, number: int) -> None:
        super().__init__(f"no sweep {number}: `cvq sweep ls` lists sweeps")


class PrunedSweepError(UnknownSweepError):
    """There was a sweep of this number, and it was pruned: see `PrunedJobError`."""

    def __init__(self, number: int, day: str, by: str) -> None:
        UsageError.__init__(self, f"sweep {number} was pruned on {day} by {one_line(by)}")


class SweepDrivenError(UsageError):
    """Somebody else goes on with a sweep, or does by now."""

    def __init__(self, number: int, driver: str | None) -> None:
        self.driver = driver
        who = f"is driven by {driver.partition(' #')[0]}" if driver else "was taken away"
        super().__init__(f"sweep {number} {who}: `cvq watch --sweep {number}` follows it")


class InvalidInputError(UsageError):
    """An input file cannot be used."""


class SetupError(CvqError):
    """Something around cvq is missing, down or full."""

    exit_code = 4


class DatabaseError(SetupError):
    """The database cannot be reached, or refused."""


class DatabaseAwayError(DatabaseError):
    """The database cannot be reached for now: it restarts, is locked, or the network is cut."""


class SchemaError(SetupError):
    """The database has another schema than this version of cvq."""


class BrokerError(SetupError):
    """Redis cannot be reached or started."""


class BrokerTimeoutError(BrokerError):
    """Redis is there, and does not answer in time."""


class StoreError(SetupError):
    """The artifact store cannot be read or written."""


class MissingExtraError(SetupError):
    """An optional dependency group is not installed."""

    def __init__(self, extra: str, needed_for: str) -> None:
        super().__init__(f"{needed_for} needs more packages: {install_hint(extra)}")


class JobFailedError(CvqError):
    """A job that somebody waited for failed."""


class JobCancelledError(CvqError):
    """A job that somebody waited for was cancelled."""

    exit_code = 3


class WaitTimeoutError(CvqError):
    """A job that somebody waited for did not end in time."""

    exit_code = 124


class PermanentError(CvqError):
    """Raised in a job: the same input would fail again, so the job is not retried."""


class CheckpointError(PermanentError):
    """A file is not a checkpoint, is damaged, or is one of another job or version."""


class TemporaryError(CvqError):
    """Raised in a job: something outside is missing for now, so that another attempt may do."""


class ProgramError(CvqError):
    """Raised in a job: a program that it ran has failed.

    Args:
        code: what it left with, 1 to 255; below 0 the number of the signal that has killed it.
        message: what has happened.

    Attributes:
        code: the same.
        retry: whether another attempt may pass: it was killed, or has said so by EX_TEMPFAIL.
    """

    TRY_AGAIN: ClassVar[int] = 75  # EX_TEMPFAIL of <sysexits.h>

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.retry = code < 0 or code == self.TRY_AGAIN


class LeaseLostError(CvqError):
    """Raised in a worker: the attempt is no longer the running one, and must stop."""

    def __init__(self, job_id: int, attempt: int) -> None:
        super().__init__(f"job {job_id}: attempt {attempt} is no longer the running one")
