"""Runs a kind: in a job's process under a worker, or in anybody's."""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING, Any

from .kind import Kind
from .spec import Spec

if TYPE_CHECKING:
    from ..context import Context


def run_kind(kind: Kind, spec: Spec, ctx: Context, *, in_batch: bool = False) -> Any:
    """Run a kind on inputs that are on this machine, its random generators seeded.

    Args:
        kind: what to run.
        spec: its values.
        ctx: where it reports to.
        in_batch: whether the job is one of a batch, and is answered as the others are.

    Returns:
        what its function returns; {} for None.
    """
    run = kind.load(spec, in_batch=in_batch)
    seed_generators(spec.seed)
    result = run(spec, ctx)
    return {} if result is None else result  # 0, False and [] are results


def seed_generators(seed: int) -> None:
    """Seed every global generator that is loaded."""
    random.seed(seed)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(seed)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(seed)
