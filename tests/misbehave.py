"""Job kinds for the tests, loaded by CVQ_KINDS: each misbehaves in one way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from cvq import Kind, Spec
from cvq.errors import PermanentError


class MisbehaveSpec(Spec):
    """What to do wrong."""

    how: Literal[
        "segv", "exit", "raise", "permanent", "memory", "hang", "deaf", "flood", "no-file",
        "last-words", "child", "nan", "resume",
    ] = Field("raise", description="What to do wrong.")  # fmt: skip
    lines: int = 3
    marker: str | None = None


def run(spec: MisbehaveSpec, ctx: Any) -> dict[str, Any]:
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
        case "nan":
            ctx.metrics(1, loss=float("nan"), good=1.0)
            return {"value": float("nan")}
    return {"lines": spec.lines}


KIND = Kind(
    name="misbehave", spec=MisbehaveSpec, run="misbehave:run", summary="Misbehave in one way."
)
