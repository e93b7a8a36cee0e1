"""Draw new pictures with a variational autoencoder that another job has trained.

Output:   `samples.png`, a grid of pictures of nothing and nobody, and `walks.png`, walks between
          two latents. Digits and garments are drawn from the prior, faces from a normal
          distribution fitted to the training faces.
"""

from __future__ import annotations

import logging
import math
from typing import Any

import torch

from cvq.kinds.autoencoders import GenerateSpec

from ..context import Context
from ..training.plots import save_grid
from ..training.saved import load_model
from . import coders, vae

log = logging.getLogger("cvq.job")

_BATCH, _COLUMNS = 500, 20


def run(spec: GenerateSpec, ctx: Context) -> dict[str, Any]:
    """Draw what a job's specification asks for."""
    model = load_model(spec.model, "generator")
    decode, draw = model.network.decode, model.network.draw
    generator = torch.Generator().manual_seed(spec.seed)
    with torch.no_grad():
        latents = draw(spec.count, generator)
        samples = torch.cat([decode(part) for part in torch.split(latents, _BATCH)])
        ends = [draw(2, generator) for _ in range(spec.walks)]
        walks = [decode(vae.walk(first, last, spec.walk_steps)) for first, last in ends]
    ctx.progress(1, 1, "grid")
    with ctx.artifact("samples.png") as path:
        columns = min(_COLUMNS, math.ceil(math.sqrt(spec.count)))
        title = f"{spec.count} pictures drawn by {model.kind} of job {spec.model.job}"
        save_grid(path, coders.to_bytes(samples), columns=columns, title=title)
    if walks:
        with ctx.artifact("walks.png") as path:
            title = "walks from one drawn latent to another"
            pictures = coders.to_bytes(torch.cat(walks))
            save_grid(path, pictures, columns=spec.walk_steps, title=title)
    log.info("drawn: %d pictures, %d walks of %d steps", spec.count, spec.walks, spec.walk_steps)
    return {"model": spec.model.job, "count": spec.count, "walks": spec.walks}
