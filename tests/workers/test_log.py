"""The worker's own log."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from cvq_workers.__main__ import keep_log_clean


@pytest.fixture
def clean_log() -> Iterator[None]:
    before = logging.getLogRecordFactory()
    keep_log_clean()
    yield
    logging.setLogRecordFactory(before)


@pytest.mark.usefixtures("clean_log")
def test_no_word_of_a_job_steers_the_terminal_that_shows_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logging.getLogger("cvq.worker").warning("job %d: %s", 3, "\x1b]0;pwn\x07\u202e")
    logging.getLogger("cvq.worker").warning("two\nlines")
    assert caplog.messages == ["job 3: \\x1b]0;pwn\\x07\\u202e", "two\nlines"]
