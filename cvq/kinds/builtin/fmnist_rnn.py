"""The kind `fmnist-rnn` (course section 3)."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from ..classifier import ClassifierSpec
from ..kind import Kind


class RnnSpec(ClassifierSpec):
    """Train an LSTM that reads the 28 rows of a picture as a sequence."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "course": {
            "optimizer": "adam", "learning_rate": 1e-3, "schedule": "constant", "clip": 0.0,
            "weight_decay": 0.0, "batch_size": 64, "flip": False, "layers": 1,
            "bidirectional": False, "ema": 0.0,
        }
    }  # fmt: skip

    learning_rate: float = Field(4e-3, gt=0, le=100, description="Peak of the learning rate.")
    weight_decay: float = Field(0.05, ge=0, le=10, description="Decoupled weight decay.")
    ema: float = Field(0.99, ge=0, lt=1, description="Decay of the weights' moving average.")
    hidden: int = Field(192, ge=1, le=4096, description="Units of the LSTM.")
    layers: int = Field(2, ge=1, le=8, description="Layers of the LSTM.")
    bidirectional: bool = Field(True, description="Read the rows in both directions.")


KIND = Kind(
    name="fmnist-rnn",
    spec=RnnSpec,
    run="cvq_workers.models.fmnist_rnn:run",
    summary="Train an LSTM over picture rows on FashionMNIST.",
    extra="worker",
    offers=("classifier",),
    network="cvq_workers.models.fmnist_rnn:network",
    cache=True,
)
