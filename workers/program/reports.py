"""What a program reports: lines of JSON in its output, or in the pipe that is for them.

    {"cvq": {"step": 3, "loss": 0.1}}
    {"cvq": {"progress": {"done": 3, "total": 100}}}

Any other line is the program's own business. What looks like a report and is none is told in the
log, once for each fault.
"""

from __future__ import annotations

import json
import logging
import re
from typing import Any

from cvq.context import Context
from cvq.errors import PermanentError
from cvq.reporting import KEY

log = logging.getLogger("cvq.job")

_BEGINS = re.compile(rb'\s*\{\s*"cvq"\s*:')
_LONGEST = 60_000  # bytes of a line that may be a report
_MOST_FAULTS = 20


class Reports:
    """Takes lines, and passes on what they report.

    Args:
        context: of the job.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._next: dict[str, int] = {}  # the step of a metric for which none is said
        self._faults: set[str] = set()

    def take(self, line: bytes, *, must: bool = False) -> None:
        """Pass on the report of a line, if it is one; `must` is whether it should be."""
        if not line.strip() or not (must or _BEGINS.match(line)):
            return
        try:
            if len(line) > _LONGEST:
                raise ValueError(f"it is longer than {_LONGEST:,} bytes")
            said = json.loads(line)
            if not isinstance(said, dict) or set(said) != {KEY} or not isinstance(said[KEY], dict):
                raise ValueError('it is not {"cvq": {…}} and nothing else')
            self._pass(dict(said[KEY]))
        except (ValueError, TypeError, RecursionError, PermanentError) as error:
            self._tell(str(error), line)

    def _pass(self, said: dict[str, Any]) -> None:
        if "progress" in said:
            self._context.progress(*_progress(said.pop("progress")))
        step = said.pop("step", None)
        if step is None:
            step = 1 + max((self._next.get(name, 0) for name in said), default=0)
        if not _is_whole(step):
            raise ValueError(f"its step {step!r} is not a whole number")
        for name, value in said.items():
            if not isinstance(value, int | float) or isinstance(value, bool):
                raise ValueError(f"{name} is {value!r}, which is no number")
            self._next[name] = step
        if said:
            self._context.metrics(step, **said)

    def _tell(self, fault: str, line: bytes) -> None:
        if fault in self._faults or len(self._faults) >= _MOST_FAULTS:
            return
        self._faults.add(fault)
        shown = line[:200].decode("utf-8", "replace").strip()
        log.warning("a report for cvq is not taken: %s: %s", fault, shown)


class Lines:
    """Parts what comes in pieces into lines; of one that is too long, its beginning is given."""

    def __init__(self) -> None:
        self._rest = b""

    def add(self, piece: bytes) -> list[bytes]:
        """The lines that end in this piece."""
        *ended, rest = piece.split(b"\n")
        lines = []
        for part in ended:
            lines.append(self._longer(part))
            self._rest = b""
        self._rest = self._longer(rest)
        return lines

    def end(self) -> list[bytes]:
        """The line that nothing has ended."""
        rest, self._rest = self._rest, b""
        return [rest] if rest else []

    def _longer(self, part: bytes) -> bytes:
        return self._rest + part[: _LONGEST + 1 - len(self._rest)]


def _progress(said: Any) -> tuple[int, int, str]:
    if isinstance(said, list) and len(said) == 2:
        said = {"done": said[0], "total": said[1]}
    said = said if isinstance(said, dict) and set(said) <= {"done", "total", "unit"} else {}
    done, total, unit = said.get("done"), said.get("total"), said.get("unit", "step")
    if not (_is_whole(done) and _is_whole(total) and isinstance(unit, str)):
        raise ValueError('its progress is not {"done": 3, "total": 100}')
    return done, total, unit


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
