"""The pictures that people look for after a training, drawn with matplotlib."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

_DPI = 120
_LEGIBLE = 20  # classes whose counts can be written into the cells
_MARKED = 60  # epochs that have a dot each
_MANY_TIMES = 100  # so much between the largest and the smallest loss needs a logarithmic axis
_FEW_POINTS = 300  # are drawn larger
_LETTERS = 25  # that fit above a picture
_CELL, _GAP = 112, 6  # pixels of a picture in a grid, at least, and between two
_LARGEST = 100.0  # inches of a grid


def save_curves(
    path: Path, history: Sequence[dict[str, float]], name: str, *, best_epoch: int | None = None
) -> None:
    """Draw `train_NAME` and `val_NAME` over the epochs, and mark the one whose weights are kept.

    Values that fall over many orders of magnitude get a logarithmic axis.
    """
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    epochs = [row["epoch"] for row in history]
    drawn: list[float] = []
    for part in ("train", "val"):
        values = [row.get(f"{part}_{name}", float("nan")) for row in history]
        if np.isfinite(values).any():
            marker = "o" if len(epochs) <= _MARKED else ""
            axes.plot(epochs, values, marker=marker, markersize=3, label=part)
            drawn += [value for value in values if math.isfinite(value)]
    if drawn and min(drawn) > 0 and max(drawn) > _MANY_TIMES * min(drawn):
        axes.set_yscale("log")
    if best_epoch is not None:
        axes.axvline(best_epoch, color="grey", linestyle="--", linewidth=1, zorder=0)
        axes.plot([], [], color="grey", linestyle="--", label=f"kept: epoch {best_epoch}")
    axes.set(xlabel="epoch", ylabel=name, title=f"{name} per epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
    _save(figure, path)


def save_confusion(path: Path, counts: NDArray[np.int64], classes: Sequence[str]) -> None:
    """Draw a confusion matrix: rows are the true classes, columns the predicted ones."""
    side = min(20.0, 3 + 0.5 * len(classes))
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    places = range(len(classes))
    words = [_plain(name, 40) for name in classes]
    axes.set_xticks(places, words, rotation=90)
    axes.set_yticks(places, words)
    axes.set(xlabel="predicted", ylabel="true", title="confusion matrix of the test pictures")
    if len(classes) <= _LEGIBLE:
        for (row, column), share in np.ndenumerate(shares):
            colour = "white" if share > 0.5 else "black"
            number = str(counts[row, column])
            axes.text(column, row, number, ha="center", va="center", color=colour, fontsize=7)
    _save(figure, path)


def save_grid(
    path: Path,
    pictures: NDArray[np.uint8],
    *,
    columns: int,
    titles: Sequence[str] | None = None,
    title: str = "",
    rows: Sequence[str] | None = None,
) -> None:
    """Draw pictures (N, H, W) or (N, H, W, 3) in a grid.

    Args:
        path: the PNG.
        pictures: in the order of reading.
        columns: pictures in a row, at most; the rows are filled evenly, unless they have words.
        titles: up to three lines above each picture.
        title: a line above all.
        rows: a word at the left of each row.
    """
    if titles:
        _save_titled(path, pictures, _even(len(pictures), columns), titles, title)
        return
    if not rows:
        columns = _even(len(pictures), columns)
    # One picture of all of them: an axis for each would take minutes for thousands.
    count = -(-len(pictures) // columns)
    mosaic, height, width = _mosaic(pictures, count, columns)
    shape = mosaic.shape[1] / width, mosaic.shape[0] / width
    scale = min(1.0, _LARGEST / max(shape))
    wide = max(1.5, scale * shape[0], _width_of(title)) + (0.6 if rows else 0.2)
    tall = max(0.5, scale * shape[1]) + 0.5
    figure = Figure(figsize=(wide, tall), layout="constrained")
    axes = figure.subplots()
    axes.imshow(mosaic, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_axis_off()
    for number, word in enumerate(rows or ()):
        middle = number * (height + _GAP) + height / 2
        axes.text(-0.1 * width, middle, _plain(word), ha="right", va="center", fontsize=7)
    if title:
        figure.suptitle(title, fontsize=9)
    _save(figure, path)


def _even(count: int, columns: int) -> int:
    """How many columns fill the same number of rows best."""
    rows = max(1, -(-count // columns))
    return max(1, -(-count // rows))


def _mosaic(
    pictures: NDArray[np.uint8], rows: int, columns: int
) -> tuple[NDArray[np.uint8], int, int]:
    """All pictures in one, on white; and the height and width of each, enlarged by a factor."""
    factor = max(1, -(-_CELL // max(pictures.shape[1:3])))
    large = pictures.repeat(factor, axis=1).repeat(factor, axis=2)
    height, width = large.shape[1:3]
    whole = (rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, *large.shape[3:])
    mosaic = np.full(whole, 255, np.uint8)
    for place, picture in enumerate(large):
        top, left = place // columns * (height + _GAP), place % columns * (width + _GAP)
        mosaic[top : top + height, left : left + width] = picture
    return mosaic, height, width


def _save_titled(
    path: Path, pictures: NDArray[np.uint8], columns: int, titles: Sequence[str], title: str
) -> None:
    rows = -(-len(pictures) // columns)
    lines = max(text.count("\n") + 1 for text in titles)
    height = 1.0 + 0.14 * lines
    sides = max(1.3 * columns, _width_of(title)) + 0.2, height * rows + 0.4
    figure = Figure(figsize=sides, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for place, axes in enumerate(grid.flat):
        axes.set_axis_off()
        if place < len(pictures):
            axes.imshow(pictures[place], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            text = "\n".join(_plain(line, _LETTERS) for line in titles[place].split("\n"))
            axes.set_title(text, fontsize=6)
    if title:
        figure.suptitle(title, fontsize=9)
    _save(figure, path)


def _width_of(title: str) -> float:
    """Inches that a line above all takes."""
    return 0.075 * len(title)


def _plain(text: str, letters: int | None = None) -> str:
    """Text as it is, where matplotlib would see a formula; cut in its middle."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    if letters is not None and len(shown) > letters:
        shown = f"{shown[: letters // 2]}…{shown[-(letters - letters // 2 - 1) :]}"
    return shown.replace("$", r"\$")


def save_scatter(
    path: Path,
    points: NDArray[np.float32],
    labels: NDArray[np.int64] | None,
    classes: Sequence[str],
    names: Sequence[str],
) -> None:
    """Draw points (N, 2 or 3) of a latent space by class; `names` are those of its axes."""
    solid = points.shape[1] >= 3
    legend = labels is not None and len(classes) <= _LEGIBLE
    figure = Figure(figsize=(8 if legend else 7, 6), layout="constrained")
    axes: Any = figure.add_subplot(projection="3d" if solid else None)
    size = 4 if len(points) > _FEW_POINTS else 20
    shown = [points[:, i] for i in range(3 if solid else 2)]
    if labels is None:
        axes.scatter(*shown, s=size, alpha=0.6)
    else:
        colours = colormaps["tab10" if len(classes) <= 10 else "turbo"]
        for label in np.unique(labels):
            chosen = labels == label
            word = _plain(classes[label], 40) if label < len(classes) else str(label)
            colour = colours(
                int(label) if len(classes) <= 10 else label / max(1, len(classes) - 1)
            )
            axes.scatter(
                *(axis[chosen] for axis in shown), s=size, alpha=0.6, color=colour, label=word
            )
        if legend:
            figure.legend(
                loc="outside right center", markerscale=3 if size < 10 else 1, fontsize=8
            )
    for axis, word in zip("xyz", names, strict=False):
        axes.set(**{f"{axis}label": word})
    axes.set(title="latent space of the test pictures")
    if solid:
        axes.set_box_aspect(None, zoom=0.9)  # the third axis' name is cut off otherwise
        axes.zaxis.labelpad = 10
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with warnings.catch_warnings():
        # matplotlib's own font has no Chinese, among others: boxes, and not a line for each.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(path, dpi=_DPI, format="png")
