"""How well the time that is left is foretold, from a tenth of the work on.

python -m benchmarks.eta [CASE]... --content A.jpg --style B.jpg [--repeat 3] [--curves]

Runs kinds as jobs do, each in a process of its own, and notes when it reports progress. The meter
that a worker uses is then shown the same reports at the same times, and what it foretold is held
against what happened: the error of a run is that of the seconds left, in parts of the seconds
that were left, at the first report after a tenth of the work; `later` is the median over all
reports from there to nine tenths. The end is the end of the whole job, with its tests and plots.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from benchmarks.machine import describe
from cvq import LocalContext
from cvq.context.base import Progress
from cvq_workers.attempt.progress import ProgressMeter
from cvq_workers.protocol import Progress as Said

_FIRST, _LAST = 0.1, 0.9  # of the work, between which errors count

_SLEEPS = ("selftest",)

STYLE = "style-transfer"
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "style-192-1": (STYLE, {"size": 192, "steps": 60, "scales": 1}),
    "style-256-2": (STYLE, {"size": 256, "steps": 60, "scales": 2}),
    "style-384-3": (STYLE, {"size": 384, "steps": 60, "scales": 3}),
    "style-512-2": (STYLE, {"size": 512, "steps": 40}),
    "style-adam": (STYLE, {"size": 256, "steps": 60, "scales": 3, "optimizer": "adam"}),
    "cnn-digits": ("fmnist-cnn", {"data": "digits", "epochs": 20}),
    "cnn-fashion": ("fmnist-cnn", {"epochs": 1}),
    "resnet-digits": ("fmnist-cnn", {"data": "digits", "epochs": 3, "arch": "resnet"}),
    "cnn-validated": ("fmnist-cnn", {"data": "digits", "epochs": 20, "val_share": 0.6}),
    "mlp": ("fmnist-mlp", {"epochs": 6}),
    "rnn-digits": ("fmnist-rnn", {"data": "digits", "epochs": 15}),
    "autoencoder": ("autoencoder", {"data": "fashion-mnist", "epochs": 2}),
    "vae": ("vae", {"data": "fashion-mnist", "epochs": 2}),
    "sum": ("sum-regressor", {}),
    "selftest": ("selftest", {"steps": 80, "pause": 0.1}),
}


@dataclass(frozen=True)
class Run:
    """One run: every report of progress with its second, and the second of the end."""

    reports: list[tuple[float, Progress]]
    end: float

    def foretold(self) -> Iterator[tuple[float, float, float]]:
        """The share of the time that had passed, the seconds left as foretold, and in truth."""
        now = 0.0
        meter = ProgressMeter(clock=lambda: now)
        first = self.reports[0][0]
        for now, said in self.reports:  # noqa: B007: the meter's clock
            meter.update(Said(1, 1, *said))
            eta = (meter.take() or {}).get("eta_s")
            if eta is not None:
                yield (now - first) / (self.end - first), eta, self.end - now

    def errors(self) -> list[tuple[float, float]]:
        """How far along, and the error in parts of the seconds left."""
        return [
            (share, eta / left - 1)
            for share, eta, left in self.foretold()
            if _FIRST <= share <= _LAST
        ]


class _Timed(LocalContext):
    """A context that notes when progress is reported."""

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        super().__init__(folder)
        self.clock = clock
        self.reports: list[tuple[float, Progress]] = []

    def _pass_progress(self, progress: Progress) -> None:
        self.reports.append((self.clock(), progress))


def run_here(kind: str, values: dict[str, Any], *, shared: bool) -> None:
    """Run a kind in this process and print its reports as JSON."""
    clock = time.process_time if shared and kind not in _SLEEPS else time.monotonic
    with tempfile.TemporaryDirectory() as folder:
        ctx = _Timed(Path(folder), clock)
        ctx.run(kind, **values)
        print(json.dumps({"reports": ctx.reports, "end": clock()}))


def run_apart(kind: str, values: dict[str, Any], *, shared: bool) -> Run:
    """The same in a new process, as a worker's job has one: its first step is as slow."""
    call = f"from benchmarks.eta import run_here; run_here({kind!r}, {values!r}, shared={shared})"
    done = subprocess.run(
        [sys.executable, "-c", call],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | ({"OMP_NUM_THREADS": "1"} if shared else {}),
    )
    found = json.loads(done.stdout.splitlines()[-1])
    return Run([(at, Progress(*said)) for at, said in found["reports"]], found["end"])


@click.command()
@click.argument("cases", nargs=-1, type=click.Choice(list(CASES)))
@click.option("--content", type=click.Path(exists=True))
@click.option("--style", type=click.Path(exists=True))
@click.option("--repeat", default=3, show_default=True)
@click.option(
    "--shared",
    is_flag=True,
    help="On a machine that others use, too: one thread, and the seconds of the processor.",
)
@click.option("--curves", is_flag=True, help="Print what was foretold over the time.")
@click.option("--keep", type=click.Path(path_type=Path), help="Keep the reports as JSON here.")
def main(
    cases: Sequence[str], content: str | None, style: str | None, repeat: int, shared: bool,
    curves: bool, keep: Path | None,
) -> None:  # fmt: skip
    """Print the errors of what was foretold, a line for each case."""
    print(describe())
    print(f"{'case':16}{'seconds':>9}{'at 10 %':>10}{'worst':>8}{'later':>8}")
    firsts, laters = [], []
    for name in cases or CASES:
        kind, values = CASES[name]
        if kind == STYLE:
            if not (content and style):
                continue
            values = values | {"content": content, "style": [style]}
        runs = [run_apart(kind, values, shared=shared) for _ in range(repeat)]
        if keep:
            keep.mkdir(parents=True, exist_ok=True)
            told = [{"reports": run.reports, "end": run.end} for run in runs]
            (keep / f"{name}.json").write_text(json.dumps(told))
        first, later = report(name, runs, curves=curves)
        firsts += first
        laters.append(later)
    within = sum(abs(error) <= 0.25 for error in firsts)
    print(
        f"median error after a tenth {statistics.median(map(abs, firsts)):.1%}, "
        f"{within} of {len(firsts)} runs within 25 %; later {statistics.median(laters):.1%}"
    )


def report(name: str, runs: Sequence[Run], *, curves: bool) -> tuple[list[float], float]:
    """Print a case; its errors after a tenth of the work, and the median of the later ones."""
    errors = [found for run in runs if (found := run.errors())]
    if not errors:
        print(f"{name:16}says nothing between a tenth and nine tenths")
        return [], 0.0
    first = [found[0][1] for found in errors]
    later = statistics.median(abs(error) for found in errors for _, error in found)
    seconds = statistics.median(run.end - run.reports[0][0] for run in runs)
    typical = statistics.median(first)
    print(f"{name:16}{seconds:9.1f}{typical:+10.1%}{max(first, key=abs):+8.0%}{later:8.1%}")
    if curves:
        for run in runs:
            for tenth in range(1, 10):
                near = min(run.errors(), key=lambda found: abs(found[0] - tenth / 10))
                print(f"    {near[0]:5.0%} {near[1]:+7.1%}")
    return first, later


if __name__ == "__main__":
    main()
