"""Checks that stop a hopeless training within its first steps, with a sentence that says why.

The course's own notebook trained for five epochs with `zero_grad()` between `backward()` and
`step()`, and ended at the accuracy of a guess. Nothing had told its author.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from cvq.errors import PermanentError

# Predictions looked at before a network is said to know one class only.
_ENOUGH = 512
# So many times its first value, a loss does not come back.
_RUN_AWAY = 1e4


def check_labels(labels: Tensor, classes: int, *, trained_on: bool) -> None:
    """Refuse labels outside 0..classes - 1, and a single class to train on.

    Raises:
        PermanentError: with the offending values.
    """
    found = torch.unique(labels).tolist()
    outside = [label for label in found if not 0 <= label < classes]
    if outside:
        shown = ", ".join(map(str, outside[:5]))
        raise PermanentError(
            f"labels outside the classes 0 to {classes - 1}: {shown}; the label file is wrong, "
            "or the network has too few outputs"
        )
    if trained_on and len(found) < 2:
        raise PermanentError(
            f"all {len(labels)} training labels are class {found[0]}: there is nothing to tell "
            "apart; are the images sorted into a folder for each class?"
        )


def check_loss(loss: float, step: int, first: float) -> None:
    """Refuse a loss that is no number, or far above the first step's.

    Raises:
        PermanentError: it is NaN, infinite or has run away.
    """
    if not math.isfinite(loss) or loss > _RUN_AWAY * max(1.0, abs(first)):
        raise PermanentError(
            f"the loss is {loss:.4g} at step {step}, after {first:.4g} at the first: the training "
            "has run away; lower --learning-rate, or clip the gradients with --clip 1"
        )


class ChangeGuard:
    """Makes sure that the first step of a training changes weights."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._before = [p.detach().clone() for p in network.parameters() if p.requires_grad]

    def check(self) -> None:
        """Compare with the weights from before the step.

        Raises:
            PermanentError: none has changed.
        """
        trained = [p for p in self._network.parameters() if p.requires_grad]
        if any(not torch.equal(a, b) for a, b in zip(self._before, trained, strict=True)):
            return
        gradients = [p.grad for p in trained if p.grad is not None]
        cause = (
            "all gradients are zero at the step: the network is dead, or zero_grad() stands "
            "between backward() and step()"
            if not any(bool(g.any()) for g in gradients)
            else "the learning rate is too small for the precision of the weights"
        )
        raise PermanentError(f"no weight changed in the first step: {cause}")


class OneClassGuard:
    """Notices a classifier that answers with one class whatever it is shown."""

    def __init__(self, names: Callable[[int], str] = str) -> None:
        self._names = names
        self._predicted: set[int] = set()
        self._true: set[int] = set()
        self._seen = 0

    def see(self, logits: Tensor, labels: Tensor) -> None:
        """Take in a batch: logits (N, classes), labels (N,)."""
        self._predicted |= set(logits.argmax(1).tolist())
        self._true |= set(labels.tolist())
        self._seen += len(labels)

    @property
    def done(self) -> bool:
        """Whether there is nothing more to find out."""
        return len(self._predicted) > 1

    def check(self, step: int) -> None:
        """Judge what was seen so far.

        Raises:
            PermanentError: one class was predicted for many samples of several classes.
        """
        if self._seen < _ENOUGH or len(self._predicted) != 1 or len(self._true) < 2:
            return
        (only,) = self._predicted
        raise PermanentError(
            f"after {step} steps the network predicts class {self._names(only)} for all of "
            f"{self._seen} samples: it is dead or the learning rate is far off; try another "
            "--learning-rate or --seed"
        )
