"""Optimisers, learning-rate schedules and averages, as a specification names them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler
from torch.optim.swa_utils import AveragedModel

from cvq.kinds.training import TrainingSpec

_RISE = 0.25  # share of the steps until a one-cycle schedule's peak
_SHORTEST_CYCLE = 5  # steps: OneCycleLR divides by zero in a cycle of four
_SCHEDULES = ("initial_lr", "max_lr", "min_lr")  # what schedules write into an optimiser's groups

Values = tuple[Tensor, ...] | list[Tensor]


def make_optimiser(network: nn.Module, spec: TrainingSpec) -> torch.optim.Optimizer:
    """The optimiser of a network's weights; biases and normalisations are not decayed."""
    if spec.optimizer == "lbfgs":
        return torch.optim.LBFGS(
            network.parameters(),
            lr=spec.learning_rate,
            line_search_fn="strong_wolfe",
            tolerance_grad=0.0,
            tolerance_change=0.0,
        )
    decayed = [p for p in network.parameters() if p.ndim > 1]
    rest = [p for p in network.parameters() if p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": spec.weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if spec.optimizer == "sgd":
        # Plain as in the course, with momentum where the schedule is made for it.
        momentum = 0.0 if spec.schedule == "constant" else 0.9
        return torch.optim.SGD(
            groups, lr=spec.learning_rate, momentum=momentum, nesterov=momentum > 0
        )
    if spec.optimizer == "adam":
        return torch.optim.Adam(groups, lr=spec.learning_rate, fused=True)
    # Trainings are short: the second moment has few steps to forget the first ones.
    return torch.optim.AdamW(groups, lr=spec.learning_rate, betas=(0.9, 0.99), fused=True)


def make_schedule(
    optimiser: torch.optim.Optimizer, spec: TrainingSpec, total: int
) -> lr_scheduler.LRScheduler:
    """How the learning rate moves over so many steps.

    One cycle (Smith and Topin, "Super-Convergence", 2018) rises from a 25th of the peak over the
    first quarter, and falls to a thousandth. Its cycle of the momentum is left out, as results
    were worse with it.
    """
    if spec.schedule == "onecycle" and spec.optimizer != "lbfgs":
        return lr_scheduler.OneCycleLR(
            optimiser,
            max_lr=spec.learning_rate,
            total_steps=max(total, _SHORTEST_CYCLE),
            pct_start=_RISE,
            div_factor=25,
            final_div_factor=40,
            cycle_momentum=False,
        )
    if spec.schedule == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimiser, T_max=total)
    return lr_scheduler.ConstantLR(optimiser, factor=1.0)


def load_optimiser(optimiser: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Put an optimiser where a checkpoint has it.

    What the schedule has written beside the weights stays its own: in a checkpoint of an earlier
    version it is not all there.
    """
    written = [
        {name: group[name] for name in _SCHEDULES if name in group}
        for group in optimiser.param_groups
    ]
    optimiser.load_state_dict(state)
    for group, own in zip(optimiser.param_groups, written, strict=True):
        group.update(own)


def make_average(network: nn.Module, decay: float) -> AveragedModel:
    """The moving average of a network's weights and buffers, in evaluation mode.

    The first steps count for little, or the average would remember the initialisation.
    """

    def mix(means: Values, values: Values, _: Tensor | int) -> None:
        # Its count on the CPU: that of the device would have to be waited for.
        done = int(average.n_averaged)
        share = 1 - min(decay, (2 + done) / (11 + done))
        for mean, value in zip(means, values, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, share)
            else:
                mean.copy_(value)

    average = AveragedModel(network, multi_avg_fn=mix, use_buffers=True)
    return average.eval()
