"""Running `cvq` in this process and in another, and playing the worker without one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cvq import Client, Settings
from cvq.lifecycle import attempts, claims, workers
from cvq.records import Artifact, Job, LogLine, MetricPoint, Outcome
from cvq_cli.main import cvq
from waiting import HANG_S, eventually

Cli = Callable[..., "Said"]


@dataclass
class Said:
    """What a command said and exited with."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def home(home: Path, template: Path) -> Path:
    """A home folder whose database is made already."""
    shutil.copy(template, home)
    return home


@pytest.fixture
def run(home: Path) -> Cli:
    """Run a command line in this process, as in a pipe."""

    def call(*words: object, code: int | None = 0, input: str | None = None) -> Said:
        result: Result = CliRunner().invoke(cvq, [str(word) for word in words], input=input)
        said = Said(result.exit_code, result.stdout, result.stderr)
        assert code is None or said.code == code, said
        return said

    return call


@pytest.fixture
def shell(home: Path) -> Cli:
    """Run a command line in a process of its own, as in a pipe."""

    def call(*words: object, code: int | None = 0, **env: str) -> Said:
        done = subprocess.run(
            [sys.executable, "-m", "cvq_cli", *map(str, words)],
            capture_output=True,
            text=True,
            env={**os.environ, **env},
            timeout=HANG_S,
            check=False,
        )
        said = Said(done.returncode, done.stdout, done.stderr)
        assert code is None or said.code == code, said
        return said

    return call


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[Path, Path]:
    """A content and a style picture."""
    paths = (tmp_path / "content.png", tmp_path / "style.png")
    for path, colour in zip(paths, ("navy", "orange"), strict=True):
        Image.new("RGB", (16, 12), colour).save(path)
    return paths


@pytest.fixture
def batched(client: Client, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A client, and commands, that know the kinds of `tests/batched.py`."""
    monkeypatch.syspath_prepend(Path(__file__).parent.parent)
    monkeypatch.setenv("CVQ_KINDS", "batched")
    client.settings = Settings.load()
    return client


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three pictures and a text, below the working folder."""
    monkeypatch.chdir(tmp_path)
    folder = Path("photos")
    (folder / "b").mkdir(parents=True)
    for name in ("1.png", "2.png", "b/3.png"):
        Image.new("L", (4, 4), 40).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture
def added(run: Cli, batched: Client, worker: FakeWorker) -> list[Job]:
    """A batch of three jobs: one succeeded, one failed, one queued."""
    run("submit", "add", "--list", "-", "--name", "sums", input="1 2\n3 4\n5 6")
    done, failed = worker.claim(), worker.claim()
    worker.finish(done, result={"sum": 3.0, "parts": [1, 2], "note": "=1+2"})
    worker.finish(failed, "failed", reason="error", error="it is\nno number")
    return [done, failed]


@dataclass
class FakeWorker:
    """Does to the store what a worker does, at the test's pace."""

    client: Client
    name: str = "fake"
    host: str = ""
    seq: dict[int, int] = field(default_factory=dict)

    def arrive(self, *queues: str, pid: int | None = None, lease: float = 600.0) -> None:
        with self.client.db.write() as connection:
            workers.register(
                connection,
                id=self.name,
                host=self.host or self.client.settings.host,
                pid=os.getpid() if pid is None else pid,
                devices=["cpu"],
                queues=list(queues or ("default",)),
                slots=1,
                versions={},
                lease=lease,
            )

    def claim(self, *queues: str) -> Job:
        with self.client.db.write() as connection:
            job = claims.claim(
                connection,
                worker=self.name,
                host=self.host or "here",
                queues=queues or ("default", "gpu"),
                token=uuid.uuid4().hex,
                lease=600.0,
            )
        assert job is not None, "nothing to claim"
        return job

    def wait_and_claim(self, *queues: str) -> Job:
        """Claim as soon as there is something."""
        found: list[Job] = []

        def try_it() -> bool:
            try:
                found.append(self.claim(*queues))
            except AssertionError:
                return False
            return True

        eventually(try_it)
        return found[0]

    def log(self, job: Job, *texts: str, stream: str = "stdout") -> None:
        lines = []
        for text in texts:
            seq = self.seq[job.id] = self.seq.get(job.id, 0) + 1
            lines.append(LogLine(seq, datetime.now(UTC), stream, text))
        self.report(job, logs=lines)

    def metric(self, job: Job, name: str, *values: float) -> None:
        self.report(
            job,
            metrics=[MetricPoint(name, i, v, datetime.now(UTC)) for i, v in enumerate(values)],
        )

    def progress(self, job: Job, done: int, total: int) -> None:
        self.report(job, progress={"done": done, "total": total, "unit": "step", "eta_s": 1.0})

    def artifact(self, job: Job, name: str, content: bytes, role: str = "result") -> Artifact:
        path = self.client.settings.home / "made-by-the-job"
        path.write_bytes(content)
        made = self.client.artifacts.put_artifact(job.attempt_id, path, name=name, role=role)
        self.report(job, artifacts=[made])
        return made

    def report(self, job: Job, **what: Any) -> None:
        with self.client.db.write() as connection:
            attempts.report(connection, job.attempt_id, **what)

    def finish(self, job: Job, state: str = "succeeded", **more: Any) -> None:
        with self.client.db.write() as connection:
            attempts.finish(connection, job.attempt_id, Outcome(state, **more), by=self.name)


@pytest.fixture
def worker(client: Client) -> FakeWorker:
    """A worker that the test plays itself."""
    return FakeWorker(client)


until = eventually
