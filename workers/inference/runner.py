"""Items to answers on a loaded model, each item for itself, whoever shares its batch.

Items are taken in chunks of the inference's `max_batch`. While one chunk is on the device, the
next one is decoded, and no more than these two are held. Nothing waits for a batch to fill: a lone
item is answered at once.

Decoded items of one shape and type make a batch. It is padded by repeating an item, to a power of
two, so that a device sees few shapes; or always to `max_batch` with `exact`: kernels choose how to
add numbers up by the shape of what they get, so that an answer's last bits depend on how many
share a batch, and on nothing else.

A batch that fails is halved until the item that is at fault fails alone: one among 256 costs 17
forwards at most. Each half is decoded anew: `infer` may have written to what it was given.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from cvq.errors import PermanentError, TemporaryError
from cvq.inference import Answer, Inference
from cvq.row_names import ERROR, FAILED, NAME, NOTES, ROWS

from ..failures import Failure, describe, words_of
from .spill import Spill
from .stopwatch import Stopwatch

_SLICES = 4  # parts of a chunk for each thread: few, as they cost, and more than one, to balance

# Of cvq's own, as `views/answers.py` and `lifecycle/cancelling.py` read it in rows and results.
_TAKEN = frozenset({NAME, NOTES, "warnings", ERROR, ROWS, FAILED})
_FINAL = {str, float, int, bool, type(None)}
_DEEPEST = 200


class DeviceLostError(TemporaryError):
    """The device answers nobody any more in this process, as a GPU after a fault in a kernel."""


class Runner:
    """Answers items; for one thread at a time.

    Args:
        inference: what answers.
        model: what its `load` has loaded.
        threads: that decode.
        exact: the same answer to the last bit, alone or in any company.
        scratch: a folder for files of answers that are too large to be held in memory.

    Attributes:
        decoding: seconds in which items were being decoded.
        forwarding: seconds in which batches were being answered.
        forwards: how many batches were tried.
    """

    def __init__(
        self,
        inference: Inference,
        model: Any,
        *,
        threads: int = 1,
        exact: bool = False,
        scratch: Path | None = None,
    ) -> None:
        self.inference, self.model, self.exact = inference, model, exact
        self.decoding, self.forwarding = Stopwatch(), Stopwatch()
        self.forwards = 0
        self._scratch = scratch
        self._spill = Spill(scratch)  # of the chunk that is being answered
        self._threads = max(1, threads)
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="cvq-decode")
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(model, torch.nn.Module):
            model.eval()

    def answer(self, items: Iterable[Any]) -> list[Answer | Failure]:
        """Answer items of any number of jobs; for each, in their order, an answer or a failure.

        Raises:
            DeviceLostError: nobody can be answered any more; which item is at fault is not known.
        """
        return list(self.stream(items))

    def stream(self, items: Iterable[Any]) -> Iterator[Answer | Failure]:
        """The same, as they come; memory holds two chunks, however many items there are."""
        chunks = _chunks(items, self.inference.max_batch)
        ahead: deque[tuple[list[Any], list[Future[list[Any]]]]] = deque()
        try:
            for chunk in chunks:
                ahead.append((chunk, self._start_decoding(chunk)))
                if len(ahead) > 1:
                    yield from self._next(ahead)
            while ahead:
                yield from self._next(ahead)
        finally:  # also where nobody asks for the rest
            for future in itertools.chain(*(decoding for _, decoding in ahead)):
                future.cancel()

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- Decoding -------------------------------------------------------------------------------

    def _start_decoding(self, chunk: Sequence[Any]) -> list[Future[list[Any]]]:
        each = -(-len(chunk) // (_SLICES * self._threads))
        return [self._pool.submit(self._decoded, part) for part in _chunks(chunk, each)]

    def _decoded(self, items: Sequence[Any]) -> list[Any]:
        with self.decoding, _without_gradients():
            return [self._decoded_one(item) for item in items]

    def _decoded_one(self, item: Any) -> Any:
        try:
            return self.inference.decode(self.model, item)
        except (Exception, SystemExit) as error:
            return describe(error)

    # --- Answering ------------------------------------------------------------------------------

    def _next(
        self, ahead: deque[tuple[list[Any], list[Future[list[Any]]]]]
    ) -> list[Answer | Failure]:
        self._spill = Spill(self._scratch)
        return self._answered(*ahead.popleft())

    def _answered(
        self, items: Sequence[Any], decoding: list[Future[list[Any]]]
    ) -> list[Answer | Failure]:
        found, alike = _grouped(one for future in decoding for one in future.result())
        decoding.clear()  # what was decoded is held once
        for places, batch in alike:
            answers = self._settled([items[place] for place in places], batch)
            found.update(zip(places, answers, strict=True))
        return [found[place] for place in range(len(items))]

    def _settled(self, items: Sequence[Any], batch: list[Any]) -> Sequence[Answer | Failure]:
        """An answer or a failure for each; halves that fail are tried by themselves."""
        try:
            return self._forward(batch)
        except (Exception, SystemExit) as error:
            self._assert_device_answers(error)
            failure = describe(error)
        if len(batch) == 1:
            return [failure]
        batch.clear()
        half = len(items) // 2
        parts = items[:half], items[half:]
        return [
            each for some in parts for each in self._answered(some, self._start_decoding(some))
        ]

    def _forward(self, batch: list[Any]) -> list[Answer]:
        most = self.inference.max_batch
        size = most if self.exact else min(most, 1 << (len(batch) - 1).bit_length())
        # Not the item itself: what `infer` writes to one would be written again and again.
        padded = batch + [_copied(batch[-1])] * (size - len(batch)) if size > len(batch) else batch
        self.forwards += 1
        with self.forwarding, _without_gradients():
            answers = self.inference.infer(self.model, padded)
            if isinstance(answers, Sequence) and len(answers) != size:
                raise PermanentError(f"infer gave {len(answers)} answers for {size} items")
            some = itertools.islice(answers, len(batch))
            found = [self._spill.keep(_answer(each)) for each in some]
        if len(found) != len(batch):
            raise PermanentError(f"infer gave {len(found)} answers for {size} items")
        return found

    def _assert_device_answers(self, error: BaseException) -> None:
        """Tell an item that fails from a device that is gone for this process.

        Raises:
            DeviceLostError: it is the device.
        """
        if not self.inference.device.startswith("cuda"):
            return
        try:
            sys.modules["torch"].cuda.synchronize(self.inference.device)
        except Exception:
            raise DeviceLostError(f"{self.inference.device} is lost: {words_of(error)}") from error


def _grouped(
    decoded: Iterable[Any],
) -> tuple[dict[int, Answer | Failure], Iterable[tuple[list[int], list[Any]]]]:
    """Those that have failed, by their places; and the places and items of each batch."""
    found: dict[int, Answer | Failure] = {}
    alike: dict[Any, tuple[list[int], list[Any]]] = {}
    for place, one in enumerate(decoded):
        if isinstance(one, Failure):
            found[place] = one
            continue
        try:
            places, batch = alike.setdefault(_shape_of(one), ([], []))
        except Exception as error:  # of what only looks like an array
            found[place] = describe(error)
        else:
            places.append(place)
            batch.append(one)
    return found, alike.values()


def _shape_of(decoded: Any) -> tuple[Any, ...]:
    """What decoded items of one batch have in common."""
    key = tuple(getattr(decoded, "shape", ())), getattr(decoded, "dtype", None)
    hash(key)
    return key


def _copied(decoded: Any) -> Any:
    try:
        return copy.deepcopy(decoded)
    except Exception:  # what cannot be copied is given as it is
        return decoded


def _answer(given: Answer | Mapping[str, Any]) -> Answer:
    """An answer that shares nothing with what the next one may be made in."""
    if not isinstance(given, Answer):
        return Answer(_row(given))
    files = {name: _bytes(content) for name, content in given.files.items()}
    return Answer(_row(given.row), files, tuple(given.notes))


def _row(given: Any) -> Any:
    if not isinstance(given, Mapping):
        raise PermanentError(f"infer gave {type(given).__name__}: an Answer or a dict is needed")
    if taken := _TAKEN.intersection(given):
        raise PermanentError(f"an answer has a field '{min(taken)}', which is cvq's: rename it")
    return _own(given)


def _bytes(content: Any) -> Any:
    return bytes(content) if isinstance(content, bytearray | memoryview) else content


def _own(value: Any, depth: int = 0) -> Any:
    """The same, of which nothing changes any more."""
    kind = type(value)
    if kind in _FINAL or depth > _DEEPEST:  # its text will be stored
        return value
    if kind is dict or isinstance(value, Mapping):
        return {k: v if type(v) in _FINAL else _own(v, depth + 1) for k, v in value.items()}
    if kind is list or kind is tuple:
        return kind([v if type(v) in _FINAL else _own(v, depth + 1) for v in value])
    try:
        return copy.deepcopy(value)
    except Exception:  # what cannot be copied is stored as its text
        return value


def _chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while chunk := list(itertools.islice(rest, size)):
        yield chunk


def _without_gradients() -> contextlib.AbstractContextManager[Any]:
    torch = sys.modules.get("torch")
    return contextlib.nullcontext() if torch is None else torch.inference_mode()
