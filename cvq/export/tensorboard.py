"""TensorBoard's event files: a folder for each job, with its metrics and its parameters.

An event file is a row of records (TFRecord: length, data, and a checksum of each), and a record is
an `Event` of TensorFlow's in protobuf. What is needed of both is a page; `tensorboardX`, which
writes them too, would bring numpy and protobuf along, load PyTorch, and start a thread and a queue
between processes for each job.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..attributes import params_of
from ..files import atomic
from .reading import Exported

_VERSION = b"brain.Event:2"
_HPARAMS = "_hparams_/session_start_info"  # where TensorBoard looks for parameters
_ODD = re.compile(r"[^\w.-]+")


def write(exported: Exported, folder: Path) -> Path:
    """Write a job's event file, in the place of the one that an earlier export has written.

    Args:
        exported: the job.
        folder: what TensorBoard is given; the job has a folder of its own in it, `42-vae`.

    Raises:
        StoreError: it cannot be written.
    """
    job = exported.job
    began = int(job.created_at.timestamp())
    target = (
        folder
        / f"{job.id}-{_ODD.sub('_', job.kind)}"
        / f"events.out.tfevents.{began}.cvq.{job.id}"
    )
    with atomic(target) as partial, partial.open("wb") as file:
        for event in _events(exported):
            file.write(_record(event))
    return target


def _events(exported: Exported) -> Iterator[bytes]:
    job = exported.job
    began = job.created_at.timestamp()
    yield _double(1, began) + _bytes(3, _VERSION)
    yield _event(began, 0, _parameters(exported))
    for name, points in exported.curves.items():
        tag = _bytes(1, name.encode())
        for point in points:
            value = float("nan") if point.value is None else point.value
            yield _event(point.time.timestamp(), point.step, tag + _float(2, value))


def _event(time: float, step: int, value: bytes) -> bytes:
    """An `Event` whose summary has one value."""
    return _double(1, time) + _whole(2, step) + _bytes(5, _bytes(1, value))


def _parameters(exported: Exported) -> bytes:
    """The parameters of a job, for the tab HPARAMS."""
    job = exported.job
    started = b"".join(
        _bytes(1, _bytes(1, each.name.encode()) + _bytes(2, _parameter(each)))
        for each in params_of(job.spec)
    )
    started += _bytes(4, str(job.id).encode()) + _double(5, job.created_at.timestamp())
    plugin = _bytes(1, b"hparams") + _bytes(2, _bytes(3, started))
    # It wants a tensor to be there: an empty one, of floats.
    return _bytes(1, _HPARAMS.encode()) + _bytes(9, _bytes(1, plugin)) + _bytes(8, _whole(1, 1))


def _parameter(each: Any) -> bytes:
    """A value of `google.protobuf.Value`: a number, or a text."""
    if each.value is not None and each.text in ("true", "false"):
        return _whole(4, int(each.value))
    return _double(2, each.value) if each.text is None else _bytes(3, each.text.encode())


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return b"".join((length, _checksum(length), data, _checksum(data)))


def _checksum(data: bytes) -> bytes:
    """CRC-32C, turned and moved as TFRecord has it."""
    table, crc = _table(), 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    turned = ((crc >> 15) | (crc << 17)) & 0xFFFFFFFF
    return struct.pack("<I", (turned + 0xA282EAD8) & 0xFFFFFFFF)


@lru_cache(1)
def _table() -> tuple[int, ...]:
    found = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        found.append(crc)
    return tuple(found)


# Fields of protobuf: a key of number and type, then the value.


def _varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _whole(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _float(field: int, value: float) -> bytes:
    """In 32 bits; what is too large for them is infinite."""
    try:
        return _varint(field << 3 | 5) + struct.pack("<f", value)
    except OverflowError:
        return _float(field, float("inf") if value > 0 else float("-inf"))
