"""Squeeze pictures through an autoencoder that another job has trained, and back.

Inputs:   pictures of any size, prepared as for `classify`: 28 x 28, light on dark.
Output:   `reconstructions.png`, originals above what became of them; the error of each in [0, 1].
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from cvq.errors import PermanentError
from cvq.kinds.autoencoders import AutoencoderSpec, ReconstructSpec, VaeSpec

from ..context import Context
from ..training.saved import load_model
from . import autoencoder, coders, vae
from .classify import prepared
from .pictures import open_picture


def run(spec: ReconstructSpec, ctx: Context) -> dict[str, Any]:
    """Rebuild the pictures that a job's specification names."""
    saved = load_model(spec.model, ["autoencoder", "vae"])
    pixels = []
    for number, file in enumerate(spec.images, 1):
        if file.path is None:
            raise PermanentError(f"{file.name} is not on this machine")
        pixels.append(prepared(open_picture(file.path, file.name), spec.invert))
        ctx.progress(number, len(spec.images), "picture")
    pictures = torch.from_numpy(np.stack(pixels))[:, None]
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
