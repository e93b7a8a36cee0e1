"""Colour grey pictures: predict the chroma of a pixel from the lightness around it.

Papers:   Ronneberger et al., "U-Net", MICCAI 2015; Zhang et al., "Colorful Image Colorization",
          ECCV 2016, for the space (CIE Lab) and for what is wrong with a mean of colours.
Inputs:   coloured pictures to learn from. `colorize` uses what was learnt.
Output:   a and b of CIE Lab for a lightness.

What differs from the course, and why:

- The course predicts RGB from grey and loses detail on the way. Here the lightness is kept as it
  is, and only a and b are predicted, at half the resolution, as JPEG stores them.
- The mean over all colours that an object might have is sepia. It is the best answer in squared
  error, and a dull one: it is amplified until the mean chroma of the validation pictures is a
  share of the true one (`chroma`). What that costs in squared error is measured and reported.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, mse_loss, pad

from cvq.context import Context
from cvq.errors import PermanentError
from cvq.kinds.builtin.colorizer import ColorizerSpec

from ..data.dataset import Dataset, Part
from ..training import verdicts
from ..training.augment import random_flip
from ..training.loop import Measured
from ..training.pictures import PictureTraining
from ..training.plots import save_grid
from ..training.report import Report
from .coders import spread, to_bytes
from .lab import lab_to_rgb, rgb_to_lab

log = logging.getLogger("cvq.job")

AB = 110.0  # the unit of a and b
_BATCH, _SHOWN, _FITTED = 500, 10, 1000
_LEAST_CHROMA = 1.0  # in units of Lab: the eye sees no less
_STRIDE = 8  # the deepest layer's, in pixels
_LARGEST_GAIN = 2.5  # beyond that, it would be noise that is amplified


def _layer(inner: int, outer: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inner, outer, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(outer),
        nn.ReLU(inplace=True),
    )


class Colorizer(nn.Module):
    """A U-Net from lightness to a and b at half the resolution; most of it works at a quarter.

    `gain` amplifies the predicted colours; it is 1 while the network learns.
    """

    gain: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.at_half = nn.Sequential(_layer(1, width, 2), _layer(width, width))
        self.at_quarter = nn.Sequential(_layer(width, 2 * width, 2), _layer(2 * width, 2 * width))
        self.at_eighth = nn.Sequential(
            _layer(2 * width, 4 * width, 2),
            _layer(4 * width, 4 * width),
            _layer(4 * width, 4 * width),
        )
        self.up_quarter = nn.Sequential(_layer(6 * width, 2 * width), _layer(2 * width, 2 * width))
        self.up_half = nn.Sequential(_layer(3 * width, width), _layer(width, width))
        self.head = nn.Conv2d(width, 2, 1)
        self.register_buffer("gain", torch.tensor(1.0))

    def forward(self, lightness: Tensor) -> Tensor:
        """a and b over AB (N, 2, H, W) for lightness 0..100 (N, 1, H, W)."""
        height, width = lightness.shape[-2:]
        bottom, right = -height % _STRIDE, -width % _STRIDE
        padded = pad(lightness / 50 - 1, (0, right, 0, bottom), mode="replicate")
        half = self.at_half(padded)
        quarter = self.at_quarter(half)
        deep = _doubled(self.at_eighth(quarter))
        deep = _doubled(self.up_quarter(torch.cat([deep, quarter], dim=1)))
        ab = self.head(self.up_half(torch.cat([deep, half], dim=1)))
        colours: Tensor = _doubled(ab.float()) * self.gain
        return colours[:, :, :height, :width]


def _doubled(x: Tensor) -> Tensor:
    return interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def measure(network: nn.Module, pictures: Tensor, targets: Tensor) -> Measured:
    """Squared error of a and b over AB, times 100; and the mean predicted chroma."""
    lab = rgb_to_lab(targets.float() / 255)
    found = network(lab[:, :1]).float()
    chroma = AB * found.norm(dim=1).mean()
    return Measured(100 * mse_loss(found, lab[:, 1:] / AB), {"chroma": chroma})


def network(spec: ColorizerSpec, facts: dict[str, Any]) -> nn.Module:
    """The network of a model file, untrained."""
    return Colorizer(spec.width)


def run(spec: ColorizerSpec, ctx: Context) -> dict[str, Any]:
    """Train what a job's specification says."""

    def complete(network: Colorizer, dataset: Dataset) -> None:
        if spec.chroma:
            _amplify(network.cpu(), dataset.val, spec.chroma)

    training = PictureTraining(
        kind="colorizer",
        summary="A U-Net that predicts a and b of CIE Lab from the lightness.",
        use="cvq submit colorize PICTURE.jpg",
        network=network,
        measure=measure,
        check=_check_colours,
        augment=random_flip,
        complete=complete,
        test=_test,
        curves=("loss", "chroma"),
    )
    return training.run(spec, ctx)


def _check_colours(dataset: Dataset) -> None:
    """Refuse pictures without colours."""
    some = dataset.train.images[:: max(1, len(dataset.train) // _BATCH)].float() / 255
    if rgb_to_lab(some)[:, 1:].norm(dim=1).mean() < _LEAST_CHROMA:
        raise PermanentError(
            f"data {dataset.name} has no colours to learn from: its pictures are grey"
        )


@dataclass(frozen=True)
class Coloured:
    """Pictures coloured by their lightness, RGB in 0..1, and figures of each, (N,).

    Attributes:
        mse: squared error in RGB.
        grey_mse: that of the grey copy with the same lightness.
        chroma, true_chroma: means in units of Lab.
    """

    pictures: Tensor
    mse: Tensor
    grey_mse: Tensor
    chroma: Tensor
    true_chroma: Tensor

    def means(self) -> dict[str, float]:
        """The figures' means over the pictures."""
        names = ("mse", "grey_mse", "chroma", "true_chroma")
        return {name: float(getattr(self, name).double().mean()) for name in names}


def colourings(network: Colorizer, images: Tensor) -> Coloured:
    """Colour pictures 0..255 (N, 3, H, W) by their lightness."""
    found = []
    with torch.no_grad():
        for part in torch.split(images, _BATCH):
            rgb = part.float() / 255
            lab = rgb_to_lab(rgb)
            ab = AB * network(lab[:, :1])
            out = lab_to_rgb(torch.cat([lab[:, :1], ab], dim=1))
            grey = lab_to_rgb(torch.cat([lab[:, :1], torch.zeros_like(ab)], dim=1))
            shown = rgb_to_lab(out)[:, 1:]  # what is left after cutting to the screen's colours
            figures = (
                (out - rgb).square().flatten(1).mean(1),
                (grey - rgb).square().flatten(1).mean(1),
                shown.norm(dim=1).flatten(1).mean(1),
                lab[:, 1:].norm(dim=1).flatten(1).mean(1),
            )
            found.append((out, *figures))
    return Coloured(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def _amplify(network: Colorizer, part: Part, share: float) -> None:
    """Set the gain, where the validation pictures show that there are colours to amplify."""
    plain = colourings(network, part.images[:_FITTED])
    if verdicts.no_better(plain.mse.numpy(), plain.grey_mse.numpy(), "the grey copy"):
        log.info("colours as predicted: there is too little in them to be amplified")
        return
    gain = _gain(network, part, share)
    network.gain.fill_(gain)
    log.info("colours amplified %.3g times, by %d validation pictures", gain, len(plain.mse))


def _gain(network: Colorizer, part: Part, share: float) -> float:
    """The factor that brings the mean chroma of validation pictures to a share of the true one."""
    low, high = 1.0, _LARGEST_GAIN
    for _ in range(8):
        middle = (low + high) / 2
        network.gain.fill_(middle)
        figures = colourings(network, part.images[:_FITTED]).means()
        if figures["chroma"] < share * figures["true_chroma"]:
            low = middle
        else:
            high = middle
    return low if low > 1.0 else 1.0


def _test(network: Colorizer, dataset: Dataset, spec: ColorizerSpec, report: Report) -> None:
    network, images = network.cpu(), dataset.test.images
    coloured = colourings(network, images)
    figures = coloured.means()
    report.figures |= {
        "gain": float(network.gain),
        **{f"test_{name}": value for name, value in figures.items()},
        "test_mse_under_grey": _gain_on(figures["mse"], figures["grey_mse"]),
        "test_chroma_share": figures["chroma"] / max(figures["true_chroma"], 1e-9),
        "test_images": len(images),
    }
    errors, grey = coloured.mse.numpy(), coloured.grey_mse.numpy()
    report.warn(verdicts.no_better(errors, grey, "the grey copy"))
    chosen = spread(len(images), _SHOWN)

    def examples(path: Path) -> None:
        true = images[chosen].float() / 255
        lab = rgb_to_lab(true)
        lab[:, 1:] = 0
        pixels = to_bytes(torch.cat([lab_to_rgb(lab), coloured.pictures[chosen], true]))
        words = ["grey", "coloured", "true"]
        save_grid(path, pixels, columns=len(true), rows=words, title="colourings of test pictures")

    report.draw("colourings.png", examples)


def _gain_on(error: float, grey: float) -> float:
    """The share by which an error is below that of grey; pictures without colours leave none."""
    return 1 - error / grey if grey > 0 else 0.0
