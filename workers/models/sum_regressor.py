"""A network that learns to add two numbers: Linear(2, 8), ReLU, Linear(8, 1), course section 1.

Inputs:   pairs of numbers.
Output:   their sums.

What differs from the course, and why:

- The course learns from four pairs, [1, 2] to [7, 8], which all lie on one line: nothing in them
  tells x + y from 2 x + 1. The default learns from random pairs of both signs, so that the sum
  holds everywhere.
- L-BFGS with a line search takes hundredths of a second where SGD takes a thousand epochs.
- Biases start at zero, and a tenth of the span is the unit: the kinks of all eight units then lie
  within the data. A kink outside it would be seen by no pair and bend the sum beyond.
- Numbers are float64, because float32 stops a line search at an error of a thousandth.
- A ReLU network of eight units can die at birth (1 seed in 40 in the course's setting), and a
  kink can stay where few pairs are. It is tried again from another start, which the job's log
  says, and the best one is kept.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from cvq.context import Context
from cvq.inference import Inference
from cvq.kinds.builtin.predict_sum import PredictSumSpec
from cvq.kinds.builtin.sum_regressor import SumRegressorSpec
from cvq.text import join

from ..training import verdicts
from ..training.loop import Measured, Samples, Trained, train
from ..training.report import Report
from ..training.saved import Model, load_model, save_model
from .batches import in_batches

log = logging.getLogger("cvq.job")

COURSE_PAIRS = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]
COURSE_TEST = [[8.0, 9.0], [10.0, 11.0], [12.0, 13.0], [14.0, 15.0]]
_VALIDATION, _LOGGED = 256, 100
_GOOD = 1e-4  # mean error on the validation pairs; a dead network's is about 10
_DISTANT = 1000.0


class SumNetwork(nn.Module):
    """Linear(2, 8), ReLU, Linear(8, 1) on numbers divided by a unit, float64."""

    unit: Tensor

    def __init__(self, unit: float) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(2, 8).double(), nn.Linear(8, 1).double()
        self.register_buffer("unit", torch.tensor(unit, dtype=torch.float64))

    def forward(self, pairs: Tensor) -> Tensor:
        """Sums (N,) of pairs (N, 2)."""
        sums: Tensor = self.leave(self.enter(pairs / self.unit).relu())[:, 0] * self.unit
        return sums


def measure(network: nn.Module, pairs: Tensor, sums: Tensor) -> Measured:
    """Mean squared error, and the mean distance from the sum."""
    found = network(pairs)
    return Measured(mse_loss(found, sums), {"error": (found - sums).abs().mean()})


def pairs_to_learn(spec: SumRegressorSpec) -> tuple[Tensor, Tensor]:
    """Pairs to train and to validate on, (N, 2) each, float64."""
    if not spec.samples:
        return _pairs(COURSE_PAIRS), _pairs(COURSE_TEST)
    generator = torch.Generator().manual_seed(spec.seed)
    drawn = torch.rand(spec.samples + _VALIDATION, 2, generator=generator).double()
    pairs = (2 * drawn - 1) * spec.span
    return pairs[: spec.samples], pairs[spec.samples :]


def _pairs(numbers: list[list[float]]) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def network(spec: SumRegressorSpec, facts: dict[str, Any]) -> nn.Module:
    """The network of a model file, untrained."""
    return SumNetwork(1.0)


def run(spec: SumRegressorSpec, ctx: Context) -> dict[str, Any]:
    """Train what a job's specification says; the result has the course's four test sums."""
    pairs, held_out = pairs_to_learn(spec)
    unit = spec.span / 10 if spec.samples else 1.0
    tried: list[Trained] = []
    for start in range(spec.restarts + 1):
        torch.manual_seed(spec.seed + start)
        network = SumNetwork(unit)
        if spec.samples:
            nn.init.zeros_(network.enter.bias)
            nn.init.zeros_(network.leave.bias)
        trained = train(
            network,
            Samples(pairs, pairs.sum(1)),
            Samples(held_out, held_out.sum(1)),
            measure,
            spec,
            ctx,
            resumable=False,
        )
        tried.append(trained)
        error = trained.facts["val_error"]
        if error < _GOOD:
            break
        log.info("start %d ended with a mean error of %.3g", len(tried), error)
    best = min(tried, key=lambda each: each.facts["val_error"])
    final = best.network.cpu()
    with torch.no_grad():
        course = final(_pairs(COURSE_TEST)).tolist()
    save_model(final, kind="sum-regressor", spec=spec, facts={"unit": unit}, ctx=ctx)
    report = Report(ctx, best.facts)
    report.curves(best, "loss", "error")
    largest = max(abs(value - sum(pair)) for value, pair in zip(course, COURSE_TEST, strict=True))
    report.figures |= {
        "starts": len(tried),
        "train_seconds": round(sum(each.facts["train_seconds"] for each in tried), 3),
        "sums": [round(value, 6) for value in course],
        "largest_error": largest,
        "distant_error": _distant_error(final),
    }
    report.warn(_judged(final, pairs, held_out))
    return report.close(
        kind="sum-regressor",
        summary="Linear(2, 8), ReLU, Linear(8, 1): adds two numbers.",
        spec=spec,
        data={
            "pairs": len(pairs),
            "span": spec.span if spec.samples else "course",
            "validation pairs": len(held_out),
        },
        use="cvq submit predict-sum 8 9",
    )


def _judged(network: nn.Module, pairs: Tensor, held_out: Tensor) -> str | None:
    """Hold the sums of pairs held out against the mean of the sums that were learnt from."""
    true = held_out.sum(1)
    with torch.no_grad():
        errors = (network(held_out) - true).square()
    others = (pairs.sum(1).mean() - true).square()
    return verdicts.no_better(errors.numpy(), others.numpy(), "the mean sum")


def _distant_error(network: nn.Module) -> float:
    """Largest error on a grid over [-1000, 1000] squared, as a share of 1000."""
    axis = torch.linspace(-_DISTANT, _DISTANT, 81, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        return float((network(grid) - grid.sum(1)).abs().max() / _DISTANT)


def predict(spec: PredictSumSpec, ctx: Context) -> dict[str, Any]:
    """Add the pairs that a job's specification has."""
    model = load_model(spec.model, "adder")
    pairs = torch.tensor(spec.numbers, dtype=torch.float64).view(-1, 2)
    most = PredictSum.max_batch
    found = in_batches(lambda part: (model.network(part),), pairs, most, exact=spec.exact)
    sums = found[0].tolist()
    rows = [
        {"pair": pair, "sum": round(value, 6)}
        for pair, value in zip(pairs.tolist(), sums, strict=True)
    ]
    for row in rows[:_LOGGED]:
        log.info("%s: %s", " + ".join(f"{number:g}" for number in row["pair"]), row["sum"])
    with ctx.artifact("sums.json") as path:
        path.write_text(json.dumps(rows, indent=2))
    ctx.progress(len(rows), len(rows), "sum")
    told = [_told(pair, value) for pair, value in zip(pairs.tolist(), sums, strict=True)]
    answer = join(told, most=1)
    figures = {"answer": answer, "model": spec.model.job, "sums": rows[:100]}
    return Report(ctx, figures, model.warnings).result()


def _told(pair: list[float], value: float) -> str:
    """`3 + 4 = 7.00`; a small sum with its first digits."""
    shown = f"{value:.2f}" if abs(value) >= 1 else f"{value:.3g}"
    return f"{' + '.join(f'{number:g}' for number in pair)} = {shown}"


class PredictSum(Inference):
    """A row for each pair: a, b and their sum."""

    spec: PredictSumSpec

    def items(self, spec: Any) -> list[tuple[float, float]]:
        """The pairs of a job."""
        return list(zip(spec.numbers[::2], spec.numbers[1::2], strict=True))

    def name(self, item: tuple[float, float]) -> str:
        """`3 + 4`."""
        return " + ".join(f"{number:g}" for number in item)

    def load(self, model: Any) -> Model:
        """Load a network that adds; on the CPU, as not every device has float64."""
        return load_model(model, "adder")

    def decode(self, model: Model, item: tuple[float, float]) -> Tensor:
        """A pair (2,), float64."""
        return torch.tensor(item, dtype=torch.float64)

    def infer(self, model: Model, batch: Sequence[Tensor]) -> Iterator[dict[str, float]]:
        """Add pairs."""
        pairs = torch.stack(list(batch))
        for (a, b), found in zip(pairs.tolist(), model.network(pairs).tolist(), strict=True):
            yield {"a": a, "b": b, "sum": round(found, 6)}
