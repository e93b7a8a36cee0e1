"""The storm's small jobs: an item each, answered many at a time by a model that stays loaded.

An item says what it does to the process that answers it. It has no effect but its answer, as an
inference may be run anew at any time.
"""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from cvq import Answer, Argument, Inference, Kind, Spec

# What healthy items leave: an answer, a file beside it, or a large one.
HEALTHY = ("plain", "file", "large")
# How an attempt ends by its own fault: it raises, crashes, or takes longer than it may. One that
# is stuck has all the time that there is, until it is cancelled.
CAUSES = {"faulty": "error", "crash": "signal:SEGV", "hang": "timeout"}
STUCK = "stuck"
POISONS = (*CAUSES, STUCK)
_PADDING = 200_000  # characters: more than goes in one message


class ItemSpec(Spec):
    """Answer items."""

    asked: Annotated[list[str], Argument("ITEM...")] = Field(
        min_length=1, description="Each a number and a temper."
    )


class Answers(Inference):
    """Digests of numbers."""

    def load(self, model: Any) -> str:
        """Nothing but its place in memory."""
        return "loaded"

    def decode(self, model: str, item: str) -> tuple[int, str]:
        """The number, and the temper."""
        number, temper = item.split()
        return int(number), temper

    def infer(self, model: str, batch: Sequence[tuple[int, str]]) -> list[Answer]:
        """What is expected of each, unless one of them is a poison."""
        time.sleep(0.02)
        tempers = {temper for _, temper in batch}
        if "faulty" in tempers:
            raise ValueError("an item is faulty")
        if "crash" in tempers:
            os.kill(os.getpid(), signal.SIGSEGV)
        while tempers & {"hang", STUCK}:
            time.sleep(0.05)
        return [_answer(*each) for each in batch]


def _answer(number: int, temper: str) -> Answer:
    files = {"digest.txt": digest(number).encode()} if temper == "file" else {}
    return Answer(expected(number, temper), files)


def expected(number: int, temper: str) -> dict[str, Any]:
    """The answer that an item must get."""
    padding = {"padding": "x" * _PADDING} if temper == "large" else {}
    return {"number": number, "digest": digest(number), **padding}


def digest(number: int) -> str:
    """What only who has got this number can say."""
    return hashlib.sha256(str(number).encode()).hexdigest()


def run(spec: ItemSpec, ctx: Any) -> dict[str, Any]:
    """In a process of its own no item is run."""
    raise NotImplementedError


KIND = Kind(
    name="storm-item",
    spec=ItemSpec,
    run="benchmarks.storm.items:run",
    summary="Answer items many at a time: for the storm of kills.",
    inference="benchmarks.storm.items:Answers",
    items="asked",
)
