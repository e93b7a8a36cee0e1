"""Coarse to fine: the sizes that a picture passes through on its way to the last.

Gatys et al., "Controlling Perceptual Factors in Neural Style Transfer", CVPR 2017, section 6.
"""

from __future__ import annotations

import math
from typing import NamedTuple

COARSEST = 160  # pixels: below, the deepest style layer sees too few places
STEP_RATIO = 1.5  # a scale takes so many more steps than the next finer one


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


def share_done(plan: list[Scale], done: int) -> float:
    """The share of the work that is done after so many steps: a step costs as its pixels."""
    costs = [(scale.size[0] * scale.size[1], scale.steps) for scale in plan]
    whole = sum(pixels * len(steps) for pixels, steps in costs)
    spent = sum(
        pixels * max(0, min(len(steps), done - steps.start + 1)) for pixels, steps in costs
    )
    return spent / whole
