"""The two-layer network of course section 2: Linear(784, 1000), ReLU, Linear(1000, 10).

Inputs:   grey pictures of 28 x 28 pixels.
Output:   class probabilities.

What differs from the course, and why: the course fed pixels of 0..255 to plain SGD; scaled to mean
0 and deviation 1, with AdamW and a one-cycle schedule, the same two layers learn several times as
fast. `preset="course"` has its numbers.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from cvq.context import Context
from cvq.kinds.builtin.fmnist_mlp import MlpSpec

from .classifier import scaled, standard, train_classifier

HIDDEN = 1000


def build(spec: MlpSpec, classes: int) -> nn.Module:
    """The network: (N, 1, 28, 28) to logits (N, classes)."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(28 * 28, HIDDEN),
        nn.ReLU(),
        nn.Dropout(spec.dropout),
        nn.Linear(HIDDEN, classes),
    )


def network(spec: MlpSpec, facts: dict[str, Any]) -> nn.Module:
    """The network of a model file, untrained."""
    return scaled(build(spec, len(facts["classes"])), facts)


def run(spec: MlpSpec, ctx: Context) -> dict[str, Any]:
    """Train what a job's specification says."""

    def scaling(images: Tensor) -> tuple[float, float]:
        return standard(images) if spec.scale else (0.0, 1.0)

    summary = f"Two linear layers with {HIDDEN} hidden units."
    return train_classifier("fmnist-mlp", summary, spec, ctx, network, scaling=scaling)
