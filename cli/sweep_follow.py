"""Following a sweep to its end: a bar on a terminal, lines in a pipe, and the best so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from cvq.states import State
from cvq.text import one_line

from . import formats
from .following import Look, view
from .interrupts import Interrupts
from .output import dump, hint, note, say
from .pace import Pace

if TYPE_CHECKING:
    from cvq.sweep import Sweep, Trial
    from cvq.sweeps.handle import SweepHandle

_TOLD = 5  # failures


def follow(
    handle: SweepHandle,
    *,
    timeout: float | None = None,
    drive: bool = False,
    resume: bool = False,
    quiet: bool = False,
    as_json: bool = False,
    changes: bool = False,
) -> None:
    """Show how far a sweep is until its last trial has ended, then which was best.

    Args:
        handle: the sweep.
        timeout: seconds; None waits for ever.
        drive: go on with it where nobody else does.
        resume: go on with it, and refuse where somebody else does.
        quiet: print its id alone, at the end.
        as_json: print it as JSON, at the end.
        changes: print it as a line of JSON whenever it has changed, and nothing at the end.

    Raises:
        SweepDrivenError: another goes on with it.
        WaitTimeoutError: it has not ended in time.
        JobFailedError: a trial failed.
        JobCancelledError: it was cancelled.
    """
    from cvq.sweeps import shapes

    try:
        _look_on(handle, timeout, drive=drive, resume=resume, quiet=quiet, changes=changes)
    except (KeyboardInterrupt, SystemExit):
        _tell_interrupted(handle)
        raise
    if changes:
        pass
    elif as_json:
        dump(shapes.sweep(handle.sweep))
    elif quiet:
        say(handle.id)
    else:
        say(f"sweep {handle.id}: {formats.states(handle.sweep.states)}{_best(handle)}")
        hint(f"`cvq sweep show {handle.id}` ranks the trials")
    handle.raise_for_states()


def _look_on(
    handle: SweepHandle, timeout: float | None, *, drive: bool, resume: bool, quiet: bool,
    changes: bool,
) -> None:  # fmt: skip
    shown, seen = view(quiet=quiet, changes=changes), _Watched()
    with Interrupts() as interrupts, closing(shown):
        failures = _Failures(handle, shown.say)

        def look(sweep: Sweep, trials: list[Trial]) -> None:
            interrupts.check()
            if not quiet:
                failures(trials)
            shown.show(seen(sweep, trials))

        more: dict[str, Any] = {
            "check": False, "on_look": look, "nap": interrupts.sleep,
            "say": (lambda _: None) if quiet else shown.say,
        }  # fmt: skip
        if resume:
            handle.resume(timeout, **more)
        else:
            handle.wait(timeout, drive=drive, **more)


def _tell_interrupted(handle: SweepHandle) -> None:
    """Say what goes on, and how to go on with the rest."""
    sweep = handle.refresh().sweep
    number = handle.id
    if sweep.finished:
        return
    if sweep.stalled:
        left = sweep.trials - sweep.submitted
        rest = f", {formats.count(left, 'trial')} are still to come" if left else ""
        note(f"sweep {number} is interrupted{rest}: what is queued goes on, `cvq sweep resume "
             f"{number}` goes on with it, `cvq sweep cancel {number}` stops it")  # fmt: skip
    else:
        note(f"sweep {number} continues: `cvq watch --sweep {number}` follows it, "
             f"`cvq sweep cancel {number}` stops it")  # fmt: skip


def _best(handle: SweepHandle) -> str:
    best, metric = handle.best, handle.sweep.metric
    if best is None or best.value is None or metric is None:
        return ""
    figure = f"{formats.clean(metric)} {formats.number(best.value)}"
    return f"; best: {figure} in job {best.job} ({formats.clean(handle.label(best))})"


class _Failures:
    """Says why the first trials have failed, each reason once."""

    def __init__(self, handle: SweepHandle, tell: Callable[[str], None]) -> None:
        self._handle, self._tell = handle, tell
        self._told: set[str | None] = set()

    def __call__(self, trials: Sequence[Trial]) -> None:
        for trial in trials:
            if trial.state != State.FAILED or trial.error in self._told:
                continue
            if len(self._told) >= _TOLD:
                return
            self._told.add(trial.error)
            error = formats.cut(one_line(trial.error or ""), 300)
            label = formats.clean(self._handle.label(trial))
            self._tell(f"trial {trial.number} ({label}), job {trial.job}, failed: {error}")


class _Watched:
    """What there is to see of a sweep."""

    def __init__(self) -> None:
        self._pace = Pace()

    def __call__(self, sweep: Sweep, trials: Sequence[Trial]) -> Look:
        from cvq.sweeps import shapes

        share = _share(sweep, trials)
        _, seconds = self._pace(share, idle=not sweep.states.get(State.RUNNING))
        left = f"{formats.duration(seconds)} left" if seconds and not sweep.finished else ""
        count, figures = f"{sweep.done}/{sweep.trials}", _figures(sweep, trials)
        return Look(
            what=f"sweep {sweep.id}",
            state=sweep.state,
            share=share,
            count=count,
            left=left,
            figures=lambda _: ", ".join(figures),
            line=", ".join(filter(None, [count, *figures, left])),
            json=lambda: {**shapes.sweep(sweep), "driver": None},
        )


def _share(sweep: Sweep, trials: Sequence[Trial]) -> float:
    return min(1.0, sum(trial.share for trial in trials) / max(1, sweep.trials))


def _figures(sweep: Sweep, trials: Sequence[Trial]) -> list[str]:
    """The best so far, and how many trials run, were pruned or have failed."""
    from cvq.sweeps import ranking

    best = ranking.best(trials, sweep.direction)
    figure = ""
    if best is not None and best.value is not None:
        figure = f"best {formats.clean(sweep.metric)} {formats.number(best.value)}"
    counted = [
        f"{number} {state}"
        for state in (State.FAILED, "pruned", State.RUNNING)
        if (number := sweep.states.get(state))
    ]
    return [*filter(None, [figure]), *counted]
