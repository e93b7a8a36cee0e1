"""Whole processes, as ratios to `cvq ls` on an empty history in the same run."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, insert, select

from benchmarks.history.places import CVQ, Place, Took, median, run
from cvq import tables as t
from cvq.lifecycle import jobs as life
from cvq.records import NewJob

QUERY = "val_accuracy > 0.9"
MIXED = "(val_loss < 0.5 or params.optimizer = 'sgd') and not loss > 0.4"
COMMANDS: dict[str, tuple[list[str], float]] = {
    "ls, the last 20": (["ls"], 1.1),
    "ls, a kind, a figure, sorted by it": (
        ["ls", "--kind", "fmnist-cnn", "--where", QUERY, "--sort=-val_accuracy", "-n", "20",
         "--json"], 1.3,
    ),
    "ls, or and not, sorted by another figure": (
        ["ls", "--where", MIXED, "--sort=-val_accuracy", "-n", "20"], 1.6,
    ),
}  # fmt: skip
ROWS, LINES, COMPARED = 10_000, 100_000, 50


@dataclass(frozen=True)
class Row:
    """A line of the table: what was measured, and what it is to be at most."""

    what: str
    value: float
    most: float | None
    unit: str = "x"

    def __str__(self) -> str:
        wanted = "" if self.most is None else f"   (at most {self.most:g})"
        return f"{self.what:64} {self.value:8.2f} {self.unit}{wanted}"


def measured(place: Place, empty: Place, repeat: int) -> Iterator[Row]:
    """The rows of whole processes."""
    python = [sys.executable, "-c", "import sqlalchemy"]
    floor, start = _compared([python, [CVQ, "ls"]], [os.environ, empty.environment], repeat)
    yield Row("ls on an empty history, to python -c 'import sqlalchemy'", start / floor, 1.5)
    with place.database() as database, database.write() as connection:
        large = with_long_curves(connection)
        some = _some_of_a_kind(connection)
    commands = {
        **COMMANDS,
        f"show, {ROWS} rows of metrics and {LINES} lines": (["show", str(large)], 1.5),
        f"compare, {len(some)} jobs": (["compare", *map(str, some)], 1.5),
    }
    for what, (words, most) in commands.items():
        places = [empty.environment, place.environment]
        base, took = _compared([[CVQ, "ls"], [CVQ, *words]], places, repeat)
        yield Row(f"{what}, to ls on an empty history", took / base, most)
    yield from _completion(place, repeat)


def _compared(
    commands: Sequence[Sequence[str]], environments: Sequence[Mapping[str, str]], repeat: int
) -> list[float]:
    """The median of each, by the clock; in turns, so that a busy moment hits all alike."""
    pairs = list(zip(commands, environments, strict=True))
    for words, environment in pairs:
        run(words, environment)  # what is read once is read
    taken: list[list[Took]] = [[] for _ in pairs]
    for _ in range(repeat):
        for times, (words, environment) in zip(taken, pairs, strict=True):
            times.append(run(words, environment))
    return [median([each.wall for each in times]) for times in taken]


def _completion(place: Place, repeat: int) -> Iterator[Row]:
    asked = {"_CVQ_COMPLETE": "bash_complete", "CVQ_TYPED": "cvq show 1", "CVQ_REPLACED": "1"}
    took = [run([CVQ], place.environment | asked) for _ in range(repeat + 1)][1:]
    cpu, wall = (median([getattr(each, of) for each in took]) for of in ("cpu", "wall"))
    # It waits for nothing: on a core of its own it takes as long as it computes.
    yield Row("completion of a job's id, on the processor", 1000 * cpu, 150, "ms")
    yield Row("completion of a job's id, by the clock", 1000 * wall, None, "ms")


def with_long_curves(connection: Connection) -> int:
    """A job with many rows of metrics and lines of log; made where there is none."""
    jobs = t.jobs.c
    found = connection.scalar(select(jobs.id).where(jobs.name == "long curves"))
    if found is not None:
        return int(found)
    new = NewJob(kind="selftest", spec={}, spec_hash="0" * 64, user="user0", name="long curves")
    number = life.submit(connection, new)
    now = datetime.now(UTC)
    names = ("loss", "val_loss", "val_accuracy", "learning_rate")
    connection.execute(insert(t.metrics), [
        {"job_id": number, "attempt": 1, "name": names[nth % 4], "step": nth // 4,
         "value": 1 / (1 + nth), "time": now + timedelta(seconds=nth)}
        for nth in range(ROWS)
    ])  # fmt: skip
    connection.execute(insert(t.logs), [
        {"job_id": number, "attempt": 1, "seq": nth, "time": now, "stream": "stdout",
         "text": f"step {nth}: everything goes on as it has gone on before"}
        for nth in range(LINES)
    ])  # fmt: skip
    return number


def _some_of_a_kind(connection: Connection) -> list[int]:
    jobs = t.jobs.c
    query = select(jobs.id).where(jobs.kind == "fmnist-cnn", jobs.state == "succeeded")
    return list(connection.scalars(query.order_by(jobs.id.desc()).limit(COMPARED)))
