"""What an exception means to the batch system: reason, words, and whether to try again."""

from __future__ import annotations

import errno
import signal
import traceback
from dataclasses import dataclass

from cvq.errors import (
    CvqError,
    DatabaseError,
    PermanentError,
    ProgramError,
    StoreError,
    TemporaryError,
)
from cvq.files import PASSING
from cvq.states import Reason

_FULL = {errno.ENOSPC, errno.EDQUOT}
_NO_THREAD = "can't start new thread"  # what Python says of it, and no more
_LONGEST = 20_000  # characters of a message or traceback that are kept


@dataclass(frozen=True)
class Failure:
    """What an exception means; `retry` is whether another attempt may pass."""

    reason: str
    message: str
    traceback: str | None
    retry: bool


def describe(error: BaseException) -> Failure:
    """Reason, message and traceback of an exception, and whether another attempt may pass."""
    reason: str = Reason.ERROR
    if isinstance(error, ProgramError):  # whose log has its own traceback
        return Failure(exit_reason(error.code), _message(error, ""), None, retry=error.retry)
    if isinstance(error, MemoryError):
        reason = Reason.OOM
    elif "OutOfMemoryError" in {cls.__name__ for cls in type(error).__mro__}:
        reason = Reason.CUDA_OOM  # torch.OutOfMemoryError, without importing torch
    elif is_full(error):
        reason = Reason.DISK_FULL
    return Failure(
        reason, _message(error, reason), shorten(_traceback(error)), retry=may_pass(error)
    )


def exit_reason(code: int) -> str:
    """`exit:3`, or `signal:SEGV` for -11."""
    return f"signal:{signal_name(-code)}" if code < 0 else f"exit:{code}"


def signal_name(number: int) -> str:
    """`SEGV` for 11; the number itself for one without a name, as real-time signals are."""
    try:
        return signal.Signals(number).name.removeprefix("SIG")
    except ValueError:
        return str(number)


def is_full(error: BaseException) -> bool:
    """Whether a disk had no room, also the store's."""
    cause = error.__cause__ if isinstance(error, StoreError) else error
    return isinstance(cause, OSError) and cause.errno in _FULL


def may_pass(error: BaseException) -> bool:
    """Whether another attempt may pass: a disk or a connection comes back, a worker is less busy.

    A deterministic program fails the same way again.
    """
    if isinstance(error, KeyboardInterrupt | ConnectionError | TimeoutError):
        return True
    if isinstance(error, OSError):
        return error.errno in PASSING
    if isinstance(error, RuntimeError) and words_of(error) == _NO_THREAD:
        return True
    return isinstance(error, TemporaryError | StoreError | DatabaseError)


def words_of(error: BaseException) -> str:
    """What an exception says of itself, also where that raises another."""
    try:
        return _printable(str(error))
    except BaseException as second:
        return f"(its __str__ raised {type(second).__name__})"


def shorten(text: str) -> str:
    """Cut what is too long for a history, and say so."""
    if len(text) <= _LONGEST:
        return text
    half = _LONGEST // 2
    return f"{text[:half]}\n... {len(text) - 2 * half} characters left out ...\n{text[-half:]}"


def _message(error: BaseException, reason: str) -> str:
    words = words_of(error)
    if isinstance(error, SystemExit):
        return shorten(words)  # `sys.exit("no licence")` is a message to people
    if isinstance(error, PermanentError) or (isinstance(error, CvqError) and words):
        return shorten(words)
    name = type(error).__name__
    said = shorten(f"{name}: {words}" if words else name)
    return f"the disk is full: {said}" if reason == Reason.DISK_FULL else said


def _traceback(error: BaseException) -> str:
    try:
        return _printable("".join(traceback.format_exception(error)))
    except BaseException as second:  # whatever a class of the job's own does when it is shown
        frames = "".join(traceback.format_tb(error.__traceback__))
        return f"{frames}{type(error).__name__} ({type(second).__name__} while it was shown)"


def _printable(text: str) -> str:
    """Without half of a surrogate pair, which no database takes."""
    return text.encode("utf-8", "replace").decode()
