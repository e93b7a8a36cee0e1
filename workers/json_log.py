"""A worker's log as JSON, a line for each record, with the job and attempt that it is about."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

# So begins what a worker says of an attempt.
_ABOUT = re.compile(r"(?:micro-batch of )?job (\d+)(?:,? |: )(?:attempt (\d+))?")


class JsonFormatter(logging.Formatter):
    """Writes time, level, logger, message, process and thread; job, attempt and error, if any."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        message = record.getMessage()
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message,
            "job": None,
            "attempt": None,
            "pid": record.process,
            "thread": record.threadName,
        }
        if found := _ABOUT.match(message):
            line["job"] = int(found[1])
            line["attempt"] = int(found[2]) if found[2] else None
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line)  # ASCII: nothing in it steers a terminal


def write_json(logger: logging.Logger) -> None:
    """Let a logger's handlers write JSON."""
    for handler in logger.handlers:
        handler.setFormatter(JsonFormatter())
