"""How long jobs of a kind run, by what they are: learnt from those that have succeeded.

The logarithm of the time is linear in the logarithms of the numbers, and in the words: so the time
is a product of powers, as of `steps * size**2`, beside a part that is always there (a start, a
model to load). What that leaves is taken from the jobs that are most alike. The interval is that
in which the past jobs lay, each predicted from the others (conformal prediction): it holds
whatever the law. Recent jobs count more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import mul
from statistics import NormalDist, median
from typing import NamedTuple

from .columns import Columns
from .features import Features
from .regression import Fit, Vector, fit

_HALF_LIFE = 100.0  # jobs after which one counts for half
_CONSTANTS = (0.0, 0.5, 0.8, 0.95)  # shares of the shortest time that may be always there
_WIDTHS = (0.05, 0.15, 0.5)  # how far, in the logarithm, jobs count as alike
_TRIED = 60  # of the newest jobs, by which those are chosen
_SHRINK = 1.0  # as if so many jobs alike had no residual
_MEMORIES = (4.0, 12.0)  # jobs after which a drift counts for half
_ENOUGH = 20  # jobs whose residuals make an interval by themselves
_PRIOR_JOBS, _PRIOR_SPREAD = 2.0, 0.5  # of the interval of a few jobs
_LEAST_S = 1e-3


class PastJob(NamedTuple):
    """A job that has succeeded: what it was, and for how many seconds it ran."""

    features: Features
    seconds: float


@dataclass(frozen=True)
class Spread:
    """How long a job may run: a median, and the factors by which it may be off, as logarithms.

    Attributes:
        middle: the logarithm of the median, in seconds.
        low, high: what is added to it for the quantiles of 10 % and 90 %; `low` is below 0.
        shared: the spread of what is wrong alike with all jobs of the kind.
        unlike: fields that none of the past jobs had so.
    """

    middle: float
    low: float
    high: float
    shared: float = 0.0
    unlike: tuple[str, ...] = ()

    def seconds(self, probability: float) -> float:
        """The time that it does not exceed with a probability (0 to 1)."""
        z = NormalDist().inv_cdf(probability) / Z90
        return math.exp(self.middle + (self.high if z > 0 else -self.low) * z)


Z90 = NormalDist().inv_cdf(0.9)


class RunTimes:
    """The law of the times of some past jobs.

    Args:
        jobs: the newest first; at least one.
    """

    def __init__(self, jobs: Sequence[PastJob]) -> None:
        self.count = len(jobs)
        self._seconds = [max(job.seconds, _LEAST_S) for job in jobs]
        self._logs = [math.log(seconds) for seconds in self._seconds]
        self._weights = [0.5 ** (age / _HALF_LIFE) for age in range(len(jobs))]
        self._columns = Columns([job.features for job in jobs], self._logs)
        self._rows = [self._columns.row(job.features) for job in jobs]
        self._constant, self._fit = self._best_fit()
        # What the law leaves of each job, when it is predicted from the others.
        self._rest = [
            log - self._log(left) for log, left in zip(self._logs, self._fit.left_out, strict=True)
        ]
        self._places = [self._place(row) for row in self._rows]

    def predict(self, features: Features) -> Spread:
        """How long a job with these features may run."""
        row = self._columns.row(features)
        alike = self._alike(self._place(row))
        surprise = self._columns.surprise(features)
        law = self._log(self._fit.mean(row) + surprise.shift)
        low, high = self._interval(alike)
        unsure = (self._fit.variance(row) + surprise.variance + self._shared**2) * Z90**2
        return Spread(
            law + self._correction(alike) + self._drift,
            -math.sqrt(low**2 + unsure),
            math.sqrt(high**2 + unsure),
            self._shared,
            surprise.fields,
        )

    def predict_roughly(self, features: Features) -> Spread:
        """The same by the law alone, for one of many that are in the way: it costs a tenth."""
        surprise = self._columns.surprise(features)
        law = self._log(self._fit.mean(self._columns.row(features)) + surprise.shift)
        low, high = self._interval_of_all
        return Spread(law + self._drift, -low, high, self._shared)

    @cached_property
    def _interval_of_all(self) -> tuple[float, float]:
        return self._interval([0.0] * self.count)

    # ------------------------------------------------------------------------ the law

    def _best_fit(self) -> tuple[float, Fit]:
        """The law whose constant part predicts the left-out jobs best."""
        shortest = min(self._seconds)
        found = []
        for share in _CONSTANTS if self.count >= _ENOUGH else (0.0,):
            constant = share * shortest
            target = [math.log(seconds - constant) for seconds in self._seconds]
            fitted = fit(self._rows, target, self._weights, self._columns.priors)
            predicted = [math.log(constant + math.exp(min(left, 50))) for left in fitted.left_out]
            error = _weighted(
                [abs(p - log) for p, log in zip(predicted, self._logs, strict=True)],
                self._weights,
            )
            found.append((error, constant, fitted))
        _, constant, fitted = min(found, key=lambda each: each[0])
        return constant, fitted

    def _log(self, variable: float) -> float:
        """The logarithm of a time, of the logarithm of its part that varies."""
        return math.log(self._constant + math.exp(min(max(variable, -50.0), 50.0)))

    # ------------------------------------------------------------------------ jobs that are alike

    def _place(self, row: Vector) -> list[float]:
        """A job in a space where a distance is one in the logarithm of the time."""
        return [
            value * coefficient
            for value, coefficient, column in zip(
                row, self._fit.coefficients, self._columns.columns, strict=True
            )
            if column.name
        ]

    @cached_property
    def _width(self) -> float | None:
        """How far jobs count as alike, where that helps with the newest; None: not at all."""
        if self.count < _ENOUGH:
            return _WIDTHS[0]
        tried = range(min(_TRIED, self.count))
        errors: dict[float | None, float] = {None: 0.0, **dict.fromkeys(_WIDTHS, 0.0)}
        for index in tried:
            squares = self._squares(self._places[index])
            for width in errors:
                near = self._near(squares, width)
                near[index] = 0.0
                off = self._rest[index] - self._correction(near)
                errors[width] += self._weights[index] * abs(off)
        return min(errors, key=lambda width: errors[width])

    def _alike(self, place: Vector) -> list[float]:
        """How much each past job counts for one at a place."""
        return self._near(self._squares(place), self._width)

    def _squares(self, place: Vector) -> list[float]:
        return [math.dist(place, other) ** 2 for other in self._places]

    def _near(self, squares: Vector, width: float | None) -> list[float]:
        if width is None:
            return [0.0] * self.count
        scale, most = -0.5 / width**2, 20 * width**2
        return [
            weight * math.exp(scale * square) if square < most else 0.0
            for weight, square in zip(self._weights, squares, strict=True)
        ]

    def _correction(self, near: Vector) -> float:
        return float(sum(map(mul, near, self._rest))) / (sum(near) + _SHRINK)

    # ------------------------------------------------------------------------ how sure that is

    @cached_property
    def _residuals(self) -> list[float]:
        """By how much each past job was off, predicted from the others and what drifted before."""
        return [
            off - drift for off, drift in zip(self._off, self._drifts(self._memory), strict=True)
        ]

    @cached_property
    def _drift(self) -> float:
        """By how much the newest jobs are off alike: the code or the machine is another now."""
        if self._memory is None:
            return 0.0
        weights = [0.5 ** (age / self._memory) for age in range(self.count)]
        drift: float = sum(map(mul, weights, self._off)) / (sum(weights) + _SHRINK)
        return drift

    @cached_property
    def _memory(self) -> float | None:
        """For how many jobs a drift is remembered, where that helps with the newest."""
        if self.count < _ENOUGH:
            return None
        newest = range(min(_TRIED, self.count // 2))

        def error(memory: float | None) -> float:
            drifts = self._drifts(memory)
            return sum(abs(self._off[place] - drifts[place]) for place in newest)

        return min((None, *_MEMORIES), key=error)

    def _drifts(self, memory: float | None) -> list[float]:
        """What each job's drift would have been, by those before it."""
        drifts, drift, weight = [], 0.0, _SHRINK
        for off in reversed(self._off):
            drifts.append(drift / weight if memory else 0.0)
            if memory:
                fades = math.exp(-math.log(2) / memory)
                drift, weight = fades * drift + off, fades * (weight - _SHRINK) + 1 + _SHRINK
        return drifts[::-1]

    @cached_property
    def _off(self) -> list[float]:
        """By how much each past job was off, predicted from the others, in the logarithm."""
        found = []
        for index, place in enumerate(self._places):
            near = self._alike(place)
            near[index] = 0.0
            found.append(self._rest[index] - self._correction(near))
        return found

    @cached_property
    def _shared(self) -> float:
        """What is wrong alike with all jobs: as uncertain as the mean of the newest few."""
        newest = self._residuals[:_ENOUGH]
        spread = 1.5 * median(map(abs, newest))
        return spread / math.sqrt(min(len(newest), 10))

    def _interval(self, alike: Vector) -> tuple[float, float]:
        """The residuals of which a tenth is below, and a tenth above; both as distances."""
        if self.count < _ENOUGH:
            return (self._of_a_few,) * 2
        total = sum(alike) or 1.0
        weights = [
            weight + _ENOUGH * near / total
            for weight, near in zip(self._weights, alike, strict=True)
        ]
        ranked = sorted(zip(self._residuals, weights, strict=True))
        # As if the job itself were one more, above all others or below.
        share = 0.1 * (1 - 1 / self.count)
        low = _quantile(ranked, share)
        high = _quantile(ranked, 1 - share)
        return max(-low, 1e-3), max(high, 1e-3)

    @cached_property
    def _of_a_few(self) -> float:
        """The same of a few jobs: Student's interval, with a spread believed beforehand."""
        squares = sum(residual**2 for residual in self._residuals)
        degrees = _PRIOR_JOBS + self.count - 1
        variance = (_PRIOR_JOBS * _PRIOR_SPREAD**2 + squares) / (_PRIOR_JOBS + self.count)
        return _student(degrees) * math.sqrt(variance)


def _quantile(ranked: Sequence[tuple[float, float]], share: float) -> float:
    """The value below which a share of the weights lies."""
    rest = share * sum(weight for _, weight in ranked)
    for value, weight in ranked:
        rest -= weight
        if rest <= 0:
            return value
    return ranked[-1][0]


def _student(degrees: float) -> float:
    """The quantile of 90 % of Student's distribution (Cornish and Fisher's expansion)."""
    z = Z90
    return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)


def _weighted(values: Vector, weights: Vector) -> float:
    return sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)
