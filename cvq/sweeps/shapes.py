"""The documented JSON shapes of sweeps and trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..sweep import Sweep, Trial
from ..views.shapes import iso
from .importance import Importance


def sweep(row: Sweep) -> dict[str, Any]:
    """A sweep, and how many of its trials are in each state."""
    return {
        "id": row.id,
        "kind": row.kind,
        "state": row.state,
        "user": row.user,
        "name": row.name,
        "method": row.method,
        "trials": row.trials,
        "submitted": row.submitted,
        "states": dict(row.states),
        "space": [_parameter(each) for each in row.space],
        "spec": row.spec,
        "metric": row.metric,
        "direction": row.direction,
        "parallel": row.parallel,
        "prune": row.options.get("prune"),
        "seed": row.seed,
        "created_at": iso(row.created_at),
        "driver": row.driver.partition(" #")[0] if row.driver and row.driven else None,
    }


def _parameter(stored: Mapping[str, Any]) -> dict[str, Any]:
    if "choices" in stored:
        return {"name": stored["name"], "values": [each["text"] for each in stored["choices"]]}
    return dict(stored)


def trial(row: Trial, rank: int | None = None) -> dict[str, Any]:
    """A trial, at its place in the ranking."""
    return {
        "rank": rank,
        "trial": row.number,
        "job": row.job,
        "state": row.state,
        "params": row.params,
        "value": row.value,
        "best": row.best,
        "progress": row.progress,
        "created_at": iso(row.created_at),
        "started_at": iso(row.started_at),
        "finished_at": iso(row.finished_at),
        "error": row.error,
    }


def ranking(
    row: Sweep, trials: Sequence[Trial], found: Importance | None, metric: str | None
) -> dict[str, Any]:
    """A sweep with its trials, the best first, and what matters.

    Args:
        row: the sweep.
        trials: in order.
        found: how much each parameter matters.
        metric: by which they are ranked.
    """
    importance = None
    if found is not None:
        importance = {"method": found.method, "trials": found.trials, "shares": found.shares}
    return {
        **sweep(row),
        "ranked_by": metric,
        "ranking": [trial(each, place) for place, each in enumerate(trials, 1)],
        "importance": importance,
    }
