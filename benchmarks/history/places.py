"""Places with a history: an empty one, and one with many jobs; commands that are run there."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url

from benchmarks.history.making import make
from cvq import Client, Settings, queries, schema
from cvq.db import Database

CVQ = str(Path(sys.executable).parent / "cvq")


@dataclass(frozen=True)
class Place:
    """Where a history is: a home folder, and a database where it is not the embedded one."""

    home: Path
    url: str | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What a command needs to find it."""
        url = {"CVQ_DATABASE_URL": self.url} if self.url else {}
        return {**os.environ, "CVQ_HOME": str(self.home), **url}

    @contextmanager
    def database(self) -> Iterator[Database]:
        """Its database."""
        database = Database(Settings.load(home=self.home, database_url=self.url))
        yield database
        database.engine.dispose()

    def client(self) -> Client:
        """A client of it."""
        return Client(Settings.load(home=self.home, database_url=self.url))


@contextmanager
def empty(home: Path, like: Place) -> Iterator[Place]:
    """A place with the schema alone, on the same sort of database as another; gone at the end."""
    if like.url is None:
        place = Place(home)
        _upgrade(place)
        yield place
        return
    import psycopg

    name, url = f"cvq_benchmark_{home.name}", make_url(like.url)
    server = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            place = Place(home, url.set(database=name).render_as_string(hide_password=False))
            _upgrade(place)
            yield place
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _upgrade(place: Place) -> None:
    with place.database() as database:
        schema.upgrade(database)


def prepared(place: Place, jobs: int, points: int, say: Callable[[str], None]) -> int:
    """Make the history where there is none; return how many jobs it has."""
    with place.database() as database:
        schema.upgrade(database)
        with database.read() as connection:
            there = sum(queries.count_states(connection).values())
        if not there:
            make(database, jobs, points, say)
    return there or jobs


@dataclass(frozen=True)
class Took:
    """How long a run of a command took: of the processor, and by the clock, in seconds."""

    cpu: float
    wall: float


def run(words: Sequence[str], environment: Mapping[str, str]) -> Took:
    """Run a command; what it says is lost.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    began = time.perf_counter()
    process = subprocess.Popen(
        words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - began
    process.stderr.close()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, words, stderr=said)
    return Took(used.ru_utime + used.ru_stime, wall)


# A process counts as its own what whoever started it had in memory: so a small one starts it.
_SMALL = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def memory_of(words: Sequence[str], environment: Mapping[str, str]) -> float:
    """The most that a command has in memory, in megabytes.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    small = [sys.executable, "-S", "-E", "-c", _SMALL, *words]
    said = subprocess.run(small, env=environment, capture_output=True, text=True, check=True)
    return int(said.stdout) / (1e6 if sys.platform == "darwin" else 1e3)


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def p95(values: Sequence[float]) -> float:
    """What nineteen of twenty are below."""
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.95))]
