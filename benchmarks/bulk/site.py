"""A home of its own with a client, a worker with one slot, pictures and a model."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from PIL import Image

from cvq import Client, Settings, queries, schema
from cvq.broker.embedded import stop_redis
from cvq.db import Database
from cvq.samples import write_samples

ROOT = Path(__file__).parents[2]
_KINDS = ["benchmarks.bulk.kinds", "benchmarks.bulk.holder"]
_SIDE = 28
_HEAD = b"P5 %d %d 255\n" % (_SIDE, _SIDE)
_LAST_S = 60.0  # for what was asked to end


@dataclass(frozen=True)
class Site:
    """Where cvq's side runs.

    Attributes:
        client: on a home of its own.
        environment: of workers there.
    """

    client: Client
    environment: dict[str, str]

    @property
    def home(self) -> Path:
        """The home folder."""
        return self.client.settings.home

    def draw(self, count: int) -> list[Path]:
        """So many different pictures of 28×28 pixels, and garments to train on."""
        samples = write_samples(self.home / "samples", size=64)
        drawn = []
        for path in sorted(samples["garments"].rglob("*.png")):
            with Image.open(path) as picture:
                drawn.append(picture.convert("L"))
        folder = self.home / "pictures"
        folder.mkdir()
        for number in range(count):
            picture = drawn[number % len(drawn)].copy()
            picture.putpixel((number % _SIDE, number // _SIDE % _SIDE), number % 251)
            picture.save(folder / f"{number:07}.png")
        return sorted(folder.iterdir())

    def train(self) -> int:
        """The job whose model tells garments apart."""
        job = self.client.submit("fmnist-mlp", data=self.home / "samples/garments", epochs=2)
        with self.worker():
            return job.wait().id

    def model(self, job: int) -> Path:
        """Where the model of a job is."""
        with self.client.db.read() as connection:
            found = queries.model_of(connection, job)
        path = None if found is None else self.client.artifacts.local_path(found.uri)
        assert path is not None
        return path

    @contextmanager
    def worker(self, **settings: str) -> Iterator[psutil.Process]:
        """A worker with one slot, as long as the block lasts; it is up when this begins."""
        words = [sys.executable, "-m", "cvq_workers", "--slots", "1", "--log-level", "error"]
        process = subprocess.Popen(words, env=self.environment | settings, cwd=ROOT)
        try:
            while not self._is_up(process.pid):
                if process.poll() is not None:
                    raise SystemExit("the worker stopped")
                time.sleep(0.05)
            yield psutil.Process(process.pid)
        finally:
            stop(process)

    def _is_up(self, pid: int) -> bool:
        with self.client.db.read() as connection:
            return any(worker.pid == pid for worker in queries.workers(connection))


def pictures(count: int) -> Iterator[tuple[str, bytes]]:
    """So many different pictures of 28×28 pixels by their names; each call draws others."""
    salt = uuid.uuid4().bytes
    for number in range(count):
        block = hashlib.sha256(salt + number.to_bytes(8, "big")).digest()
        yield f"{number:07}.pgm", _HEAD + (block * 25)[: _SIDE * _SIDE]


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end; one that does not is killed."""
    process.terminate()
    try:
        process.wait(_LAST_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def opened(home: Path, url: str | None = None) -> Iterator[Site]:
    """A site in this home; by default with a database of its own there."""
    given = {"CVQ_HOME": str(home), "CVQ_KINDS": ",".join(_KINDS), "PYTHONPATH": str(ROOT)}
    given |= {"OMP_NUM_THREADS": "1"} | ({"CVQ_DATABASE_URL": url} if url else {})
    settings = Settings.load(home=home, kinds=_KINDS, database_url=url)
    if url:
        database = Database(settings)
        schema.upgrade(database)
        database.engine.dispose()
    client = Client(settings)
    try:
        yield Site(client, {**os.environ, **given})
    finally:
        client.close()
        stop_redis(home)
