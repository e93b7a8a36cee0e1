"""Which points of a space a grid or random draws have. Pure functions of the space and a seed."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

from ..errors import UsageError
from ..text import count
from .space import Params, Space, size

_LEAST_IN_VAIN, _IN_VAIN_EACH = 1_000, 50  # draws that find nothing new, before they are ended


def grid(space: Space) -> Iterator[Params]:
    """Every point, the last parameter varying fastest.

    Raises:
        UsageError: a parameter's values are not counted.
    """
    names = [parameter.name for parameter in space]
    for values in itertools.product(*(parameter.values() for parameter in space)):
        yield dict(zip(names, values, strict=True))


def draws(space: Space, trials: int, seed: int) -> list[Params]:
    """So many points drawn at random, no two alike; the same ones for the same seed.

    More draws begin with the same points.

    Raises:
        UsageError: the space has fewer points.
    """
    points = size(space)
    if points is not None and points < trials:
        raise UsageError(
            f"the space has {count(points, 'point')}, fewer than {trials} trials: "
            "give fewer trials, or try all in a grid"
        )
    # Of this generator, `random()` is the one whose numbers are the same in every Python.
    source = random.Random(seed)  # noqa: S311 - no secret
    seen: dict[tuple[object, ...], Params] = {}
    in_vain = 0
    while len(seen) < trials:
        drawn = {parameter.name: parameter.at(source.random()) for parameter in space}
        is_new = seen.setdefault(tuple((type(v), v) for v in drawn.values()), drawn) is drawn
        in_vain = 0 if is_new else in_vain + 1
        # Numbers that are no whole ones are not counted, but rounded: there may be few of them.
        if points is None and in_vain > _LEAST_IN_VAIN + _IN_VAIN_EACH * len(seen):
            raise UsageError(
                f"{in_vain:,} draws found {count(len(seen), 'point')} that differ in the digits "
                f"kept of a number, fewer than {trials} trials: give fewer trials, or wider ranges"
            )
    return list(seen.values())
