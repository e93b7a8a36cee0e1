"""The features of past jobs as columns of numbers, and what is believed of each beforehand."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from .features import BYTES, ITEMS, Features
from .regression import Prior, Vector

MOST_COLUMNS = 14
_MOST_WORDS = 8  # of a field, that have a column each
_FEWEST = 2  # jobs that have a word

# In the logarithm of the time. An integer counts work as often as not; an item is work.
_LEVEL = Prior(0.0, 10.0)
_OF_ITEMS, _OF_COUNT = Prior(1.0, 0.3), Prior(0.5, 0.5)
_OF_NUMBER, _OF_BYTES = Prior(0.0, 0.3), Prior(0.0, 0.4)
_OF_WORD = Prior(0.0, 0.4)
_OF_UNKNOWN_WORD = 0.3  # the spread that a word adds which no job had


@dataclass(frozen=True)
class Column:
    """One column: the logarithm of a number, from its mean; or whether a word is given."""

    name: str
    prior: Prior
    value: Callable[[Features], float]


@dataclass(frozen=True)
class Surprise:
    """How far a job is from all that was seen: by how much that moves the logarithm of its time.

    Attributes:
        shift: of the mean.
        variance: that it adds.
        fields: which were never so.
    """

    shift: float
    variance: float
    fields: tuple[str, ...]


class Columns:
    """The columns that the features of some jobs make; the first is 1.

    Args:
        jobs: the features of each.
        target: the logarithm of each one's time, by which the columns that matter are chosen.
    """

    def __init__(self, jobs: Sequence[Features], target: Vector) -> None:
        self._known: dict[str, set[str]] = {}
        self._fixed: list[Column] = []  # numbers that are the same in all jobs
        found: list[Column] = []
        for name in dict.fromkeys(name for job in jobs for name in job):
            values = [job.get(name) for job in jobs]
            numbers = [value for value in values if isinstance(value, int | float)]
            if numbers:
                column = _number(name, numbers)
                (found if max(numbers) > min(numbers) else self._fixed).append(column)
            words = [value for value in values if isinstance(value, str)]
            if words:
                self._known[name] = set(words)
                found += _words(name, words, len(jobs))
        self.columns = [Column("", _LEVEL, lambda _: 1.0), *_most_telling(found, jobs, target)]

    @property
    def priors(self) -> list[Prior]:
        """What is believed of each column's coefficient."""
        return [column.prior for column in self.columns]

    def row(self, features: Features) -> list[float]:
        """The columns of a job."""
        return [column.value(features) for column in self.columns]

    def surprise(self, features: Features) -> Surprise:
        """What of a job no past one can tell about: a number or a word that was never so."""
        shift = variance = 0.0
        fields = []
        for column in self._fixed:
            if away := column.value(features):
                fields.append(column.name)
                shift += column.prior.mean * away
                variance += (column.prior.spread * away) ** 2
        for name, words in self._known.items():
            value = features.get(name)
            # One of many that are all different, as pictures are, says nothing.
            if isinstance(value, str) and value not in words and len(words) <= _MOST_WORDS:
                fields.append(name)
                variance += _OF_UNKNOWN_WORD**2
        return Surprise(shift, variance, tuple(fields))


def _number(name: str, numbers: Sequence[float]) -> Column:
    lowest = min(numbers)
    scale = _scale(lowest)
    middle = fmean(map(scale, numbers))

    def value(features: Features) -> float:
        given = features.get(name)
        return scale(given) - middle if isinstance(given, int | float) else 0.0

    counts = lowest >= 0 and all(isinstance(number, int) for number in numbers)
    prior = _OF_COUNT if counts else _OF_NUMBER
    if name.endswith(BYTES):
        prior = _OF_BYTES
    elif name.endswith(ITEMS):
        prior = _OF_ITEMS
    return Column(name, prior, value)


def _scale(lowest: float) -> Callable[[float], float]:
    """The logarithm, where all numbers have one; else one that is even around 0."""
    if lowest > 0:
        return lambda number: math.log(max(number, lowest / 1000))
    return lambda number: math.copysign(math.log1p(abs(number)), number)


def _words(name: str, words: Sequence[str], jobs: int) -> list[Column]:
    common = Counter(words).most_common(_MOST_WORDS)
    return [
        Column(f"{name}={word}", _OF_WORD, _has(name, word, share / jobs))
        for word, share in common
        if _FEWEST <= share < jobs
    ]


def _has(name: str, word: str, share: float) -> Callable[[Features], float]:
    return lambda features: (features[name] == word) - share if name in features else 0.0


def _most_telling(
    columns: Sequence[Column], jobs: Sequence[Features], target: Vector
) -> list[Column]:
    """Of many columns, those that go along with the time the most."""
    if len(columns) < MOST_COLUMNS:
        return list(columns)
    middle = fmean(target)
    away = [y - middle for y in target]

    def telling(column: Column) -> float:
        values = [column.value(job) for job in jobs]
        spread = math.sqrt(sum(value * value for value in values)) or 1.0
        return abs(sum(map(lambda v, y: v * y, values, away))) / spread

    ranked = sorted(columns, key=telling, reverse=True)
    return ranked[: MOST_COLUMNS - 1]
