"""The kind `fmnist-cnn` (course section 3)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from ..classifier import ClassifierSpec
from ..kind import Kind


class CnnSpec(ClassifierSpec):
    """Train the course's convolutional network, or a small residual one."""

    weight_decay: float = Field(0.05, ge=0, le=10, description="Decoupled weight decay.")
    ema: float = Field(0.995, ge=0, lt=1, description="Decay of the weights' moving average.")
    width: int = Field(
        32, ge=8, le=512, multiple_of=2, description="Channels of the residual network."
    )

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "course": {
            "optimizer": "adam", "learning_rate": 1e-3, "schedule": "constant", "clip": 0.0,
            "weight_decay": 0.0, "batch_size": 64, "flip": False, "shift_x": 10, "ema": 0.0,
        }
    }  # fmt: skip
    archs: ClassVar[dict[str, dict[str, Any]]] = {
        "resnet": {
            "shift_x": 2, "shift_y": 2, "learning_rate": 5e-3,
            "label_smoothing": 0.05, "ema": 0.99,
        }
    }  # fmt: skip

    arch: Literal["cnn", "resnet"] = Field(
        "cnn", description="cnn: the course's network; resnet: a stronger residual network."
    )

    @property
    def usual_epochs(self) -> int:
        """Passes through data that is large enough."""
        return 20 if self.arch == "resnet" else 5


KIND = Kind(
    name="fmnist-cnn",
    spec=CnnSpec,
    run="cvq_workers.models.fmnist_cnn:run",
    summary="Train a convolutional network on FashionMNIST.",
    extra="worker",
    offers=("classifier",),
    network="cvq_workers.models.fmnist_cnn:network",
    cache=True,
)
