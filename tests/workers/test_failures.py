"""What exceptions mean, also those that will not be shown."""

from __future__ import annotations

import errno

import pytest

from cvq.errors import PermanentError, StoreError
from cvq_workers.failures import describe, shorten


class Unsayable(Exception):  # noqa: N818 - as a user may name it
    """Cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


def told(error: BaseException) -> tuple[str, str, bool]:
    said = describe(error)
    return said.reason, said.message, said.retry


def of_a_full_store() -> StoreError:
    error = StoreError("x cannot be written: the disk is full")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("wrong"), ("error", "RuntimeError: wrong", False)),
        (PermanentError("no such picture"), ("error", "no such picture", False)),
        (StoreError("the store is down"), ("error", "the store is down", True)),
        (ConnectionResetError("gone"), ("error", "ConnectionResetError: gone", True)),
        (SystemExit("no licence"), ("error", "no licence", False)),
        (Unsayable(), ("error", "Unsayable: (its __str__ raised RuntimeError)", False)),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            ("disk-full", "the disk is full: OSError: [Errno 28] No space left on device", True),
        ),
        (of_a_full_store(), ("disk-full", "x cannot be written: the disk is full", True)),
        (OSError(errno.ENOENT, "gone"), ("error", "FileNotFoundError: [Errno 2] gone", False)),
        (OSError(errno.EMFILE, "x"), ("error", "OSError: [Errno 24] x", True)),
        (OSError(errno.ENETUNREACH, "x"), ("error", "OSError: [Errno 101] x", True)),
        (
            RuntimeError("can't start new thread"),
            ("error", "RuntimeError: can't start new thread", True),
        ),
        (RuntimeError("half \ud800"), ("error", "RuntimeError: half ?", False)),
    ],
)
def test_reason_words_and_retry(error: BaseException, expected: tuple[str, str, bool]) -> None:
    assert told(error) == expected


def test_a_traceback_is_kept_of_what_cannot_be_shown() -> None:
    with pytest.raises(Unsayable) as caught:
        raise Unsayable
    assert "raise Unsayable" in describe(caught.value).traceback


def test_what_is_too_long_is_cut_and_says_so() -> None:
    message = describe(RuntimeError("x" * 100_000)).message
    assert len(message) < 25_000
    assert "characters left out" in message
    assert shorten("short") == "short"
