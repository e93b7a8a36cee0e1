"""Encoders and decoders of 28 x 28 pictures, and the pictures of their latent space.

Encoders take (N, 1, 28, 28) to (N, numbers), decoders (N, latent) to (N, 1, 28, 28), without an
activation at the end.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..data.dataset import Dataset
from ..training import verdicts
from ..training.plots import save_grid, save_scatter
from ..training.report import Report

SIZE = 28
COURSE = (128, 64)
_SHOWN, _POINTS = 10, 3000
_BATCH, WALKS = 500, 4
_SIDE = 12  # pictures along each side of a manifold


Decode = Callable[[Tensor], Tensor]


class Flat(nn.Module):
    """(N, C, H, W) to (N, H * W * C): the order in memory of channels_last.

    nn.Flatten would hand its gradient back in another order than the activations have, and a
    pointwise function of two orders is computed number by number.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Flatten."""
        return x.permute(0, 2, 3, 1).flatten(1)


class Folded(nn.Module):
    """(N, side * side * channels) to (N, channels, side, side), the reverse of `Flat`."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.channels, self.side = channels, side

    def forward(self, x: Tensor) -> Tensor:
        """Fold."""
        return x.view(-1, self.side, self.side, self.channels).permute(0, 3, 1, 2)


def mlp_encoder(numbers: int, hidden: Sequence[int], norm: type[nn.Module] | None) -> nn.Module:
    """Linear layers; normalised ones have GELU, the course's have ReLU."""
    widths = [SIZE * SIZE, *hidden]
    return nn.Sequential(nn.Flatten(), *_dense_all(widths, norm), nn.Linear(widths[-1], numbers))


def mlp_decoder(latent: int, hidden: Sequence[int], norm: type[nn.Module] | None) -> nn.Module:
    """The encoder's layers in reverse."""
    widths = [latent, *reversed(hidden)]
    return nn.Sequential(
        *_dense_all(widths, norm),
        nn.Linear(widths[-1], SIZE * SIZE),
        nn.Unflatten(1, (1, SIZE, SIZE)),
    )


def conv_encoder(numbers: int, width: int, hidden: Sequence[int]) -> nn.Module:
    """Two strided convolutions, 28 to 14 to 7 pixels, and linear layers."""
    return nn.Sequential(
        *_strided(nn.Conv2d(1, width, 4, 2, 1, bias=False), width),
        *_strided(nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False), 2 * width),
        Flat(),
        *_dense_all([98 * width, *hidden], nn.LayerNorm),
        nn.Linear(hidden[-1], numbers),
    )


def conv_decoder(latent: int, width: int, hidden: Sequence[int]) -> nn.Module:
    """The encoder's layers in reverse: linear ones, then two transposed convolutions."""
    return nn.Sequential(
        *_dense_all([latent, *reversed(hidden)], nn.LayerNorm),
        nn.Linear(hidden[0], 98 * width),
        Folded(2 * width, 7),
        nn.BatchNorm2d(2 * width),
        nn.GELU(),
        *_strided(nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False), width),
        nn.ConvTranspose2d(width, 1, 4, 2, 1),
    )


def _dense_all(widths: Sequence[int], norm: type[nn.Module] | None) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for inner, outer in itertools.pairwise(widths):
        layers.append(nn.Linear(inner, outer))
        layers += [nn.ReLU()] if norm is None else [norm(outer), nn.GELU()]
    return layers


def _strided(convolution: nn.Module, width: int) -> list[nn.Module]:
    return [convolution, nn.BatchNorm2d(width), nn.GELU()]


def to_bytes(pictures: Tensor) -> NDArray[np.uint8]:
    """Pictures (N, 1 or 3, H, W) in 0..1 as (N, H, W) or (N, H, W, 3) in 0..255."""
    pixels = pictures.float().clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1)
    array: NDArray[np.uint8] = pixels.cpu().numpy()
    return array[..., 0] if array.shape[-1] == 1 else array


class Coder(Protocol):
    """What an autoencoder of pictures can do."""

    def encode(self, pictures: Tensor) -> Tensor:
        """Latents (N, latent) of pictures 0..255 (N, C, H, W)."""

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures (N, C, H, W) in 0..1."""


def spread(count: int, most: int) -> Tensor:
    """Indices of so many of `count` pictures at most, evenly from all over.

    Pictures of a folder lie class by class: the first of them would show one class or two.
    """
    return torch.linspace(0, count - 1, min(most, count)).round().long()


def encoded(coder: Coder, pictures: Tensor) -> Tensor:
    """Latents (N, latent) of any number of pictures 0..255."""
    with torch.no_grad():
        return torch.cat([coder.encode(part) for part in torch.split(pictures, _BATCH)])


def decoded(coder: Coder, latents: Tensor) -> Tensor:
    """Pictures (N, C, H, W) in 0..1 of any number of latents."""
    with torch.no_grad():
        return torch.cat([coder.decode(part) for part in torch.split(latents, _BATCH)])


def judge(report: Report, coder: Coder, dataset: Dataset) -> None:
    """Hold rebuilt test pictures against an answer that needs no network.

    It is the training pictures' mean, or the mean of its pixels where that is better, as it is
    for a handful of pictures.
    """
    true = dataset.test.images.float() / 255
    rebuilt = decoded(coder, encoded(coder, dataset.test.images))
    mean = dataset.train.images.float().mean(0) / 255
    flat = mean.mean((1, 2), keepdim=True)
    errors, by_mean, by_flat = (
        (answer - true).square().flatten(1).mean(1).numpy() for answer in (rebuilt, mean, flat)
    )
    others = min(by_mean, by_flat, key=lambda each: each.mean())
    report.warn(verdicts.no_better(errors, others, "the mean picture"))


def draw(report: Report, coder: Coder, dataset: Dataset) -> None:
    """Draw test pictures and what became of them, the latent space, and a grid decoded from it."""
    part = dataset.test
    some = part.images[spread(len(part), 2 * _SHOWN)]

    def manifold(path: Path) -> None:
        pictures = dataset.train.images
        latents = encoded(coder, pictures[spread(len(pictures), _POINTS)])
        save_manifold(path, decoded(coder, manifold_of(latents)))

    def reconstructions(path: Path) -> None:
        rebuilt = decoded(coder, encoded(coder, some))
        save_reconstructions(path, some / 255, rebuilt, "reconstructions of test pictures")

    def latents(path: Path) -> None:
        chosen = spread(len(part), _POINTS)
        labels = None if part.labels is None else part.labels[chosen]
        save_latents(path, encoded(coder, part.images[chosen]), labels, dataset.classes)

    report.draw("reconstructions.png", reconstructions)
    report.draw("latent-space.png", latents)
    report.draw("manifold.png", manifold)


def draw_samples(report: Report, decode: Decode, latents: Tensor, title: str) -> None:
    """Draw pictures that never were, eight to a row."""

    def samples(path: Path) -> None:
        with torch.no_grad():
            save_grid(path, to_bytes(decode(latents)), columns=8, title=title)

    report.draw("samples.png", samples)


def draw_walks(report: Report, decode: Decode, walks: Sequence[Tensor]) -> None:
    """Draw walks from one test picture to another, where there are two."""

    def interpolations(path: Path) -> None:
        with torch.no_grad():
            pictures = to_bytes(decode(torch.cat(list(walks))))
        title = "interpolations between test pictures"
        save_grid(path, pictures, columns=len(walks[0]), title=title)

    if walks:
        report.draw("interpolations.png", interpolations)


def save_reconstructions(path: Path, originals: Tensor, rebuilt: Tensor, title: str = "") -> None:
    """Originals above what became of them, ten to a row; both (N, C, H, W) in 0..1."""
    rows, words = [], []
    columns = min(_SHOWN, len(originals))
    for start in range(0, len(originals), columns):
        for word, pictures in (("original", originals), ("rebuilt", rebuilt)):
            part = to_bytes(pictures[start : start + columns])
            blank = np.full((columns - len(part), *part.shape[1:]), 255)
            rows.append(np.concatenate([part, blank.astype(np.uint8)]))
            words.append(word)
    save_grid(path, np.concatenate(rows), columns=columns, rows=words, title=title)


def save_latents(
    path: Path, latents: Tensor, labels: Tensor | None, classes: Sequence[str]
) -> None:
    """Latents (N, latent), coloured by their labels (N,), in two or three dimensions."""
    if latents.shape[1] <= 3:
        names = [f"latent {number}" for number in range(1, latents.shape[1] + 1)]
        points = latents[:, :3]
    else:
        mean, axes, shares = principal(latents)
        points = (latents - mean) @ axes.T
        names = [f"principal direction {n} ({share:.0%} of the variance)"
                 for n, share in enumerate(shares, 1)]  # fmt: skip
    if points.shape[1] < 2:
        points = torch.cat([points, torch.zeros(len(points), 2 - points.shape[1])], dim=1)
    colours = None if labels is None else labels.numpy()
    save_scatter(path, points.float().cpu().numpy(), colours, classes, names)


def principal(latents: Tensor, count: int = 2) -> tuple[Tensor, Tensor, list[float]]:
    """Mean (latent,), principal directions (count, latent) and their shares of the variance."""
    mean = latents.mean(0)
    around = (latents - mean).double()
    variances, axes = torch.linalg.eigh(around.T @ around)  # the smallest first
    variances, axes = variances.flip(0).clamp_min(0), axes.T.flip(0)
    shares = variances / variances.sum().clamp_min(1e-12)
    return mean, axes[:count].to(latents.dtype), shares[:count].tolist()


def save_manifold(path: Path, pictures: Tensor) -> None:
    """Pictures (N, C, H, W) in 0..1 decoded from `manifold_of`."""
    save_grid(
        path, to_bytes(pictures), columns=min(_SIDE, len(pictures)),
        title="pictures over the two main directions of the latent space",
    )  # fmt: skip


def manifold_of(latents: Tensor) -> Tensor:
    """Latents (side^2, latent) on a grid over where the pictures' latents lie.

    The grid spans the two directions in which latents (N, latent) differ most, as any two
    dimensions of many may mean nothing, and holds nearly all of the pictures' latents. The rest
    is at the mean. One latent number gives one row.
    """
    mean, axes, _ = principal(latents)
    places = (latents - mean) @ axes.T
    low, high = places.quantile(0.01, dim=0), places.quantile(0.99, dim=0)
    lines = low + (high - low) * torch.linspace(0, 1, _SIDE)[:, None]  # (side, directions)
    across = lines[:, :1] * axes[:1]
    if latents.shape[1] == 1:
        return mean + across
    down = lines[:, 1:2].flip(0) * axes[1:2]
    return mean + (down[:, None] + across[None]).flatten(0, 1)
