"""The kind `fmnist-mlp` (course section 2)."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from ..classifier import ClassifierSpec
from ..kind import Kind


class MlpSpec(ClassifierSpec):
    """Train Linear(784, 1000), ReLU, Linear(1000, 10)."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "course": {
            "optimizer": "sgd", "learning_rate": 1e-2, "schedule": "constant", "clip": 0.0,
            "weight_decay": 0.0, "batch_size": 32, "ema": 0.0, "dropout": 0.0, "scale": False,
        }
    }  # fmt: skip

    weight_decay: float = Field(0.05, ge=0, le=10, description="Decoupled weight decay.")
    ema: float = Field(0.99, ge=0, lt=1, description="Decay of the weights' moving average.")
    # In a few epochs two linear layers do not learn that a mirrored shoe is a shoe.
    flip: bool | None = Field(
        False,
        description="Mirror each picture with probability 1/2; null: garments yes, digits no.",
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of hidden units left out.")
    scale: bool = Field(
        True, description="Scale pixels to mean 0 and deviation 1; the course left them 0 to 255."
    )


KIND = Kind(
    name="fmnist-mlp",
    spec=MlpSpec,
    run="cvq_workers.models.fmnist_mlp:run",
    summary="Train a two-layer network on FashionMNIST.",
    extra="worker",
    offers=("classifier",),
    network="cvq_workers.models.fmnist_mlp:network",
    cache=True,
)
