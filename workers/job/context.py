"""What a model talks to inside a job process: `ctx.progress`, `ctx.artifact` and so on."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cvq import checkpoints
from cvq.errors import PermanentError, UsageError
from cvq.names import Names, check_labels, safe_name
from cvq.states import DISPENSABLE, Role

from ..protocol import Request
from .control import Control

log = logging.getLogger("cvq.job")

# A checkpoint may cost one part in so many of the job's time.
_CHECKPOINT_SHARE = 20
_INT64 = 1 << 63
_METRICS_AT_ONCE = 200
_LONGEST_METRIC = 100  # characters that the database has for its name


class StopRequestedError(BaseException):
    """The worker wants a stop. Not an Exception: a model's own `except` must not eat it."""


def _refusal(name: str, role: str, media_type: str | None) -> str | None:
    """What is wrong with the description of an artifact, if anything."""
    if role == Role.CHECKPOINT:
        return f"artifact {name}: the role {Role.CHECKPOINT} is cvq's own, give another word"
    try:
        safe_name(name)
        check_labels(name, role, media_type)
    except UsageError as error:
        return str(error)
    return None


def _int64(name: str, value: int) -> int:
    """A whole number that a database can hold.

    Raises:
        PermanentError: it is larger than 64 bits hold.
    """
    number = int(value)
    if not -_INT64 <= number < _INT64:
        raise PermanentError(f"{name} is a number beyond 2**63, which no database can hold")
    return number


class JobContext:
    """The `Context` of a job that runs under a worker."""

    def __init__(self, request: Request, control: Control) -> None:
        self.job_id = request.job_id
        self.attempt = request.attempt
        self.device = request.device
        self.cache = Path(request.cache)
        self._request = request
        self._out = Path(request.folder) / "out"
        self._published = 0
        self._not_finite: set[str] = set()  # metrics that were told of in the log
        self._cut: set[str] = set()  # the same, for their names
        self._control = control
        self._resumable = False
        self._due_at = time.monotonic() + request.checkpoint_every

    def progress(
        self, done: int, total: int, unit: str = "step", *, share: float | None = None
    ) -> None:
        """Say that `done` of `total` units are done, and so much of the work."""
        self._control.send(
            "progress",
            done=_int64("done", done),
            total=_int64("total", total),
            unit=str(unit),
            share=None if share is None or not 0 <= share <= 1 else float(share),
        )
        self._stop_if_asked()

    def metrics(self, step: int, **values: float) -> None:
        """Record named numbers at a step; the loss as it is (a tensor with a gradient) will do."""
        numbers = [(name, self._number(name, value, step)) for name, value in values.items()]
        for start in range(0, len(numbers), _METRICS_AT_ONCE):
            some = dict(numbers[start : start + _METRICS_AT_ONCE])
            self._control.send("metrics", step=_int64("step", step), values=some, time=time.time())
        self._stop_if_asked()

    def _number(self, name: str, value: Any, step: int) -> float:
        if not name.strip():
            raise PermanentError(f"a metric at step {step} has no name")
        if len(name) > _LONGEST_METRIC and name not in self._cut:
            self._cut.add(name)
            log.warning(
                "the metric %s… has a name of %d characters: those after %d are left out",
                name[:30], len(name), _LONGEST_METRIC,
            )  # fmt: skip
        try:
            # PyTorch warns of a tensor with a gradient.
            number = float(value.detach() if hasattr(value, "detach") else value)
        except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
            raise PermanentError(f"metric {name} at step {step} is no number: {error}") from error
        if not math.isfinite(number) and name not in self._not_finite:
            self._not_finite.add(name)
            log.warning("metric %s is %s at step %s: nothing is stored there", name, number, step)
        return number

    @contextmanager
    def artifact(
        self, name: str, *, role: str = "result", media_type: str | None = None
    ) -> Iterator[Path]:
        """Give a path to write; when the block ends without an error, the file is published."""
        problem = _refusal(name, role, media_type)
        if problem and role not in DISPENSABLE:
            raise PermanentError(problem)
        path = self._new_path("refused" if problem else safe_name(name))
        yield path
        if not problem and (path.is_symlink() or not path.is_file()):
            problem = f"artifact {name}: the job wrote no regular file"
        if not problem:
            self._publish(path, safe_name(name), role, media_type)
        elif role in DISPENSABLE:
            log.warning("%s is not kept, the job goes on: %s", role, problem)
        else:
            raise PermanentError(problem)
        self._stop_if_asked()

    def confirm(self) -> None:
        """Wait until all that was reported is stored, and the job is known to be still ours."""
        self._control.confirm()
        self._stop_if_asked()

    def resume(self) -> checkpoints.Checkpoint | None:
        """The last checkpoint of an earlier attempt, or None where the job begins anew."""
        self._resumable = True
        if self._request.checkpoint is None:
            return None
        found = checkpoints.read(
            Path(self._request.checkpoint),
            kind=self._request.kind,
            spec_hash=self._request.spec_hash,
        )
        log.info("resumed after step %d, from %s", found.step, Path(self._request.checkpoint).name)
        return found

    def checkpoint_due(self) -> bool:
        """Whether it is time for the next checkpoint, or the last moment for one."""
        return time.monotonic() >= self._due_at or self._control.stop_requested.is_set()

    def checkpoint(self, step: int, **state: Any) -> None:
        """Save everything that another attempt needs to go on after `step`."""
        started = time.monotonic()
        name = checkpoints.file_name(step)
        path = self._new_path(name)
        try:
            checkpoints.write(
                path,
                kind=self._request.kind,
                spec_hash=self._request.spec_hash,
                step=step,
                state=state,
            )
        except OSError as error:  # the job is worth more than its checkpoint
            log.warning("no checkpoint after step %d, the job goes on: %s", step, error)
        else:
            self._publish(path, name, Role.CHECKPOINT, None)
        cost = time.monotonic() - started
        pause = max(self._request.checkpoint_every, _CHECKPOINT_SHARE * cost)
        self._due_at = time.monotonic() + pause
        if self._control.stop_requested.is_set():
            log.info("stopped after step %d, as the worker asked", step)
            raise StopRequestedError

    def _new_path(self, name: str) -> Path:
        # A folder for each, as the worker may not have fetched the last file of this name yet.
        self._published += 1
        # A child of the job's counts for itself.
        path = self._out / f"{os.getpid()}-{self._published}" / Names().place(name)
        path.parent.mkdir(parents=True)
        return path

    def _publish(self, path: Path, name: str, role: str, media_type: str | None) -> None:
        self._control.send("artifact", path=str(path), name=name, role=role, media_type=media_type)

    def _stop_if_asked(self) -> None:
        # A job that can resume is stopped where it saves itself, and nowhere else.
        if self._control.stop_requested.is_set() and not self._resumable:
            raise StopRequestedError
