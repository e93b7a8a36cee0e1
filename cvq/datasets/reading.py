"""Reads a zip of pictures, of IDX files or of CIFAR batches into arrays.

Needs numpy and Pillow, and is imported only where data is read: in jobs, and by `cvq data check`.
Nothing is unpacked to a disk, and nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import logging
import zipfile
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .. import text
from ..errors import InvalidInputError, PermanentError, TemporaryError
from ..files import PASSING
from ..pictures.decoding import (
    Paper,
    decode_picture,
    ink,
    paper_for,
    square,
)
from ..pictures.images import is_the_machines
from . import idx
from .inventory import Member, of_zip
from .layout import Layout, PictureEntry, lay_out

log = logging.getLogger("cvq.job")

MOST_BYTES = 8 << 30  # of decoded pixels
_MOST_FILE = 2 << 30
_CORRUPT_SHARE = 0.05
_TRANSPARENT = (".png", ".webp", ".gif", ".tif", ".tiff", ".avif", ".heic", ".heif")
_SAMPLED = 200  # pictures that are asked for the colour of their ink
_NAMED = 5
_CIFAR_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
_GARMENTS = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
    "Ankle boot",
)  # fmt: skip

Bytes = NDArray[np.uint8]


@dataclass
class Split:
    """Pictures of one part as they were read.

    Attributes:
        images: (N, C, H, W), 0..255.
        labels: (N,) class numbers, or None.
        groups: for each picture the folder it lay in, or nothing.
        names: of the files, or nothing.
    """

    images: Bytes
    labels: NDArray[np.int64] | None = None
    groups: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


@dataclass
class LoadedData:
    """What a zip holds.

    Attributes:
        format: in words.
        parts: by their names: `train`, `val`, `test`.
        classes: their names.
        corrupt: a line for each picture that is damaged and left out.
        paper: what shows through where pictures are transparent.
        noted: a line for each picture that was not taken as it stands.
        left_out: a line for each sort of files that were not read.
    """

    format: str
    parts: dict[str, Split]
    classes: tuple[str, ...]
    corrupt: list[str] = field(default_factory=list)
    paper: Paper = "white"
    noted: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def read(
    path: Path, *, channels: Literal[1, 3], size: int | None = None, name: str = ""
) -> LoadedData:
    """Read a zip; `channels` makes pictures grey or coloured, `size` square.

    Args:
        path: of the zip.
        channels: 1 for grey, 3 for RGB.
        size: side in pixels: the shorter side is resized to it and the middle cut out. Without
            it, all pictures must be of one size.
        name: of the data, for errors and class names.

    Raises:
        PermanentError: the data is damaged or does not fit; the message names the file.
        TemporaryError: a disk or a network failed, or the machine is short of something.
    """
    called = f"data {name or path.name}"
    try:
        with zipfile.ZipFile(path) as archive:
            inventory = of_zip(archive, called)
            layout = lay_out(inventory, called)
            if layout.form == "IDX":
                found = _read_idx(archive, layout, name)
            elif layout.form == "CIFAR-10":
                found = _read_cifar(archive, layout)
            else:
                found = _read_pictures(archive, layout.pictures, channels, size, name)
    except InvalidInputError as error:
        raise PermanentError(str(error)) from None
    except (zipfile.BadZipFile, OSError, UnicodeDecodeError, NotImplementedError) as error:
        fault = isinstance(error, OSError) and error.errno in PASSING
        kind = TemporaryError if fault else PermanentError
        raise kind(f"{called} cannot be read: {error}") from None
    found.left_out = layout.notes + inventory.lines()
    if layout.form != "pictures":
        for part in found.parts.values():
            part.images = fitted(part.images, channels, size)
    return found


# --- IDX and CIFAR-10's binary form -------------------------------------------------------------


def _read_idx(archive: zipfile.ZipFile, layout: Layout, name: str) -> LoadedData:
    parts: dict[str, Split] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for part in ("train", "test"):
        if (part, "images") not in layout.idx:
            continue
        images = _idx_of(archive, layout.idx[part, "images"], 3)
        labels = _idx_of(archive, layout.idx[part, "labels"], 1)
        if len(images) != len(labels):
            raise PermanentError(
                f"{layout.idx[part, 'images'].name} has {len(images)} pictures, "
                f"{layout.idx[part, 'labels'].name} {len(labels)} labels"
            )
        parts[part] = Split(images[:, None], labels.astype(np.int64))
        shapes[layout.idx[part, "images"].name] = images.shape
    idx.check_alike(shapes)
    count = 1 + max(
        int(part.labels.max(initial=0)) for part in parts.values() if part.labels is not None
    )
    names = [name, *(member.name for member in layout.idx.values())]
    fashion = any("fashion" in each.lower() for each in names)
    classes = _GARMENTS if fashion and count <= 10 else tuple(map(str, range(max(10, count))))
    return LoadedData("IDX", parts, classes)


def _idx_of(archive: zipfile.ZipFile, member: Member, dimensions: int) -> Bytes:
    assert isinstance(member.origin, zipfile.ZipInfo)
    with idx.ReadErrors(member.name), archive.open(member.origin) as file:
        shape, content = idx.content_of(idx.unpacked(file), member.name, dimensions)
    return np.frombuffer(content, np.uint8).reshape(shape)


def _read_cifar(archive: zipfile.ZipFile, layout: Layout) -> LoadedData:
    parts: dict[str, Split] = {}
    for part, batches in layout.batches.items():
        rows = [_cifar_rows(_content(archive, member), member.name) for member in batches]
        data = np.concatenate(rows)
        parts[part] = Split(data[:, 1:].reshape(-1, 3, 32, 32), data[:, 0].astype(np.int64))
    return LoadedData("CIFAR-10", parts, _CIFAR_CLASSES)


def _cifar_rows(data: bytes, name: str) -> Bytes:
    rows = np.frombuffer(data, np.uint8).reshape(-1, 3073)
    if int(rows[:, 0].max()) > 9:
        raise PermanentError(f"{name} has class {int(rows[:, 0].max())}: not a CIFAR-10 batch")
    return rows


# --- Folders of pictures ------------------------------------------------------------------------


def _read_pictures(
    archive: zipfile.ZipFile,
    placed: Sequence[PictureEntry],
    channels: Literal[1, 3],
    size: int | None,
    name: str,
) -> LoadedData:
    chosen = [each.member for each in placed]
    if size and len(chosen) * channels * size * size > MOST_BYTES:
        raise PermanentError(
            f"{len(chosen)} pictures of {size} x {size} pixels are more than "
            f"{MOST_BYTES >> 30} GiB: give a smaller --size, or fewer pictures"
        )
    paper = _paper(archive, chosen)
    noted: list[str] = []
    pictures, corrupt = _decode_all(archive, chosen, channels, size, paper, noted)
    noted.sort()
    kept = [each for each, picture in zip(placed, pictures, strict=True) if picture is not None]
    good = [picture for picture in pictures if picture is not None]
    _judge(corrupt, len(chosen))
    shapes = sorted({picture.shape[:2] for picture in good})
    if len(shapes) > 1:
        shown = ", ".join(f"{width} x {height}" for height, width in shapes[:3])
        raise PermanentError(f"pictures of {len(shapes)} sizes ({shown} …): give a --size")
    classes = tuple(sorted({each.group for each in kept} - {""}))
    parts: dict[str, Split] = {}
    for part in dict.fromkeys(each.part for each in kept):
        index = [i for i, each in enumerate(kept) if each.part == part]
        groups = [kept[i].group for i in index]
        labelled = bool(classes) and all(groups)
        parts[part] = Split(
            np.stack([good[i] for i in index]).reshape(len(index), *shapes[0], channels)
            .transpose(0, 3, 1, 2),
            np.array([classes.index(g) for g in groups], np.int64) if labelled else None,
            groups if any(groups) else [],
            [kept[i].member.name for i in index],
        )  # fmt: skip
    if "train" not in parts:
        raise PermanentError(f"data {name} has no pictures to train on, only {', '.join(parts)}")
    return LoadedData("pictures", parts, classes, corrupt, paper, noted)


def _paper(archive: zipfile.ZipFile, entries: Sequence[Member]) -> Paper:
    """One paper for all of them, by the ink of some."""
    able = [entry for entry in entries if entry.name.lower().endswith(_TRANSPARENT)]
    inks = []
    for entry in able[:: max(1, len(able) // _SAMPLED)]:
        with contextlib.suppress(Exception):  # damaged: told when all are read
            inks.append(ink(_content(archive, entry)))
    return paper_for([each for each in inks if each is not None])


def _decode_all(
    archive: zipfile.ZipFile,
    entries: Sequence[Member],
    channels: Literal[1, 3],
    size: int | None,
    paper: Paper,
    noted: list[str],
) -> tuple[list[Bytes | None], list[str]]:
    def decode(item: tuple[Member, bytes | Exception]) -> Bytes | str:
        entry, data = item
        try:
            if isinstance(data, Exception):
                raise data
            return decode_picture(
                data, channels, size, paper=paper,
                note=lambda words: noted.append(f"{entry.name} {words}"),
            )  # fmt: skip
        except Exception as error:  # decoders raise what they stumble over
            if is_the_machines(error):
                raise
            return f"{entry.name}: {str(error).removeprefix(f'{entry.name} ')}"

    def contents() -> Any:
        for entry in entries:  # one reader: a zip has one position
            try:
                yield entry, _content(archive, entry)
            except Exception as error:  # a member may be damaged in any way
                yield entry, error

    with ThreadPoolExecutor() as pool:
        results: list[Bytes | str] = []
        waiting: list[Any] = []
        for item in contents():  # in blocks, so that not all files are in memory at once
            waiting.append(item)
            if len(waiting) == 512:
                results += pool.map(decode, waiting)
                waiting = []
        results += pool.map(decode, waiting)
    corrupt = [result for result in results if isinstance(result, str)]
    return [None if isinstance(result, str) else result for result in results], corrupt


def _judge(corrupt: Sequence[str], count: int) -> None:
    if not corrupt:
        return
    shown = "; ".join(corrupt[:_NAMED]) + (" …" if len(corrupt) > _NAMED else "")
    are = "is" if len(corrupt) == 1 else "are"
    said = f"{len(corrupt)} of {text.count(count, 'picture')} {are} damaged"
    if len(corrupt) == count or (len(corrupt) > 1 and len(corrupt) > _CORRUPT_SHARE * count):
        raise PermanentError(f"{said}: {shown}")
    log.warning("%s and left out: %s", said, shown)


# --- All forms ----------------------------------------------------------------------------------


def _content(archive: zipfile.ZipFile, member: Member) -> bytes:
    assert isinstance(member.origin, zipfile.ZipInfo)
    if member.bytes > _MOST_FILE:
        raise PermanentError(f"{member.name} has {member.bytes >> 20} MiB: too much")
    try:
        return archive.read(member.origin)
    except (zipfile.BadZipFile, OSError, EOFError, zlib.error, RuntimeError) as error:
        raise PermanentError(f"{member.name} is damaged: {error}") from None


def fitted(images: Bytes, channels: Literal[1, 3], size: int | None) -> Bytes:
    """Pictures (N, C, H, W) with so many channels and that size."""
    if images.shape[1] != channels:
        if channels == 3:
            images = np.repeat(images, 3, axis=1)
        else:  # the luma of Rec. 601, to the digit as Pillow takes it
            weights = np.array([19595, 38470, 7471], np.uint32)
            sums = np.einsum("nchw,c->nhw", images, weights, dtype=np.uint32)
            images = ((sums + 0x8000) >> 16).astype(np.uint8)[:, None]
    if size is None or images.shape[2:] == (size, size):
        return images
    shape = images.shape[2:] if channels == 1 else (*images.shape[2:], 3)
    resized = [
        np.asarray(square(Image.fromarray(picture.transpose(1, 2, 0).reshape(shape)), size))
        for picture in images
    ]
    return np.stack(resized).reshape(len(images), size, size, channels).transpose(0, 3, 1, 2)
