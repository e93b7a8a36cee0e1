"""The warm processes of a storm's cluster: they run no attempt of their own."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil

from cvq.presence import scratch_of

from .cluster import Cluster


def warm_processes(cluster: Cluster) -> list[tuple[str, psutil.Process]]:
    """Each with the name of its worker, in the order of their numbers.

    A warm process is known by the folder that it stands in.
    """
    scratch = {
        scratch_of(cluster.home, worker.id).resolve(): worker.id
        for worker in cluster.up()
        if worker.id is not None
    }
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            place = Path(process.cwd())
            owner = scratch.get(place.parent)
            if owner and place.name.startswith("warm-") and cluster.is_ours(process):
                found.append((owner, process))
    return found
