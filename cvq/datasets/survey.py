"""What a job would be given, said before it is queued: read, left out and why, or refused."""

from __future__ import annotations

import gzip
import math
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..errors import InvalidInputError
from ..text import count
from . import KNOWN, idx
from .inventory import Member, take
from .layout import Layout, check_classes, check_groups, lay_out, only_in

_MOST_BYTES_A_PIXEL = 16  # four channels of 32 bits, and nothing packed
_WORDS = {"train": "to train on", "val": "to validate on", "test": "to test on"}


@dataclass(frozen=True)
class Survey:
    """What there is.

    Attributes:
        summary: form, parts and classes in half a sentence.
        notes: a line for each thing that is left out, or worth a word.
    """

    summary: str
    notes: list[str]


def survey(
    path: Path,
    *,
    labelled: bool = False,
    hold_out: Sequence[str] = (),
    max_pixels: int = 100_000_000,
) -> Survey:
    """Make sure that a job can be trained on a folder or zip, by names, sizes and heads.

    No picture is decoded.

    Args:
        path: the folder or zip.
        labelled: whether the job needs classes.
        hold_out: folders that it is to test on.
        max_pixels: of a picture.

    Raises:
        InvalidInputError: a job could not use it; the message says why.
    """
    _check_there(path)
    found = take(path)
    called = str(path)
    if not found.members and path.is_dir() and any(path.rglob("data_batch_1")):
        raise InvalidInputError(
            f"{path} has CIFAR as pickles, which could run any code: "
            "`cvq data fetch cifar10` brings the same pictures as binary files"
        )
    layout = lay_out(found, called)
    for placed in layout.pictures:
        if placed.member.bytes > max_pixels * _MOST_BYTES_A_PIXEL:
            raise InvalidInputError(
                f"{called}: {placed.member.name} has {placed.member.bytes >> 20} MiB: no picture "
                f"of {max_pixels / 1e6:g} megapixels (CVQ_MAX_PIXELS) has so many"
            )
    counts = _counts(layout, path, labelled)
    _check_counts(counts, called)
    if labelled:
        check_classes(layout, called)
    check_groups(layout, called, hold_out)
    parts = ", ".join(f"{number} {_WORDS[part]}" for part, number in counts.items())
    classes = f"; {count(len(layout.groups), 'folder')}" if layout.groups else ""
    return Survey(f"{layout.form}: {parts}{classes}", layout.notes + found.lines())


def _check_there(path: Path) -> None:
    try:
        there = path.exists()
    except OSError as error:  # a name that is too long
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}") from None
    if not there:
        names = ", ".join(KNOWN)
        raise InvalidInputError(f"{path} does not exist, and is not a known data set ({names})")


def _check_counts(counts: dict[str, int], called: str) -> None:
    if empty := [part for part, number in counts.items() if not number]:
        raise InvalidInputError(f"{called} has 0 pictures in its {' and '.join(empty)} part")
    needed = 1 + ("val" not in counts) + ("test" not in counts)
    if counts["train"] < needed:
        raise InvalidInputError(
            f"{called} has too few pictures: {counts['train']}, and "
            f"{needed} are needed to train, validate and test"
        )


def _counts(layout: Layout, path: Path, labelled: bool) -> dict[str, int]:
    if layout.form == "pictures":
        counts = Counter(placed.part for placed in layout.pictures)
        return {part: counts[part] for part in _WORDS if part in counts}
    if layout.form == "CIFAR-10":
        return {
            part: sum(member.bytes for member in batches) // 3073
            for part, batches in layout.batches.items()
        }
    archive = nullcontext(None) if path.is_dir() else zipfile.ZipFile(path)
    try:
        with archive as opened:
            return _idx_counts(layout, opened, labelled)
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}: {error}") from None


def _idx_counts(layout: Layout, archive: zipfile.ZipFile | None, labelled: bool) -> dict[str, int]:
    counts: dict[str, int] = {}
    classes: dict[str, set[int]] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for part in ("train", "test"):
        if (part, "images") not in layout.idx:
            continue
        images, labels = layout.idx[part, "images"], layout.idx[part, "labels"]
        with _opened(images, archive) as file:
            shape = idx.shape_of(file, images.name, 3)
            packed = isinstance(file, gzip.GzipFile)
        with _opened(labels, archive) as file:
            (number,), data = idx.content_of(file, labels.name, 1)
        if not packed and images.bytes != 16 + math.prod(shape):
            raise InvalidInputError(
                f"{images.name} has {images.bytes - 16} bytes of data, and its head says "
                f"{' x '.join(map(str, shape))} = {math.prod(shape)}"
            )
        if number != shape[0]:
            raise InvalidInputError(
                f"{images.name} has {shape[0]} pictures, {labels.name} {number} labels"
            )
        counts[part], classes[part], shapes[images.name] = shape[0], set(data), shape
    idx.check_alike(shapes)
    if labelled and counts["train"]:
        _check_labels(classes)
    return counts


def _check_labels(classes: dict[str, set[int]]) -> None:
    if len(classes["train"]) < 2:
        raise InvalidInputError(
            f"all training labels are class {min(classes['train'])}: there is nothing to tell "
            "apart"
        )
    if strange := sorted(classes.get("test", set()) - classes["train"]):
        raise InvalidInputError(only_in(strange, "the test part"))


@contextmanager
def _opened(member: Member, archive: zipfile.ZipFile | None) -> Iterator[IO[bytes]]:
    with idx.ReadErrors(member.name):
        if isinstance(member.origin, Path):
            with member.origin.open("rb") as file:
                yield idx.unpacked(file)
        else:
            assert archive is not None
            with archive.open(member.origin) as file:
                yield idx.unpacked(file)
