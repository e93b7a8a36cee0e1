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

from ..attempt.background import Background
from ..attempt.execution import Site
from ..process.exit_status import ProcessEnd
from ..process.job_process import Handler, JobProcess
from ..protocol import WARM, BatchRequest, Serve, Served, WarmRequest

log = logging.getLogger("cvq.worker")

TICK_S = 0.1
_PING_S = 0.5
_STARTS = 3  # processes that may die before one waits for work


class WarmProcess:
    """Answers micro-batches for one slot; for the slot's thread alone.

    Attributes:
        resident: batch keys whose model is loaded.
        answered_s: seconds that its last micro-batch took; None before it had one.
    """

    def __init__(self, slot: Slot, site: Site) -> None:
        self.resident: frozenset[str] = frozenset()
        self.answered_s: float | None = None
        self.folder = scratch_of(site.settings.home, site.worker) / f"warm-{uuid.uuid4().hex[:8]}"
        self._slot, self._site = slot, site
        self._process: JobProcess | None = None
        self._started_at = 0.0
        self._pinged_at = 0.0
        self._memory = 0
        self._file: Path | None = None

    # ------------------------------------------------------------ start and end

    def ensure(self, watch: Callable[[], bool]) -> None:
        """Have a process that waits for work.

        Args:
            watch: called a few times a second; False where nobody wants it any more.

        Raises:
            TemporaryError: it cannot be started.
        """
        if self.alive:
            self.read(0)  # it may have died while nobody heard it
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
        """The process serves many jobs at a time: what it prints is no single one's."""

        def write(line: bytes) -> None:
            if line:
                log.info(
                    "warm process of %s: %s", self._slot.device, line.decode(errors="replace")
                )

        return write

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
        return self._process is not None and not self._process.gone

    @property
    def is_worn(self) -> bool:
        """Whether it should be replaced: it has run for long, or holds too much memory."""
        settings = self._site.settings
        hours = (time.monotonic() - self._started_at) / 3600
        return self.alive and (hours > settings.warm_hours or self._memory > settings.warm_memory)

    # ------------------------------------------------------------ a micro-batch

    def serve(self, request: BatchRequest, handler: Handler) -> None:
        """Have a micro-batch answered; what is said of its attempts goes to the handler."""
        assert self._process is not None
        self._file = Path(request.folder) / "batch.json"
        self._file.parent.mkdir(parents=True, exist_ok=True)
        request.write(self._file)
        for job in request.jobs:
            self._process.register(AttemptId(job.job_id, job.attempt), handler)
        self._process.loaded = self._process.served = None
        self._process.tell(Serve(str(self._file)))

    @property
    def loaded(self) -> bool:
        """Whether it has the model of the micro-batch that it was given last."""
        process = self._process
        told = None if process is None else process.loaded
        return told is not None and told.file == str(self._file)

    def forget(self, request: BatchRequest) -> None:
        """The micro-batch is over."""
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
        self.resident, self._memory = frozenset(served.resident), served.memory
        return served

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
