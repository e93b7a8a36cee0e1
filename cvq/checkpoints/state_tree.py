"""A job's state as JSON and leaves, taken apart and put together without changing anything.

What comes back has the same types, values, data types and strides: the order of a tensor's
dimensions in memory decides in which order sums are added up, and by that the last digits. What
cannot come back so is refused, with its place in the state.

Nodes of the JSON: null, true and false, numbers and words stand for themselves; everything else is
a dictionary of one word that says what it is.
"""

from __future__ import annotations

import math
import struct
import sys
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

from ..errors import PermanentError

_PLAIN_INT = 2**63
# How much larger than itself the stretch of memory may be that a view lies in.
_LARGEST_VIEW = 4
_ARRAY_KINDS = "biufcmMSU"
_MISSING = object()


def take_apart(value: Any, leaves: dict[str, Any], place: str) -> Any:
    """JSON for a value; tensors and arrays go into `leaves`, which the JSON names.

    Args:
        value: what to store.
        leaves: flat tensors and arrays by name, to be stored beside the JSON.
        place: what the value is called in errors, as `state["model"]`.

    Raises:
        PermanentError: there is something in it that could not be given back as it is.
    """
    try:
        return _Taker(leaves).node(value, place)
    except RecursionError:
        raise PermanentError(
            f"{place} is nested too deep for a checkpoint, or in itself"
        ) from None


def put_together(tree: Any, leaves: dict[str, Any]) -> Any:
    """The value that `take_apart` was given.

    Raises:
        KeyError, TypeError, ValueError: the JSON or the leaves are not what it wrote.
    """
    return _Putter(leaves).value(tree)


class _Taker:
    """Takes values apart. Tensors that are one in memory stay one."""

    def __init__(self, leaves: dict[str, Any]) -> None:
        self._leaves = leaves
        self._seen: dict[tuple[Any, ...], Any] = {}

    def node(self, value: Any, place: str) -> Any:
        if (torch := sys.modules.get("torch")) and isinstance(value, torch.Tensor):
            return self._tensor(value, place)
        if (numpy := sys.modules.get("numpy")) and isinstance(
            value, numpy.ndarray | numpy.generic
        ):
            return self._array(value, place)
        simple = _simple(value)
        return self._container(value, place) if simple is _MISSING else simple

    def _container(self, value: Any, place: str) -> Any:
        kind = type(value)
        if kind is dict:
            return {"dict": self._pairs(value, place)}
        if kind is list or kind is tuple:
            return {kind.__name__: self._items(value, place)}
        if kind is Counter:
            return {"counter": self._pairs(value, place)}
        if kind is OrderedDict and not set(vars(value)) - {"_metadata"}:
            # A network's state_dict() says in `_metadata` which version of each layer wrote it.
            more = self.node(getattr(value, "_metadata", None), f"{place}._metadata")
            return {"ordered": [self._pairs(value, place), more]}
        if (torch := sys.modules.get("torch")) and kind is torch.Size:
            return {"size": list(value)}
        raise _refused(place, _named(kind), _ADVICE.get(kind.__name__, _advice(value)))

    def _items(self, items: Iterable[Any], place: str) -> list[Any]:
        return [self.node(item, f"{place}[{number}]") for number, item in enumerate(items)]

    def _pairs(self, mapping: dict[Any, Any], place: str) -> list[list[Any]]:
        return [
            [self._key(key, place), self.node(item, f"{place}[{_shown(key)}]")]
            for key, item in mapping.items()
        ]

    def _key(self, key: Any, place: str) -> Any:
        node = _simple(key)
        if node is _MISSING and type(key) is tuple:
            return {"tuple": [self._key(item, place) for item in key]}
        if node is _MISSING:
            raise _refused(place, f"key of type {_named(type(key))}", "give words or numbers")
        return node

    def _tensor(self, value: Any, place: str) -> Any:
        import torch

        if problem := _of_tensor(value):
            raise _refused(place, *problem)
        shape, strides = list(value.shape), list(value.stride())
        same = (value.data_ptr(), value.device, value.dtype, *shape, *strides)
        if value.numel() and same in self._seen:
            return self._seen[same]
        flat = value.detach()
        dense = strides == list(torch.empty(shape, device="meta").stride())
        if not dense and value.numel():
            flat = flat.as_strided((_span(shape, strides, place),), (1,))
        # A copy: safetensors refuses tensors that share memory, as views do.
        name = self._add(flat.cpu().clone(memory_format=torch.contiguous_format))
        node = {"tensor": [name, None]} if dense else {"strided": [name, shape, strides]}
        self._seen[same] = node
        return node

    def _array(self, value: Any, place: str) -> Any:
        import numpy

        if problem := _of_array(value):
            raise _refused(place, *problem)
        shape, size = list(numpy.shape(value)), value.dtype.itemsize
        array = numpy.asarray(value)
        dense = array.strides == numpy.empty(shape, value.dtype).strides
        strides = [stride // size for stride in array.strides]
        if not dense and array.size:
            span = _span(shape, strides, place)
            array = numpy.lib.stride_tricks.as_strided(array, (span,), (size,))
        name = self._add(numpy.ascontiguousarray(array).reshape(-1).view(numpy.uint8).copy())
        described = [name, value.dtype.str, shape]
        if isinstance(value, numpy.generic):
            return {"scalar": described[:2]}
        return {"array": [*described, None if dense else strides]}

    def _add(self, leaf: Any) -> str:
        name = str(len(self._leaves))
        self._leaves[name] = leaf
        return name


class _Putter:
    """Puts values together."""

    def __init__(self, leaves: dict[str, Any]) -> None:
        self._leaves = leaves
        self._strided: dict[tuple[Any, ...], Any] = {}
        self._made: dict[str, Callable[[Any], Any]] = {
            "dict": self._dict,
            "list": self._list,
            "tuple": lambda items: tuple(self._list(items)),
            "counter": lambda pairs: Counter(self._dict(pairs)),
            "ordered": self._ordered,
            "size": self._size,
            "int": lambda text: int(text, 16),
            "float": lambda text: struct.unpack(">d", bytes.fromhex(text))[0],
            "str": lambda text: bytes.fromhex(text).decode("utf-8", "surrogatepass"),
            "tensor": self._tensor,
            "strided": lambda node: self._laid_out(*node),
            "array": lambda node: self._array(*node),
            "scalar": lambda node: self._array(node[0], node[1], [])[()],
        }

    def value(self, tree: Any) -> Any:
        if not isinstance(tree, dict):
            return tree
        ((word, inside),) = tree.items()
        return self._made[word](inside)

    def _list(self, items: list[Any]) -> list[Any]:
        return [self.value(item) for item in items]

    def _dict(self, pairs: list[list[Any]]) -> dict[Any, Any]:
        return {self.value(key): self.value(item) for key, item in pairs}

    def _ordered(self, inside: list[Any]) -> OrderedDict[Any, Any]:
        pairs, more = inside
        found = OrderedDict(self._dict(pairs))
        if more is not None:
            found._metadata = self.value(more)  # type: ignore[attr-defined]
        return found

    def _size(self, shape: list[int]) -> Any:
        import torch

        return torch.Size(shape)

    def _tensor(self, inside: list[Any]) -> Any:
        name, strides = inside
        leaf = self._leaves[name]
        if strides is None:
            return leaf
        # As format 1 had it: the leaf has its shape, and was dense.
        return self._laid_out(name, list(leaf.shape), strides, leaf=leaf)

    def _laid_out(self, name: str, shape: list[int], strides: list[int], leaf: Any = None) -> Any:
        import torch

        same = (name, *shape, *strides)
        if same not in self._strided:
            if leaf is not None:
                made = torch.empty_strided(shape, strides, dtype=leaf.dtype).copy_(leaf)
            elif not self._leaves[name].numel():
                made = torch.empty_strided(shape, strides, dtype=self._leaves[name].dtype)
            else:
                made = self._leaves[name].as_strided(shape, strides)
            self._strided[same] = made
        return self._strided[same]

    def _array(
        self, name: str, dtype: str, shape: list[int], strides: list[int] | None = None
    ) -> Any:
        import numpy

        leaf = self._leaves[name]
        raw = leaf if isinstance(leaf, numpy.ndarray) else leaf.numpy()
        flat = raw.copy().view(dtype) if 0 not in shape else numpy.empty(shape, dtype)
        if strides is None:
            return flat.reshape(shape) if flat.size else flat
        steps = [stride * flat.itemsize for stride in strides]
        return numpy.lib.stride_tricks.as_strided(flat, shape, steps)


# --- What is refused, and why -----------------------------------------------------------------

_ADVICE = {
    "set": "give a sorted list",
    "frozenset": "give a sorted list",
    "defaultdict": "give dict(…)",
    "deque": "give list(…)",
}


def _simple(value: Any) -> Any:
    """The node of a number or a word; `_MISSING` where it is neither."""
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is int:
        return value if abs(value) < _PLAIN_INT else {"int": f"{value:x}"}
    if kind is float:  # JSON knows no infinity, and not one NaN from another
        return value if math.isfinite(value) else {"float": struct.pack(">d", value).hex()}
    if kind is str:
        if any("\ud800" <= character <= "\udfff" for character in value):
            return {"str": value.encode("utf-8", "surrogatepass").hex()}
        return value
    return _MISSING


def _refused(place: str, what: str, advice: str) -> PermanentError:
    return PermanentError(
        f"{place} is of a kind that does not come back as it was ({what}): a checkpoint holds "
        f"tensors, arrays, numbers and words, in dictionaries, lists and tuples; {advice}"
    )


def _named(kind: type) -> str:
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _shown(key: Any) -> str:
    text = f'"{key}"' if isinstance(key, str) else repr(key)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _advice(value: Any) -> str:
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return "give dict(x._asdict())"
    for kind in (bool, int, float, str, dict, list, tuple):
        if isinstance(value, kind):
            return f"give {kind.__name__}(x)"
    return "give what it is made of"


def _of_tensor(value: Any) -> tuple[str, str] | None:
    """What a tensor has that would be lost, and what to give in its place."""
    import torch

    if type(value) is not torch.Tensor:
        return _named(type(value)), "give x.detach(), or the state_dict() that it is part of"
    for lost, what, advice in (
        (value.layout != torch.strided, "a sparse tensor", "give x.to_dense()"),
        (value.is_quantized, "a quantised tensor", "give x.int_repr() and its scale"),
        (value.is_meta, "a tensor without values", "give one on a device"),
        (value.requires_grad, "a tensor that gradients flow to", "give x.detach()"),
        (value.is_conj() or value.is_neg(), "a conjugated view", "give x.clone()"),
        (value.dtype not in _stored_types(), f"a tensor of {value.dtype}", "give another dtype"),
        (
            any(getattr(value, "names", ())),
            "a tensor with named dimensions",
            "give x.rename(None)",
        ),
    ):
        if lost:
            return what, advice
    return None


def _stored_types() -> set[Any]:
    """The data types that every version of safetensors stores."""
    import torch

    return {
        torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.bool,
        torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8,
        torch.float8_e4m3fn, torch.float8_e5m2,
    }  # fmt: skip


def _of_array(value: Any) -> tuple[str, str] | None:
    """What an array has that would be lost, and what to give in its place."""
    import numpy

    kind, dtype = type(value), value.dtype
    if isinstance(value, numpy.ndarray) and kind is not numpy.ndarray:
        return _named(kind), "give numpy.array(x, subok=False), and a mask as an array of its own"
    if dtype.kind not in _ARRAY_KINDS or not dtype.itemsize:
        return f"an array of {dtype}", "give each field or value as an array of numbers"
    if any(stride < 0 or stride % dtype.itemsize for stride in value.strides):
        return "a view of another array, backwards or between its items", "give x.copy()"
    return None


def _span(shape: list[int], strides: list[int], place: str) -> int:
    """How many elements lie between the first and the last of a view, both included."""
    pairs = list(zip(shape, strides, strict=True))
    span = 1 + sum((length - 1) * stride for length, stride in pairs)
    if span > _LARGEST_VIEW * math.prod(shape):
        raise _refused(place, "a thin slice of something larger", "give x.clone() or x.copy()")
    return span
