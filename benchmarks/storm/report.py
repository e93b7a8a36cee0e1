"""A storm's report: what was done, what was found, how long recovery took."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from .ledger import FAULTS, Recovery, Verdict
from .plan import StormOptions

_SHOWN = 20
_NAMES = {
    "lost": "jobs lost",
    "two_results": "jobs with two results",
    "doubled": "effects doubled",
    "log_faults": "faults in stored logs and metrics",
    "broken_records": "broken records",
}


@dataclass(frozen=True)
class Report:
    """What came of a storm.

    Attributes:
        digest: of the plan.
        seconds: from the start of the storm until all jobs were final.
        states, items: jobs and items by their state at the end.
        acts: what was done, by kind.
        missed: acts that found nothing to hit, by kind.
        held_database: workers that were frozen while they, alone, could write to SQLite.
        cancels: jobs that the storm asked to cancel.
        refused: submissions that failed without a trace and were made again.
        resolved: submissions that failed after their commit and were found.
        redis_back: seconds after each kill of Redis until it answered again.
        verdict: the faults, and what is told beside them.
        hanging: jobs that were not final in time.
        deaths: workers that left although nothing had struck them.
        stuck: drained workers that did not leave well.
        left_behind: processes that outlived their workers.
        evidence: of the ledger and the workers' logs, about the jobs with faults.
    """

    options: StormOptions
    machine: str
    digest: str
    seconds: float
    states: dict[str, int]
    items: dict[str, int]
    attempts: int
    effects: int
    acts: dict[str, int]
    missed: dict[str, int]
    held_database: int
    cancels: int
    refused: int
    resolved: int
    verdict: Verdict
    recoveries: list[Recovery]
    redis_back: list[float]
    hanging: list[str]
    deaths: list[str]
    stuck: list[str]
    left_behind: list[str]
    evidence: list[str]

    @property
    def good(self) -> bool:
        """Whether nothing was lost, doubled, stuck or left behind."""
        return not (self.verdict.faults or self.hanging or self.stuck or self.left_behind)

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON knows it."""
        return {"good": self.good, **asdict(self)}

    def lines(self) -> Iterator[str]:
        """For people."""
        options, verdict = self.options, self.verdict
        yield self.machine
        yield (
            f"{options.database}, {options.workers} workers of {options.slots} slots, lease "
            f"{options.lease:g} s, seed {options.seed}, plan {self.digest}"
        )
        done = sum(self.states.values())
        rate = done / max(self.seconds, 1e-9)
        yield (
            f"{done} jobs in {self.seconds:.0f} s ({rate:.1f} a second): "
            f"{_counts(self.states)}; {self.attempts} attempts, {self.effects} effects"
        )
        yield f"{sum(self.items.values())} items: {_counts(self.items)}"
        yield f"acts: {sum(self.acts.values())}: {_counts(self.acts)}"
        if self.missed:
            yield f"  found nothing to hit: {_counts(self.missed)}"
        if self.held_database:
            yield f"  froze the one writer of SQLite in its change: {self.held_database}"
        yield (
            f"submissions: {self.refused} refused and made again, {self.resolved} failed after "
            f"their commit and found; {self.cancels} jobs cancelled half-way"
        )
        yield (
            "from the act until the job was queued again, and until its next attempt began, maybe "
            "behind jobs of higher priority:"
        )
        yield from map(_recovery_line, self.recoveries)
        if self.redis_back:
            median, worst = statistics.median(self.redis_back), max(self.redis_back)
            yield f"Redis answered again after: median {median:.1f} s, worst {worst:.1f} s"
        yield ""
        for name in FAULTS:
            yield from _listed(_NAMES[name], getattr(verdict, name))
        yield from _listed("jobs not final in time", self.hanging)
        yield from _listed("drained workers that did not leave well", self.stuck)
        yield from _listed("processes left behind", self.left_behind)
        yield ""
        yield "beside these, no faults:"
        yield from _listed(
            "  killed after the last effect and before its commit, and so run again",
            verdict.run_again_after_end,
        )
        yield from _listed("  effects after an attempt's recorded end", verdict.late_effects)
        yield from _listed(
            "  innocent failures: attempts that ended without an act", verdict.unexplained
        )
        yield from _listed("  workers that left although nothing struck them", self.deaths)
        yield from self.evidence
        yield "GOOD: nothing lost, nothing doubled" if self.good else "BAD"


def _recovery_line(time: Recovery) -> str:
    queued = (
        "never queued"
        if time.queued_median is None
        else f"queued median {time.queued_median:.1f} s, worst {time.queued_worst:.1f} s"
    )
    # A reaped or preempted attempt did nothing wrong; any other is tried again after a pause.
    unpaused = time.reason in ("preempted", "worker-lost")
    return (
        f"  {time.act + ' → ' + time.reason:30} {time.count:4} times: {queued}; "
        f"begun median {time.begun_median:.1f} s, worst {time.begun_worst:.1f} s"
        f"{'' if unpaused else ', with the pause before a retry'}"
    )


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"


def _listed(what: str, items: list[str]) -> Iterator[str]:
    yield f"{what}: {len(items)}"
    yield from (f"    {item}" for item in items[:_SHOWN])
    if len(items) > _SHOWN:
        yield f"    and {len(items) - _SHOWN} more"


def ordered(counter: Counter[str]) -> dict[str, int]:
    """A counter as a dictionary in the order of its names."""
    return dict(sorted(counter.items()))
