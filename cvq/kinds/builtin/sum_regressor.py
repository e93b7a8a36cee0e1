"""The kind `sum-regressor` (course section 1)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from ..kind import Kind
from ..training import TrainingSpec


class SumRegressorSpec(TrainingSpec):
    """Learn the sum of two numbers: Linear(2, 8), ReLU, Linear(8, 1)."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "course": {
            "epochs": 1000, "batch_size": 2, "optimizer": "sgd", "learning_rate": 1e-3,
            "schedule": "constant", "clip": 0.0, "samples": 0, "restarts": 0,
        }
    }  # fmt: skip

    epochs: int = Field(20, ge=1, le=10_000, description="Passes through the training pairs.")
    batch_size: int = Field(512, ge=1, le=65_536, description="Pairs in a step.")
    optimizer: Literal["adamw", "adam", "sgd", "lbfgs"] = Field(
        "lbfgs", description="Optimiser of the weights."
    )
    learning_rate: float = Field(1.0, gt=0, le=100, description="Peak of the learning rate.")
    schedule: Literal["onecycle", "cosine", "constant"] = Field(
        "constant", description="How the learning rate moves over the steps."
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "fp32", description="Type of the multiplications; bf16 is too coarse for sums."
    )
    weight_decay: float = Field(0.0, ge=0, le=10, description="Decoupled weight decay.")
    clip: float = Field(0.0, ge=0, le=1e6, description="Largest norm of the gradient; 0: none.")
    samples: int = Field(
        512,
        ge=0,
        le=1_000_000,
        description="Random pairs to learn from; 0: the course's four, [1, 2] to [7, 8].",
    )
    span: float = Field(
        15.0, gt=0, le=1e6, description="Random pairs are drawn from -span to span."
    )
    restarts: int = Field(
        5,
        ge=0,
        le=100,
        description="Restarts where the sum is not learnt well; the best is kept.",
    )


KIND = Kind(
    name="sum-regressor",
    spec=SumRegressorSpec,
    run="cvq_workers.models.sum_regressor:run",
    summary="Train a small network to add two numbers.",
    extra="worker",
    offers=("adder",),
    network="cvq_workers.models.sum_regressor:network",
    headline=("val_loss", "val_error", "loss"),
    cache=True,
)
