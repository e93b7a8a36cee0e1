"""A slot's warm process: started when the first micro-batch comes, replaced when it has gone."""

from __future__ import annotations

import json
import logging
import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from cvq.devices import Slot
from cvq.errors import TemporaryError
from cvq.ids import AttemptId
from cvq.presence import scratch_of
from cvq.settings import INSIDE_JOB
from cvq.text import join

from ..attempt.background import Background
from ..attempt.execution import Site
from ..attempt.reports import text_of
from ..process.exit_status import ProcessEnd
from ..process.job_process import Handler, JobProcess
from ..protocol import WARM, BatchRequest, Serve, Served, WarmRequest
from .model_files import ModelFiles

log = logging.getLogger("cvq.worker")

TICK_S = 0.1
_PING_S = 0.5
_STARTS = 3  # processes that may die before one waits for work
_MOST_TOLD = 100  # lines that a process says while it answers no job


class WarmProcess:
    """Answers micro-batches for one slot; for the slot's thread alone, but for `is_worn`,
    `resident`, `models` and `folder`.

    Attributes:
        resident: batch keys whose model is loaded.
        answered: the batch key of the last micro-batch of which all was answered, and the seconds
            that this took.
        models: the copies of models that it may read.
    """

    def __init__(self, slot: Slot, site: Site) -> None:
        self.resident: frozenset[str] = frozenset()
        self.answered: tuple[str | None, float] = None, 0.0
        self.folder = scratch_of(site.settings.home, site.worker) / f"warm-{uuid.uuid4().hex[:8]}"
        self.models = ModelFiles(self.folder / "models")
        self._slot, self._site = slot, site
        self._process: JobProcess | None = None
        self._started_at = 0.0
        self._pinged_at = 0.0
        self._memory = 0
        self._crowded = False
        self._changed_by: str | None = None  # a kind
        self._file: Path | None = None
        self._said: Callable[[str, bytes], None] | None = None
        self._told = 0  # lines that belong to no job
        self._kind = ""  # of the last micro-batch

    # ------------------------------------------------------------ start and end

    def ensure(self, kind: str, watch: Callable[[], bool]) -> None:
        """Have a process that waits for work of a kind.

        Args:
            kind: one that has met no other's changes of the process's settings.
            watch: called a few times a second; False where nobody wants it any more.

        Raises:
            TemporaryError: it cannot be started.
        """
        if self.alive:
            self.read(0)  # it may have died while nobody heard it
        if self._changed_by not in (None, kind):
            self._end()
        for _ in range(_STARTS):
            if self.alive:
                return
            self._end()
            if not self._start(watch):
                return
        raise TemporaryError(f"{_STARTS} warm processes ended before they were up")

    def _start(self, watch: Callable[[], bool]) -> bool:
        """Start a process and wait until it is up; return whether somebody still wants one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / WARM
        file.write_text(json.dumps(asdict(self._request())))
        process = JobProcess(self._site.launcher, output=self._log_to)
        launch = Background(lambda: process.launch(file), "cvq-launch")
        launch.start()
        self._process, self._started_at = process, time.monotonic()
        self._memory, self._crowded, self._changed_by, self._told = 0, False, None, 0
        while not process.gone and not process.runs:
            process.read(TICK_S, paused=False)
            if process.pid is None:
                if launch.error is not None:
                    raise TemporaryError(f"no process could be started: {launch.error}")
                process.end_frozen_server()
            if not watch():
                return False
        return True

    def _request(self) -> WarmRequest:
        settings, slot = self._site.settings, self._slot
        cache = settings.home / "cache"
        cache.mkdir(parents=True, exist_ok=True)
        return WarmRequest(
            folder=str(self.folder),
            cache=str(cache),
            device=slot.kind,
            threads=slot.threads,
            environment={**slot.environment(gpu=True), INSIDE_JOB: "warm"},
            kinds=settings.kinds,
            max_pixels=settings.max_pixels,
            models=settings.warm_models,
        )

    def _log_to(self, stream: str) -> Callable[[bytes], None]:
        def write(line: bytes) -> None:
            if self._said is not None:
                self._said(stream, line)
            else:
                self._log(line)

        return write

    def _log(self, line: bytes) -> None:
        """Tell what was said while no job was answered."""
        self._told += bool(line)
        if line and self._told < _MOST_TOLD:
            log.info("warm process of %s: %s", self._slot.device, text_of(line))
        elif self._told == _MOST_TOLD:
            log.info("warm process of %s: what else it says is left out", self._slot.device)
            self._told += 1

    def close(self) -> None:
        """End the process; it holds nothing that would be missed."""
        self._end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self) -> None:
        """End the process, and leave what lies in its folder to whoever is at it still."""
        process, self._process = self._process, None
        self.resident = frozenset()
        if process is not None:
            process.kill()
            deadline = time.monotonic() + 2.0
            while not process.gone and time.monotonic() < deadline:
                process.read(TICK_S, paused=False)
            if not process.gone:
                process.kill_directly()
            process.close()

    @property
    def alive(self) -> bool:
        """Whether there is a process."""
        process = self._process  # which another thread may take away
        return process is not None and not process.gone

    @property
    def is_worn(self) -> bool:
        """Whether it should be replaced: it has run for long, or holds too much."""
        settings = self._site.settings
        hours = (time.monotonic() - self._started_at) / 3600
        too_large = self._memory > settings.warm_memory
        return self.alive and (hours > settings.warm_hours or too_large or self._crowded)

    # ------------------------------------------------------------ a micro-batch

    def serve(
        self, request: BatchRequest, handler: Handler, said: Callable[[str, bytes], None]
    ) -> None:
        """Have a micro-batch answered.

        Args:
            request: what is to be answered.
            handler: takes what is said of its attempts.
            said: takes a stream and a line that is printed meanwhile.
        """
        assert self._process is not None
        self._file = Path(request.folder) / "batch.json"
        self._file.parent.mkdir(parents=True, exist_ok=True)
        request.write(self._file)
        for job in request.jobs:
            self._process.register(AttemptId(job.job_id, job.attempt), handler)
        self._process.loaded = self._process.served = None
        self._said, self._kind = said, request.kind
        self._process.tell(Serve(str(self._file)))

    @property
    def loaded(self) -> bool:
        """Whether it has the model of the micro-batch that it was given last."""
        process = self._process
        told = None if process is None else process.loaded
        return told is not None and told.file == str(self._file)

    def forget(self, request: BatchRequest) -> None:
        """The micro-batch is over."""
        self._said = None
        if self._process is not None:
            for job in request.jobs:
                self._process.forget(AttemptId(job.job_id, job.attempt))

    def read(self, seconds: float = TICK_S) -> Served | None:
        """Hear the process for at most so long; what it says when all is answered."""
        process = self._process
        assert process is not None
        process.read(seconds, paused=False)
        now = time.monotonic()
        if now - self._pinged_at > _PING_S:
            self._pinged_at = now
            process.ping()
        if process.gone:
            process.drain()
        served = process.served
        if served is None or served.file != str(self._file):
            return None
        process.drain_output()
        self._note(served)
        return served

    def _note(self, served: Served) -> None:
        self.resident, self._memory = frozenset(served.resident), served.memory
        self._crowded = served.crowded
        if served.changed and self._changed_by is None:
            self._changed_by = self._kind
            what = join(served.changed)
            log.warning("kind %s sets %s: no other kind gets its process", self._kind, what)

    def frozen(self) -> float | None:
        """For how long it has been frozen, or None where it is not."""
        return None if self._process is None else self._process.frozen(self._site.settings.lease)

    def kill(self) -> None:
        """Kill the process at once."""
        if self._process is not None and not self._process.gone:
            self._process.kill_directly()

    @property
    def end(self) -> ProcessEnd | None:
        """How it ended; None where it never ran."""
        return None if self._process is None else self._process.end
