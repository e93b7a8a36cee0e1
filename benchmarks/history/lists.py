"""The list query alone: each filter and each order, warm, and cold while 64 slots write."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select, update

from benchmarks.history.commands import Row
from benchmarks.history.places import Place, p95
from cvq import tables as t
from cvq.tables import now
from cvq.views import filters, folded
from cvq.views.filters import Filter

_SLOTS = 64
_REPORTS_S = 1.0  # between two reports of a slot
_WARM_MS, _COLD_MS = 20.0, 100.0
_SORTS = (
    "id", "kind", "state", "user", "name", "queue", "priority", "attempts", "reason", "batch",
    "sweep", "created", "started", "finished", "duration", "wait", "val_accuracy",
    "metrics.loss", "best(val_loss)", "last(loss)", "min(loss)", "max(val_accuracy)",
    "params.learning_rate", "params.optimizer", "tags.project", "result.test_accuracy",
    "result.class",
)  # fmt: skip
_WHERES = (
    "val_accuracy > 0.98", "val_accuracy > 0.9", "metrics.loss < 0.01", "best(val_loss) < 0.07",
    "last(loss) > 1", "params.learning_rate = 0.1", "params.optimizer = 'lion'",
    "params.epochs in (50, 100)", "params.images like 'photo-1234%'", "tags.project is not null",
    "tags.project = 'project7'", "tags.run > 490", "result.class = 'dress'",
    "result.probability > 0.99", "duration > 1h", "wait > 9m", "attempts > 1", "priority = 9",
    "reason = 'timeout'", "finished < 2026-08-10", "not kind = 'classify'",
    "val_accuracy is null", "device = 'cuda'",
)  # fmt: skip
_PLAIN: dict[str, dict[str, Any]] = {
    "--kind": {"kind": "colorizer"}, "--status": {"state": "failed"},
    "two states": {"state": ["failed", "cancelled"]}, "--reason": {"reason": "signal:SEGV"},
    "--user": {"user": "user39"}, "--tag": {"tag": "project=project49"},
    "--name": {"name": "figure-49*"}, "--name, in the middle": {"name": "*-4999"},
    "--worker": {"worker": "worker.7"}, "--queue": {"queue": "night"}, "--batch": {"batch": 3},
    "--sweep": {"sweep": 5}, "--since": {"since": "2026-11-30"},
    "--until": {"until": "2026-08-10"},
    "nothing": {},
}  # fmt: skip


def wanted() -> dict[str, Filter]:
    """Each filter and each order, in both directions."""
    found = {name: filters.asked(**given) for name, given in _PLAIN.items()}
    found |= {f"--where {text}": filters.asked(where=text) for text in _WHERES}
    for key in _SORTS:
        found |= {f"--sort {sign}{key}": filters.asked(sort=sign + key) for sign in ("", "-")}
    return {name: replace(each, limit=20) for name, each in found.items()}


def measured(place: Place, repeat: int, *, writing: bool) -> Iterator[Row]:
    """A row for each, warm: p95 in milliseconds; and with `writing` the slowest of all cold."""
    for name, each in wanted().items():
        with place.database() as database:
            times = []
            for _ in range(repeat + 1):
                began = time.perf_counter()
                with database.read() as connection:
                    _find(connection, each)
                times.append(1000 * (time.perf_counter() - began))
        yield Row(f"{name}, warm, p95", p95(times[1:]), _WARM_MS, "ms")
    if writing:
        with _slots(place, _SLOTS):
            for name, each in wanted().items():
                yield Row(
                    f"{name}, cold, {_SLOTS} slots writing", _cold(place, each), _COLD_MS, "ms"
                )


def _cold(place: Place, each: Filter) -> float:
    """The first time on a new connection, its file not in memory."""
    _forget(place)
    with place.database() as database:
        with database.read() as connection:
            connection.exec_driver_sql("SELECT 1")
        began = time.perf_counter()
        with database.read() as connection:
            _find(connection, each)
        return 1000 * (time.perf_counter() - began)


def _find(connection: Connection, each: Filter) -> None:
    if each == Filter(limit=each.limit):
        folded.find(connection, each)  # as `cvq ls` without a word
    filters.find(connection, each)


def _forget(place: Place) -> None:
    """Have the system drop what it holds of the file, as far as it lets us."""
    file = place.home / "cvq.db"
    if place.url is None and file.exists() and hasattr(os, "posix_fadvise"):
        with file.open("rb") as opened, suppress(OSError):
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def _slots(place: Place, count: int) -> Iterator[None]:
    """Slots that report metrics and progress, as workers' do, in a process of their own."""
    context = multiprocessing.get_context("spawn")
    over = context.Event()
    process = context.Process(target=_write, args=(str(place.home), place.url, count, over))
    process.start()
    try:
        yield
    finally:
        over.set()
        process.join()
    if process.exitcode:
        raise RuntimeError("the slots have written nothing, or not to the end")


def _write(home: str, url: str | None, count: int, over: Event) -> None:
    with Place(Path(home), url).database() as database:
        with database.read() as connection:
            jobs = t.jobs.c
            running = list(
                connection.scalars(select(jobs.id).order_by(jobs.id.desc()).limit(count))
            )
        step = 1_000_000
        while not over.wait(_REPORTS_S / count):
            step += 1
            job = running[step % len(running)]
            with database.write() as connection:
                connection.execute(insert(t.metrics).values(
                    job_id=job, attempt=9, name="loss", step=step, value=0.5, time=now(),
                ))  # fmt: skip
                connection.execute(
                    update(t.jobs).where(t.jobs.c.id == job).values(progress={"done": step})
                )
