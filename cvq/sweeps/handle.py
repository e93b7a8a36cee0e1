"""A sweep in the hands of a Python program."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from ..errors import (
    JobCancelledError,
    JobFailedError,
    SweepDrivenError,
    UsageError,
    WaitTimeoutError,
)
from ..goals import Goal
from ..handle import JobHandle
from ..lifecycle import sweeps as life
from ..looks import pause_after
from ..states import State
from ..sweep import Stage, Sweep, Trial
from ..text import exactly
from . import ranking, reading
from .driver import Driver, OnStep
from .importance import Importance, importance
from .space import Space, from_json, label, varying

if TYPE_CHECKING:
    from ..client import Client


class SweepHandle:
    """One sweep: what `Client.sweep` and `Client.sweep_of` give.

    What it says is of the last look; `refresh()`, `wait()` and `resume()` look anew.
    """

    def __init__(self, client: Client, number: int) -> None:
        self.client = client
        self.id = number
        self._sweep: Sweep | None = None
        self._trials: list[Trial] | None = None

    def __repr__(self) -> str:
        return f"<Sweep {self.id}>"

    def _repr_html_(self) -> str | None:
        """Its ranking, the best trial and what matters; None, and so the usual text, else."""
        from ..notebook.sweeps import sweep_html

        try:
            return sweep_html(self, varying(self.space) or self.space)
        except Exception:  # a notebook's cell shows what it can
            return None

    @property
    def sweep(self) -> Sweep:
        """The row of the database, and the states of its trials."""
        if self._sweep is None:
            with self.client.db.read() as connection:
                self._sweep = reading.get_sweep(connection, self.id)
        return self._sweep

    @property
    def space(self) -> Space:
        """What it varies."""
        return from_json(self.sweep.space)

    @property
    def trials(self) -> list[Trial]:
        """The trials that there are so far, in order, each with the sweep's metric."""
        if self._trials is None:
            self._trials = self._measured(self.sweep.metric)
        return self._trials

    def label(self, trial: Trial) -> str:
        """A trial's values in one line, as they were typed."""
        return label(self.space, trial.params)

    def refresh(self) -> Self:
        """Look again; return this very sweep.

        Raises:
            UnknownSweepError: there is no such sweep.
        """
        self._sweep = self._trials = None
        _ = self.sweep
        return self

    def ranked(self, *, maximize: str | None = None, minimize: str | None = None) -> list[Trial]:
        """The trials, the best first; those without a finite metric last.

        Args:
            maximize: another metric than the sweep's, the highest of which is best.
            minimize: likewise, the lowest.

        Raises:
            UsageError: both were given.
        """
        metric, goal = chosen(maximize, minimize)
        if metric is None:
            return ranking.ranked(self.trials, self.sweep.direction)
        return ranking.ranked(self._measured(metric), goal)

    @property
    def best(self) -> Trial | None:
        """The best of the trials that have succeeded; None where none has a metric."""
        return ranking.best(self.trials, self.sweep.direction)

    @property
    def best_job(self) -> JobHandle | None:
        """The job of the best trial."""
        best = self.best
        return None if best is None or best.job is None else self.client.job(best.job)

    def importance(
        self, trials: Sequence[Trial] | None = None, *, optuna: bool | None = None
    ) -> Importance | None:
        """How much each parameter has to do with the metric; None where that cannot be said.

        Args:
            trials: as `ranked` gives them, for another metric than the sweep's.
            optuna: whether to ask Optuna, where it is installed; None: of its own suggestions.
        """
        measured = ranking.measured(self.trials if trials is None else trials)
        asks = self.sweep.method == "optuna" if optuna is None else optuna
        return importance(self.space, measured, optuna=asks)

    def wait(
        self,
        timeout: float | None = None,
        *,
        check: bool = True,
        drive: bool = True,
        on_look: OnStep | None = None,
        nap: Callable[[float], None] = time.sleep,
        say: Callable[[str], None] = lambda _: None,
    ) -> Self:
        """Wait for the end of all trials, and go on with the sweep meanwhile; return this sweep.

        Args:
            timeout: seconds; None waits for ever.
            check: raise where a trial has failed, or the sweep was cancelled.
            drive: add and prune trials where nobody else does.
            on_look: called with the sweep and its trials at every look.
            nap: sleeps for some seconds; what it raises ends the wait.
            say: told in a sentence what was pruned.

        Raises:
            WaitTimeoutError: it has not ended in time; what is queued goes on.
            JobFailedError: a trial failed.
            JobCancelledError: the sweep was cancelled.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            begun = time.monotonic()
            if drive and self.refresh().sweep.stalled:
                with suppress(SweepDrivenError):  # who is followed then
                    Driver(self.client, self.sweep, say).run(on_look, deadline, nap)
            sweep = self.refresh().sweep
            if on_look is not None:
                on_look(sweep, self.trials)
            if sweep.finished:
                break
            if deadline is not None and time.monotonic() >= deadline:
                raise self._overdue(timeout or 0)
            nap(pause_after(begun))
        if check:
            self.raise_for_states()
        return self

    async def wait_async(self, timeout: float | None = None, *, check: bool = True) -> Self:
        """`wait` beside an event loop, which goes on: `await sweep.wait_async()`.

        Who is cancelled leaves the trials alone, and lets go of the sweep at the next look.
        """
        import asyncio  # which takes 40 ms that no command needs
        from threading import Event

        stop = Event()

        def nap(seconds: float) -> None:
            if stop.wait(seconds):
                raise asyncio.CancelledError

        try:
            return await asyncio.to_thread(self.wait, timeout, check=check, nap=nap)
        finally:
            stop.set()

    def resume(
        self,
        timeout: float | None = None,
        *,
        check: bool = True,
        on_look: OnStep | None = None,
        nap: Callable[[float], None] = time.sleep,
        say: Callable[[str], None] = lambda _: None,
    ) -> Self:
        """Go on with a sweep whose driver has ended, and wait for its end; otherwise as `wait`.

        Raises:
            SweepDrivenError: another drives it.
            UsageError: it was cancelled.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        sweep = self.refresh().sweep
        if sweep.stage == Stage.CANCELLED:
            raise UsageError(f"sweep {self.id} was cancelled: start another")
        if sweep.stage == Stage.OPEN:
            Driver(self.client, sweep, say).run(on_look, deadline, nap)
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        return self.wait(left, check=check, drive=False, on_look=on_look, nap=nap)

    def cancel(self) -> int:
        """Add no more trials, and cancel those that are unfinished; return how many.

        Raises:
            UnknownSweepError: there is no such sweep.
        """
        with self.client.db.write() as connection:
            number = life.cancel(connection, self.id, self.client.settings.user)
        self.refresh()
        return number

    def raise_for_states(self) -> None:
        """Raise what tells of a sweep that has ended, and not well.

        Raises:
            JobFailedError: a trial failed.
            JobCancelledError: the sweep was cancelled.
        """
        sweep = self.sweep
        if sweep.failed:
            raise JobFailedError(
                f"sweep {self.id}: {sweep.failed} of {sweep.submitted} trials failed: "
                f"`cvq ls --sweep {self.id} --state failed` lists them"
            )
        if sweep.stage == Stage.CANCELLED or sweep.states.get(State.CANCELLED):
            raise JobCancelledError(
                f"sweep {self.id} was cancelled" if sweep.stage == Stage.CANCELLED else
                f"sweep {self.id}: {sweep.states[State.CANCELLED]} of {sweep.submitted} trials "
                "were cancelled"
            )  # fmt: skip

    def _measured(self, metric: str | None) -> list[Trial]:
        with self.client.db.read() as connection:
            return reading.trials_of(connection, self.id, metric)

    def _overdue(self, timeout: float) -> WaitTimeoutError:
        sweep = self.sweep
        return WaitTimeoutError(
            f"sweep {self.id} has {sweep.done} of {sweep.trials} trials done after "
            f"{exactly(timeout)}: what is queued goes on, "
            f"`cvq sweep resume {self.id}` goes on with the rest"
        )


def chosen(maximize: str | None, minimize: str | None) -> tuple[str | None, Goal | None]:
    """The metric and its goal of two options.

    Raises:
        UsageError: both were given.
    """
    if maximize is not None and minimize is not None:
        raise UsageError("maximize and minimize cannot be combined: give one")
    if maximize is not None:
        return maximize, "max"
    return minimize, None if minimize is None else "min"
