"""Curves of many points in as many as a picture can show, none of whose peaks is lost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import TypeAlias

Point: TypeAlias = tuple[float, float | None]
"""A place and a value; None is a gap."""


def thin(points: Sequence[Point], buckets: int) -> list[Point]:
    """Of the points in each of so many equal parts of the axis: first, lowest, highest and last.

    Args:
        points: in the order of their places.
        buckets: parts; four points each are left at most, and a gap where one begins.
    """
    if len(points) <= 4 * buckets:
        return list(points)
    first, last = points[0][0], points[-1][0]
    scale = buckets / (last - first) if last > first else 0.0
    placed = ((min(buckets - 1, int((point[0] - first) * scale)), point) for point in points)
    found: list[Point] = []
    for _, group in groupby(placed, key=itemgetter(0)):
        found += _outline([point for _, point in group])
    return found


def _outline(points: list[Point]) -> list[Point]:
    finite = [(value, place) for place, (_, value) in enumerate(points) if value is not None]
    kept = {0, len(points) - 1}
    if finite:
        kept |= {min(finite)[1], max(finite)[1]}
    kept |= set(_gaps(points)[:1])
    return [points[place] for place in sorted(kept)]


def _gaps(points: list[Point]) -> list[int]:
    return [place for place, (_, value) in enumerate(points) if value is None]


def smoothed(points: Sequence[Point], weight: float) -> list[Point]:
    """The moving average in which what came before weighs so much, from 0 to below 1.

    Its beginning is not drawn towards 0; gaps stay gaps.
    """
    mean, known, found = 0.0, 0.0, []
    for place, value in points:
        if value is not None and math.isfinite(value):
            mean = weight * mean + (1 - weight) * value
            known = weight * known + (1 - weight)
            value = mean / known
        found.append((place, value))
    return found
