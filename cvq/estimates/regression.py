"""Linear regression with a prior, in plain Python: a few hundred rows of a dozen columns.

The prior is what makes five jobs enough for an honest answer: a coefficient of which they say
nothing keeps its prior, and its spread goes into the interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul

Vector = Sequence[float]

_ROUNDS = 3
_PRIOR_ROWS, _PRIOR_SPREAD = 2.0, 0.3  # of the noise: as if so many rows had had this spread
_HUBER = 1.5  # spreads beyond which a row counts for less


@dataclass(frozen=True)
class Prior:
    """What is believed of a coefficient before any row is seen: its mean and its spread."""

    mean: float
    spread: float


@dataclass(frozen=True)
class Fit:
    """A fitted regression.

    Attributes:
        coefficients: one for each column.
        covariance: of the coefficients.
        left_out: what each row would have been predicted to be without itself.
        spread: of the noise.
    """

    coefficients: list[float]
    covariance: list[list[float]]
    left_out: list[float]
    spread: float

    def mean(self, row: Vector) -> float:
        """The prediction for a row."""
        return _dot(self.coefficients, row)

    def variance(self, row: Vector) -> float:
        """How uncertain that prediction is, without the noise of a single job."""
        return _form(self.covariance, row)


def fit(rows: Sequence[Vector], target: Vector, weights: Vector, priors: Sequence[Prior]) -> Fit:
    """Fit `target` by `rows`; a row far off counts for less, as one that was held up.

    Args:
        rows: the columns of each row.
        target: one number for each row.
        weights: how much each row counts.
        priors: one for each column.
    """
    columns = list(zip(*rows, strict=True))
    variance = _PRIOR_SPREAD**2
    counted = list(weights)
    for _ in range(_ROUNDS):
        scaled = [weight / variance for weight in counted]
        covariance, coefficients = _posterior(columns, target, scaled, priors)
        residuals = [y - _dot(coefficients, row) for row, y in zip(rows, target, strict=True)]
        noise = _dot(counted, [residual**2 for residual in residuals])
        free = max(1.0, sum(counted) - len(priors)) / sum(counted)  # rows that are not used up
        variance = (_PRIOR_ROWS * _PRIOR_SPREAD**2 + noise / free) / (_PRIOR_ROWS + sum(counted))
        most = _HUBER * math.sqrt(variance)
        counted = [
            weight * min(1.0, most / (abs(residual) or most))
            for weight, residual in zip(weights, residuals, strict=True)
        ]
    left_out = [
        y - residual / (1 - min(0.95, weight * _form(covariance, row)))
        for y, residual, weight, row in zip(target, residuals, scaled, rows, strict=True)
    ]
    return Fit(coefficients, covariance, left_out, math.sqrt(variance))


def _posterior(
    columns: Sequence[Vector], target: Vector, weights: Vector, priors: Sequence[Prior]
) -> tuple[list[list[float]], list[float]]:
    """Covariance and mean of the coefficients."""
    weighted = [list(map(mul, weights, column)) for column in columns]
    gram = [
        [_dot(mine, other) for other in columns[: place + 1]]
        for place, mine in enumerate(weighted)
    ]
    right = [_dot(mine, target) for mine in weighted]
    for place, prior in enumerate(priors):
        gram[place][place] += 1 / prior.spread**2
        right[place] += prior.mean / prior.spread**2
    covariance = _inverse(gram)
    return covariance, [_dot(line, right) for line in covariance]


def _inverse(matrix: list[list[float]]) -> list[list[float]]:
    """The inverse of a symmetric positive matrix of which the lower half is given (Cholesky)."""
    size = len(matrix)
    lower = [[0.0] * size for _ in range(size)]
    for i in range(size):
        for j in range(i + 1):
            rest = matrix[i][j] - _dot(lower[i][:j], lower[j][:j])
            lower[i][j] = math.sqrt(max(rest, 1e-12)) if i == j else rest / lower[j][j]
    root = [[0.0] * size for _ in range(size)]  # the inverse of `lower`
    for i in range(size):
        root[i][i] = 1 / lower[i][i]
        for j in range(i):
            part = sum(lower[i][k] * root[k][j] for k in range(j, i))
            root[i][j] = -part / lower[i][i]
    return [
        [sum(root[k][i] * root[k][j] for k in range(max(i, j), size)) for j in range(size)]
        for i in range(size)
    ]


def _form(matrix: Sequence[Vector], row: Vector) -> float:
    return _dot(row, [_dot(line, row) for line in matrix])


def _dot(left: Vector, right: Vector) -> float:
    return float(sum(map(mul, left, right)))
