"""Colour pictures with a colorizer that another job has trained.

Inputs:   any pictures; of their colours nothing is used.
Output:   a PNG for each, with its own lightness and the colours that the network expects. In a
          batch, a row and a PNG for each picture.

Colours are predicted at about the size that the network has learnt from, where it knows what
things look like, and enlarged; the lightness keeps its full resolution.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from cvq.context import Context
from cvq.inference import Answer, Inference
from cvq.kinds.builtin.colorize import ColorizeSpec
from cvq.pictures.decoding import picture
from cvq.text import join

from ..data.seen import Picture
from ..training.report import Report
from ..training.saved import Model, load_model
from .batches import in_batches
from .coders import to_bytes
from .colorizer import AB, Colorizer
from .lab import lab_to_rgb, rgb_to_lab
from .pictures import named, png, to_tensor

log = logging.getLogger("cvq.job")

_SMALLEST = 8  # pixels: the network halves a side three times


@dataclass(frozen=True)
class Grey:
    """A picture without its colours.

    Attributes:
        lightness: 0..100, (1, 1, H, W).
        small: the same at about the size that the network knows, (1, h, w).
        notes: what was not taken as it stands, in half a sentence each.
    """

    lightness: Tensor
    small: Tensor
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> torch.Size:
        """Of what the network gets."""
        return self.small.shape

    def coloured(self, ab: Tensor, strength: float) -> Tensor:
        """The picture (1, 3, H, W) in 0..1 with a and b over AB that were predicted (2, h, w)."""
        size = self.lightness.shape[-2:]
        scaled = strength * AB * ab[None]
        full = interpolate(scaled, size=size, mode="bicubic", align_corners=False)
        return lab_to_rgb(torch.cat([self.lightness, full], dim=1))


def run(spec: ColorizeSpec, ctx: Context) -> dict[str, Any]:
    """Colour the pictures that a job's specification names; one PNG for each."""
    saved = load_model(spec.model, "colorizer")
    names = []
    for number, file in enumerate(spec.images, 1):
        seen = _grey(file, saved)
        for note in seen.notes:
            log.warning("%s %s", file.name, note)
        ab = _predicted(saved.network, seen.small[None], exact=spec.exact)
        pixels = to_bytes(seen.coloured(ab[0], spec.strength))[0]
        stem = PurePath(file.name.replace("\\", "_")).stem or "picture"
        name = f"{stem}.png" if len(spec.images) == 1 else f"{number:03}-{stem}.png"
        with ctx.artifact(name) as path:
            Image.fromarray(pixels).save(path, format="PNG")
        names.append(name)
        height, width = pixels.shape[:2]
        log.info("%s: %d x %d pixels, coloured as %s", file.name, width, height, name)
        ctx.progress(number, len(spec.images), "picture")
    answer = join(names, most=1)
    figures = {"answer": answer, "model": spec.model.job, "pictures": names}
    return Report(ctx, figures, saved.warnings).result()


class Colorize(Inference):
    """A row for each picture, with its size; and the picture in colour."""

    spec: ColorizeSpec
    max_batch: ClassVar[int] = 8  # pictures are held in their full size

    def load(self, model: Any) -> Model:
        """Load a colorizer."""
        saved = load_model(model, "colorizer")
        saved.network.to(self.device)
        return saved

    def decode(self, model: Model, item: Picture) -> Grey:
        """Read a picture, and make the small one of which the network gets the lightness."""
        return _grey(item, model)

    def infer(self, model: Model, batch: Sequence[Grey]) -> Iterator[Answer]:
        """Colour pictures whose small ones are of one size."""
        small = torch.stack([each.small for each in batch]).to(self.device)
        found = _predicted(model.network, small).cpu()
        for each, ab in zip(batch, found, strict=True):
            pixels = to_bytes(each.coloured(ab, self.spec.strength))[0]
            height, width = pixels.shape[:2]
            row = {"width": width, "height": height}
            yield Answer(row, {"coloured.png": png(pixels)}, each.notes)


def _grey(file: Picture, model: Model) -> Grey:
    """Read a picture of any size."""
    notes: list[str] = []
    paper = model.facts.get("seen", {}).get("background", "white")
    with named(file.name):
        opened = picture(file.read(), paper=paper, note=notes.append)
    lightness = rgb_to_lab(to_tensor(opened))[:, :1].contiguous()
    height, width = lightness.shape[-2:]
    scale = min(1.0, 2 * model.facts["size"] / min(height, width))
    size = (max(_SMALLEST, round(height * scale)), max(_SMALLEST, round(width * scale)))
    return Grey(lightness, interpolate(lightness, size=size, mode="area")[0], tuple(notes))


def _predicted(network: Colorizer, small: Tensor, *, exact: bool = False) -> Tensor:
    """a and b over AB (N, 2, h, w) for lightness (N, 1, h, w)."""
    return in_batches(lambda part: (network(part),), small, Colorize.max_batch, exact=exact)[0]
