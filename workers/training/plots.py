"""The pictures that people look for after a training, drawn with matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

_DPI = 120
_LEGIBLE = 20  # classes whose counts can be written into the cells


def save_curves(path: Path, history: Sequence[dict[str, float]], name: str) -> None:
    """Draw `train_NAME` and `val_NAME` over the epochs."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    epochs = [row["epoch"] for row in history]
    for part in ("train", "val"):
        values = [row.get(f"{part}_{name}", float("nan")) for row in history]
        axes.plot(epochs, values, marker="o", markersize=3, label=part)
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
    axes.set_xticks(places, classes, rotation=90)
    axes.set_yticks(places, classes)
    axes.set(xlabel="predicted", ylabel="true", title="confusion on the test pictures")
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
        columns: pictures in a row.
        titles: a line above each picture.
        title: a line above all.
        rows: a word at the left of each row.
    """
    count = -(-len(pictures) // columns)
    height = 1.25 if titles else 0.95
    figure = Figure(figsize=(1.0 * columns + 0.3, height * count + 0.4), layout="constrained")
    grid = figure.subplots(count, columns, squeeze=False)
    for place, axes in enumerate(grid.flat):
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_visible(False)
        if place >= len(pictures):
            continue
        axes.imshow(pictures[place], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        if titles:
            axes.set_title(titles[place], fontsize=6)
        if rows and place % columns == 0:
            axes.set_ylabel(rows[place // columns], fontsize=7)
    if title:
        figure.suptitle(title, fontsize=9)
    _save(figure, path)


def save_scatter(
    path: Path, points: NDArray[np.float32], labels: NDArray[np.int64] | None, names: Sequence[str]
) -> None:
    """Draw points (N, 2 or 3) of a latent space, coloured by their classes."""
    solid = points.shape[1] >= 3
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes: Any = figure.add_subplot(projection="3d" if solid else None)
    shown = [points[:, i] for i in range(3 if solid else 2)]
    if labels is None:
        axes.scatter(*shown, s=4, alpha=0.6)
    else:
        for label in np.unique(labels):
            chosen = labels == label
            word = names[label] if label < len(names) else str(label)
            axes.scatter(*(axis[chosen] for axis in shown), s=4, alpha=0.6, label=word)
        if len(names) <= _LEGIBLE:
            axes.legend(markerscale=3, fontsize=7)
    axes.set(xlabel="latent 1", ylabel="latent 2", title="latent space of the test pictures")
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=_DPI, format="png")
