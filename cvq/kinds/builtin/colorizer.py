"""The kind `colorizer` (course section 6)."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from ...inputs.data import DataSource
from ..kind import Kind
from ..training import ImageTrainingSpec


class ColorizerSpec(ImageTrainingSpec):
    """Learn to colour grey pictures."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "course": {
            "optimizer": "adam", "learning_rate": 1e-3, "schedule": "constant", "clip": 0.0,
            "weight_decay": 0.0, "batch_size": 64, "ema": 0.0, "chroma": 0.0,
        }
    }  # fmt: skip

    data: DataSource = Field(
        DataSource.model_validate("cifar10"),
        description="Coloured pictures: cifar10, or a folder or zip of pictures of any size.",
    )
    val_share: float = Field(
        0.02, gt=0, lt=0.9, description="Share of the training pictures to validate on."
    )
    learning_rate: float = Field(3e-3, gt=0, le=100, description="Peak of the learning rate.")
    weight_decay: float = Field(0.02, ge=0, le=10, description="Decoupled weight decay.")
    ema: float = Field(0.99, ge=0, lt=1, description="Decay of the weights' moving average.")
    size: int = Field(
        32, ge=16, le=512, multiple_of=8, description="Side of the squares to learn from, pixels."
    )
    width: int = Field(48, ge=8, le=512, description="Channels of the network's first layer.")
    chroma: float = Field(
        0.72,
        ge=0,
        le=1,
        description="Share of the true chroma to aim at: a mean of possible colours is greyer "
        "than each of them, and is amplified; 0: not.",
    )

    @property
    def usual_epochs(self) -> int:
        """Passes through data that is large enough."""
        return 7

    @property
    def picture(self) -> tuple[int, int, int]:
        """Height, width and channels of the squares that the network learns from."""
        return self.size, self.size, 3


KIND = Kind(
    name="colorizer",
    spec=ColorizerSpec,
    run="cvq_workers.models.colorizer:run",
    summary="Train a network that colours grey pictures.",
    extra="worker",
    offers=("colorizer",),
    network="cvq_workers.models.colorizer:network",
    headline=("val_loss", "val_chroma", "loss"),
    cache=True,
)
