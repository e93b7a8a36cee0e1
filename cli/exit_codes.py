"""The exit code of a command of several jobs, each of which ended in its way."""

from __future__ import annotations

from collections.abc import Collection

from cvq.errors import JobCancelledError, JobFailedError, WaitTimeoutError

_WORST_FIRST = (
    WaitTimeoutError.exit_code,
    JobFailedError.exit_code,
    JobCancelledError.exit_code,
)


def worst(codes: Collection[int]) -> int:
    """The worst of these; 0 where all is well."""
    return next((code for code in _WORST_FIRST if code in codes), 0)
