"""The inside of a job process: it runs one attempt and tells its worker how that went.

Inputs are local files, outputs go into a folder of its own; `job_context` has the rest of what it
and its worker say to each other.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import io
import json
import logging
import os
import random
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from cvq.errors import PermanentError, TemporaryError
from cvq.kinds import get_kind, make_spec
from cvq.settings import Settings

from .job_context import Control, JobContext, Request, StopRequestedError

EXIT_STOPPED = 75  # EX_TEMPFAIL: asked to stop, to be run again elsewhere
# Of the file system or the network: they may be gone at the next attempt.
_TEMPORARY = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EROFS}

_PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
_LINE_BUFFERED = 1  # _IOLBF of every C library

log = logging.getLogger("cvq.job")


def main(job_file: Path, control_descriptor: int) -> int:
    """Run the attempt that `job_file` describes; return the exit code."""
    request = Request(**json.loads(job_file.read_text()))
    control = Control(control_descriptor, request.expires)
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
        if file.key in request.inputs:
            file.path = Path(request.inputs[file.key])
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
    with contextlib.suppress(OSError, AttributeError, ValueError):
        c = ctypes.CDLL(None)
        if sys.platform == "linux":
            c.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            # A daemon that the job starts stays below it, and so below the fork server.
            c.prctl(PR_SET_CHILD_SUBREAPER, 1)
        # What C code prints is kept line by line, too.
        c.setvbuf(ctypes.c_void_p.in_dll(c, "stdout"), None, _LINE_BUFFERED, 0)
    for note in request.notes:
        log.warning("%s", note)


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
        # A deterministic program fails the same way again; a connection or a disk may come back.
        "retry": isinstance(error, ConnectionError | TimeoutError | TemporaryError)
        or (isinstance(error, OSError) and error.errno in _TEMPORARY),
    }


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
