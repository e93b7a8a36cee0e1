"""A trouble that lasts is told when it comes, and then ever more rarely."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from cvq_workers.sparse_log import Sparse


class Log:
    """A logger with the filter, and a clock to turn."""

    def __init__(self) -> None:
        self.time = 0.0
        self.lines: list[str] = []
        self.logger = logging.Logger("test")
        self.logger.addFilter(Sparse(lambda: self.time))
        handler = logging.Handler()
        handler.emit = lambda record: self.lines.append(record.getMessage())  # type: ignore[method-assign]
        self.logger.addHandler(handler)


def test_what_repeats_is_told_ever_more_rarely() -> None:
    log = Log()
    for half_seconds in range(2 * 3600):
        log.time = half_seconds / 2
        log.logger.warning("the database is %s", "away")
    assert log.lines[0] == "the database is away"
    assert log.lines[1] == "the database is away (19 times more since)"
    assert 8 < len(log.lines) < 14


def test_another_trouble_is_told_at_once() -> None:
    log = Log()
    for text in ("away", "away", "locked", "away", "locked"):
        log.logger.warning("the database is %s", text)
    assert log.lines == ["the database is away", "the database is locked"]


def test_what_is_no_trouble_is_always_told() -> None:
    log = Log()
    for _ in range(3):
        log.logger.info("job 1 has ended")
    assert len(log.lines) == 3


def test_of_the_loggers_that_are_named_everything_is_held_back() -> None:
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.name)  # type: ignore[method-assign]
    handler.addFilter(Sparse(lambda: 0.0, of=("celery",), least=logging.NOTSET))
    for name in ("celery.worker", "celery.worker", "cvq.worker", "cvq.worker"):
        handler.handle(logging.LogRecord(name, logging.INFO, "", 0, "the same", (), None))
    assert lines == ["celery.worker", "cvq.worker", "cvq.worker"]


@pytest.mark.parametrize("fail", [lambda: 1 / 0, lambda: [][0]])
def test_exceptions_differ_by_what_they_say(fail: Callable[[], object]) -> None:
    log = Log()
    for act in (fail, fail, lambda: int("x")):
        try:
            act()
        except Exception:
            log.logger.exception("renewing")
    assert len(log.lines) == 2
