"""Job kinds for the tests, loaded by CVQ_KINDS: each misbehaves in one way."""

from __future__ import annotations

import ctypes
import logging
import os
import random
import resource
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from cvq import Kind, Spec
from cvq.errors import PermanentError, TemporaryError
from cvq.inputs.files import InputFile

FREE_STEPS = 10


class MisbehaveSpec(Spec):
    """What to do wrong."""

    how: Literal[
        "segv", "exit", "raise", "permanent", "memory", "hang", "deaf", "flood", "no-file",
        "last-words", "child", "daemon", "nan", "freeze", "kernel-oom", "cuda-oom", "killed",
        "connection", "temporary", "chatter", "steps", "python",
    ] = Field("raise", description="What to do wrong.")  # fmt: skip
    lines: int = 3
    pause: float = 0.02
    gate: str | None = Field(
        None, description="A file without which an attempt counts only `FREE_STEPS` steps."
    )
    largest: int | None = Field(None, description="Bytes that a file may have: a full disk.")
    cgroup: str | None = None
    marker: str | None = None
    code: str = Field("", description="Python, for the way `python`; `r` is the result.")
    file: InputFile | None = Field(None, description="An input.")


def run(spec: MisbehaveSpec, ctx: Any) -> Any:
    if spec.marker:
        with Path(spec.marker).open("a") as file:
            file.write(f"{os.getpid()}\n")
    match spec.how:
        case "segv":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "exit":
            os._exit(3)
        case "raise":
            raise RuntimeError("it went wrong")
        case "permanent":
            raise PermanentError("this picture cannot be painted")
        case "memory":
            raise MemoryError
        case "hang":
            for step in range(10_000):
                ctx.progress(step, 10_000)
                time.sleep(0.02)
        case "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            print("deaf", flush=True)
            time.sleep(1000)
        case "flood":
            for number in range(spec.lines):
                print(f"line {number}")
        case "no-file":
            with ctx.artifact("nothing.png"):
                pass
        case "last-words":
            print("the last line", end="")
            print("and on stderr", file=sys.stderr)
            os._exit(9)
        case "child":
            process = subprocess.Popen(["sleep", "1000"])
            print(f"child {process.pid}", flush=True)
            time.sleep(1000)
        case "daemon":
            process = subprocess.Popen(["sleep", "1000"], start_new_session=True)
            print(f"child {process.pid}", flush=True)
            time.sleep(1000)
        case "freeze":
            print("about to freeze")
            os.kill(os.getpid(), signal.SIGSTOP)
        case "kernel-oom":
            assert spec.cgroup
            assert spec.gate
            Path(spec.cgroup, "cgroup.procs").write_text(str(os.getpid()))
            print("moved", flush=True)
            while not Path(spec.gate).exists():
                time.sleep(spec.pause)
            hoard = [bytearray(os.urandom(1 << 20)) for _ in range(1000)]
            print(len(hoard))
        case "cuda-oom":
            raise OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        case "killed":
            print("before the kill", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        case "connection":
            raise ConnectionResetError("the data server hung up")
        case "temporary":
            raise TemporaryError("the licence server is away")
        case "chatter":
            warnings.warn("a warning", stacklevel=1)
            logging.getLogger("model").info("a log record")
            ctypes.CDLL(None).printf(b"a line from C\n")
            print("a printed line")
            os._exit(9)
        case "steps":
            return count(spec, ctx)
        case "python":
            names: dict[str, Any] = {"ctx": ctx, "spec": spec, "r": {}}
            exec(spec.code, names)
            return names["r"]
        case "nan":
            for step in (1, 2):
                ctx.metrics(step, loss=float("nan"), good=1.0)
            return {"value": float("nan")}
    return {"lines": spec.lines}


def count(spec: MisbehaveSpec, ctx: Any) -> dict[str, Any]:
    """Count, resumably, and say each step; the sum of the drawn numbers tells of every step."""
    if spec.largest is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (spec.largest, spec.largest))
    found = ctx.resume()
    begun, total = (found.step, found.state["total"]) if found else (0, 0.0)
    for step in range(begun + 1, spec.lines + 1):
        time.sleep(spec.pause)
        while step > begun + FREE_STEPS and spec.gate and not Path(spec.gate).exists():
            if ctx.checkpoint_due():  # where it leaves when it is asked to
                ctx.checkpoint(step - 1, total=total)
            time.sleep(spec.pause)
        total += random.random()
        print(f"step {step}")
        ctx.metrics(step, total=total)
        ctx.progress(step, spec.lines)
        # What a checkpoint costs on this machine decides nothing where a test counts them.
        if spec.gate or ctx.checkpoint_due():
            ctx.checkpoint(step, total=total)
    return {"total": total}


class OutOfMemoryError(RuntimeError):
    """Has the name of PyTorch's own, which no machine without a GPU raises."""


KIND = Kind(
    name="misbehave", spec=MisbehaveSpec, run="misbehave:run", summary="Misbehave in one way."
)
