"""A sweep as a notebook shows it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from ..figures import number
from ..text import duration, percent
from . import cells

if TYPE_CHECKING:
    from ..sweep import Trial
    from ..sweeps.handle import SweepHandle
    from ..sweeps.space import Parameter

_MOST_PARAMETERS = 12
_LONGEST = 40  # characters of a value
_BAR = 160  # pixels of a parameter that explains all


def sweep_html(handle: SweepHandle, parameters: Sequence[Parameter]) -> str:
    """A sweep: how far it is, its best trial, what each parameter matters, and the ranking.

    Args:
        handle: the sweep.
        parameters: those to show, which vary.
    """
    sweep = handle.sweep
    rows = [
        ("name", cells.cell(sweep.name)),
        ("trials", cells.cell(f"{sweep.done} of {sweep.trials} done")),
        ("states", cells.states(sweep.states)),
        ("best", _best(handle)),
        ("importance", _importance(handle)),
    ]
    title = f"<b>Sweep {sweep.id}</b> {cells.cell(sweep.kind)} {cells.state(sweep.state)}"
    return f"<div><div>{title}</div>{cells.pairs(rows)}{_ranking(handle, parameters)}</div>"


def _best(handle: SweepHandle) -> str:
    best = handle.best
    if best is None:
        return ""
    figure = f"{handle.sweep.metric} {number(best.value)}"
    told = f"trial {best.number} (job {best.job}): {handle.label(best)}"
    return f"<b>{cells.cell(figure)}</b> {cells.cell(told, 200)}"


def _importance(handle: SweepHandle) -> str:
    """A bar for each parameter; "" where nothing can be said."""
    found = None
    with suppress(Exception):  # the ranking is shown in any case
        found = handle.importance()
    if found is None:
        return ""
    bars = "".join(
        f"<tr><td>{cells.cell(name, _LONGEST)}</td><td>{cells.bar(share, _BAR)} "
        f"{percent(share)}</td></tr>"
        for name, share in [*found.shares.items()][:_MOST_PARAMETERS]
    )
    told = f"{found.method}, of {found.trials} trials"
    return f"<table><tbody>{bars}</tbody></table><div>{cells.cell(told)}</div>"


def _ranking(handle: SweepHandle, parameters: Sequence[Parameter]) -> str:
    trials, metric = handle.ranked(), handle.sweep.metric
    if not trials:
        return ""
    shown = parameters[:_MOST_PARAMETERS]
    heading = ["rank", "trial", "job", "state", *([metric] if metric else [])]
    heading += [*(each.name for each in shown), "time"]
    rows = [
        _row(place, trial, shown, measured=bool(metric))
        for place, trial in enumerate(trials[: cells.MOST_ROWS], 1)
    ]
    return cells.table(heading, rows) + cells.more(len(trials) - len(rows), "trial")


def _row(
    place: int, trial: Trial, parameters: Sequence[Parameter], *, measured: bool
) -> list[str]:  # fmt: skip
    values = (
        each.text(trial.params[each.name]) if each.name in trial.params else ""
        for each in parameters
    )
    value = "" if trial.value is None else number(trial.value)
    return [
        "" if trial.value is None else str(place),
        str(trial.number),
        str(trial.job or ""),
        cells.state(trial.state),
        *([cells.cell(value)] if measured else []),
        *(cells.cell(each, _LONGEST) for each in values),
        cells.cell(_seconds(trial)),
    ]


def _seconds(trial: Trial) -> str:
    if trial.started_at is None or trial.finished_at is None:
        return ""
    return duration(max(0.0, (trial.finished_at - trial.started_at).total_seconds()))
