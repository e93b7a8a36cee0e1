"""Squeeze pictures through an autoencoder that another job has trained, and back.

Inputs:   pictures of any size, decoded as those that the autoencoder learnt from.
Output:   `reconstructions.png`, originals above what became of them; the error of each in [0, 1].
"""

from __future__ import annotations

import logging
from typing import Any

from cvq.context import Context
from cvq.kinds.builtin.reconstruct import ReconstructSpec

from ..data.seen import as_trained
from ..training.report import Report
from ..training.saved import load_model
from . import coders

log = logging.getLogger("cvq.job")


def run(spec: ReconstructSpec, ctx: Context) -> dict[str, Any]:
    """Rebuild the pictures that a job's specification names."""
    saved = load_model(spec.model, "autoencoder")
    pictures = as_trained(spec.images, saved.facts, ctx, invert=spec.invert)
    latents = coders.encoded(saved.network, pictures)
    rebuilt = coders.decoded(saved.network, latents)
    originals = pictures / 255
    with ctx.artifact("reconstructions.png") as path:
        title = f"reconstructions by {saved.kind}, job {spec.model.job}"
        coders.save_reconstructions(path, originals, rebuilt, title)
    errors = (rebuilt - originals).square().mean((1, 2, 3)).tolist()
    rows = [
        {"image": file.name, "mse": error, "latent": [round(x, 5) for x in latent]}
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
