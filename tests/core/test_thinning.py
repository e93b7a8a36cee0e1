"""Curves in fewer points: no peak is lost, gaps stay."""

from __future__ import annotations

import random

import pytest

from cvq.thinning import Point, smoothed, thin


@pytest.mark.parametrize("seed", range(3))
def test_no_peak_is_lost(seed: int) -> None:
    values = random.Random(seed)
    points: list[Point] = [(step, values.random()) for step in range(100_000)]
    points[values.randrange(100_000)] = (points[7][0], 99.0)
    at = next(place for place, (_, value) in enumerate(points) if value == 99.0)
    points[at] = (at, 99.0)
    points[50_001] = (50_001, -99.0)
    found = thin(points, 200)
    assert len(found) <= 5 * 200
    assert {(at, 99.0), (50_001, -99.0), points[0], points[-1]} <= set(found)
    assert found == sorted(found, key=lambda point: point[0])
    assert set(found) <= set(points)


def test_a_gap_stays_a_gap() -> None:
    points: list[Point] = [(step, 1.0) for step in range(1000)]
    points[500] = (500, None)
    assert (500, None) in thin(points, 10)


def test_few_points_and_points_at_one_place_stay() -> None:
    few: list[Point] = [(1, 2.0), (2, None), (3, 4.0)]
    assert thin(few, 10) == few
    assert len(thin([(5, float(value)) for value in range(100)], 2)) <= 5
    assert thin([], 4) == []
    nothing: list[Point] = [(step, None) for step in range(100)]
    assert all(value is None for _, value in thin(nothing, 3))


def test_a_moving_average_begins_at_the_first_value_and_keeps_gaps() -> None:
    points: list[Point] = [(1, 4.0), (2, None), (3, 0.0), (4, 0.0)]
    found = smoothed(points, 0.5)
    assert [value for _, value in found] == [4.0, None, pytest.approx(4 / 3), pytest.approx(4 / 7)]
    assert smoothed(points, 0.0) == points
