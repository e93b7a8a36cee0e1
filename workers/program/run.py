"""`command`: runs a program with the files of its folder, hears it, and keeps what it leaves.

The program's folder is the job's own. It finds in `CVQ_CHECKPOINT_DIR` what an earlier attempt
has saved there, gets SIGTERM where the job is to stop, and reports through `CVQ_REPORTS` or in
lines of its output (`reports.py`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import sys
from pathlib import Path
from typing import Any

from cvq import reporting
from cvq.context import Context
from cvq.context.base import StopRequestedError
from cvq.errors import CvqError, PermanentError, ProgramError
from cvq.folders.archive import unpack
from cvq.kinds.builtin.command import CommandSpec
from cvq.text import one_line

from ..failures import signal_name
from .data import place_data
from .files import Kept, Saved
from .process import Program, ignore_terminations
from .reports import Reports

log = logging.getLogger("cvq.job")

_LONGEST = 200  # characters of a command in a message


def run(spec: CommandSpec, ctx: Context) -> dict[str, Any]:
    """Run the program; return the code that it left with, and how many files were kept."""
    ctx.scratch.mkdir(parents=True, exist_ok=True)
    folder, saves = ctx.scratch / "work", ctx.scratch / "checkpoint"
    before = unpack(spec.workdir.local_path, folder) if spec.workdir else {}
    folder.mkdir(exist_ok=True)
    before |= place_data(spec.data, folder, ctx.cache)
    saved = Saved(saves, ctx, ctx.scratch)
    saved.restore()
    kept = Kept(folder, before, spec.keep, spec.keep_gb)
    pipe = ctx.scratch / "reports"
    environment = program_environment(spec, ctx, pipe=pipe, saves=saves)
    if ctx.job_id:
        ignore_terminations()
    try:
        code, last_words = _run(spec, ctx, saved, folder, environment, pipe)
    except StopRequestedError:
        with contextlib.suppress(PermanentError):  # half of it is no verdict: it goes on later
            kept.publish(ctx)
        raise
    try:
        number = kept.publish(ctx)
    except PermanentError as error:
        if not code:
            raise
        log.error("%s", error)  # what the program has ended with says more
    if code:
        raise _failure(spec, code, last_words)
    return {"exit_code": code, "files_kept": number}


def _run(
    spec: CommandSpec,
    ctx: Context,
    saved: Saved,
    folder: Path,
    environment: dict[str, str],
    pipe: Path,
) -> tuple[int, str]:
    """Run it to its end; the code that it left with, and its last words."""
    reports = Reports(ctx)
    asked = False

    with Program(
        spec.words, folder, environment, pipe,
        hear=reports.take, hear_report=lambda line: reports.take(line, must=True),
    ) as program:  # fmt: skip

        def look() -> None:
            nonlocal asked
            if ctx.stopping and not asked:
                asked = program.terminate()
            elif not asked:
                saved.look()

        code = program.run(look)
        if asked:
            program.terminate_children()
            saved.store()  # which ends the job, where there is something new
            raise StopRequestedError
    if code:
        saved.store()  # for another attempt
    return code, program.last_words.decode("utf-8", "replace")


def program_environment(
    spec: CommandSpec, ctx: Context, *, pipe: Path, saves: Path
) -> dict[str, str]:
    """What the program is given: what the job has, and what was asked for.

    Raises:
        PermanentError: a variable was asked for that the worker does not pass on.
    """
    found = {"PYTHONUNBUFFERED": "1", **os.environ}  # lines of its log come as they are written
    for name, value in spec.env.items():
        if value is not None:
            found[name] = value
        elif name not in found:
            raise PermanentError(
                f"the worker passes no {name} on: set it where the worker is started, and name it "
                f"there in CVQ_PASS_ENV"
            )
    if "PATH" not in spec.env:
        found["PATH"] = _with_own_python(found.get("PATH", os.defpath))
    return found | {
        reporting.REPORTS: str(pipe),
        reporting.CHECKPOINT_DIR: str(saves),
        reporting.ATTEMPT: str(ctx.attempt),
        reporting.SEED: str(spec.seed),
    }


def _with_own_python(path: str) -> str:
    """The folders of programs, that of the worker's own Python first where it is none of them."""
    own = str(Path(sys.executable).parent)
    return path if own in path.split(os.pathsep) else f"{own}{os.pathsep}{path}"


def _failure(spec: CommandSpec, code: int, last_words: str) -> CvqError:
    shown = one_line(shlex.join(spec.words), _LONGEST)
    how = f"left with exit code {code}"
    if code < 0:
        how = f"was killed by signal {signal_name(-code)}"
    said = f": {one_line(last_words, _LONGEST)}" if last_words else ""
    return ProgramError(code, f"`{shown}` {how}{said}")
