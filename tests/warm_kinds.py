"""A kind whose jobs are answered many at a time, and misbehave as their numbers say."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from cvq import Answer, Argument, Inference, Kind, Spec
from cvq.errors import PermanentError, TemporaryError

NO_NUMBER, FAULTY, CRASHES, HANGS, PASSES, DRAWS = -1.0, -2.0, -3.0, -4.0, -5.0, -6.0


class DoubleSpec(Spec):
    """Double numbers."""

    numbers: Annotated[list[float], Argument("NUMBER...")] = Field(min_length=1)
    log: str = Field(description="A file that is told of every load and every forward.")
    exact: bool = False


class Doubling(Inference):
    max_batch = 256

    def load(self, model: Any) -> str:
        self._note("load")
        return "loaded"

    def decode(self, model: Any, item: float) -> float:
        if item == NO_NUMBER:
            raise PermanentError("this is no number")
        return item

    def infer(self, model: str, batch: Sequence[float]) -> Iterable[Answer | dict[str, Any]]:
        self._note(f"forward {len(batch)}")
        if FAULTY in batch:
            raise ValueError("it cannot be doubled")
        if CRASHES in batch:
            os.kill(os.getpid(), signal.SIGSEGV)
        if PASSES in batch:
            raise TemporaryError("not now")
        while HANGS in batch:
            time.sleep(0.05)
        return [self._answer(each) for each in batch]

    def _answer(self, number: float) -> Answer | dict[str, Any]:
        row = {"value": 2 * number, "pid": os.getpid()}
        return Answer(row, {"drawn.txt": b"drawn"}) if number == DRAWS else row

    def _note(self, what: str) -> None:
        with Path(self.spec.log).open("a") as file:  # type: ignore[attr-defined]
            file.write(f"{what}\n")


def run(spec: DoubleSpec, ctx: Any) -> dict[str, Any]:
    return {"value": 2 * spec.numbers[0], "pid": os.getpid(), "alone": True}


KINDS = [
    Kind(
        name="double", spec=DoubleSpec, run="warm_kinds:run", summary="Double numbers.",
        inference="warm_kinds:Doubling", items="numbers",
    )
]  # fmt: skip
