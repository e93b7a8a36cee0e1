"""The inside of a job process: it runs one attempt and tells its worker what happens.

It knows neither the database nor the store. Inputs are local files, outputs go into a folder of
its own, and events leave as JSON lines through the control socket. Through the same socket the
worker sends a beat whenever it has renewed the lease; a process that hears none for as long as
the lease lasts kills itself, before anybody else can have begun the job anew.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import logging
import os
import random
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cvq.artifacts import safe_name
from cvq.errors import PermanentError
from cvq.kinds import get_kind, make_spec
from cvq.settings import Settings

EXIT_STOPPED = 75  # EX_TEMPFAIL: asked to stop, to be run again elsewhere


class StopRequestedError(BaseException):
    """The worker drains. Not an Exception, so that a model's own `except` does not eat it."""


@dataclass(frozen=True)
class Request:
    """What a job process is told, through a JSON file."""

    job_id: int
    attempt: int
    kind: str
    spec: dict[str, Any]
    inputs: dict[str, str]
    folder: str
    device: str
    threads: int
    environment: dict[str, str]
    kinds: list[str]
    lease: float


class Control:
    """The job's end of the control socket: events out, beats and requests to stop in."""

    def __init__(self, descriptor: int, lease: float) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._lease = lease
        self._lock = threading.Lock()
        self.stop_requested = threading.Event()

    def send(self, event: str, **values: Any) -> None:
        """Send one event; the lock keeps lines whole when threads of the job report, too."""
        line = json.dumps({"event": event, **values}).encode() + b"\n"
        with self._lock:
            self._socket.sendall(line)

    def watch(self) -> None:
        """Start listening to the worker."""
        threading.Thread(target=self._listen, name="cvq-lease", daemon=True).start()

    def _listen(self) -> None:
        deadline = time.monotonic() + self._lease
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self._socket], [], [], left)[0]:
                break
            try:
                heard = self._socket.recv(4096)
            except OSError:
                heard = b""
            if not heard:
                break
            deadline = time.monotonic() + self._lease
            if b"stop" in heard:
                self.stop_requested.set()
        # The worker is dead or cut off. The job's own children go with it.
        os.killpg(0, signal.SIGKILL)


class JobContext:
    """The `Context` of a job that runs under a worker."""

    def __init__(self, request: Request, control: Control) -> None:
        self.job_id = request.job_id
        self.device = request.device
        self._out = Path(request.folder) / "out"
        self._published = 0
        self._control = control

    def progress(self, done: int, total: int, unit: str = "step") -> None:
        """Say that `done` of `total` units are done."""
        self._control.send("progress", done=int(done), total=int(total), unit=unit)
        self._stop_if_asked()

    def metrics(self, step: int, **values: float) -> None:
        """Record named numbers at a step."""
        numbers = {name: float(value) for name, value in values.items()}
        self._control.send("metrics", step=int(step), values=numbers, time=time.time())
        self._stop_if_asked()

    @contextmanager
    def artifact(
        self, name: str, *, role: str = "result", media_type: str | None = None
    ) -> Iterator[Path]:
        """Give a path to write; when the block ends without an error, the file is published."""
        # A folder for each, as the worker may not have fetched the last file of this name yet.
        self._published += 1
        path = self._out / str(self._published) / safe_name(name)
        path.parent.mkdir(parents=True)
        yield path
        if not path.is_file():
            raise PermanentError(f"artifact {name}: the job wrote no file")
        self._control.send("artifact", path=str(path), name=name, role=role, media_type=media_type)
        self._stop_if_asked()

    def _stop_if_asked(self) -> None:
        if self._control.stop_requested.is_set():
            raise StopRequestedError


def main(job_file: Path, control_descriptor: int) -> int:
    """Run the attempt that `job_file` describes; return the exit code."""
    request = Request(**json.loads(job_file.read_text()))
    control = Control(control_descriptor, request.lease)
    control.watch()
    _settle_in(request)
    try:
        result = _run(request, control)
    except StopRequestedError:
        control.send("stopped")
        return EXIT_STOPPED
    except Exception as error:
        control.send("error", **_describe(error))
        return 1
    control.send("result", result=result)
    return 0


def _run(request: Request, control: Control) -> dict[str, Any]:
    kind = get_kind(request.kind, Settings.load(kinds=request.kinds))
    spec = make_spec(kind, request.spec)
    for file in spec.inputs():
        assert file.sha256 is not None
        file.path = Path(request.inputs[file.sha256])
    run = kind.load()
    _seed(spec.seed, request.threads)
    result = run(spec, JobContext(request, control)) or {}
    # Through JSON and back, so that what cannot be stored fails here, with a traceback.
    checked: dict[str, Any] = json.loads(json.dumps(result, allow_nan=False))
    return checked


def _settle_in(request: Request) -> None:
    """Make this process the job's own: device, folder, output, death with the parent."""
    os.environ.update(request.environment)
    os.chdir(request.folder)
    # Unbuffered, so that the last line before a crash is kept.
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        raw = io.FileIO(descriptor, "w", closefd=False)
        stream = io.TextIOWrapper(raw, "utf-8", errors="replace", write_through=True)
        setattr(sys, name, stream)
    logging.basicConfig(
        level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", force=True
    )
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            set_parent_death_signal = 1
            ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def _seed(seed: int, threads: int) -> None:
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)
        sys.modules["torch"].set_num_threads(threads)


def _describe(error: Exception) -> dict[str, Any]:
    """An exception as the worker stores it: what, why, and whether to try again."""
    names = {cls.__name__ for cls in type(error).__mro__}
    reason = "error"
    if isinstance(error, MemoryError):
        reason = "oom"
    elif "OutOfMemoryError" in names:  # torch.OutOfMemoryError, without importing torch
        reason = "cuda-oom"
    message = (
        str(error) if isinstance(error, PermanentError) else f"{type(error).__name__}: {error}"
    )
    return {
        "reason": reason,
        "message": message,
        "traceback": traceback.format_exc(),
        # A deterministic program fails the same way again; a connection may come back.
        "retry": isinstance(error, ConnectionError | TimeoutError),
    }


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
