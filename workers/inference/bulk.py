"""A job whose items are answered by a runner, from its items to its result.

Output:   a job of one item has its answer for a result, and leaves the files of that. One with
          shards leaves `rows.parquet`: see `table.py`. One with several items leaves `rows.json`,
          and the files of its answers.

A shard is small enough to begin anew: there is no checkpoint.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter, deque
from collections.abc import Iterator
from itertools import islice
from pathlib import PurePath
from typing import Any

from cvq.context import Context
from cvq.errors import PermanentError, TemporaryError
from cvq.inference import Answer, Inference
from cvq.inputs.images import ImagesFile
from cvq.kinds.kind import Kind, has_shards
from cvq.kinds.running import seed_generators
from cvq.kinds.spec import Spec
from cvq.row_names import FAILED, FEW, ROWS, ROWS_IN, TABLE
from cvq.text import count

from ..failures import Failure
from .loading import load_runner, model_of
from .runner import Runner
from .table import Table

log = logging.getLogger("cvq.job")

_TOLD_EVERY_S = 0.1
_MOST_LOGGED = 20  # failures, in full
_MOST_ROWS = 100  # in a result


def run(kind: Kind, spec: Spec, ctx: Context) -> dict[str, Any]:
    """Answer a job's items in its own process; returns its result.

    Raises:
        PermanentError: the model cannot be used, a shard is damaged, or no item has an answer.
        TemporaryError: no item has an answer, and another attempt may find one.
        MissingExtraError: there is a shard, and pyarrow is not installed.
    """
    ctx.cache.mkdir(parents=True, exist_ok=True)
    with load_runner(kind, spec, ctx.device, scratch=ctx.cache) as runner:
        seed_generators(spec.seed)  # as on a warm slot, where the model is loaded already
        return answer(runner, spec, ctx)


def answer(runner: Runner, spec: Spec, ctx: Context) -> dict[str, Any]:
    """Answer a job's items on a loaded model; returns its result.

    Raises:
        PermanentError, TemporaryError, MissingExtraError: as for `run`, but for the model.
    """
    item = only_item(runner.inference, spec)
    if item is not None:
        [found] = runner.answer(item)
        if isinstance(found, Failure):
            raise error_of(found)
        write_files(found, ctx)
        return result_of(found, runner)
    tally = _Tally(runner)
    if not has_shards(spec):
        return _in_files(tally, spec, ctx)
    with ctx.artifact(TABLE) as path, Table(path) as table:
        for name, found in tally.over(spec, ctx):
            table.add(name, found)
    return tally.result(spec)


def only_item(inference: Inference, spec: Spec) -> tuple[Any] | None:
    """The item of a job that has just one, and no shard."""
    if has_shards(spec):
        return None
    found = list(islice(inference.items(spec), 2))
    return (found[0],) if len(found) == 1 else None


def result_of(found: Answer, runner: Runner) -> dict[str, Any]:
    """The result of a job with just one answer."""
    notes = [*getattr(runner.model, "warnings", ()), *found.notes]
    return {**found.row, **({"warnings": notes} if notes else {})}


def error_of(failure: Failure, message: str | None = None) -> PermanentError | TemporaryError:
    """What a job is to fail with where an item has; by default with the item's message."""
    of = TemporaryError if failure.retry else PermanentError
    return of(message or failure.message)


def _in_files(tally: _Tally, spec: Spec, ctx: Context) -> dict[str, Any]:
    """Answer few items, in JSON and with a file for each that an answer has."""
    rows = []
    for number, (name, found) in enumerate(tally.over(spec, ctx), 1):
        rows.append(row_of(name, found))
        if isinstance(found, Answer):
            write_files(found, ctx, f"{number:03}-{PurePath(name).stem}-")
    with ctx.artifact(FEW) as path:
        path.write_text(json.dumps(rows, indent=2, default=_nearest))
    return {**tally.result(spec), ROWS_IN: FEW, ROWS: rows[:_MOST_ROWS]}


def row_of(name: str, found: Answer | Failure) -> dict[str, Any]:
    """An item's row as JSON: its name, and the fields of its answer or its error."""
    if isinstance(found, Failure):
        return {"name": name, "error": found.message}
    notes = {"notes": list(found.notes)} if found.notes else {}
    return {"name": name, **found.row, **notes}


def _nearest(value: Any) -> Any:
    """An array or a tensor as lists, anything else that JSON does not know as its text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def write_files(found: Answer, ctx: Context, prefix: str = "") -> None:
    """Leave the files of an answer."""
    for name, content in found.files.items():
        with ctx.artifact(prefix + name) as path:
            path.write_bytes(content)


def _count(inference: Inference, spec: Spec) -> int:
    """How many items a job has: as it was when shards were looked at, or else by counting."""
    given = getattr(spec, inference.field)
    if isinstance(given, list) and all(isinstance(each, ImagesFile) for each in given):
        known = [each.items if each.is_shard else 1 for each in given]
        if all(known):
            return sum(known)
    return sum(1 for _ in inference.items(spec))


class _Tally:
    """Counts what becomes of a job's items."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._begun = runner.decoding.seconds, runner.forwarding.seconds
        self._items = self._failed = 0
        self._failure: Failure | None = None  # the first
        self._notes: Counter[str] = Counter()

    def over(self, spec: Spec, ctx: Context) -> Iterator[tuple[str, Answer | Failure]]:
        """The name of each item, and what was found; progress is told meanwhile."""
        inference = self._runner.inference
        total = _count(inference, spec)
        names: deque[str] = deque()  # of items that are not answered yet

        def items() -> Iterator[Any]:
            for item in inference.items(spec):
                names.append(inference.name(item))
                yield item

        told_at = 0.0
        for found in self._runner.stream(items()):
            name = names.popleft()
            self._count(name, found)
            yield name, found
            if time.monotonic() - told_at >= _TOLD_EVERY_S or self._items == total:
                ctx.progress(self._items, total, "item")
                told_at = time.monotonic()

    def _count(self, name: str, found: Answer | Failure) -> None:
        self._items += 1
        if isinstance(found, Answer):
            self._notes.update(found.notes)
            return
        self._failed += 1
        self._failure = self._failure or found
        if self._failed <= _MOST_LOGGED:
            log.warning("%s has no answer: %s", name, found.message)

    def result(self, spec: Spec) -> dict[str, Any]:
        """What the job's result says of all items.

        Raises:
            PermanentError, TemporaryError: no item has an answer.
        """
        if self._failure and self._failed == self._items:
            raise self._error(self._failure)
        model = model_of(spec)
        decoded, forwarded = self._runner.decoding.seconds, self._runner.forwarding.seconds
        failed = f", {self._failed} of them without an answer" if self._failed else ""
        warnings = [f"{count(number, 'item')}: {note}" for note, number in self._notes.items()]
        result = {
            "answer": f"{count(self._items, 'item')}{failed}",
            "items": self._items,
            FAILED: self._failed,
            "decode_per_s": self._rate(decoded - self._begun[0]),
            "forward_per_s": self._rate(forwarded - self._begun[1]),
            "warnings": [*getattr(self._runner.model, "warnings", ()), *warnings],
        }
        log.info("done: %s", result["answer"])
        return result if model is None else {"model": model.job, **result}

    def _error(self, failure: Failure) -> PermanentError | TemporaryError:
        told = f"none of {self._items} items has an answer; the first: {failure.message}"
        return error_of(failure, None if self._items == 1 else told)

    def _rate(self, seconds: float) -> float | None:
        return round(self._items / seconds, 1) if seconds else None
