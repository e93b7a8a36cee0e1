"""A kind whose inference does to its process what its items say."""

from __future__ import annotations

import logging
import math
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field

from cvq import Answer, Argument, Inference, Kind, Spec


class RudeSpec(Spec):
    """Do as the words say."""

    words: Annotated[list[str], Argument("WORD...")] = Field(min_length=1)
    log: str = Field(description="A file that is told of every load.")
    load: str = "well"


class Rude(Inference):
    def items(self, spec: Any) -> Iterable[Any]:
        if "uncountable" in spec.words:
            raise ValueError("nobody can count these")
        return super().items(spec)

    def load(self, model: Any) -> str:
        spec: Any = self.spec
        with Path(spec.log).open("a") as file:
            file.write("load\n")
        if spec.load == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        while spec.load == "hang":
            time.sleep(0.05)
        return "loaded"

    def decode(self, model: str, item: str) -> str:
        if item == "exit in decode":
            sys.exit("not this one")
        return item

    def infer(self, model: str, batch: Sequence[str]) -> Any:
        for word in batch:
            if word in _BATCHES:
                return _BATCHES[word](batch)
        for word in {*batch} & _ACTS.keys():
            _ACTS[word]()
        return [_ANSWERS.get(word, lambda: {"said": "well"})() for word in batch]


def _fork() -> None:
    if child := os.fork():
        os.waitpid(child, 0)
    else:
        _ANSWERS["fork"] = lambda: {"said": "I am a child"}


def _flood() -> None:
    for number in range(20_000):
        print(f"line {number}")


def _interrupt(batch: Sequence[str]) -> Iterator[Any]:
    raise KeyboardInterrupt


def _shout() -> None:
    os.write(1, b"from C\n")
    logging.getLogger("rude").warning("a warning")
    sys.stdout.write("and no end of it")


_BATCHES: dict[str, Any] = {
    "too few": lambda batch: [{}] * (len(batch) - 1),
    "too many": lambda batch: [{}] * (len(batch) + 1),
    "no dicts": lambda batch: [1] * len(batch),
    "nothing": lambda batch: None,
    "sys.exit": lambda batch: sys.exit("no licence"),
    "interrupt": _interrupt,
    "os._exit": lambda batch: os._exit(0),
    "close": lambda batch: os.closerange(3, 256),
}
_ACTS: dict[str, Callable[[], None]] = {
    "fork": _fork,
    "threads": lambda: threading.Thread(target=time.sleep, args=(3600,)).start(),
    "flood": _flood,
    "shout": _shout,
    "dtype": lambda: torch.set_default_dtype(torch.float64),
}
_ANSWERS: dict[str, Any] = {
    "odd": lambda: {"nan": math.nan, "nul": "a\0b", "half": "\ud800", 1: 2**100},
    "files": lambda: Answer(
        {"large": "x" * 100_000},
        {"result.json": b"{}", "a/b": b"first", "a_b": b"second", "figures.json": b"[]"},
    ),
    "no file": lambda: Answer({}, {"text": "not bytes"}),  # type: ignore[dict-item]
}


class Calm(Inference):
    """Says how its process is."""

    def load(self, model: Any) -> None:
        random.random()

    def infer(self, model: None, batch: Sequence[str]) -> Any:
        told = {"pid": os.getpid(), "dtype": str(torch.get_default_dtype())}
        return [{**told, "random": random.random()} for _ in batch]


def run(spec: RudeSpec, ctx: Any) -> dict[str, Any]:
    return {"alone": spec.words}


KINDS = [
    Kind(
        name="rude", spec=RudeSpec, run="rude_kinds:run", summary="Do as the words say.",
        inference="rude_kinds:Rude", items="words",
    ),
    Kind(
        name="calm", spec=RudeSpec, summary="Say how the process is.",
        inference="rude_kinds:Calm", items="words",
    ),
]  # fmt: skip
