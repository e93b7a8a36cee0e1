"""The specifications of the autoencoders of course sections 4 and 5, and of what uses them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from ..inputs.data import DataSource
from ..inputs.files import ImageFile
from ..inputs.models import ModelFile, ModelOf
from .spec import Argument, Kind, Spec
from .training import ImageTrainingSpec


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


class VaeSpec(ImageTrainingSpec):
    """Train a variational autoencoder of 28 x 28 grey pictures."""

    headline: ClassVar[tuple[str, ...]] = ("val_loss", "val_kl", "loss")
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


class ReconstructSpec(Spec):
    """Squeeze pictures through a trained autoencoder and back."""

    headline: ClassVar[tuple[str, ...]] = ("answer",)
    endings: ClassVar[tuple[str, ...]] = ("png",)

    images: Annotated[list[ImageFile], Argument("IMAGE...")] = Field(
        min_length=1, max_length=1000, description="Pictures to reconstruct."
    )
    model: Annotated[ModelFile, ModelOf("autoencoder")] = Field(
        description="The job that trained the autoencoder."
    )
    invert: bool | None = Field(
        None,
        description="Whether to invert the pictures; default: they are taken as those that the "
        "model was trained on.",
    )


class GenerateSpec(Spec):
    """Draw new pictures from a trained variational autoencoder."""

    headline: ClassVar[tuple[str, ...]] = ("answer",)
    endings: ClassVar[tuple[str, ...]] = ("png",)

    model: Annotated[ModelFile, ModelOf("generator")] = Field(
        description="The job that trained the autoencoder."
    )
    count: int = Field(64, ge=1, le=10_000, description="Pictures to draw.")
    walks: int = Field(4, ge=0, le=100, description="Walks from one latent to another.")
    walk_steps: int = Field(10, ge=2, le=100, description="Pictures in a walk.")


AUTOENCODER = Kind(
    name="autoencoder",
    spec=AutoencoderSpec,
    run="cvq_workers.models.autoencoder:run",
    summary="Train an autoencoder on MNIST.",
    extra="worker",
    offers=("autoencoder",),
    network="cvq_workers.models.autoencoder:network",
)
VAE = Kind(
    name="vae",
    spec=VaeSpec,
    run="cvq_workers.models.vae:run",
    summary="Train a variational autoencoder on MNIST.",
    extra="worker",
    offers=("autoencoder", "generator"),
    network="cvq_workers.models.vae:network",
)
RECONSTRUCT = Kind(
    name="reconstruct",
    spec=ReconstructSpec,
    run="cvq_workers.models.reconstruct:run",
    summary="Squeeze pictures through a trained autoencoder and back.",
    extra="worker",
)
GENERATE = Kind(
    name="generate",
    spec=GenerateSpec,
    run="cvq_workers.models.generate:run",
    summary="Draw new pictures with a trained variational autoencoder.",
    extra="worker",
)
