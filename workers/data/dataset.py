"""A job's data as tensors: read once and cached, split by the seed.

The test part is the data's own (`t10k`, `test/`), or the groups that were held out, or else a
tenth of all. The validation part is the data's own (`val/`) or a share of the training pictures.
Splits keep the classes' shares and depend on nothing but the data and the seed.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cvq.datasets.reading import LoadedData, Split, fitted, read
from cvq.errors import PermanentError
from cvq.inputs.data import DataSource
from cvq.text import join

from .seen import seen_of

log = logging.getLogger("cvq.job")

TEST_SHARE = 0.1
# Of small data, a larger share is taken: what few pictures say is chance.
_FEWEST, _LARGEST_SHARE = 16, 0.2
_CACHE_VERSION = 2

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """Pictures (N, C, H, W), uint8; labels (N,), int64, or None; file names, or none."""

    images: Tensor
    labels: Tensor | None
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Dataset:
    """What a job trains on.

    Attributes:
        name: of the data, as given.
        train, val, test: its parts.
        classes: their names; empty where there are no labels.
        facts: what a model card says of the data.
        seen: what the network saw of a picture, kept with the model: see `workers/data/seen.py`.
    """

    name: str
    train: Part
    val: Part
    test: Part
    classes: tuple[str, ...]
    facts: dict[str, Any]
    seen: dict[str, Any]


def load_dataset(
    data: DataSource,
    *,
    channels: Literal[1, 3],
    size: int | None,
    val_share: float,
    seed: int,
    cache: Path,
    hold_out: Sequence[str] = (),
) -> Dataset:
    """Read, or take out of the cache, and split.

    Args:
        data: the specification's; its `path` is the zip on this machine.
        channels: 1 for grey, 3 for RGB.
        size: side in pixels, or None for pictures that are all of one size.
        val_share: share of the training pictures to validate on, where the data has no own part.
        seed: of the splits.
        cache: a folder that outlives the job.
        hold_out: folders (persons, classes) to test on, or a share of them such as `10%`.

    Raises:
        PermanentError: the data is damaged, too small or does not fit.
    """
    if data.name == "digits" and data.path is None:
        found = _digits(channels, size)
    elif data.path is None:
        raise PermanentError(f"data {data.name} is not on this machine")
    else:
        found = _cached(data, channels, size, cache)
    parts, facts = _split(found, val_share, seed, hold_out)
    for name, part in parts.items():
        if not len(part):
            raise PermanentError(
                f"data {data.name} has too few pictures: none is left for the {name} part"
            )
    _check_variety(data.name, parts["train"].images)
    seen = seen_of(parts["train"].images, found.paper)
    facts = {
        "name": data.name,
        "sha256": data.sha256,
        "format": found.format,
        "pixels": " x ".join(map(str, parts["train"].images.shape[2:])),
        **{f"{name} pictures": len(part) for name, part in parts.items()},
        "polarity": seen["polarity"],
        "shown where transparent": found.paper,
        "classes": len(found.classes),
        "seed of the split": seed,
        "damaged pictures left out": len(found.corrupt),
        **facts,
    }
    log.info("data %s: %s", data.name, ", ".join(f"{len(p)} {n}" for n, p in parts.items()))
    for line in found.left_out:
        log.warning("data %s: %s", data.name, line)
    if found.noted:
        log.warning("data %s: %s", data.name, join(found.noted))
    return Dataset(data.name, classes=found.classes, facts=facts, seen=seen, **parts)


def _check_variety(name: str, images: Tensor) -> None:
    """Refuse pictures of which each is like the other: nothing can be learnt from them.

    Raises:
        PermanentError: they are alike, to the pixel.
    """
    if len(images) < 2 or bool((images[1] != images[0]).any()):
        return
    if bool((images == images[:1]).all()):
        low, high = int(images.min()), int(images.max())
        values = f"every pixel is {low}" if low == high else f"pixels from {low} to {high}"
        raise PermanentError(
            f"data {name}: all {len(images)} training pictures are alike ({values}): there is "
            "nothing to learn from them; look at the files"
        )


def _digits(channels: Literal[1, 3], size: int | None) -> LoadedData:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
    raw = Split(fitted(images, channels, size), bunch.target.astype(np.int64))
    return LoadedData("digits", {"train": raw}, tuple(map(str, range(10))))


# --- Cache --------------------------------------------------------------------------------------


def _cached(
    data: DataSource, channels: Literal[1, 3], size: int | None, cache: Path
) -> LoadedData:
    assert data.path is not None
    folder = cache / "data"
    stem = folder / f"{data.sha256}-{channels}-{size}-v{_CACHE_VERSION}"
    if data.sha256 and (found := _from_cache(stem)):
        return found
    found = read(data.path, channels=channels, size=size, name=data.name)
    if data.sha256:
        _into_cache(found, stem)
    return found


def _from_cache(stem: Path) -> LoadedData | None:
    try:
        about = json.loads(stem.with_suffix(".json").read_text())
        parts = {}
        for name, raw in about["parts"].items():
            images = np.load(f"{stem}-{name}.npy", mmap_mode="r", allow_pickle=False)
            labels = None if raw["labels"] is None else np.array(raw["labels"], np.int64)
            if len(images) != raw["count"] or (labels is not None and len(labels) != len(images)):
                return None
            parts[name] = Split(images, labels, raw["groups"], raw["names"])
        return LoadedData(
            about["format"], parts, tuple(about["classes"]), about["corrupt"], about["paper"],
            about["noted"], about["left_out"],
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):  # not there yet, or damaged
        return None


def _into_cache(found: LoadedData, stem: Path) -> None:
    about: dict[str, Any] = {
        "format": found.format, "classes": found.classes, "corrupt": found.corrupt,
        "paper": found.paper, "noted": found.noted, "left_out": found.left_out,
        "parts": {},
    }  # fmt: skip
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
        for name, raw in found.parts.items():
            partial = Path(f"{stem}-{name}.{os.getpid()}.partial")
            with partial.open("wb") as file:
                np.save(file, np.ascontiguousarray(raw.images), allow_pickle=False)
            partial.replace(f"{stem}-{name}.npy")
            row = asdict(Split(np.empty(0, np.uint8), None, raw.groups, raw.names))
            del row["images"]
            labels = None if raw.labels is None else raw.labels.tolist()
            about["parts"][name] = {**row, "labels": labels, "count": len(raw.images)}
        partial = Path(f"{stem}.{os.getpid()}.partial")
        partial.write_text(json.dumps(about))
        partial.replace(stem.with_suffix(".json"))  # last: it says that all is there
    except OSError as error:  # a cache is a convenience
        log.warning("the data could not be cached: %s", error)


# --- Splits -------------------------------------------------------------------------------------


def _split(
    found: LoadedData, val_share: float, seed: int, hold_out: Sequence[str]
) -> tuple[dict[str, Part], dict[str, Any]]:
    generator = np.random.default_rng(seed)
    train = found.parts["train"]
    rest = np.arange(len(train.images))
    parts = {name: _part(found.parts[name]) for name in ("val", "test") if name in found.parts}
    facts: dict[str, Any] = {}
    if hold_out:
        held = _held_groups(train, hold_out, generator)
        others = sorted(set(train.groups) - held)
        if "val" not in parts and len(others) > 1:  # as strange to the network as the test part
            checked = set(generator.permutation(others)[: max(1, round(val_share * len(others)))])
            parts["val"] = _part(train, rest[[group in checked for group in train.groups]])
            facts["validated on"] = ", ".join(sorted(checked))
            held_back = held | checked
        else:
            held_back = held
        chosen = np.array([group in held for group in train.groups])
        parts["test"] = _part(train, rest[chosen])
        rest = rest[[group not in held_back for group in train.groups]]
        facts["held out"] = ", ".join(sorted(held))
    elif "test" not in parts:
        rest, taken = stratified(rest, train.labels, TEST_SHARE, generator)
        parts["test"] = _part(train, taken)
        facts["test part"] = f"{_share(parts['test'], rest)} of all, drawn by the seed"
    if "val" not in parts:
        rest, taken = stratified(rest, train.labels, val_share, generator)
        parts["val"] = _part(train, taken)
        share = _share(parts["val"], rest)
        facts["validation part"] = f"{share} of the training pictures, drawn by the seed"
    ordered = {"train": _part(train, rest), "val": parts["val"], "test": parts["test"]}
    return ordered, facts


def _share(part: Part, rest: Index) -> str:
    return f"{len(part) / (len(part) + len(rest)):.0%}"


def stratified(
    index: Index, labels: Index | None, share: float, generator: np.random.Generator
) -> tuple[Index, Index]:
    """Take a share out of an index, of every class alike; returns what is left and what is taken.

    Where there are two pictures or more, neither is empty. Where the share would be fewer than 16
    pictures, it is 16 of them, or a fifth of all.
    """
    shuffled = generator.permutation(index)
    least = min(_FEWEST, int(_LARGEST_SHARE * len(index)))
    wanted = min(max(1, least, round(share * len(index))), max(0, len(index) - 1))
    if labels is None:
        return np.sort(shuffled[wanted:]), np.sort(shuffled[:wanted])
    # Each picture's place within its class, as a share of the class: the first places are taken.
    places = np.empty(len(shuffled))
    for label in np.unique(labels[shuffled]):
        own = np.flatnonzero(labels[shuffled] == label)
        places[own] = (np.arange(len(own)) + 0.5) / len(own)
    order = np.argsort(places, kind="stable")
    return np.sort(shuffled[order[wanted:]]), np.sort(shuffled[order[:wanted]])


def _held_groups(
    train: Split, hold_out: Sequence[str], generator: np.random.Generator
) -> set[str]:
    groups = sorted(set(train.groups) - {""})
    if not groups:
        raise PermanentError("nothing can be held out: the pictures lie in no folders")
    if len(hold_out) == 1 and hold_out[0].endswith("%"):
        count = max(1, round(float(hold_out[0][:-1]) / 100 * len(groups)))
        held = set(generator.permutation(groups)[:count].tolist())
    else:
        held = set(hold_out)
    if missing := held - set(groups):
        raise PermanentError(
            f"there is no folder {', '.join(sorted(missing))} to hold out, but "
            f"{', '.join(groups[:5])} …"
        )
    if held == set(groups):
        raise PermanentError("all folders are held out: none is left to train on")
    return held


def _part(raw: Split, index: Index | None = None) -> Part:
    index = np.arange(len(raw.images)) if index is None else index
    images = torch.from_numpy(np.ascontiguousarray(raw.images[index]))
    labels = None if raw.labels is None else torch.from_numpy(raw.labels[index])
    return Part(images, labels, tuple(raw.names[i] for i in index) if raw.names else ())
