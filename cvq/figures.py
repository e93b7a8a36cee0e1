"""The figures of a job that count most, in words. Pure functions."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from .text import clean, duration, one_line, size

_DIGITS = (4, 6, 9, 17)  # more, where values that differ would look alike
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


def side_by_side(name: str, values: Sequence[Any], precision: int | None = None) -> list[str]:
    """The values that some jobs have of a word, as people read them beside each other.

    Args:
        name: of the word, as a query calls it.
        values: a text, a number, a truth or None of each job.
        precision: significant digits of a number; default: as many as tell them apart.
    """
    if name in _QUANTITIES:
        return [_quantity(value, _QUANTITIES[name]) for value in values]
    for digits in (precision,) if precision else _DIGITS:
        shown = [_scalar(value, digits) for value in values]
        if len(set(shown)) == len(set(map(str, values))):
            break
    return shown


_QUANTITIES: Mapping[str, Callable[[Any], str]] = {"duration": duration, "ran.memory": size}


def _quantity(value: Any, text: Callable[[Any], str]) -> str:
    return text(value) if isinstance(value, int | float) else ""


def _scalar(value: Any, digits: int) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and math.isfinite(value) and value != int(value):
        return f"{value:.{digits}g}"
    return number(value) if isinstance(value, float) else one_line(str(value))
