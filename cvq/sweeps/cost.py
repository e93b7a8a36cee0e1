"""What a sweep would cost: the estimate of its jobs, where only some of them run at a time."""

from __future__ import annotations

import math
from dataclasses import replace

from sqlalchemy import Connection

from ..estimates import Estimate, Range, of_new
from .starting import Plan


def cost(connection: Connection, plan: Plan) -> Estimate | None:
    """How long the trials of a sweep would take, were it started now; None where none runs."""
    jobs = [trial.job for trial in plan.known if trial.job.error is None]
    found = of_new(connection, jobs, plan.sweep.trials)
    bound = plan.sweep.parallel
    if found is None or found.time is None or bound is None:
        return found
    rounds = math.ceil(plan.sweep.trials / bound)
    least = Range(*(rounds * seconds for seconds in found.time))
    return replace(found, end=Range(*map(max, found.end or least, least)))
