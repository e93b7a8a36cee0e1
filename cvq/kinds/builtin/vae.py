"""The kind `vae` (course section 5)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..coder import CoderSpec
from ..kind import Kind


class VaeSpec(CoderSpec):
    """Train a variational autoencoder of 28 x 28 grey pictures."""

    # The loss is a sum over pixels: a norm that would suit a mean would throttle it.
    clip: float = Field(
        0.0, ge=0, le=1e6, description="Largest norm of the gradient; 0: no clipping."
    )
    arch: Literal["mlp", "conv", "course"] = Field(
        "mlp",
        description="mlp: 1024-1024-512 with layer normalisation; conv: convolutions; course: "
        "128-64 with ReLU.",
    )
    latent: int = Field(20, ge=1, le=1024, description="Dimensions of the latent space.")
    beta: float = Field(1.0, ge=0, le=1000, description="Weight of the KL divergence.")

    @property
    def usual_epochs(self) -> int:
        """Passes through data that is large enough."""
        return 10


KIND = Kind(
    name="vae",
    spec=VaeSpec,
    run="cvq_workers.models.vae:run",
    summary="Train a variational autoencoder on MNIST.",
    extra="worker",
    offers=("autoencoder", "generator"),
    network="cvq_workers.models.vae:network",
    headline=("val_loss", "val_kl", "loss"),
    cache=True,
)
