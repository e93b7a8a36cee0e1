"""The kind `face-vae` (course section 5)."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field, field_validator

from ...inputs.data import DataSource
from ..kind import Kind
from ..spec import Auto
from ..training import ImageTrainingSpec

LARGEST = 64  # pixels of a face where its side is chosen by the pictures


class FaceVaeSpec(ImageTrainingSpec):
    """Train a variational autoencoder of faces."""

    usual_batch: ClassVar[int] = 64
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "course": {
            "optimizer": "adam", "learning_rate": 1e-3, "schedule": "constant", "clip": 0.0,
            "weight_decay": 0.0, "ema": 0.0, "epochs": 50, "jitter": 0.0,
        }
    }  # fmt: skip

    data: DataSource = Field(
        description="Faces: a folder or zip, a folder in it for each person or all in one."
    )
    hold_out: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(
        [],
        description="People (folders) to test on, or a share of them such as 10%; default: a "
        "tenth of all pictures.",
    )
    epochs: Annotated[int, Auto()] = Field(
        0,
        ge=0,
        le=100_000,
        description="Passes through the training faces; 0: enough for 3,000 steps, or "
        "fewer steps for fewer than a hundred faces; at least 30.",
    )
    batch_size: Annotated[int, Auto()] = Field(
        0, ge=0, le=65_536, description="Samples in a step; 0: 64, or fewer for small data."
    )
    ema: float = Field(0.99, ge=0, lt=1, description="Decay of the weights' moving average.")
    size: Annotated[int, Auto()] = Field(
        0,
        ge=0,
        le=256,
        multiple_of=16,
        description="Side of the faces in pixels, from 32; 0: that of the pictures, 64 at most.",
    )
    color: bool = Field(False, description="Learn from coloured faces.")
    latent: int = Field(64, ge=1, le=1024, description="Dimensions of the latent space.")
    beta: float = Field(1.0, ge=0, le=1000, description="Weight of the KL divergence.")
    jitter: float = Field(
        1.0,
        ge=0,
        le=3,
        description="How far faces are moved, turned, scaled and lit; 0: not at all.",
    )

    @field_validator("hold_out")
    @classmethod
    def _check_share(cls, given: list[str]) -> list[str]:
        shares = [word for word in given if word.endswith("%")]
        if shares and (len(given) > 1 or not _is_share(shares[0][:-1])):
            raise ValueError("give names of folders, or one share from 1% to 90%")
        return given

    @field_validator("size")
    @classmethod
    def _check_size(cls, given: int) -> int:
        if given == 16:
            raise ValueError("the smallest is 32, and 0 is by the pictures")
        return given

    @property
    def usual_epochs(self) -> int:
        """Passes through data that is large enough."""
        return 30

    def least_steps(self, samples: int) -> int:
        """Thousands: each time a face is seen it is moved, turned and lit otherwise.

        Fewer than a hundred get fewer, as not even so are they many.
        """
        return max(600, min(3000, 30 * samples))

    @property
    def picture(self) -> tuple[int, int, int]:
        """Height, width and channels of the faces that the network learns from."""
        side = self.size or LARGEST
        return side, side, 3 if self.color else 1


def _is_share(word: str) -> bool:
    try:
        return 1 <= float(word) <= 90
    except ValueError:
        return False


KIND = Kind(
    name="face-vae",
    spec=FaceVaeSpec,
    run="cvq_workers.models.face_vae:run",
    summary="Train a variational autoencoder on faces.",
    extra="worker",
    offers=("autoencoder", "generator"),
    network="cvq_workers.models.face_vae:network",
    headline=("val_mse", "val_kl", "loss"),
    cache=True,
)
