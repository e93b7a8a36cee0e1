"""What a prune frees, or would."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Report:
    """What a prune has removed, or would remove.

    Attributes:
        jobs: how many; those that lose files, where only files are pruned.
        batches: how many went with all their jobs.
        rows: of the database, all in all.
        files: of the store.
        bytes: that these take; a file that a job which stays names, too, is none of them.
        stays: how many jobs were chosen and stay, by the reason.
        later: inputs that were used within the last day; they go at a later prune.
        failed: files that could not be removed; they are tried again at the next prune.
        trouble: why the first of these could not.
        freed: bytes of the database's file that were given back.
        free: bytes in that file that hold nothing, and that later jobs will fill.
    """

    jobs: int = 0
    batches: int = 0
    rows: int = 0
    files: int = 0
    bytes: int = 0
    stays: Counter[str] = field(default_factory=Counter)
    later: int = 0
    failed: int = 0
    trouble: str | None = None
    freed: int = 0
    free: int = 0
