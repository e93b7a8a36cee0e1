"""The kind `reconstruct`: it uses what autoencoders have learnt."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ...inputs.images import ImagesFile
from ...inputs.models import ModelFile, ModelOf
from ..inference import InferenceSpec
from ..kind import Kind
from ..spec import Argument


class ReconstructSpec(InferenceSpec):
    """Squeeze pictures through a trained autoencoder and back."""

    images: Annotated[list[ImagesFile], Argument("IMAGE...")] = Field(
        min_length=1, max_length=1000, description="Pictures to reconstruct."
    )
    model: Annotated[ModelFile, ModelOf("autoencoder")] = Field(
        description="The job that trained the autoencoder."
    )
    invert: bool | None = Field(
        None,
        description="Whether to invert the pictures; default: as for the pictures that the "
        "model was trained on.",
    )


KIND = Kind(
    name="reconstruct",
    spec=ReconstructSpec,
    run="cvq_workers.models.reconstruct:run",
    summary="Squeeze pictures through a trained autoencoder and back.",
    extra="worker",
    inference="cvq_workers.models.reconstruct:Reconstruct",
    items="images",
    headline=("answer", "mse"),
    endings=("png",),
    cache=True,
)
