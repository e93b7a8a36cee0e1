"""Augmentation pipelines of albumentations, given as a file: read, checked, made.

A pipeline is what `albumentations.save(pipeline, FILE)` wrote, as JSON or YAML. It is data: it
names transforms and their numbers, and only transforms that albumentations itself has are made.
"""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..errors import InvalidInputError, MissingExtraError
from ..parse import TwiceError, once

Shape = tuple[int, int, int]

MAX_BYTES = 1 << 20
# Far above what a pipeline has, far below what would hurt.
_MOST_NODES, _DEEPEST = 20_000, 50
# They open further files, by paths that mean nothing, or something else, on a worker.
_OPENERS = ("FDA", "HistogramMatching", "PixelDistributionAdaptation", "TemplateTransform")
_TRIES = 8


def read_pipeline(path: Path) -> dict[str, Any]:
    """The serialised pipeline in a file; needs no albumentations.

    Raises:
        InvalidInputError: it is missing, too large, neither JSON nor YAML, or no pipeline.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise InvalidInputError(f"{path} is not a regular file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise InvalidInputError(f"{path} is larger than {MAX_BYTES >> 20} MiB: no pipeline is")
    try:
        found = _parse(content.decode("utf-8"))
    except TwiceError as error:
        raise InvalidInputError(f"{path}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{path} is neither JSON nor YAML: {_line(error)}") from None
    if _is_too_much(found):  # JSON, too, may ask for hours
        raise InvalidInputError(
            f"{path} has more than {_MOST_NODES} values, or more than {_DEEPEST} within each other"
        )
    if number := next(_no_numbers(found), None):
        raise InvalidInputError(f"{path} has {number} where a number should be")
    try:
        names = list(_names(found["transform"]))
    except (TypeError, KeyError, RecursionError):
        names = []
    if openers := [name for name in names if name.rpartition(".")[2] in _OPENERS]:
        raise InvalidInputError(f"{path}: {openers[0]} reads further files, which no job has")
    if not names:
        raise InvalidInputError(
            f"{path} is no pipeline of albumentations: "
            f"`albumentations.save(pipeline, {path.name!r})` writes one"
        )
    return dict(found)


def make_pipeline(path: Path, shape: Shape) -> Any:
    """Make the pipeline of a file, and try it on a picture.

    Args:
        path: the file.
        shape: height, width and channels (1 or 3) of the pictures that it will get, uint8.

    Returns:
        an `albumentations.Compose`, called with `image=` (H, W) or (H, W, 3).

    Raises:
        InvalidInputError: it cannot be made, or does not keep size and type of a picture.
        MissingExtraError: albumentations is not installed.
    """
    found = read_pipeline(path)
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask the network
    try:
        import albumentations
    except ModuleNotFoundError:
        raise MissingExtraError("worker", "an augmentation pipeline") from None
    with warnings.catch_warnings():
        # A word that a transform does not know is only warned of, and would be left out; so is a
        # change of colours that grey pictures have not.
        warnings.simplefilter("error", UserWarning)
        try:
            made = albumentations.from_dict({"transform": found["transform"]})
        except KeyError as error:
            raise InvalidInputError(
                f"{path}: albumentations has no transform {error} that a file could name"
            ) from None
        except Exception as error:
            raise InvalidInputError(f"{path}: {_line(error)}") from None
        if not isinstance(made, albumentations.Compose):
            made = albumentations.Compose([made])
        _try(path, made, shape)
    return made


def _try(path: Path, pipeline: Any, shape: Shape) -> None:
    """Apply a pipeline to noise, several times: a transform may come by chance."""
    import numpy as np

    height, width, channels = shape
    size = (height, width) if channels == 1 else shape
    generator = np.random.default_rng(0)
    picture = f"a {'grey' if channels == 1 else 'coloured'} picture of {width} x {height}"
    for seed in range(_TRIES):
        pipeline.set_random_seed(seed)
        noise = generator.integers(0, 256, size, dtype=np.uint8)
        try:
            out = pipeline(image=noise)["image"]
        except Exception as error:
            raise InvalidInputError(
                f"{path} cannot be applied to {picture}: {_line(error)}"
            ) from None
        kind, found = getattr(out, "dtype", None), tuple(getattr(out, "shape", ()))
        if found != size or kind != np.uint8:
            raise InvalidInputError(
                f"{path} turns {picture} into {kind} {found}: size and type must stay"
            )


def check_pipeline(path: Path, shape: Shape) -> None:
    """Refuse a file that no job could use; without albumentations, what can be seen without it.

    Raises:
        InvalidInputError: see `read_pipeline` and `make_pipeline`.
    """
    try:
        make_pipeline(path, shape)
    except MissingExtraError:
        read_pipeline(path)


def _parse(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=once)
    except TwiceError:
        raise
    except ValueError:
        try:
            import yaml
        except ModuleNotFoundError:
            raise
        try:
            _measure(yaml.parse(text, yaml.SafeLoader))
            return yaml.load(text, _strict(yaml))  # noqa: S506 - a safe loader's child
        except yaml.YAMLError as error:
            raise ValueError(_line(error)) from None


def _strict(yaml: Any) -> Any:
    """PyYAML's safe loader, which would keep the last of several values of one name."""

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            once((key.value, None) for key, _ in node.value if isinstance(key, yaml.ScalarNode))
            return super().construct_mapping(node, deep)

    return Loader


def _measure(events: Iterable[Any]) -> None:
    """Refuse YAML that grows by its aliases, or is nested deeply; none is followed to find out.

    Raises:
        ValueError: it has too many nodes with all aliases followed, or is too deep.
    """
    sizes: dict[str, int] = {}
    above: list[tuple[str | None, int]] = []  # the open nodes: anchor, nodes so far
    for event in events:
        kind, anchor = type(event).__name__, getattr(event, "anchor", None)
        if kind in ("MappingStartEvent", "SequenceStartEvent"):
            above.append((anchor, 1))
            size = 0
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            anchor, size = above.pop()
        elif kind == "AliasEvent":
            if anchor not in sizes:
                raise ValueError("an alias stands within what it stands for, or for nothing")
            size, anchor = sizes[anchor], None
        elif kind == "ScalarEvent":
            size = 1
        else:
            continue
        if anchor is not None and size:
            sizes[anchor] = size
        if above and size:
            above[-1] = above[-1][0], above[-1][1] + size
        if len(above) > _DEEPEST or size > _MOST_NODES or (above and above[-1][1] > _MOST_NODES):
            raise ValueError(
                f"it has more than {_MOST_NODES} nodes with its aliases followed, or more than "
                f"{_DEEPEST} within each other"
            )


def _is_too_much(value: Any) -> bool:
    """Whether what was read has more values, or more within each other, than a pipeline has."""
    level, seen, depth = [value], 0, 0
    while level:
        seen, depth = seen + len(level), depth + 1
        if seen > _MOST_NODES or depth > _DEEPEST:
            return True
        parts = [
            part.values() if isinstance(part, dict) else part
            for part in level
            if isinstance(part, dict | list)
        ]
        level = [each for part in parts for each in part]
    return False


def _names(transform: Any) -> Iterator[str]:
    """The names of a transform and of all that it contains."""
    name = transform["__class_fullname__"]
    if not isinstance(name, str):
        raise TypeError
    yield name
    for part in transform.get("transforms", ()):
        yield from _names(part)


def _no_numbers(value: Any) -> Iterator[str]:
    """What JSON and YAML write as numbers and are none: most transforms would draw black."""
    open_ = [value]
    while open_:
        match open_.pop():
            case dict() as part:
                open_ += part.values()
            case list() as part:
                open_ += part
            case float() as part if not math.isfinite(part):
                yield str(part)


def _line(error: object) -> str:
    """An error in one line."""
    return " ".join(str(error).split()) or type(error).__name__
