"""Optimisers and learning-rate schedules, as a specification names them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.optim import lr_scheduler

from cvq.kinds.training import TrainingSpec

_RISE = 0.25  # share of the steps until a one-cycle schedule's peak


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
    """How the learning rate moves over so many steps."""
    if spec.schedule == "onecycle" and spec.optimizer != "lbfgs":
        return lr_scheduler.LambdaLR(optimiser, lambda step: one_cycle(step / total))
    if spec.schedule == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimiser, T_max=total)
    return lr_scheduler.ConstantLR(optimiser, factor=1.0)


def one_cycle(done: float) -> float:
    """The share of the peak learning rate, when a share of the steps is done.

    Smith and Topin, "Super-Convergence", 2018, with cosines for lines: up to the peak over the
    first quarter, then down to a thousandth. Their cycle of the momentum is left out, as results
    were worse with it.
    """
    if done < _RISE:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * done / _RISE)) / 2
    fallen = (done - _RISE) / (1 - _RISE)
    return 0.001 + 0.999 * (1 + math.cos(math.pi * fallen)) / 2
