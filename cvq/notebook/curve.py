"""A curve as a small SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ..figures import number
from ..thinning import Point, thin
from .cells import cell

_WIDTH, _HEIGHT = 320, 120  # pixels
_LEFT, _BELOW, _ABOVE = 52, 18, 18
_PARTS = 100  # of the axis, each with its first, lowest, highest and last point


def curve(name: str, points: Sequence[Point]) -> str:
    """A metric over the steps, with its ends on both axes; "" where there is nothing to draw.

    What is not finite is a gap. Of many points no peak and no gap is left out.
    """
    known = [
        (at, value if value is None or math.isfinite(value) else None) for at, value in points
    ]
    some = thin(known, _PARTS)
    finite = [(at, value) for at, value in some if value is not None]
    if len(finite) < 2:
        return ""
    left, right = min(at for at, _ in finite), max(at for at, _ in finite)
    low, high = min(value for _, value in finite), max(value for _, value in finite)

    def place(at: float, value: float) -> str:
        across = (at - left) / ((right - left) or 1)
        # Halves first: the difference of two floats may be beyond what a float holds.
        up = (value / 2 - low / 2) / ((high / 2 - low / 2) or 1)
        x = _LEFT + across * (_WIDTH - _LEFT - 4)
        return f"{x:.1f},{_HEIGHT - _BELOW - up * (_HEIGHT - _BELOW - _ABOVE):.1f}"

    lines = "".join(
        '<polyline fill="none" stroke="#1f77b4" stroke-width="1.5" '
        f'points="{" ".join(place(*point) for point in part)}"/>'
        for part in _parts(some)
    )
    return _svg(name, lines, (number(low), number(high)), (str(left), str(right)))


def _parts(points: Sequence[Point]) -> Iterator[list[tuple[float, float]]]:
    """The stretches without a gap."""
    part: list[tuple[float, float]] = []
    for at, value in points:
        if value is not None:
            part.append((at, value))
        elif part:
            yield part
            part = []
    if part:
        yield part


def _svg(name: str, lines: str, values: tuple[str, str], steps: tuple[str, str]) -> str:
    bottom = _HEIGHT - _BELOW
    words = [
        (_LEFT, 12, "start", name), (_LEFT - 4, bottom, "end", values[0]),
        (_LEFT - 4, _ABOVE + 8, "end", values[1]), (_LEFT, _HEIGHT - 4, "start", steps[0]),
        (_WIDTH - 4, _HEIGHT - 4, "end", steps[1]),
    ]  # fmt: skip
    texts = "".join(
        f'<text x="{x}" y="{y}" text-anchor="{anchor}">{cell(word, 40)}</text>'
        for x, y, anchor, word in words
    )
    axes = f"M{_LEFT} {_ABOVE}V{bottom}H{_WIDTH - 4}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        f'font-size="10" font-family="sans-serif" fill="currentColor">'
        f'<path d="{axes}" fill="none" stroke="currentColor" opacity="0.4"/>{lines}{texts}</svg>'
    )
