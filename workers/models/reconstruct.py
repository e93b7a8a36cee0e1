"""Squeeze pictures through an autoencoder that another job has trained, and back.

Inputs:   pictures of any size, decoded as those that the autoencoder learnt from.
Output:   `reconstructions.png`, originals above what became of them; the error of each in [0, 1].
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cvq.kinds.autoencoders import AutoencoderSpec, ReconstructSpec, VaeSpec

from ..context import Context
from ..data.seen import as_trained
from ..training.saved import load_model
from . import autoencoder, coders, vae


def run(spec: ReconstructSpec, ctx: Context) -> dict[str, Any]:
    """Rebuild the pictures that a job's specification names."""
    saved = load_model(spec.model, ["autoencoder", "vae"])
    pictures = as_trained(spec.images, saved.facts, ctx, invert=spec.invert)
    with torch.no_grad():
        if saved.kind == "vae":
            coder = vae.build(VaeSpec.model_validate(saved.spec))
            saved.into(coder)
            latents = coder.encode(pictures)
            rebuilt: Tensor = coder.decode(latents)
        else:
            plain = autoencoder.build(AutoencoderSpec.model_validate(saved.spec))
            saved.into(plain)
            latents = plain.encode(pictures)
            rebuilt = plain.decode(latents)
    originals = pictures / 255
    with ctx.artifact("reconstructions.png") as path:
        coders.save_reconstructions(path, originals, rebuilt, f"by the model of {saved.kind}")
    errors = (rebuilt - originals).square().mean((1, 2, 3)).tolist()
    rows = [
        {"image": file.name, "mse": error, "latent": [round(x, 5) for x in latent]}
        for file, error, latent in zip(spec.images, errors, latents.tolist(), strict=True)
    ]
    return {"model": spec.model.job, "mse": sum(errors) / len(errors), "pictures": rows[:100]}
