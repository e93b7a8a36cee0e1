"""What the specifications of the autoencoders of small grey pictures have in common."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from ..inputs.data import DataSource
from .training import ImageTrainingSpec


class CoderSpec(ImageTrainingSpec):
    """Base of `autoencoder` and `vae`."""

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
