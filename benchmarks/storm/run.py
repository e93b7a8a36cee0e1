"""One storm from its plan to its report."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from dataclasses import asdict

from benchmarks.machine import describe

from .answers import judge_items
from .blow import Storm, Watcher
from .cluster import Cluster
from .ledger import FAULTS, FINAL, judge, parse_ledger, recoveries
from .plan import StormOptions, make_plan
from .records import collect, collect_items, evidence
from .report import Report, ordered


def run_storm(options: StormOptions, watch: Watcher | None = None) -> Report:
    """Blow one storm and judge what is left of it; leaves no process and no file.

    Raises:
        CvqError: the cluster does not come up.
    """
    plan = make_plan(options)
    with warnings.catch_warnings(), Cluster(options) as cluster:
        # A job is queued, and its workers could not be notified: that is what the storm is for.
        warnings.filterwarnings("ignore", "job .* is queued, but")
        storm = Storm(cluster, plan)
        submitter = storm.blow(watch or (lambda *_: None))
        stuck = storm.stuck + cluster.drain()
        (cluster.home / "strikes.jsonl").write_text(
            "".join(json.dumps(asdict(strike)) + "\n" for strike in storm.strikes)
        )
        jobs = collect(cluster, plan, submitter.cancel_asked)
        effects = parse_ledger(cluster.ledger.read_text().splitlines())
        verdict = judge(jobs, effects, storm.strikes)
        items = collect_items(cluster, plan)
        judge_items(items, storm.strikes, verdict)
        hanging = [
            f"job {job.ids[0] if job.ids else '?'} (number {job.number}) is {job.state}"
            for job in (*jobs, *items)
            if job.state not in FINAL
        ]
        wrong = [line for name in FAULTS for line in getattr(verdict, name)] + hanging
        return Report(
            options=options,
            machine=describe(),
            digest=plan.digest,
            seconds=storm.seconds,
            states=ordered(Counter(job.state for job in jobs)),
            items=ordered(Counter(item.state for item in items)),
            attempts=sum(len(job.attempts) for job in (*jobs, *items)),
            effects=len(effects),
            acts=ordered(Counter(strike.kind for strike in storm.strikes)),
            missed=ordered(storm.missed),
            held_database=sum(strike.held_database for strike in storm.strikes),
            cancels=len(submitter.cancel_asked),
            refused=submitter.refused + submitter.batches.refused,
            resolved=submitter.resolved + submitter.batches.resolved,
            verdict=verdict,
            recoveries=recoveries(jobs, effects, storm.strikes),
            redis_back=storm.redis_back,
            hanging=hanging,
            deaths=storm.deaths,
            stuck=stuck,
            left_behind=cluster.left_behind,
            evidence=evidence(cluster, wrong, effects),
        )
