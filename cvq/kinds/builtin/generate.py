"""The kind `generate`: it uses what variational autoencoders have learnt."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ...inputs.models import ModelFile, ModelOf
from ..inference import InferenceSpec
from ..kind import Kind


class GenerateSpec(InferenceSpec):
    """Draw new pictures from a trained variational autoencoder.

    In a batch, each picture has a seed of its own, which its row tells: the first has `seed`.
    """

    model: Annotated[ModelFile, ModelOf("generator")] = Field(
        description="The job that trained the autoencoder."
    )
    count: int = Field(64, ge=1, le=10_000, description="Pictures to draw.")
    walks: int = Field(4, ge=0, le=100, description="Walks from one latent to another.")
    walk_steps: int = Field(10, ge=2, le=100, description="Pictures in a walk.")


KIND = Kind(
    name="generate",
    spec=GenerateSpec,
    run="cvq_workers.models.generate:run",
    summary="Draw new pictures with a trained variational autoencoder.",
    extra="worker",
    inference="cvq_workers.models.generate:Generate",
    items="seed",
    many="count",
    headline=("answer",),
    endings=("png",),
    cache=True,
)
