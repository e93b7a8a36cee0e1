"""The kind `autoencoder` (course section 4)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..coder import CoderSpec
from ..kind import Kind


class AutoencoderSpec(CoderSpec):
    """Train an autoencoder of 28 x 28 grey pictures, scaled to [-1, 1]."""

    arch: Literal["mlp", "conv", "course"] = Field(
        "mlp",
        description="mlp: 1024-512-256 with layer normalisation; conv: convolutions; course: "
        "128-64 with ReLU.",
    )
    latent: int = Field(3, ge=1, le=1024, description="Numbers that a picture is squeezed into.")


KIND = Kind(
    name="autoencoder",
    spec=AutoencoderSpec,
    run="cvq_workers.models.autoencoder:run",
    summary="Train an autoencoder on MNIST.",
    extra="worker",
    offers=("autoencoder",),
    network="cvq_workers.models.autoencoder:network",
    cache=True,
)
