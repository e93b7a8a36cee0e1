"""Which points of a space a grid or random draws have. Pure functions of the space and a seed."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

from ..errors import UsageError
from ..text import count
from .space import Params, Space, size


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
    while len(seen) < trials:
        drawn = {parameter.name: parameter.at(source.random()) for parameter in space}
        seen.setdefault(tuple((type(v), v) for v in drawn.values()), drawn)
    return list(seen.values())
