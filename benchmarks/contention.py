"""What another computation on the same cores costs a job, and what spinning has to do with it.

python -m benchmarks.contention [--steps N]

A step of a small LSTM and of a convolution, forward and backward, in a process of its own for each
setting: alone on the machine, and beside a process that computes convolutions all the time.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from benchmarks.machine import apart, describe
from cvq_workers.launch.environment import COMPUTING

_OURS = "GOMP_SPINCOUNT"
SETTINGS: dict[str, dict[str, str]] = {
    "as it comes": {},
    f"{_OURS}={COMPUTING[_OURS]} (cvq)": {_OURS: COMPUTING[_OURS]},
    "OMP_WAIT_POLICY=PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"},
}


def convolution() -> Any:
    """A step of a convolution of 64 pictures."""
    import torch

    layer = torch.nn.Conv2d(16, 32, 3, padding=1)
    pictures = torch.randn(64, 16, 28, 28)

    def step() -> None:
        layer(pictures).sum().backward()

    return step


def lstm() -> Any:
    """A step of a small LSTM over 28 rows of 32 pictures."""
    import torch

    layer = torch.nn.LSTM(55, 16, batch_first=True, bidirectional=True)
    rows = torch.randn(32, 28, 55)

    def step() -> None:
        layer(rows)[0].sum().backward()

    return step


def milliseconds(steps: int) -> tuple[float, float]:
    """The median step of the LSTM and of the convolution."""
    found = []
    for make in (lstm, convolution):
        step, times = make(), []
        step()
        for _ in range(steps):
            started = time.perf_counter()
            step()
            times.append(1e3 * (time.perf_counter() - started))
        found.append(statistics.median(times))
    return found[0], found[1]


def compute_for_ever(ready: Any) -> None:
    """Keep all cores busy."""
    step = convolution()
    step()
    ready.set()
    while True:
        step()


@contextmanager
def busy() -> Iterator[None]:
    """Another computation on the machine."""
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=compute_for_ever, args=(ready,), daemon=True)
    process.start()
    ready.wait()
    try:
        yield
    finally:
        process.kill()
        process.join()


@click.command()
@click.option("--steps", default=15, show_default=True, help="Steps of each kind.")
def main(steps: int) -> None:
    """Print a row for each setting."""
    click.echo(describe())
    click.echo("| setting | LSTM alone | beside | convolution alone | beside |")
    click.echo("|---|---|---|---|---|")

    def measured() -> dict[str, tuple[float, float]]:
        return {
            name: apart(milliseconds, steps, environment={**os.environ, **setting})
            for name, setting in SETTINGS.items()
        }

    alone = measured()
    with busy():
        beside = measured()
    for name in SETTINGS:
        cells = [f"{row[name][i]:.1f} ms" for i in (0, 1) for row in (alone, beside)]
        click.echo(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
