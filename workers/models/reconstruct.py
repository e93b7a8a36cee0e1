"""Squeeze pictures through an autoencoder that another job has trained, and back.

Inputs:   pictures of any size, decoded as those that the autoencoder learnt from.
Output:   `reconstructions.png`, originals above what became of them; the error of each in [0, 1].
          In a batch, a row and a PNG for each picture.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from cvq.context import Context
from cvq.inference import Answer, Inference
from cvq.kinds.builtin.reconstruct import ReconstructSpec

from ..data.seen import Picture, Seen, Sight, as_trained
from ..training.report import Report
from ..training.saved import Model, load_model
from . import coders
from .batches import in_batches
from .pictures import png

log = logging.getLogger("cvq.job")


def run(spec: ReconstructSpec, ctx: Context) -> dict[str, Any]:
    """Rebuild the pictures that a job's specification names."""
    saved = load_model(spec.model, "autoencoder")
    pictures = as_trained(spec.images, saved.facts, ctx, invert=spec.invert)
    latents, rebuilt, mses = in_batches(
        partial(_rebuilt, saved.network), pictures, Reconstruct.max_batch, exact=spec.exact
    )
    originals, errors = pictures / 255, mses.tolist()
    with ctx.artifact("reconstructions.png") as path:
        title = f"reconstructions by {saved.kind}, job {spec.model.job}"
        coders.save_reconstructions(path, originals, rebuilt, title)
    rows = [
        {"image": file.name, **_row(error, latent)}
        for file, error, latent in zip(spec.images, errors, latents.tolist(), strict=True)
    ]
    for row in rows:
        log.info("%s: squared error %.4g", row["image"], row["mse"])
    mse = sum(errors) / len(errors)
    of = "" if len(errors) == 1 else f", the mean of {len(errors)} pictures"
    figures = {
        "answer": f"squared error {mse:.3g}{of}",
        "model": spec.model.job,
        "mse": mse,
        "pictures": rows[:100],
    }
    return Report(ctx, figures, saved.warnings).result()


class Reconstruct(Inference):
    """A row for each picture, with its squared error and its latent; and the picture rebuilt."""

    spec: ReconstructSpec

    def load(self, model: Any) -> Model:
        """Load an autoencoder."""
        saved = load_model(model, "autoencoder")
        saved.network.to(self.device)
        return saved

    def decode(self, model: Model, item: Picture) -> Seen:
        """Bring a picture into the shape of those that the autoencoder has learnt from."""
        return Sight.of(model.facts, self.spec.invert).see(item)

    def infer(self, model: Model, batch: Sequence[Seen]) -> Iterator[Answer]:
        """Rebuild pictures."""
        pictures = torch.stack([picture.pixels for picture in batch]).to(self.device)
        latents, rebuilt, errors = _rebuilt(model.network, pictures)
        sight = Sight.of(model.facts, self.spec.invert)
        shown = coders.to_bytes(rebuilt)
        for picture, error, latent, pixels in zip(
            batch, errors.tolist(), latents.tolist(), shown, strict=True
        ):
            files = {"rebuilt.png": png(pixels)}
            yield Answer(_row(error, latent), files, sight.notes_on(picture))


def _rebuilt(network: Any, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Latents, rebuilt pictures in 0..1 and squared errors of a batch of pictures 0..255."""
    latents = network.encode(pictures)
    rebuilt = network.decode(latents)
    return latents, rebuilt, (rebuilt - pictures / 255).square().mean((1, 2, 3))


def _row(error: float, latent: Sequence[float]) -> dict[str, Any]:
    return {"mse": error, "latent": [round(number, 5) for number in latent]}
