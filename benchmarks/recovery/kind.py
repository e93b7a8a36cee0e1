"""A job kind that ends in every way that a job can end, for the figures."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from pydantic import Field

from cvq import Kind, Spec
from cvq.errors import PermanentError


class MishapSpec(Spec):
    """End in one way."""

    how: str = Field(description="Which way.")
    number: int = Field(0, ge=0, description="What the last line says.")
    cgroup: str | None = Field(None, description="A cgroup with little memory.")


def run(spec: MishapSpec, ctx: Any) -> dict[str, Any]:
    """End."""
    match spec.how:
        case "exit-0":
            os._exit(0)
        case "exit-3":
            os._exit(3)
        case "sys-exit":
            sys.exit(7)
        case "null-pointer":
            ctypes.string_at(0)
        case "abort":
            os.abort()
        case "fpe":
            os.kill(os.getpid(), signal.SIGFPE)
        case "term":
            os.kill(os.getpid(), signal.SIGTERM)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exception":
            raise ZeroDivisionError("a mistake in the model")
        case "permanent":
            raise PermanentError("this input cannot be used")
        case "memory-error":
            bytearray(1 << 60)
        case "kernel-oom":
            assert spec.cgroup
            Path(spec.cgroup, "cgroup.procs").write_text(str(os.getpid()))
            time.sleep(2)  # so that the worker sees where the process is
            print(len([os.urandom(1 << 20) for _ in range(4000)]))
        case "cuda-oom":
            import torch

            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        case "no-file":
            with ctx.artifact("result.png"):
                pass
        case "stopped":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "holding-the-lock":  # a deadlock in C code, Python's own lock in hand
            ctypes.PyDLL(None).sleep(100_000)
        case "family":
            subprocess.Popen(["sleep", "100000"])
            subprocess.Popen(["sleep", "100000"], start_new_session=True)
            print("ready")
            time.sleep(100_000)
        case "busy":
            for step in range(10_000_000):
                ctx.progress(step, 10_000_000)
                time.sleep(0.05)
        case "last-line-exit":
            print(f"the last line of {spec.number}")
            os._exit(9)
        case "last-line-kill":
            print(f"the last line of {spec.number}", end="")
            os.kill(os.getpid(), signal.SIGKILL)
    return {}


KIND = Kind(
    name="mishap",
    spec=MishapSpec,
    run="benchmarks.recovery.kind:run",
    summary="End in one way: for the figures on recovery.",
)
