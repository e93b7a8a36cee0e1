"""An LSTM that reads a picture's rows as a sequence (Hochreiter and Schmidhuber, 1997).

Inputs:   grey pictures of 28 x 28 pixels: 28 steps of 28 numbers.
Output:   class probabilities, from the mean and the largest of every state over the steps.

The course names recurrent networks and shows none. Looking at all steps, rather than at the last
state, spares the network from carrying the collar past the hem. Each step is shown the row and the
differences between its neighbouring pixels, where edges are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from cvq.context import Context
from cvq.kinds.builtin.fmnist_rnn import RnnSpec

from .classifier import scaled, train_classifier


class RowReader(nn.Module):
    """LSTM over rows, mean and maximum over steps, linear layer."""

    def __init__(self, hidden: int, layers: int, bidirectional: bool, classes: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(
            28 + 27, hidden, num_layers=layers, batch_first=True, bidirectional=bidirectional
        )
        self.head = nn.Linear(2 * hidden * (2 if bidirectional else 1), classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits (N, classes) of pictures (N, 1, 28, 28)."""
        rows = pictures[:, 0]
        states, _ = self.lstm(torch.cat([rows, rows.diff(dim=-1)], dim=-1).contiguous())
        logits: Tensor = self.head(torch.cat([states.mean(dim=1), states.amax(dim=1)], dim=-1))
        return logits


def build(spec: RnnSpec, classes: int) -> nn.Module:
    """The network: (N, 1, 28, 28) to logits (N, classes)."""
    return RowReader(spec.hidden, spec.layers, spec.bidirectional, classes)


def network(spec: RnnSpec, facts: dict[str, Any]) -> nn.Module:
    """The network of a model file, untrained."""
    return scaled(build(spec, len(facts["classes"])), facts)


def run(spec: RnnSpec, ctx: Context) -> dict[str, Any]:
    """Train what a job's specification says."""
    summary = f"An LSTM over rows: {spec.layers} layers of {spec.hidden} units."
    return train_classifier("fmnist-rnn", summary, spec, ctx, network)
