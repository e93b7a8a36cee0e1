"""The figures of a job that count most, in words. Pure functions."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from .text import clean, one_line

_LONGEST_ANSWER = 80  # characters of an answer in words


class HasFigures(Protocol):
    """A job, in so far as it has figures: its row, or a handle."""

    @property
    def result(self) -> Any:
        """What its code returned."""

    @property
    def metrics(self) -> Mapping[str, float | None]:
        """The figure that counts of each metric."""


def number(value: float | None) -> str:
    """A metric with four significant digits; `-` where it was not finite."""
    if value is None:
        return "-"
    if isinstance(value, int) and abs(value) > sys.float_info.max:
        return "> 1e308" if value > 0 else "< -1e308"  # a result may hold any whole number
    if not math.isfinite(value):
        return "-"
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.4g}"


def headline(job: HasFigures, names: Sequence[str], most: int = 1) -> str:
    """The first few headline figures that a job has: `total_loss 21.5`.

    They are metrics, or values of its result; a text stands for itself: `boot 47 %`.
    """
    result = job.result if isinstance(job.result, dict) else {}
    known = {name: result[name] for name in names if is_figure(result.get(name))}
    known.update(job.metrics)
    chosen = [name for name in names if name in known] or sorted(job.metrics)
    return "  ".join(labelled(name, known[name]) for name in chosen[:most])


def is_figure(value: Any) -> bool:
    """Whether a value of a result can be shown as one figure: a number, or a text."""
    return isinstance(value, int | float | str) and not isinstance(value, bool) and value != ""


def labelled(name: str, value: float | str | None) -> str:
    """A figure in a line: `val_loss 0.93`; a text stands for itself."""
    if isinstance(value, str):
        return clean(one_line(value, _LONGEST_ANSWER))
    return f"{clean(name)} {number(value)}"
