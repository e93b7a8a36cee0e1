"""How good estimates are: of jobs that were held out of a history, and of real ones.

python -m benchmarks.estimates [--jobs 1500] [--held-out 200] [--load 0.8]... [--seeds 1]

A cluster is played in a database: users of different habits submit jobs of kinds with different
laws of time, two machines of different speed serve them in the order in which claims do, a new
version makes all faster on the way. At moments that are drawn, a job that is submitted is
estimated from the database as it is then; what became of it is compared. Beside that is what
nobody could do better: the median of the very law that the jobs are drawn from, by who knows the
version that is in use, though not the machine that will take the job. With --real, so many are
run by a real worker on this machine, one after another, and each is estimated before it starts.
"""

from __future__ import annotations

import heapq
import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import click
from sqlalchemy import insert, update

from benchmarks.machine import describe
from cvq import Client, Settings, queries, schema
from cvq import tables as t
from cvq.db import Database
from cvq.estimates import Estimate, Range, of_job
from cvq.lifecycle import jobs as life
from cvq.lifecycle import order, workers
from cvq.records import NewJob
from cvq.states import State

HOSTS = {"fast": 1.0, "slow": 1.3}  # how long a job takes there
SLOTS = 2  # on each
FASTER_FROM, FASTER = 0.6, 0.8  # from this share of the jobs on, a new version is faster
HELD_UP = 0.02  # jobs that take two to four times as long
Spec = dict[str, Any]


class Law(NamedTuple):
    """A kind: what its jobs are, and how long they take."""

    spec: Callable[[random.Random], Spec]
    seconds: Callable[[Spec], float]
    noise: float


def _painting(draws: random.Random) -> Spec:
    return {
        "content": _file(draws), "size": draws.choice((256, 320, 512, 768, 1024)),
        "steps": draws.choice((50, 100, 150, 300)),
        "optimizer": draws.choice(("lbfgs", "lbfgs", "adam")),
        "style_weight": draws.choice((1.0, 2.0, 5.0)), "previews": 5, "init": "content",
    }  # fmt: skip


def _training(draws: random.Random) -> Spec:
    name = draws.choice(("digits", "fmnist", "faces"))
    return {
        "data": {"name": name, "sha256": None}, "epochs": draws.randint(3, 40),
        "batch_size": draws.choice((32, 64, 128, 256)), "lr": 10 ** draws.uniform(-4, -1),
        "width": draws.choice((16, 32, 64)), "augment": draws.random() < 0.5,
    }  # fmt: skip


def _shard(draws: random.Random) -> Spec:
    items = 1000 if draws.random() < 0.7 else draws.randint(20, 999)
    model = draws.choice(("a", "b", "c"))
    return {
        "images": [{"name": "1.tar", "sha256": str(draws.random()), "bytes": items * 9000,
                    "items": items}],
        "model": {"name": "model", "sha256": model}, "top": 5,
    }  # fmt: skip


def _file(draws: random.Random) -> Spec:
    return {"name": "a.png", "sha256": str(draws.random()), "bytes": draws.randint(10**5, 10**6)}


def _painting_s(spec: Spec) -> float:
    faster = 0.6 if spec["optimizer"] == "adam" else 1.0
    return float(8 + spec["steps"] * (spec["size"] / 512) ** 1.9 * 0.9 * faster)


def _training_s(spec: Spec) -> float:
    epoch = {"digits": 0.8, "fmnist": 14.0, "faces": 25.0}[spec["data"]["name"]]
    more = (1 + 48 / spec["batch_size"]) * (spec["width"] / 32) ** 0.7
    return float(12 + spec["epochs"] * epoch * more * (1.25 if spec["augment"] else 1))


def _shard_s(spec: Spec) -> float:
    per_item = {"a": 0.03, "b": 0.06, "c": 0.2}[spec["model"]["sha256"]]
    return float(6 + spec["images"][0]["items"] * per_item)


LAWS = {
    "style-transfer": Law(_painting, _painting_s, 0.12),
    "training": Law(_training, _training_s, 0.15),
    "classify": Law(_shard, _shard_s, 0.1),
    "selftest": Law(lambda draws: {"steps": 10}, lambda spec: 20.0, 0.4),
}
# How often each user submits, and what: some one job at a time, some many at once.
USERS = {
    "ann": (("style-transfer",), (1, 1, 2), 3.0),
    "bea": (("training",), (1, 4, 9), 1.0),
    "cem": (("classify", "selftest"), (1, 8, 20), 1.5),
    "dan": (tuple(LAWS), (1, 1, 3), 2.0),
}


@dataclass
class Outcome:
    """What was told of a job, and what became of it; seconds since the beginning.

    `law` is the median of the time that it runs, as who has made the law would tell it.
    """

    told: Estimate
    at: float
    law: float = math.nan
    started: float = math.nan
    ended: float = math.nan


@dataclass
class Cluster:
    """A cluster that is played in a database, with a clock of its own.

    Attributes:
        database: an empty one.
        jobs: how many are submitted.
        held_out: how many of the last half are estimated.
        load: the share of the time for which slots are busy.
    """

    database: Database
    jobs: int
    held_out: int
    load: float = 0.8
    seed: int = 1
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    def run(self) -> list[Outcome]:
        """Play it to the end of the last job that was estimated."""
        self.draws = random.Random(self.seed)
        self.origin = datetime.now(UTC) - timedelta(days=30)
        self.free = [(host, slot) for host in HOSTS for slot in range(SLOTS)]
        self.submitted, self.clock = 0, 0.0
        self.chosen = set(self.draws.sample(range(self.jobs // 2, self.jobs), self.held_out))
        self._enter_workers()
        events: list[tuple[float, int, Callable[[], None]]] = []
        self.later = lambda at, act: heapq.heappush(events, (at, len(events) + id(act), act))
        self._plan()
        while events:
            self.clock, _, act = heapq.heappop(events)
            act()
            self._serve()
            if self.submitted >= self.jobs and not any(
                math.isnan(each.ended) for each in self.outcomes.values()
            ):
                break
        return list(self.outcomes.values())

    def _plan(self) -> None:
        """When who submits: as often as keeps the slots as busy as they are to be."""
        draws = random.Random(self.seed + 1)
        work = [law.seconds(law.spec(draws)) for law in LAWS.values() for _ in range(200)]
        speed = sum(SLOTS / slower for slower in HOSTS.values())
        mean = sum(work) / len(work)
        per_second = self.load * speed / mean
        at = 0.0
        planned = 0
        weights = [weight for _, _, weight in USERS.values()]
        while planned < self.jobs:
            user = draws.choices(list(USERS), weights)[0]
            kinds, sizes, _ = USERS[user]
            number = min(draws.choice(sizes), self.jobs - planned)
            at += draws.expovariate(per_second / 3.0)
            kind = draws.choice(kinds)
            self.later(at, lambda u=user, k=kind, n=number: self._submit(u, k, n))
            planned += number

    def _submit(self, user: str, kind: str, number: int) -> None:
        priority = 7 if self.draws.random() < 0.05 else 5
        ids = []
        with self.database.write() as connection:
            for _ in range(number):
                new = NewJob(
                    kind=kind, spec=LAWS[kind].spec(self.draws), spec_hash="0", user=user,
                    priority=priority,
                )  # fmt: skip
                ids.append(life.submit(connection, new))
            values = {"created_at": self._time(), "queued_at": self._time()}
            connection.execute(update(t.jobs).where(t.jobs.c.id.in_(ids)).values(values))
        for job_id in ids:
            if self.submitted in self.chosen:
                self._estimate(job_id)
            self.submitted += 1

    def _estimate(self, job_id: int) -> None:
        with self.database.write() as connection:
            connection.execute(update(t.workers).values(seen_at=t.now()))
        with self.database.read() as connection:
            job = queries.get_job(connection, job_id)
            told = of_job(connection, job, self._time())
        assert told is not None
        law = LAWS[job.kind].seconds(job.spec) * math.sqrt(math.prod(HOSTS.values()))
        self.outcomes[job_id] = Outcome(told, self.clock, law * self._version())

    def _version(self) -> float:
        """By how much jobs that start now are faster than at the beginning."""
        return FASTER if self.submitted > FASTER_FROM * self.jobs else 1.0

    def _serve(self) -> None:
        """Let free slots take what is queued, in the order of claims."""
        self.draws.shuffle(self.free)
        while self.free:
            with self.database.write() as connection:
                places = order.places(connection, ["default"])
                job_id = connection.scalar(order.next_at(places[0])) if places else None
                if job_id is None:
                    return
                host, slot = self.free.pop()
                self._start(connection, queries.get_job(connection, job_id), host, slot)

    def _start(self, connection: Any, job: Any, host: str, slot: int) -> None:
        law = LAWS[job.kind]
        seconds = law.seconds(job.spec) * HOSTS[host] * math.exp(self.draws.gauss(0, law.noise))
        seconds *= self._version()
        seconds *= self.draws.uniform(2, 4) if self.draws.random() < HELD_UP else 1.0
        connection.execute(
            update(t.jobs).where(t.jobs.c.id == job.id).values(
                state=State.RUNNING, attempt=1, started_at=self._time(), lease_owner=host,
                lease_until=t.now(600),
            )
        )  # fmt: skip
        connection.execute(
            insert(t.attempts).values(
                job_id=job.id, number=1, worker=host, host=host, device="cpu",
                started_at=self._time(),
            )
        )  # fmt: skip
        if job.id in self.outcomes:
            self.outcomes[job.id].started = self.clock
        self.later(self.clock + seconds, lambda: self._end(job.id, host, slot))

    def _end(self, job_id: int, host: str, slot: int) -> None:
        with self.database.write() as connection:
            own = t.jobs.c.id == job_id
            values = {"state": State.SUCCEEDED, "finished_at": self._time(), "lease_owner": None}
            connection.execute(update(t.jobs).where(own).values(values))
        if job_id in self.outcomes:
            self.outcomes[job_id].ended = self.clock
        self.free.append((host, slot))

    def _enter_workers(self) -> None:
        with self.database.write() as connection:
            for host in HOSTS:
                workers.register(
                    connection, id=host, host=host, pid=1, devices=["cpu"] * SLOTS,
                    queues=["default"], slots=SLOTS, lease=1e6,
                )  # fmt: skip

    def _time(self) -> datetime:
        return self.origin + timedelta(seconds=self.clock)


def real(client: Client, number: int) -> Iterator[Outcome]:
    """Jobs of several kinds on a worker of this machine, each estimated before it starts."""
    draws = random.Random(2)
    with TemporaryDirectory(prefix="cvq-") as scratch:
        pictures = _pictures(Path(scratch))
        for _ in range(number):
            kind, values = _real_job(draws, pictures)
            told = client.estimate(kind, **values)
            began = time.time()
            handle = client.submit(kind, cache=False, **values).wait(check=False)
            job = handle.job
            if job.state == State.SUCCEEDED and job.started_at and job.finished_at:
                yield Outcome(
                    told, began, started=job.started_at.timestamp(),
                    ended=job.finished_at.timestamp(),
                )  # fmt: skip


def _real_job(draws: random.Random, pictures: list[Path]) -> tuple[str, Mapping[str, Any]]:
    kind = draws.choice(("selftest", "style-transfer", "fmnist-mlp", "sum-regressor"))
    if kind == "selftest":
        return kind, {"steps": draws.choice((5, 20, 60)), "pause": draws.choice((0.01, 0.05))}
    if kind == "style-transfer":
        content, style = draws.sample(pictures, 2)
        size, steps = draws.choice((64, 96, 128)), draws.choice((2, 5, 10))
        return kind, {"content": content, "style": [style], "size": size, "steps": steps}
    epochs = draws.choice((1, 2, 4, 8))
    return kind, {"epochs": epochs, **({"data": "digits"} if kind == "fmnist-mlp" else {})}


def _pictures(folder: Path) -> list[Path]:
    from PIL import Image

    draws = random.Random(3)
    found = []
    for place in range(4):
        found.append(folder / f"{place}.png")
        pixels = draws.randbytes(200 * 160 * 3)
        Image.frombytes("RGB", (200, 160), pixels).save(found[-1])
    return found


class Figures(NamedTuple):
    """How good some estimates were; shares from 0 to 1, NaN of none.

    Attributes:
        error: the median error of the run times.
        best: the same of who knows the law.
        times: the share of the run times within their interval.
        starts: of the starts.
        waited: of the starts of those that had to wait.
        off: half of the starts are off by less, in seconds.
        wait: the median of what they waited, in seconds.
    """

    error: float
    best: float
    times: float
    starts: float
    waited: float
    off: float
    wait: float

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> Figures:
        """Of what became of some jobs."""
        known = [each for each in outcomes if each.told.time is not None]
        took = [each.ended - each.started for each in known]
        times = [each.told.time for each in known if each.told.time]
        starts = [(each.told.start, each.started - each.at) for each in known if each.told.start]
        late = [(told, waited) for told, waited in starts if waited > 1]
        return cls(
            _median(abs(told.middle / t - 1) for told, t in zip(times, took, strict=True)),
            _median(abs(each.law / t - 1) for each, t in zip(known, took, strict=True)),
            _share(told.low <= t <= told.high for told, t in zip(times, took, strict=True)),
            _share(_held(told, waited) for told, waited in starts),
            _share(_held(told, waited) for told, waited in late),
            _median(abs(told.middle - waited) for told, waited in starts),
            _median(waited for _, waited in starts),
        )

    def line(self, name: str) -> str:
        """A line of the table."""
        shares = "".join(f"{share:>10.1%}" for share in self[:5])
        return f"{name:16}{shares}{self.off:>8.0f} s of{self.wait:>6.0f} s"


_HEAD = (
    f"{'':16}{'error':>10}{'at best':>10}{'times':>10}{'starts':>10}{'waited':>10}{'off by':>10}"
)


def _held(told: Range, waited: float) -> bool:
    return told.low - 1 <= waited <= told.high + 1


def _median(values: Iterable[float]) -> float:
    some = list(values)
    return median(some) if some else math.nan


def _share(held: Iterable[bool]) -> float:
    some = list(held)
    return sum(some) / len(some) if some else math.nan


def played(jobs: int, held_out: int, load: float, seed: int) -> list[Outcome]:
    """What became of the jobs of one history."""
    with TemporaryDirectory(prefix="cvq-") as folder:
        database = Database(Settings.load(home=Path(folder)))
        schema.ensure(database)
        try:
            return Cluster(database, jobs, held_out, load, seed).run()
        finally:
            database.engine.dispose()


@click.command()
@click.option("--jobs", default=1500, show_default=True, help="Jobs of the history.")
@click.option("--held-out", default=200, show_default=True, help="Jobs that are estimated.")
@click.option(
    "--load",
    "loads",
    default=[0.8],
    show_default=True,
    multiple=True,
    help="How busy the slots are; repeatable.",
)
@click.option("--seeds", default=1, show_default=True, help="Histories of each.")
@click.option("--real", "runs", default=0, show_default=True, help="Jobs run on this machine.")
def main(jobs: int, held_out: int, loads: Sequence[float], seeds: int, runs: int) -> None:
    """Print the figures: of run times at most 20 % of error, of intervals 75 to 85 %."""
    print(describe())
    print(_HEAD)
    for load in loads if jobs else ():
        together: list[Outcome] = []
        for seed in range(1, seeds + 1):
            outcomes = played(jobs, held_out, load, seed)
            print(Figures.of(outcomes).line(f"{load:.0%} busy, no {seed}"), flush=True)
            together += outcomes
        if seeds > 1:
            print(Figures.of(together).line(f"{load:.0%} busy"), flush=True)
    if runs:
        with Client() as client:
            print(Figures.of(list(real(client, runs))).line("real jobs"))


if __name__ == "__main__":
    main()
