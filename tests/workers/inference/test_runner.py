"""Items of a batch: each is answered for itself, in few forwards, and few are held."""

from __future__ import annotations

import gc
import math
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cvq import Answer, Inference, Spec
from cvq.errors import PermanentError
from cvq_workers.failures import Failure
from cvq_workers.inference import spill
from cvq_workers.inference.runner import DeviceLostError, Runner
from waiting import HANG_S


class Doubling(Inference):
    """Doubles numbers; text is no item, and of the poisonous no batch survives."""

    poison: ClassVar[frozenset[int]] = frozenset()

    def __init__(self, device: str = "cpu") -> None:
        super().__init__(Spec(), device)
        self.batches: list[list[int]] = []

    def load(self, model: Any) -> None:
        return None

    def decode(self, model: None, item: Any) -> int:
        if not isinstance(item, int):
            raise PermanentError(f"{item} is no number")
        return item

    def infer(self, model: None, batch: Sequence[int]) -> Iterable[Answer | dict[str, int]]:
        self.batches.append(list(batch))
        if self.poison.intersection(batch):
            raise RuntimeError("poisoned")
        return [{"double": 2 * number} for number in batch]


class Poisoned(Doubling):
    poison = frozenset({77})


def doubles(found: list[Answer | Failure]) -> list[Any]:
    return [each.row["double"] if isinstance(each, Answer) else each.message for each in found]


def test_answers_come_in_the_order_of_the_items() -> None:
    with Runner(Doubling(), None, threads=3) as runner:
        assert doubles(runner.answer(range(1000))) == [2 * n for n in range(1000)]
        assert runner.answer([]) == []
        assert runner.forwards == 4
        assert runner.decoding.seconds > 0
        assert runner.forwarding.seconds > 0


@pytest.mark.parametrize(("items", "size"), [(1, 1), (2, 2), (3, 4), (17, 32), (200, 256)])
def test_batches_are_padded_to_powers_of_two(items: int, size: int) -> None:
    with Runner(Doubling(), None) as runner:
        assert len(runner.answer(range(items))) == items
        assert [len(batch) for batch in runner.inference.batches] == [size]
        assert set(runner.inference.batches[0]) == set(range(items))


@pytest.mark.parametrize("items", [1, 3, 256, 300])
def test_exact_batches_have_one_size(items: int) -> None:
    with Runner(Doubling(), None, exact=True) as runner:
        assert len(runner.answer(range(items))) == items
        assert {len(batch) for batch in runner.inference.batches} == {256}


def test_an_item_that_cannot_be_decoded_fails_alone() -> None:
    with Runner(Doubling(), None) as runner:
        found = runner.answer([1, "one", 3])
    assert doubles(found) == [2, "one is no number", 6]
    assert isinstance(found[1], Failure)
    assert (found[1].reason, found[1].retry) == ("error", False)


@pytest.mark.parametrize("exact", [False, True])
def test_one_poisonous_item_of_256_costs_17_forwards(exact: bool) -> None:
    with Runner(Poisoned(), None, exact=exact) as runner:
        found = doubles(runner.answer(range(256)))
        assert found[77] == "RuntimeError: poisoned"
        assert [each for each in found if isinstance(each, int)] == [
            2 * n for n in range(256) if n != 77
        ]
        assert runner.forwards == 17


@settings(max_examples=50)
@given(st.sets(st.integers(0, 70)), st.integers(1, 71), st.booleans())
def test_whoever_is_poisonous_the_others_are_answered(
    poison: set[int], items: int, exact: bool
) -> None:
    class Some(Doubling):
        max_batch = 16

    inference = Some()
    inference.poison = frozenset(poison)  # type: ignore[misc]
    with Runner(inference, None, exact=exact) as runner:
        found = doubles(runner.answer(range(items)))
    assert found == ["RuntimeError: poisoned" if n in poison else 2 * n for n in range(items)]


def test_shapes_are_batched_apart() -> None:
    class Shapes(Doubling):
        def decode(self, model: None, item: Any) -> Any:
            return torch.full((1, 2) if item % 2 else (2, 1), item)

        def infer(self, model: None, batch: Sequence[Any]) -> list[dict[str, int]]:
            self.batches.append([int(each.flatten()[0]) for each in batch])
            return [{"double": 2 * int(each.flatten()[0])} for each in torch.stack(list(batch))]

    with Runner(Shapes(), None) as runner:
        assert doubles(runner.answer(range(5))) == [0, 2, 4, 6, 8]
        assert runner.inference.batches == [[0, 2, 4, 4], [1, 3]]


class Scaling(Doubling):
    """Writes to what it is given."""

    def decode(self, model: None, item: Any) -> Any:
        return item["make"](item["value"])

    def infer(self, model: None, batch: Sequence[Any]) -> list[dict[str, Any]]:
        for one in batch:
            one *= 2
        values = [float(one.sum()) for one in batch]
        if 2 * 77 in values:
            raise PermanentError("poisoned")
        types = [str(one.dtype) for one in batch]
        return [{"double": v, "type": of} for v, of in zip(values, types, strict=True)]


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("make", [lambda n: np.array([n]), lambda n: torch.tensor([n])])
def test_an_inference_may_write_to_what_it_is_given(exact: bool, make: Any) -> None:
    items = [{"make": make, "value": value} for value in (1, 2, 77, 4, 5)]
    with Runner(Scaling(), None, exact=exact) as runner:
        assert doubles(runner.answer(items[:2] + items[3:4])) == [2, 4, 8]
        assert doubles(runner.answer(items)) == [2, 4, "poisoned", 8, 10]


@pytest.mark.parametrize("name", ["name", "notes", "warnings", "error", "rows", "failed"])
def test_what_results_have_of_their_own_no_answer_may_call_a_value(name: str) -> None:
    class Taking(Doubling):
        def infer(self, model: None, batch: Sequence[int]) -> Any:
            return [{"double": 2 * n} if n else Answer({name: []}) for n in batch]

    with Runner(Taking(), None) as runner:
        found = doubles(runner.answer([1, 0, 2]))
    assert found == [2, f"an answer has a field '{name}', which is cvq's: rename it", 4]


def test_types_are_batched_apart() -> None:
    types = [np.uint8, np.float32, np.uint8]
    items = [{"make": lambda n, of=of: np.array([n], of), "value": 1} for of in types]
    with Runner(Scaling(), None) as runner:
        answers = runner.answer(items)
        assert [each.row["type"] for each in answers if isinstance(each, Answer)] == [
            "uint8", "float32", "uint8"
        ]  # fmt: skip
        assert runner.forwards == 2


@pytest.mark.parametrize("shape", [None, 3, ([2], 1)])
def test_what_only_looks_like_an_array_fails_alone(shape: Any) -> None:
    class Shaped(Doubling):
        def decode(self, model: None, item: Any) -> Any:
            return SimpleNamespace(shape=shape) if item == 2 else item

    with Runner(Shaped(), None) as runner:
        first, odd, last = runner.answer([1, 2, 3])
    assert doubles([first, last]) == [2, 6]
    assert isinstance(odd, Failure)


def test_answers_of_what_only_fills_a_batch_up_are_not_asked_for() -> None:
    asked = []

    class Lazy(Doubling):
        def infer(self, model: None, batch: Sequence[int]) -> Iterator[dict[str, int]]:
            for number in batch:
                asked.append(number)
                yield {"double": 2 * number}

    with Runner(Lazy(), None, exact=True) as runner:
        assert doubles(runner.answer([4, 5])) == [8, 10]
    assert asked == [4, 5]


@pytest.mark.parametrize("given", [[], [{}] * 3, iter([{}]), [1, 2]])
def test_too_few_answers_or_none_are_a_failure(given: Any) -> None:
    class Odd(Doubling):
        def infer(self, model: None, batch: Sequence[int]) -> Any:
            return given

    with Runner(Odd(), None) as runner:
        for found in runner.answer([1, 2]):
            assert isinstance(found, Failure)
            assert "infer gave" in found.message


def test_the_next_items_are_decoded_while_the_first_are_answered() -> None:
    second_is_decoded = threading.Event()

    class Watched(Doubling):
        max_batch = 4

        def decode(self, model: None, item: Any) -> int:
            if item == 7:
                second_is_decoded.set()
            return int(item)

        def infer(self, model: None, batch: Sequence[int]) -> Any:
            assert second_is_decoded.wait(HANG_S)
            return super().infer(model, batch)

    with Runner(Watched(), None, threads=2) as runner:
        assert doubles(runner.answer(range(8))) == [2 * n for n in range(8)]


def test_memory_holds_two_chunks_however_many_items_there_are() -> None:
    alive: weakref.WeakSet[Any] = weakref.WeakSet()

    class Decoded:
        def __init__(self, number: int) -> None:
            self.number = number
            alive.add(self)

    most = 0

    class Watched(Doubling):
        max_batch = 8

        def decode(self, model: None, item: Any) -> Any:
            if item == 13:
                raise ValueError("an error holds what was decoded")
            return Decoded(item)

        def infer(self, model: None, batch: Sequence[Any]) -> Any:
            nonlocal most
            most = max(most, len(alive))
            if any(each.number == 100 for each in batch):
                raise ValueError("an error holds the batch")
            return [{"double": 2 * each.number} for each in batch]

    with Runner(Watched(), None) as runner:
        found = doubles(list(runner.stream(iter(range(500)))))
    assert [n for n, each in enumerate(found) if isinstance(each, str)] == [13, 100]
    assert most <= 16
    gc.collect()
    assert not alive


def test_items_are_asked_for_as_they_are_needed() -> None:
    asked = []

    def items() -> Iterator[int]:
        for number in range(10_000):
            asked.append(number)
            yield number

    with Runner(Doubling(), None) as runner:
        stream = runner.stream(items())
        next(stream)
        stream.close()
    assert len(asked) == 512


def test_gradients_are_off_and_networks_in_evaluation_mode() -> None:
    modes = []

    class Watched(Doubling):
        def decode(self, model: Any, item: Any) -> int:
            modes.append(torch.is_inference_mode_enabled())
            return int(item)

        def infer(self, model: Any, batch: Sequence[int]) -> Any:
            modes.append(torch.is_inference_mode_enabled())
            assert not model.training
            return super().infer(None, batch)

    with Runner(Watched(), torch.nn.Dropout().train()) as runner:
        assert doubles(runner.answer([1])) == [2]
    assert modes == [True, True]


def test_a_device_that_is_lost_is_no_items_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def synchronize(device: str) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")

    with Runner(Poisoned("cuda:0"), None) as runner:
        monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
        assert doubles(runner.answer([1, 77])) == [2, "RuntimeError: poisoned"]
        monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
        with pytest.raises(DeviceLostError, match="cuda:0 is lost: poisoned"):
            runner.answer([1, 77])


class Reusing(Doubling):
    """Makes all answers in one place."""

    def infer(self, model: None, batch: Sequence[int]) -> Iterator[Any]:
        row: dict[str, Any] = {"inside": [0], "array": np.zeros(1)}
        content = bytearray(1)
        for number in batch:
            row["double"] = row["inside"][0] = row["array"][0] = 2 * number
            content[0] = number
            yield Answer(row, {"x": content})  # type: ignore[dict-item]


def test_answers_that_are_made_in_one_place_are_kept_apart() -> None:
    with Runner(Reusing(), None) as runner:
        found = runner.answer([1, 2, 3])
    assert doubles(found) == [2, 4, 6]
    answers = [each for each in found if isinstance(each, Answer)]
    assert [each.row["inside"] for each in answers] == [[2], [4], [6]]
    assert [float(each.row["array"][0]) for each in answers] == [2.0, 4.0, 6.0]
    assert [each.files["x"] for each in answers] == [b"\1", b"\2", b"\3"]


class Drawing(Doubling):
    def infer(self, model: None, batch: Sequence[int]) -> Iterator[Any]:
        for number in batch:
            yield Answer({"double": number}, {"a": bytes([number]) * 10, "b": b""})


class Listing(Doubling):
    def infer(self, model: None, batch: Sequence[int]) -> Iterator[Any]:
        for number in batch:
            odd = {"odd": object()} if number == 7 else {}
            yield {"double": 2 * number, "many": [number + 0.1] * 3000, "nan": math.nan, **odd}


def test_large_rows_beyond_a_size_wait_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spill, "_MOST_BYTES", 150_000)
    with Runner(Listing(), None, scratch=tmp_path) as runner:
        found = [each for each in runner.answer(range(8)) if isinstance(each, Answer)]
    inside = [type(each.row) is dict for each in found]
    assert inside == [True, *[False] * 6, True]  # the last is no JSON
    rows = [{**each.row} for each in found]
    assert [row["many"] for row in rows] == [[number + 0.1] * 3000 for number in range(8)]
    assert [list(row)[:3] for row in rows] == [["double", "many", "nan"]] * 8
    assert math.isnan(rows[3]["nan"])


def test_files_of_answers_beyond_a_size_wait_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spill, "_MOST_BYTES", 3 * (10 + 24) + 5)  # a number counts, too
    with Runner(Drawing(), None, scratch=tmp_path) as runner:
        found = [each for each in runner.answer(range(8)) if isinstance(each, Answer)]
        assert [isinstance(each.files, dict) for each in found] == [True] * 3 + [False] * 5
        assert [dict(each.files) for each in found] == [
            {"a": bytes([number]) * 10, "b": b""} for number in range(8)
        ]
    assert list(tmp_path.iterdir()) == []
