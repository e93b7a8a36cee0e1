"""What a warm process prints while it answers jobs, as lines of their logs.

It is no single one's: each of the jobs that are answered together has the first few lines in its
log, and the first of them has as many as there is room for. What is left out is counted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cvq.ids import AttemptId
from cvq.records import LogLine
from cvq.text import count

from ..attempt.reports import text_of

_MOST_LINES, _MOST_BYTES = 10_000, 1 << 20  # in the log of the first
_FEW_LINES, _FEW_BYTES = 10, 2_000  # in that of each other
_EACH = 100  # bytes of a line besides its text


@dataclass(eq=False)
class _Log:
    """What the log of one attempt has of it.

    Attributes:
        waiting: lines that are not written yet.
        elsewhere: the job whose log has more.
        full_at: how many lines the group had said when there was no room for the next.
        left_out: lines that there was no room for.
    """

    waiting: list[LogLine] = field(default_factory=list)
    elsewhere: int | None = None
    full_at: int | None = None
    left_out: int = 0
    lines: int = 0
    bytes: int = 0

    def has_room(self, size: int) -> bool:
        few = self.elsewhere is not None
        most_lines, most = (_FEW_LINES, _FEW_BYTES) if few else (_MOST_LINES, _MOST_BYTES)
        return self.lines < most_lines and self.bytes + size <= most

    def add(self, stream: str, text: str, size: int) -> None:
        self.lines += 1
        self.bytes += size
        self.waiting.append(LogLine(self.lines, datetime.now(UTC), stream, text))

    def count_left_out(self, said: int) -> None:
        if self.full_at is not None:
            self.left_out += said - self.full_at
            self.full_at = said


class Transcript:
    """Takes the output of a micro-batch; for the slot's thread alone."""

    def __init__(self) -> None:
        self._logs: dict[AttemptId, _Log] = {}
        self._group: set[AttemptId] = set()
        self._open: list[_Log] = []  # those of the group that have room
        self._said = 0  # lines of the group

    def begin(self, group: Sequence[AttemptId]) -> None:
        """What comes from now on is said while these are answered."""
        self._count_left_out(self._group)
        self._group, self._said, self._open = set(group), 0, []
        for id_ in group:
            log = self._logs.setdefault(id_, _Log())
            log.elsewhere = None if id_ == group[0] else group[0].job_id
            log.full_at = None if log.has_room(0) else 0
            if log.full_at is None:
                self._open.append(log)

    def write(self, stream: str, line: bytes) -> None:
        """Take a line. However many there are, one that nobody has room for takes no time."""
        self._said += 1
        if not self._open:
            return
        text, size = text_of(line), len(line) + _EACH
        for log in self._open:
            if log.has_room(size):
                log.add(stream, text, size)
            else:
                log.full_at = self._said - 1
        self._open = [log for log in self._open if log.full_at is None]

    def close(self, attempts: Collection[AttemptId]) -> None:
        """Say in the logs of attempts that end what was left out of them."""
        self._count_left_out(self._group.intersection(attempts))
        self._group.difference_update(attempts)
        ended = [self._logs[id_] for id_ in attempts if id_ in self._logs]
        self._open = [log for log in self._open if log not in ended]
        for log in ended:
            if log.left_out:
                more = log.elsewhere and f": job {log.elsewhere}, answered with it, may have more"
                lines = count(log.left_out, "line")
                log.add("stderr", f"WARNING cvq.worker: {lines} left out here{more or ''}", 0)
                log.left_out = 0

    def _count_left_out(self, attempts: Collection[AttemptId]) -> None:
        for id_ in attempts:
            self._logs[id_].count_left_out(self._said)

    def waiting(self, attempts: Collection[AttemptId]) -> dict[AttemptId, list[LogLine]]:
        """The lines of these attempts that are to be written."""
        found = {id_: self._logs[id_].waiting for id_ in attempts if id_ in self._logs}
        return {id_: list(lines) for id_, lines in found.items() if lines}

    def written(self, lines: Mapping[AttemptId, Sequence[LogLine]]) -> None:
        """These need not be written any more."""
        for id_, some in lines.items():
            del self._logs[id_].waiting[: len(some)]
