"""What a model sees of the batch system: progress, metrics, artifacts, checkpoints. No more."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from ..checkpoints import Checkpoint
from ..goals import Goal


class Context(Protocol):
    """The handle that `run(spec, ctx)` receives.

    Attributes:
        job_id: the job's number; 0 outside the batch system.
        attempt: which attempt of the job this is, from 1.
        cache: a folder that outlives the job, for what can be made again.
        device: `cuda`, `mps` or `cpu`: where the job is to compute. On CUDA a job sees only the
            GPU that it was given.
        goals: which way the kind's metrics are better, where it says so.
        scratch: a folder of the attempt's own, which is gone after it;
            whoever uses it makes it.
        stopping: whether somebody wants the job to stop, and save itself before.

    A job that can be resumed asks `resume` once at its beginning, and after every step whether a
    checkpoint is due::

        found = ctx.resume()
        begun = 0
        if found:
            begun = found.step
            model.load_state_dict(found.state["model"])
        for step in range(begun + 1, steps + 1):
            ...
            ctx.progress(step, steps)
            if ctx.checkpoint_due():
                ctx.checkpoint(step, model=model.state_dict())
    """

    job_id: int
    attempt: int
    device: str
    cache: Path
    goals: Mapping[str, Goal]
    scratch: Path

    @property
    def stopping(self) -> bool:
        """Whether somebody wants the job to stop, and save itself before."""

    def progress(
        self, done: int, total: int, unit: str = "step", *, share: float | None = None
    ) -> None:
        """Say that `done` of `total` units are done. Cheap: call it at every step.

        Args:
            done, total: units.
            unit: what is counted.
            share: of the whole work, 0 to 1, where some units take longer than others: the time
                that is left is estimated by it.
        """

    def metrics(self, step: int, **values: float) -> None:
        """Record named numbers at a step. Cheap: call it at every step.

        NaN and infinity are gaps in the curve, of which the log tells once for each name.

        Raises:
            PermanentError: something is no number.
        """

    def artifact(
        self, name: str, *, role: str = "result", media_type: str | None = None
    ) -> AbstractContextManager[Path]:
        """Give a path to write; when the block ends without an error, the file is published.

        Args:
            name: the file's name among the job's artifacts, for example `picture.png`. One that
                was used before is replaced.
            role: `result`, `preview`, `plot` or another short word. A preview, sample or plot
                that cannot be kept is told in the log; any other file ends the job.
            media_type: guessed from the name when not given.

        Raises:
            PermanentError: the name climbs out, a label is too long, or no file was written.
        """

    def confirm(self) -> None:
        """Wait (some milliseconds) until all that was reported is stored under the lease.

        To be called right before an effect that must not happen twice, such as sending a message:
        an attempt that has lost its job, without knowing it yet, does not return from here. What
        no system can exclude is a worker that dies in the moment between the effect and the end.
        """

    def resume(self) -> Checkpoint | None:
        """The last checkpoint of an earlier attempt, or None where the job begins anew.

        The random generators of Python, numpy and PyTorch are then as they were. A job that has
        called this is asked to stop only where it saves a checkpoint.

        Raises:
            CheckpointError: the file is damaged.
        """

    def checkpoint_due(self) -> bool:
        """Whether it is time for the next checkpoint. Cheap: ask after every step."""

    def checkpoint(self, step: int, **state: Any) -> None:
        """Save everything that another attempt needs to go on after `step`.

        Where the worker wants the job to stop, the job ends here. A disk that is full costs the
        checkpoint and not the job: earlier ones stay.

        Args:
            step: how many steps are done.
            state: tensors, arrays, numbers and words, in dictionaries, lists and tuples: what
                `state_dict()` gives. The random generators are saved without being named.

        Raises:
            PermanentError: there is something in the state that would not come back as it is.
        """
