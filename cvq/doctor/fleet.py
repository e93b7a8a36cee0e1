"""Workers: those that fell silent, that differ, and what waits in vain for one."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime

from .. import __version__, presence, queries
from ..errors import CvqError
from ..installing import install_hint
from ..records import Worker
from ..states import WorkerState
from ..text import count, duration, join
from .database import has_jobs_table
from .finding import Finding, note, ok, problem
from .hearing import Listener, listeners
from .setup import Setup

_YOUNG_S = 30.0  # by when a worker listens


def workers(setup: Setup) -> Iterator[Finding]:
    """The workers that the database knows, wherever they are."""
    if "database" in setup.failed:
        return
    known: list[Worker] = []
    queued: dict[str, int] = {}
    now = datetime.now(UTC)
    if has_jobs_table(setup):
        with setup.db.read() as connection:
            known = queries.workers(connection, also_gone=True)
            queued = queries.queued_by_queue(connection)
            now = queries.database_time(connection)
    present = [worker for worker in known if worker.alive]
    found = [
        *judge_silent([each for each in known if _is_silent(each)], now),
        *judge_versions(present),
        *judge_queues(present, queued),
        *_stores(setup, present),
        *_listening(setup, known, now),
    ]
    yield from found or [ok("workers", _told(present))]


def _told(present: Sequence[Worker]) -> str:
    if not present:
        return "none is up: `cvq up -d` starts one"
    return f"{len(present)} up, on {join(_hosts(present))}"


def _hosts(workers: Sequence[Worker]) -> list[str]:
    return sorted({worker.host for worker in workers})


def _is_silent(worker: Worker) -> bool:
    return not worker.alive and worker.state != WorkerState.GONE


def judge_silent(silent: Sequence[Worker], now: datetime) -> Iterator[Finding]:
    """What there is to say of workers that have not said goodbye and are not heard of."""
    if silent:
        last = max(worker.seen_at for worker in silent)
        yield note(
            "workers", "worker-silent",
            f"{count(len(silent), 'worker')} on {join(_hosts(silent))} fell silent, "
            f"{duration((now - last).total_seconds())} ago the last: killed, or cut off",
            "`cvq up -d` there starts another; `cvq doctor --fix` takes those off the list",
            "forget-silent",
        )  # fmt: skip


def judge_versions(present: Sequence[Worker]) -> Iterator[Finding]:
    """What there is to say of workers with another cvq than this."""
    others = [
        each for each in present if (each.versions or {}).get("cvq", __version__) != __version__
    ]
    if others:
        versions = sorted({(each.versions or {})["cvq"] for each in others})
        yield note(
            "workers", "worker-version",
            f"{count(len(others), 'worker')} on {join(_hosts(others))} "
            f"{'has' if len(others) == 1 else 'have'} cvq {join(versions)}, and this is "
            f"{__version__}",
            f"`{install_hint()}` there and here, then `cvq drain` and `cvq up -d` there",
        )  # fmt: skip


def judge_queues(present: Sequence[Worker], queued: dict[str, int]) -> Iterator[Finding]:
    """What there is to say of jobs in queues that nobody serves."""
    served = {queue for worker in present if worker.takes_jobs for queue in worker.queues}
    for queue, jobs in queued.items():
        if queue not in served:
            plain = "`cvq up -d`" if queue == "default" else f"`cvq worker --queues {queue}`"
            yield note(
                "workers", "queue-unserved",
                f"{count(jobs, 'job')} in the queue {queue}, and no worker serves it", plain,
            )  # fmt: skip


def _stores(setup: Setup, present: Sequence[Worker]) -> Iterator[Finding]:
    if "store" in setup.failed or not any(store_of(worker) for worker in present):
        return
    with contextlib.suppress(CvqError):  # which the check of the store tells
        yield from judge_stores(present, setup.store.identity())


def store_of(worker: Worker) -> str | None:
    """By what a worker knows its artifact store again; None of one that does not say."""
    said = (worker.kinds or {}).get("store")
    return said if isinstance(said, str) else None


def judge_stores(present: Sequence[Worker], ours: str) -> Iterator[Finding]:
    """What there is to say of workers that keep files elsewhere; `ours` tells this store."""
    others = [each for each in present if store_of(each) not in (None, ours)]
    if others:
        yield problem(
            "workers", "worker-store",
            f"{count(len(others), 'worker')} on {join(_hosts(others))} cannot see the files of "
            "jobs that are submitted here: the artifact store there is another",
            "set CVQ_STORE_URL to the same there and here (s3://bucket/prefix, or a folder that "
            "all machines share), and `cvq down`, `cvq up -d` there",
        )  # fmt: skip


def _listening(setup: Setup, known: Sequence[Worker], now: datetime) -> Iterator[Finding]:
    up = [worker for worker in known if worker.takes_jobs]
    if "redis" in setup.failed or (setup.broker.embedded and not up):
        return
    if setup.broker.is_stopped():
        return
    yield from judge_listening(str(setup.broker), known, listeners(setup.broker), now)


def judge_listening(
    name: str, known: Sequence[Worker], heard: Collection[Listener], now: datetime
) -> Iterator[Finding]:
    """What there is to say of who listens on a Redis.

    Args:
        name: of the Redis.
        known: the workers of the database, also those that have left.
        heard: who has answered there.
        now: one that has just started is entered in the database before it listens.
    """
    deaf = [
        each
        for each in known
        if each.takes_jobs
        and (each.host, each.pid) not in heard
        and (now - each.started_at).total_seconds() > _YOUNG_S
    ]
    if deaf:
        yield note(
            "workers", "worker-other-redis",
            f"{count(len(deaf), 'worker')} on {join(_hosts(deaf))} cannot be woken through "
            f"{name}: jobs begin seconds later",
            "set CVQ_BROKER_URL to the same there and here, and `cvq down`, `cvq up -d` there",
        )  # fmt: skip
    ours = {(each.host, each.pid) for each in known}
    strange = [each for each in heard if each not in ours]
    if strange:
        hosts = join(sorted({each.host for each in strange}))
        one = len(strange) == 1
        yield note(
            "workers",
            "worker-other-database",
            f"{count(len(strange), 'worker')} on {hosts} {'listens' if one else 'listen'} on "
            f"{name} and {'has' if one else 'have'} another database: each takes the other's "
            "messages, and jobs begin seconds later",
            "give each database a Redis of its own, or another number at the end of "
            "CVQ_BROKER_URL: redis://host:6379/1",
        )  # fmt: skip


def leftovers(setup: Setup) -> Iterator[Finding]:
    """Folders that dead workers have left on this machine."""
    stale = presence.stale(setup.settings.home)
    if stale:
        yield note(
            "scratch", "stale-folders",
            f"{count(len(stale), 'folder')} of dead workers in "
            f"{setup.settings.home / 'scratch'}",
            "`cvq doctor --fix` removes them, and so does the next worker that starts",
            "sweep-folders",
        )  # fmt: skip
