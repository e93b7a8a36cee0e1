"""Curves on a terminal: axes, logarithms, gaps, and terminals of every size."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest

from cvq import Client
from cvq.records import MetricPoint
from cvq.thinning import Point
from cvq_cli.plot import Axis, Series, plot
from cvq_cli.widths import cells

from .conftest import Cli, FakeWorker

X, Y = Axis("step", whole=True), Axis("loss")


def drawn(
    *curves: list[Point], width: int = 60, height: int = 10, x: Axis = X, y: Axis = Y
) -> str:
    series = [Series(f"job {number}", points) for number, points in enumerate(curves, start=1)]
    return "\n".join(plot(series, x, y, width=width, height=height, unicode=False))


@pytest.mark.parametrize("width", [12, 40, 80, 160])
@pytest.mark.parametrize("height", [1, 6, 24])
def test_it_is_as_large_as_asked(width: int, height: int) -> None:
    curve: list[Point] = [(step, math.sin(step / 9)) for step in range(1, 5000)]
    for unicode in (True, False):
        lines = plot([Series("", curve)], X, Y, width=width, height=height, unicode=unicode)
        assert len(lines) == height + 2
        assert max(map(cells, lines)) <= max(width, 20)
        assert unicode or all(line.isascii() for line in lines)


def test_a_peak_among_a_million_points_is_drawn() -> None:
    flat: list[Point] = [(step, 1.0) for step in range(100_000)]
    flat[66_666] = (66_666, 100.0)
    rows = drawn(flat).splitlines()
    assert "*" in rows[0], "the highest value"
    assert "*" * 40 in rows[9], "all others"


def test_a_gap_is_not_bridged() -> None:
    curve: list[Point] = [(step, 1.0 if step < 40 or step > 60 else None) for step in range(100)]
    row = next(line for line in drawn(curve).splitlines() if "*" in line).partition("|")[2]
    assert row.strip().count("*") < 55
    assert "*          " in row


def test_an_axis_by_logarithms_has_powers_of_ten_and_leaves_out_zero() -> None:
    curve: list[Point] = [(step, 10.0**-step) for step in range(7)]
    curve.append((7, 0.0))
    rows = drawn(curve, y=Axis("loss", log=True), height=12).splitlines()
    marks = [line.split()[0] for line in rows if "+" in line and line.split()[0] != "+"]
    assert {"1", "0.01"} & set(marks)
    # A straight line: as many cells to the right as down.
    assert rows[0].count("*") < 12
    assert "nothing to draw" in drawn([(1, -1.0)], y=Axis("loss", log=True))


def test_several_curves_have_letters_and_a_legend() -> None:
    text = drawn([(0, 0.0), (9, 9.0)], [(0, 9.0), (9, 0.0)])
    rows = text.splitlines()
    assert "a" in rows[0]
    assert "b" in rows[0]
    assert rows[-2:] == ["a  job 1", "b  job 2"]


@pytest.mark.parametrize(
    "curve",
    [
        [(1, 5.0)],
        [(1, 5.0), (2, 5.0)],
        [(1, 1e300), (2, -1e300)],
        [(1, 1e-300), (2, 2e-300)],
        [(2**62, 1.0), (2**62 + 1, 2.0)],
        [(1, 0.1), (2, 0.1 + 1e-16)],
        [(1, None), (2, 3.0)],
        [(-5, 3.0), (5, 4.0)],
    ],
)
@pytest.mark.parametrize("log", [False, True])
def test_odd_curves_are_drawn(curve: list[Point], log: bool) -> None:
    text = drawn(curve, x=Axis("step", log), y=Axis("loss", log))
    assert "*" in text or "nothing to draw" in text


def test_marks_are_round_numbers() -> None:
    text = drawn([(step, step * 0.0137) for step in range(101)], height=20)
    marks = [line.split()[0] for line in text.splitlines()[:20] if "+" in line]
    assert marks == ["1", "0.5", "0"]
    assert text.splitlines()[-1].split() == ["0", "20", "40", "60", "80", "100"]


@pytest.fixture
def trained(client: Client, worker: FakeWorker) -> None:
    """Two jobs with losses, of which the first counts epochs."""
    for number in (1, 2):
        client.submit("selftest", name=f"number {number}")
        job = worker.claim()
        now = datetime.now(UTC)
        points = [
            MetricPoint(name, step, value / number, now + timedelta(seconds=10 * step))
            for step in range(1, 31)
            for name, value in (("loss", 30.0 - step), ("epoch", step // 10))
            if name == "loss" or (number == 1 and step % 10 == 0)
        ]
        worker.report(job, metrics=points)


def test_metrics_are_drawn_where_it_is_asked_for(run: Cli, trained: None) -> None:
    said = run("metrics", "1-2", "loss", "--plot").out
    assert "a  job 1 number 1" in said
    assert "b  job 2 number 2" in said
    assert "a  job" not in run("metrics", "1-2", "loss").out
    assert "5m00s" in run("metrics", 1, "loss", "--plot", "--x", "time").out
    epochs = run("metrics", 1, "loss", "--plot", "--x", "epoch").out.splitlines()[-1]
    assert epochs.split()[:3] == ["1", "2", "3"]
    said = run("metrics", "1-2", "loss", "--plot", "--x", "epoch", code=2)
    assert "job 2 counts no epochs" in said.err
    assert said.out == ""
    said = run("metrics", 1, "loss", "--plot", "--log-y", "--smooth", 0.9)
    assert "leaves out" not in said.err
    assert "--log-y leaves out 1 point at 0" in run("metrics", 1, "loss", "--plot", "--log-y").err
    run("metrics", 1, "--smooth", 1, code=2)
