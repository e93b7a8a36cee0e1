"""The storm's job kind: it counts its effects in a file that the system knows nothing of.

One line of the ledger is one effect, written with one `write` to a file opened with O_APPEND: the
order of the lines is the order of the effects, whoever wrote them.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable
from typing import Any, Literal, get_args

from pydantic import Field

from cvq import Kind, Spec

# What a job does besides its steps: nothing, start a daemon that holds its output, move into the
# process group of a child, fork children that report, freeze and return, or give a large result.
Trait = Literal["plain", "daemon", "group", "fork", "large"]
TRAITS: tuple[Trait, ...] = get_args(Trait)
_PADDING = 200_000  # characters: more than goes in one message


class StormSpec(Spec):
    """Do some steps and write each into a ledger."""

    ledger: str = Field(description="File that the effects are appended to; it must exist.")
    number: int = Field(ge=0, description="Which of the storm's jobs this is.")
    steps: int = Field(ge=1, le=10_000, description="Steps to do.")
    pause: float = Field(ge=0, le=60, description="Seconds that a step takes.")
    trait: Trait = Field("plain", description="What it does besides.")


def run(spec: StormSpec, ctx: Any) -> dict[str, Any]:
    """Do the steps; return which process did them."""
    # Not from cvq: two processes that were given the same attempt must be told apart.
    token = uuid.uuid4().hex[:12]
    ledger = os.open(spec.ledger, os.O_WRONLY | os.O_APPEND)  # never made anew after the storm

    def effect(act: str, step: int = 0) -> None:
        line = {
            "time": time.time_ns(),
            "clock": time.monotonic_ns(),
            "number": spec.number,
            "job": ctx.job_id,
            "attempt": ctx.attempt,
            "token": token,
            "pid": os.getpid(),
            "act": act,
            "step": step,
        }
        os.write(ledger, json.dumps(line).encode() + b"\n")

    effect("begin")
    if _leave_the_path(spec.trait, ctx, spec.steps):
        return {"number": -1, "token": "of a child"}  # which nobody must ever see
    for step in range(1, spec.steps + 1):
        time.sleep(spec.pause)
        effect("step", step)
        print(output_line(spec.number, step, spec.steps))
        ctx.metrics(step, done=step / spec.steps)
        ctx.progress(step, spec.steps)
    with ctx.artifact("result.txt") as path:
        path.write_text(result_text(spec.number, spec.steps, token))
    ctx.confirm()  # what must not happen twice comes after this
    effect("end")
    return {"number": spec.number, "token": token, **padding(spec.trait)}


def padding(trait: str) -> dict[str, str]:
    """What makes a result large."""
    return {"padding": "x" * _PADDING} if trait == "large" else {}


def _leave_the_path(trait: Trait, ctx: Any, steps: int) -> bool:
    """Start what must neither outlive the job nor hurt it; True in a child that is to return."""
    if trait == "daemon":
        subprocess.Popen(["sleep", "3600"], start_new_session=True)
    elif trait == "group":
        child = _forked(lambda: os.setpgid(0, 0))
        os.setpgid(child, child)
        os.setpgid(0, child)
    elif trait == "fork":
        child = _forked(lambda: (ctx.metrics(0, of_a_child=1.0), ctx.progress(0, steps)))
        os.kill(child, signal.SIGSTOP)
        os.kill(child, signal.SIGCONT)
        return os.fork() == 0
    return False


def _forked(first: Callable[[], Any]) -> int:
    """A child that does something and then stays."""
    child = os.fork()
    if child == 0:
        first()
        time.sleep(3600)
        os._exit(0)
    return child


def output_line(number: int, step: int, steps: int) -> str:
    """What a step prints."""
    return f"job {number} of the storm: step {step} of {steps}"


def result_text(number: int, steps: int, token: str) -> str:
    """What the result must be: a chain of digests over all steps, and who computed it."""
    digest = b""
    for step in range(1, steps + 1):
        digest = hashlib.sha256(digest + output_line(number, step, steps).encode()).digest()
    return f"{digest.hex()}\n{token}\n"


KIND = Kind(
    name="storm",
    spec=StormSpec,
    run="benchmarks.storm.kind:run",
    summary="Count effects outside of the system: for the storm of kills.",
)
