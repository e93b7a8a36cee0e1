"""Draw new pictures with a variational autoencoder that another job has trained.

Output:   `samples.png`, a grid drawn from the prior, and `walks.png`, walks between two latents.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from cvq.kinds.autoencoders import GenerateSpec, VaeSpec

from ..context import Context
from ..training.plots import save_grid
from ..training.saved import load_model
from . import coders, vae


def run(spec: GenerateSpec, ctx: Context) -> dict[str, Any]:
    """Draw what a job's specification asks for."""
    saved = load_model(spec.model, ["vae"])
    network = vae.build(VaeSpec.model_validate(saved.spec))
    saved.into(network)
    generator = torch.Generator().manual_seed(spec.seed)
    with torch.no_grad():
        latents = torch.randn(spec.count, network.latent, generator=generator)
        samples = torch.cat([network.decode(part) for part in torch.split(latents, 1000)])
        ends = torch.randn(spec.walks, 2, network.latent, generator=generator)
        walks = [network.decode(vae.walk(a, b, spec.walk_steps)) for a, b in ends]
    ctx.progress(1, 1, "grid")
    with ctx.artifact("samples.png") as path:
        columns = min(20, math.ceil(math.sqrt(spec.count)))
        save_grid(path, coders.to_bytes(samples), columns=columns)
    if walks:
        with ctx.artifact("walks.png") as path:
            save_grid(path, coders.to_bytes(torch.cat(walks)), columns=spec.walk_steps)
    return {"model": spec.model.job, "count": spec.count, "walks": spec.walks}
