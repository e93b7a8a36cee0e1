"""What all contexts do alike: what a job says is checked, what it writes gets a path.

A child says where reports and files go, and when a job is to stop.
"""

from __future__ import annotations

import logging
import math
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from .. import checkpoints
from ..errors import PermanentError, UsageError
from ..goals import Goal
from ..names import Names, check_labels, safe_name
from ..states import DISPENSABLE, Role

log = logging.getLogger("cvq.job")

# A checkpoint may cost one part in so many of the job's time.
_CHECKPOINT_SHARE = 20
_INT64 = 1 << 63
LONGEST_METRIC = 100  # characters that the database has for its name


class StopRequestedError(BaseException):
    """The job is to stop. Not an Exception: a model's own `except` must not eat it."""


class Progress(NamedTuple):
    """How far a job is: `done` of `total` units, and the share of the work, where it is known."""

    done: int
    total: int
    unit: str
    share: float | None = None


class BaseContext(ABC):
    """Base of the contexts, each of which is a `Context`.

    Args:
        job_id, attempt, device, cache, goals: see `Context`.
        kind: of the job, as `spec_hash`: no other job resumes from its checkpoints.
        out: a folder for files while they are written.
        checkpoint_every: seconds between checkpoints.
    """

    def __init__(
        self,
        *,
        job_id: int,
        attempt: int,
        device: str,
        cache: Path,
        kind: str,
        spec_hash: str,
        out: Path,
        checkpoint_every: float,
        goals: Mapping[str, Goal],
    ) -> None:
        self.job_id, self.attempt, self.device, self.cache = job_id, attempt, device, cache
        self.goals = goals
        self.scratch = out / "scratch"  # whoever uses it makes it
        self._kind, self._spec_hash, self._out = kind, spec_hash, out
        self._checkpoint_every = checkpoint_every
        self._due_at = time.monotonic() + checkpoint_every
        self._files = 0
        self._resumable = False
        self._not_finite: set[str] = set()  # metrics that were told of in the log
        self._cut: set[str] = set()  # the same, for their names

    # --- The children's ---------------------------------------------------------------------

    @abstractmethod
    def _pass_progress(self, progress: Progress) -> None:
        """Pass on how far the job is."""

    @abstractmethod
    def _pass_metrics(self, step: int, values: dict[str, float]) -> None:
        """Pass on numbers, NaN and infinity among them."""

    @abstractmethod
    def _publish(self, path: Path, name: str, role: str, media_type: str | None) -> None:
        """Take a file that was written."""

    @abstractmethod
    def _saved(self) -> Path | None:
        """The checkpoint to resume from."""

    @property
    @abstractmethod
    def _is_to_stop(self) -> bool:
        """Whether somebody wants the job to stop."""

    @abstractmethod
    def confirm(self) -> None:
        """Wait until all that was reported is stored."""

    # --- What all do alike ------------------------------------------------------------------

    def progress(
        self, done: int, total: int, unit: str = "step", *, share: float | None = None
    ) -> None:
        """Say that `done` of `total` units are done, and so much of the work."""
        share = None if share is None or not 0 <= share <= 1 else float(share)
        self._pass_progress(
            Progress(_int64("done", done), _int64("total", total), str(unit), share)
        )
        self._stop_if_asked()

    def metrics(self, step: int, **values: float) -> None:
        """Record named numbers at a step; the loss as it is (a tensor with a gradient) will do."""
        numbers = {
            name[:LONGEST_METRIC]: self._number(name, value, step)
            for name, value in values.items()
        }
        self._pass_metrics(_int64("step", step), numbers)
        self._stop_if_asked()

    def _number(self, name: str, value: Any, step: int) -> float:
        if not name.strip():
            raise PermanentError(f"a metric at step {step} has no name")
        if len(name) > LONGEST_METRIC and name not in self._cut:
            self._cut.add(name)
            log.warning(
                "the metric %s… has a name of %d characters: those after %d are left out",
                name[:30], len(name), LONGEST_METRIC,
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

    def resume(self) -> checkpoints.Checkpoint | None:
        """The last checkpoint of an earlier attempt, or None where the job begins anew."""
        self._resumable = True
        path = self._saved()
        if path is None:
            return None
        found = checkpoints.read(path, kind=self._kind, spec_hash=self._spec_hash)
        log.info("resumed after step %d, from %s", found.step, path.name)
        return found

    @property
    def stopping(self) -> bool:
        """Whether somebody wants the job to stop, and save itself before."""
        return self._is_to_stop

    def checkpoint_due(self) -> bool:
        """Whether it is time for the next checkpoint, or the last moment for one."""
        return time.monotonic() >= self._due_at or self._is_to_stop

    def checkpoint(self, step: int, **state: Any) -> None:
        """Save everything that another attempt needs to go on after `step`."""
        started = time.monotonic()
        name = checkpoints.file_name(step)
        path = self._new_path(name)
        try:
            checkpoints.write(
                path, kind=self._kind, spec_hash=self._spec_hash, step=step, state=state
            )
        except OSError as error:  # the job is worth more than its checkpoint
            log.warning("no checkpoint after step %d, the job goes on: %s", step, error)
        else:
            self._publish(path, name, Role.CHECKPOINT, None)
        cost = time.monotonic() - started
        self._due_at = time.monotonic() + max(self._checkpoint_every, _CHECKPOINT_SHARE * cost)
        if self._is_to_stop:
            log.info("stopped after step %d, as the worker asked", step)
            raise StopRequestedError

    def _new_path(self, name: str) -> Path:
        # A folder for each, as the last file of this name may not have been fetched yet.
        self._files += 1
        # A child of the job's counts for itself.
        path = self._out / f"{os.getpid()}-{self._files}" / Names().place(name)
        path.parent.mkdir(parents=True)
        return path

    def _stop_if_asked(self) -> None:
        # A job that can resume is stopped where it saves itself, and nowhere else.
        if self._is_to_stop and not self._resumable:
            raise StopRequestedError


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
