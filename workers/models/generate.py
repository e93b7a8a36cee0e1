"""Draw new pictures with a variational autoencoder that another job has trained.

Output:   `samples.png`, a grid of pictures of nothing and nobody, and `walks.png`, walks between
          two latents. Digits and garments are drawn from the prior, faces from a normal
          distribution fitted to the training faces.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from cvq.kinds.autoencoders import GENERATORS, GenerateSpec, VaeSpec
from cvq.kinds.faces import FaceVaeSpec

from ..context import Context
from ..training.plots import save_grid
from ..training.saved import SavedModel, load_model
from . import coders, face_vae, vae

_BATCH = 500


def coder_of(
    saved: SavedModel,
) -> tuple[Callable[[Tensor], Tensor], Callable[[int, torch.Generator], Tensor]]:
    """How a model decodes latents, (N, latent) to (N, C, H, W) in 0..1, and how it draws them."""
    if saved.kind == "face-vae":
        faces = face_vae.build(FaceVaeSpec.model_validate(saved.spec))
        saved.into(faces)
        return faces.decode, faces.draw
    network = vae.build(VaeSpec.model_validate(saved.spec))
    saved.into(network)

    def draw(count: int, generator: torch.Generator) -> Tensor:
        return torch.randn(count, network.latent, generator=generator)

    return network.decode, draw


def run(spec: GenerateSpec, ctx: Context) -> dict[str, Any]:
    """Draw what a job's specification asks for."""
    decode, draw = coder_of(load_model(spec.model, GENERATORS))
    generator = torch.Generator().manual_seed(spec.seed)
    with torch.no_grad():
        latents = draw(spec.count, generator)
        samples = torch.cat([decode(part) for part in torch.split(latents, _BATCH)])
        ends = [draw(2, generator) for _ in range(spec.walks)]
        walks = [decode(vae.walk(first, last, spec.walk_steps)) for first, last in ends]
    ctx.progress(1, 1, "grid")
    with ctx.artifact("samples.png") as path:
        columns = min(20, math.ceil(math.sqrt(spec.count)))
        save_grid(path, coders.to_bytes(samples), columns=columns)
    if walks:
        with ctx.artifact("walks.png") as path:
            save_grid(path, coders.to_bytes(torch.cat(walks)), columns=spec.walk_steps)
    return {"model": spec.model.job, "count": spec.count, "walks": spec.walks}
