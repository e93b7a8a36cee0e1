"""Reads a zip of pictures, of IDX files or of CIFAR batches into arrays.

Needs numpy and Pillow, and is imported only where data is read: in jobs, and by `cvq data check`.
Nothing is unpacked to a disk, and nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import logging
import re
import zipfile
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..decoding import Paper, decode_picture, ink, paper_for, square
from ..errors import PermanentError
from . import PICTURES, is_useful

log = logging.getLogger("cvq.job")

MOST_BYTES = 8 << 30  # of decoded pixels
_MOST_FILE = 2 << 30
_CORRUPT_SHARE = 0.05
_TRANSPARENT = (".png", ".webp", ".gif", ".tif", ".tiff", ".avif", ".heic", ".heif")
_SAMPLED = 200  # pictures that are asked for the colour of their ink
_NAMED = 5
_PARTS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
_CIFAR_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
_GARMENTS = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
    "Ankle boot",
)  # fmt: skip

Bytes = NDArray[np.uint8]


@dataclass
class Raw:
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
class Found:
    """What a zip holds.

    Attributes:
        format: in words.
        parts: by their names: `train`, `val`, `test`.
        classes: their names.
        corrupt: a line for each picture that is damaged and left out.
        paper: what shows through where pictures are transparent.
        noted: a line for each picture that was not taken as it stands.
    """

    format: str
    parts: dict[str, Raw]
    classes: tuple[str, ...]
    corrupt: list[str] = field(default_factory=list)
    paper: Paper = "white"
    noted: list[str] = field(default_factory=list)


def read(path: Path, *, channels: Literal[1, 3], size: int | None = None, name: str = "") -> Found:
    """Read a zip; `channels` makes pictures grey or coloured, `size` square.

    Args:
        path: of the zip.
        channels: 1 for grey, 3 for RGB.
        size: side in pixels: the shorter side is resized to it and the middle cut out. Without
            it, all pictures must be of one size.
        name: of the data, for errors and class names.

    Raises:
        PermanentError: the data is damaged or does not fit; the message names the file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if is_useful(entry.filename)]
            idx = [e for e in entries if e.filename.removesuffix(".gz").endswith("-ubyte")]
            batches = [entry for entry in entries if entry.filename.endswith(".bin")]
            if idx:
                found = _read_idx(archive, idx, name)
            elif batches:
                found = _read_cifar(archive, batches)
            else:
                return _read_pictures(archive, entries, channels, size, name)
    except (zipfile.BadZipFile, OSError) as error:
        raise PermanentError(f"data {name or path.name} cannot be read: {error}") from None
    for part in found.parts.values():
        part.images = fitted(part.images, channels, size)
    return found


# --- IDX (LeCun, Cortes and Burges) -------------------------------------------------------------


def parse_idx(data: bytes, name: str, dimensions: int) -> Bytes:
    """The array in an IDX file of unsigned bytes.

    Raises:
        PermanentError: wrong magic number, shape, or number of bytes.
    """
    head = 4 + 4 * dimensions
    if len(data) < head:
        raise PermanentError(f"{name} is cut off: it has {len(data)} bytes, its head {head}")
    magic = int.from_bytes(data[:4], "big")
    if magic != 0x800 + dimensions:
        swapped = {0x801: "labels", 0x803: "images"}.get(magic)
        hint = f": it holds {swapped}; were files swapped?" if swapped else ""
        raise PermanentError(f"{name} has magic number {magic}, not {0x800 + dimensions}{hint}")
    shape = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(dimensions)]
    wanted = int(np.prod(shape, dtype=object))
    if len(data) - head != wanted:
        raise PermanentError(
            f"{name} has {len(data) - head} bytes of data, and its head says "
            f"{' x '.join(map(str, shape))} = {wanted}"
        )
    return np.frombuffer(data, np.uint8, offset=head).reshape(shape)


def _read_idx(archive: zipfile.ZipFile, entries: Sequence[Any], name: str) -> Found:
    files: dict[tuple[str, str], Any] = {}
    for entry in entries:
        match = re.search(r"(train|t10k|test)[-_.](images|labels)[-.]idx", entry.filename.lower())
        if match:
            part = "train" if match[1] == "train" else "test"
            # Where a file lies there packed and unpacked, either will do.
            files.setdefault((part, match[2]), entry)
    parts: dict[str, Raw] = {}
    for part in ("train", "test"):
        if (part, "images") not in files:
            continue
        images = _idx_of(archive, files[part, "images"], 3)
        if (part, "labels") not in files:
            raise PermanentError(
                f"{files[part, 'images'].filename}: the labels beside it are missing"
            )
        labels = _idx_of(archive, files[part, "labels"], 1)
        if len(images) != len(labels):
            raise PermanentError(
                f"{files[part, 'images'].filename} has {len(images)} pictures, "
                f"{files[part, 'labels'].filename} {len(labels)} labels"
            )
        parts[part] = Raw(images[:, None], labels.astype(np.int64))
    if "train" not in parts:
        raise PermanentError("there are IDX files, but no train-images-idx3-ubyte among them")
    count = 1 + max(
        int(part.labels.max(initial=0)) for part in parts.values() if part.labels is not None
    )
    fashion = "fashion" in name.lower() or any("fashion" in e.filename.lower() for e in entries)
    classes = _GARMENTS if fashion and count <= 10 else tuple(map(str, range(max(10, count))))
    return Found("IDX", parts, classes)


def _idx_of(archive: zipfile.ZipFile, entry: Any, dimensions: int) -> Bytes:
    data = _content(archive, entry)
    if data[:2] == b"\x1f\x8b":
        try:
            with gzip.open(io.BytesIO(data)) as file:
                data = file.read(_MOST_FILE)
        except (OSError, EOFError, zlib.error) as error:
            raise PermanentError(f"{entry.filename} is cut off or damaged: {error}") from None
    return parse_idx(data, entry.filename, dimensions)


# --- CIFAR-10, the binary form ------------------------------------------------------------------


def _read_cifar(archive: zipfile.ZipFile, entries: Sequence[Any]) -> Found:
    parts: dict[str, Raw] = {}
    for part, word in (("train", "data_batch"), ("test", "test_batch")):
        chosen = sorted((e for e in entries if word in e.filename), key=lambda e: e.filename)
        if not chosen:
            continue
        rows = [_cifar_rows(_content(archive, entry), entry.filename) for entry in chosen]
        data = np.concatenate(rows)
        parts[part] = Raw(data[:, 1:].reshape(-1, 3, 32, 32), data[:, 0].astype(np.int64))
    if "train" not in parts:
        raise PermanentError("there is no data_batch_1.bin among the CIFAR batches")
    return Found("CIFAR-10", parts, _CIFAR_CLASSES)


def _cifar_rows(data: bytes, name: str) -> Bytes:
    if not data or len(data) % 3073:
        raise PermanentError(f"{name} has {len(data)} bytes, no multiple of 3073: is it cut off?")
    rows = np.frombuffer(data, np.uint8).reshape(-1, 3073)
    if int(rows[:, 0].max()) > 9:
        raise PermanentError(f"{name} has class {int(rows[:, 0].max())}: it is no CIFAR-10 batch")
    return rows


# --- Folders of pictures ------------------------------------------------------------------------


def _read_pictures(
    archive: zipfile.ZipFile,
    entries: Sequence[Any],
    channels: Literal[1, 3],
    size: int | None,
    name: str,
) -> Found:
    chosen = sorted(
        (e for e in entries if e.filename.lower().endswith(PICTURES)), key=lambda e: e.filename
    )
    if not chosen:
        raise PermanentError(f"data {name} has no pictures")
    if size and len(chosen) * channels * size * size > MOST_BYTES:
        raise PermanentError(
            f"{len(chosen)} pictures of {size} x {size} pixels are more than "
            f"{MOST_BYTES >> 30} GiB: give a smaller --size, or fewer pictures"
        )
    paper = _paper(archive, chosen)
    noted: list[str] = []
    pictures, corrupt = _decode_all(archive, chosen, channels, size, paper, noted)
    noted.sort()
    kept = [entry for entry, picture in zip(chosen, pictures, strict=True) if picture is not None]
    good = [picture for picture in pictures if picture is not None]
    _judge(corrupt, len(chosen))
    shapes = sorted({picture.shape[:2] for picture in good})
    if len(shapes) > 1:
        shown = ", ".join(f"{width} x {height}" for height, width in shapes[:3])
        raise PermanentError(f"pictures of {len(shapes)} sizes ({shown} …): give a --size")
    places = [_place(PurePosixPath(path)) for path in _below_top([e.filename for e in kept])]
    classes = tuple(sorted({group for _, group in places if group}))
    parts: dict[str, Raw] = {}
    for part in dict.fromkeys(part for part, _ in places):
        index = [i for i, place in enumerate(places) if place[0] == part]
        groups = [places[i][1] for i in index]
        labelled = bool(classes) and all(groups)
        parts[part] = Raw(
            np.stack([good[i] for i in index]).reshape(len(index), *shapes[0], channels)
            .transpose(0, 3, 1, 2),
            np.array([classes.index(g) for g in groups], np.int64) if labelled else None,
            groups if any(groups) else [],
            [kept[i].filename for i in index],
        )  # fmt: skip
    if "train" not in parts:
        raise PermanentError(f"data {name} has no pictures to train on, only {', '.join(parts)}")
    return Found("pictures", parts, classes, corrupt, paper, noted)


def _paper(archive: zipfile.ZipFile, entries: Sequence[Any]) -> Paper:
    """One paper for all of them, by the ink of some."""
    able = [entry for entry in entries if entry.filename.lower().endswith(_TRANSPARENT)]
    inks = []
    for entry in able[:: max(1, len(able) // _SAMPLED)]:
        with contextlib.suppress(Exception):  # damaged: told when all are read
            inks.append(ink(_content(archive, entry)))
    return paper_for([each for each in inks if each is not None])


def _decode_all(
    archive: zipfile.ZipFile,
    entries: Sequence[Any],
    channels: Literal[1, 3],
    size: int | None,
    paper: Paper,
    noted: list[str],
) -> tuple[list[Bytes | None], list[str]]:
    def decode(item: tuple[Any, bytes | Exception]) -> Bytes | str:
        entry, data = item
        try:
            if isinstance(data, Exception):
                raise data
            return decode_picture(
                data, channels, size, paper=paper,
                note=lambda words: noted.append(f"{entry.filename} {words}"),
            )  # fmt: skip
        except Exception as error:  # decoders raise what they stumble over
            return f"{entry.filename}: {error}"

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
    if len(corrupt) == count or (len(corrupt) > 1 and len(corrupt) > _CORRUPT_SHARE * count):
        raise PermanentError(f"{len(corrupt)} of {count} pictures are damaged: {shown}")
    log.warning("%d of %d pictures are damaged and left out: %s", len(corrupt), count, shown)


def _below_top(paths: list[str]) -> list[str]:
    """Paths without folders that all of them share, up to one that names a part."""
    while True:
        tops = {PurePosixPath(path).parts[0] if "/" in path else None for path in paths}
        top = tops.pop() if len(tops) == 1 else None
        if top is None or top.lower() in _PARTS:
            return paths
        inner = [path.partition("/")[2] for path in paths]
        if not any("/" in path for path in inner) and len(inner) > 1:
            return inner  # a flat folder within a folder
        paths = inner


def _place(path: PurePosixPath) -> tuple[str, str]:
    """The part and the class of a picture, by the folders it lies in."""
    folders = list(path.parts[:-1])
    part = "train"
    if folders and folders[0].lower() in _PARTS:
        part = _PARTS[folders.pop(0).lower()]
    return part, folders[0] if folders else ""


# --- All forms ----------------------------------------------------------------------------------


def _content(archive: zipfile.ZipFile, entry: Any) -> bytes:
    if entry.file_size > _MOST_FILE:
        raise PermanentError(f"{entry.filename} has {entry.file_size >> 20} MiB: too much")
    try:
        return archive.read(entry)
    except (zipfile.BadZipFile, OSError, EOFError, zlib.error, RuntimeError) as error:
        raise PermanentError(f"{entry.filename} is damaged: {error}") from None


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
