"""What jobs will cost: how long they run, when they start and end, and their GPU-hours.

Learnt from the history of the same kind and device, and from the queue as it is; see
docs/estimates.md.
"""

from __future__ import annotations

from .asked import of_batch, of_job, of_jobs, of_new, of_unfinished
from .estimate import Estimate, Range, TimeRange
from .estimating import NOBODY

__all__ = [
    "NOBODY",
    "Estimate",
    "Range",
    "TimeRange",
    "of_batch",
    "of_job",
    "of_jobs",
    "of_new",
    "of_unfinished",
]
