"""The kind `autoencoder` (course section 4)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from ...inputs.data import DataSource
from ..spec import Kind
from ..training import ImageTrainingSpec


class AutoencoderSpec(ImageTrainingSpec):
    """Train an autoencoder of 28 x 28 grey pictures, scaled to [-1, 1]."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "course": {
            "optimizer": "adam", "learning_rate": 1e-3, "schedule": "constant", "clip": 0.0,
            "weight_decay": 0.0, "batch_size": 64, "latent": 3, "arch": "course",
        }
    }  # fmt: skip

    data: DataSource = Field(
        DataSource.model_validate("mnist"),
        description="Pictures: mnist, fashion-mnist, digits, or a folder or zip.",
    )
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
)
