"""The past jobs that an estimate is made from: a bounded number of the newest of a kind."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, case, func, select

from .. import tables as t
from ..states import State
from .features import DEVICE, HOST, device_class, features_of
from .run_time import PastJob, RunTimes, Spread

MOST, FEW = 150, 40  # past jobs: of the kind that is asked about, and of others in the queue
_WINDOW = 2_000  # of the newest successes, in which those on the right device are looked for
_LONGEST_SPEC = 16_384  # bytes; the fields of a longer one are not read
_MOST_LAWS = 12  # in one estimate


def spec_of(connection: Connection) -> ColumnElement[Any]:
    """The specification of a job where it is short enough to read many, else NULL."""
    spec = t.jobs.c.spec
    size = func.length if connection.dialect.name == "sqlite" else func.pg_column_size
    return case((size(spec) <= _LONGEST_SPEC, spec)).label("spec")


class Law(NamedTuple):
    """How long the jobs of a kind run on one sort of device.

    Attributes:
        times: learnt from its past jobs.
        together: how many of them ran at once on a slot, on average: of small jobs.
    """

    times: RunTimes
    together: float


class Laws:
    """What is known of each kind on CPUs and on GPUs, read when it is asked for.

    Args:
        connection: reads only.
        asked: the kind that is asked about; less is read of others.
    """

    def __init__(self, connection: Connection, asked: str | None = None) -> None:
        self._connection = connection
        self._asked = asked
        self._known: dict[tuple[str, bool], Law | None] = {}

    def of(self, kind: str, *, gpu: bool) -> Law | None:
        """The law of a kind; None where no job of it has succeeded on such a device."""
        if (kind, gpu) not in self._known:
            full = len(self._known) >= _MOST_LAWS and kind != self._asked
            self._known[kind, gpu] = None if full else self._read(kind, gpu)
        return self._known[kind, gpu]

    def anywhere(self, kind: str, device: str | None) -> tuple[Law, bool] | None:
        """The law where no worker says on which device: the one of most jobs; whether on GPUs."""
        sorts = {"gpu": [True], "cpu": [False]}.get(device or "", [True, False])
        laws = [(law, gpu) for gpu in sorts if (law := self.of(kind, gpu=gpu))]
        return max(laws, key=lambda each: each[0].times.count, default=None)

    def _read(self, kind: str, gpu: bool) -> Law | None:
        most = MOST if kind == self._asked else FEW
        rows = _newest(self._connection, kind, gpu, most)
        jobs = []
        for row in rows:
            if isinstance(row.spec, dict) and row.seconds is not None:
                where = {HOST: str(row.host), DEVICE: device_class(row.device)}
                jobs.append(PastJob(features_of(row.spec) | where, float(row.seconds)))
        if not jobs:
            return None
        sizes = [row.micro_batch_size or 1 for row in rows]
        return Law(RunTimes(jobs), sum(sizes) / len(sizes))


def _newest(connection: Connection, kind: str, gpu: bool, most: int) -> list[Any]:
    """The newest that succeeded at once: one that went on from a checkpoint took less."""
    jobs, a = t.jobs.c, t.attempts.c
    newest = (
        select(jobs.id)
        .where(jobs.kind == kind, t.in_state(State.SUCCEEDED))
        .order_by(jobs.id.desc())
        .limit(_WINDOW)
        .subquery()
    )
    query = (
        select(
            spec_of(connection), t.duration.label("seconds"), a.host, a.device, a.micro_batch_size
        )
        .select_from(newest)
        .join(t.jobs, jobs.id == newest.c.id)
        .join(t.attempts, (a.job_id == newest.c.id) & (a.number == 1))
        .where(jobs.attempt == 1, a.device != "cpu" if gpu else a.device == "cpu")
        .order_by(newest.c.id.desc())
        .limit(most)
    )
    return list(connection.execute(query).all())


UNKNOWN = Spread(middle=4.0, low=-3.0, high=3.0)
"""Of a job of which nothing is known: from seconds to a quarter of an hour."""
