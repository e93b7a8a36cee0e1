"""IDX, the format of MNIST (LeCun, Cortes and Burges): a magic number, a shape, unsigned bytes."""

from __future__ import annotations

import gzip
import math
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import IO, Any

from ..errors import InvalidInputError

MOST_BYTES = 2 << 30
# zipfile raises RuntimeError for a password and for a method that it does not know.
_STUMBLES = (OSError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile)


def shape_of(file: IO[bytes], name: str, dimensions: int) -> tuple[int, ...]:
    """The shape in the head of a file, which is read as far as that.

    Raises:
        InvalidInputError: it is cut off, or has another magic number.
    """
    size = 4 + 4 * dimensions
    head = file.read(size)
    if head[:2] != bytes(2)[: len(head)]:
        packed = ", packed by gzip or not" if name.lower().endswith(".gz") else ""
        raise InvalidInputError(f"{name} is not an IDX file{packed}")
    if len(head) < size:
        raise InvalidInputError(f"{name} is cut off: it has {len(head)} bytes, its head {size}")
    magic = int.from_bytes(head[:4], "big")
    if magic != 0x800 + dimensions:
        swapped = {0x801: "labels", 0x803: "images"}.get(magic)
        hint = f": it holds {swapped}; were files swapped?" if swapped else ""
        raise InvalidInputError(f"{name} has magic number {magic}, not {0x800 + dimensions}{hint}")
    return tuple(int.from_bytes(head[i : i + 4], "big") for i in range(4, size, 4))


def content_of(file: IO[bytes], name: str, dimensions: int) -> tuple[tuple[int, ...], bytes]:
    """The shape and the numbers of a file; no more is read of it than its head announces.

    Raises:
        InvalidInputError: wrong magic number, shape, or number of bytes.
    """
    shape = shape_of(file, name, dimensions)
    wanted = math.prod(shape)
    if wanted > MOST_BYTES:
        raise InvalidInputError(f"{name} announces {wanted >> 20} MiB: too much")
    data = file.read(wanted + 1)
    if len(data) != wanted:
        more = "more" if len(data) > wanted else str(len(data))
        raise InvalidInputError(
            f"{name} has {more} bytes of data, and its head says "
            f"{' x '.join(map(str, shape))} = {wanted}"
        )
    return shape, data


def check_alike(shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse parts of a set whose pictures differ in size.

    Args:
        shapes: (pictures, height, width) of each file of pictures, by its name.

    Raises:
        InvalidInputError: two files differ.
    """
    sizes = {name: f"{shape[2]} x {shape[1]}" for name, shape in shapes.items()}
    if len(set(sizes.values())) > 1:
        told = [f"{name} has pictures of {size} pixels" for name, size in sizes.items()]
        raise InvalidInputError(f"{' and '.join(told)}: a set has pictures of one size")


def unpacked(file: Any) -> Any:
    """The file itself, or a `GzipFile` of what gzip packed in it, whatever its name.

    It must have `peek`, as files that were opened and members of zips have.
    """
    if file.peek(2)[:2] == b"\x1f\x8b":
        return gzip.GzipFile(fileobj=file)
    return file


class ReadErrors(AbstractContextManager[None]):
    """Turns what readers of packed files stumble over into one line with the file's name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, _STUMBLES):
            raise InvalidInputError(f"{self.name} is cut off or damaged: {error}") from None
