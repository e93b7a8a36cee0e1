"""Coarse to fine: the sizes that a picture passes through on its way to the last.

Gatys et al., "Controlling Perceptual Factors in Neural Style Transfer", CVPR 2017, section 6.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

COARSEST = 160  # pixels: below, the deepest style layer sees too few places
STEP_RATIO = 1.5  # a scale takes so many more steps than the next finer one

# In pixels, what a step costs besides them. In steps, what it costs to prepare a picture at a new
# size, and to judge the last one there.
_ANY_STEP = {"cpu": 14_000, "mps": 100_000, "cuda": 400_000}
_BEGINNING, _END = 0.7, 0.5


class Scale(NamedTuple):
    """One size to pass through: (width, height), and the numbers of the steps spent on it."""

    size: tuple[int, int]
    steps: range


def schedule(
    content: tuple[int, int], size: int, steps: int, scales: int | None = None
) -> list[Scale]:
    """Plan the sizes, each half of the next, and share the steps out among them.

    Args:
        content: width and height of the content, whose proportions are kept.
        size: longest side of the last scale.
        steps: steps over all scales; every scale gets at least one.
        scales: how many; by default as many as keep the first above `COARSEST`.
    """
    most = 1 + int(math.log2(max(1.0, size / (COARSEST if scales is None else 32))))
    count = min(scales or most, most, steps)
    plan, done = [], 0
    for place in reversed(range(count)):  # how often the size is still to be doubled
        share = STEP_RATIO**place / sum(STEP_RATIO**p for p in range(place + 1))
        number = min(max(1, round(share * (steps - done))), steps - done - place)
        factor = size / 2**place / max(content)
        width, height = (max(1, round(side * factor)) for side in content)
        plan.append(Scale((width, height), range(done + 1, done + number + 1)))
        done += number
    return plan


@dataclass(frozen=True)
class Work:
    """What a plan costs, in pixels that go through the network and back.

    A step costs its pixels and what any step costs, however small: layers are called one by one.
    Where a size begins, each picture goes through the network once, and the painted one again
    where it ends. All of it was measured on CPUs, one thread and two; a GPU is not filled by small
    sizes either, and needs far more pixels until it is.

    Args:
        plan: the sizes.
        pictures: content and styles.
        device: `cpu`, `cuda` or `mps`.
    """

    plan: list[Scale]
    pictures: int
    device: str = "cpu"

    def done(self, steps: int) -> float:
        """The share of it, 0 to 1, that is done after so many steps."""
        spent = sum(self._cost(scale, steps) for scale in self.plan)
        return spent / sum(self._cost(scale, scale.steps[-1]) for scale in self.plan)

    def _cost(self, scale: Scale, steps: int) -> float:
        taken = min(len(scale.steps), steps - scale.steps.start + 1)
        if taken < 1:
            return 0.0
        around = _BEGINNING * self.pictures + (_END if taken == len(scale.steps) else 0.0)
        return (scale.size[0] * scale.size[1] + _ANY_STEP[self.device]) * (taken + around)
