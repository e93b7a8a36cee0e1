"""The inside of a job process: it runs one attempt and tells its worker how that went.

Inputs are local files, outputs go into a folder of its own; `protocol` has what it and its worker
say to each other.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import logging
import os
import sys
import traceback
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from cvq.context.base import StopRequestedError
from cvq.errors import PermanentError
from cvq.ids import AttemptId
from cvq.kinds import get_kind, make_spec
from cvq.kinds.running import run_kind
from cvq.pictures import images
from cvq.settings import Settings

from .. import results
from ..failures import Failure, describe
from ..prctl import die_with_parent
from ..protocol import EXIT_STOPPED, WARM, Error, Request, Result, Stopped
from .context import JobContext
from .control import Control
from .sockets import JobSockets

_SHORT = 2_000  # characters of a message that fit into one event, whatever they are
_LINE_BUFFERED = 1  # _IOLBF of every C library

log = logging.getLogger("cvq.job")


def main(job_file: Path, events: int, pulse: int) -> int:
    """Run the attempt that `job_file` describes; return the exit code.

    Args:
        job_file: a `Request` as JSON.
        events: descriptor of the socket that carries what the job says.
        pulse: of the one that carries beats and their answers.
    """
    die_with_parent()
    if job_file.name == WARM:
        from .warm import serve

        return serve(job_file, events, pulse)
    request = Request.read(job_file)
    attempt = request.attempt_id
    control = Control(attempt, events, pulse)
    control.begin()
    code = 1
    try:
        prepare_process(Path(request.folder), request.environment)
        for note in request.notes:
            log.warning("%s", note)
        encoded = results.write(_run(request, control), Path(request.folder))
    except StopRequestedError:
        code = EXIT_STOPPED
        if control.is_own:
            control.send(Stopped(*attempt))
    except SystemExit as error:
        code = _exit_code(error)
        if control.is_own and not isinstance(error.code, int | None):
            send_failure(control, attempt, describe(error))
    except BaseException as error:
        if control.is_own:
            send_failure(control, attempt, describe(error))
        else:
            traceback.print_exc()
    else:
        code = 0
        if control.is_own:
            send_result(control, attempt, encoded)
    if not control.is_own:
        os._exit(code)  # a child that the job has forked: the job itself goes on
    return code


def send_result(control: JobSockets, attempt: AttemptId, encoded: bytes | None) -> None:
    """Say what came out, as `results.write` has encoded it."""
    value = None if encoded is None else json.loads(encoded)
    control.send(Result(*attempt, value, in_file=encoded is None))


def send_failure(control: JobSockets, attempt: AttemptId, failure: Failure) -> None:
    """Say that an attempt has failed."""
    event = Error(*attempt, **asdict(failure))
    try:
        control.send(event)
    except PermanentError:  # too long, in characters of several bytes each
        control.send(replace(event, message=event.message[:_SHORT], traceback=None))


def _exit_code(error: SystemExit) -> int:
    if error.code is None:
        return 0
    return error.code & 0xFF if isinstance(error.code, int) else 1


def _run(request: Request, control: Control) -> Any:
    # The job's own settings: neither the worker's environment nor `cvq.toml` is the job's to see.
    kind = get_kind(request.kind, Settings(kinds=request.kinds))
    spec = make_spec(kind, request.spec)
    files = zip(spec.inputs(), request.inputs, strict=True)
    spec = spec.with_inputs(file.placed(staged) for file, staged in files)
    images.limit_pixels(request.max_pixels)
    # And with it PyTorch, where the kind needs it.
    kind.load(spec, in_batch=request.in_batch)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(request.threads)
    context = JobContext(request, control, kind.goals)
    return run_kind(kind, spec, context, in_batch=request.in_batch)


def prepare_process(folder: Path, environment: Mapping[str, str]) -> None:
    """Make this process the job's own: device, folder, output."""
    os.environ.update(environment)
    os.chdir(folder)
    # Unbuffered, so that the last line before a crash is kept.
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        raw = io.FileIO(descriptor, "w", closefd=False)
        stream = io.TextIOWrapper(raw, "utf-8", errors="replace", write_through=True)
        setattr(sys, name, stream)
    logging.basicConfig(
        level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", force=True
    )
    with contextlib.suppress(OSError, AttributeError, ValueError):
        c = ctypes.CDLL(None)
        # What C code prints is kept line by line, too.
        c.setvbuf(ctypes.c_void_p.in_dll(c, "stdout"), None, _LINE_BUFFERED, 0)
    # It says of itself that it has found the fonts, which is no word of the job's.
    logging.getLogger("matplotlib").setLevel(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
