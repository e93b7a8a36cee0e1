"""What the specifications of all training kinds have in common: presets and hyperparameters."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from .spec import DataSource, PipelineFile, Spec


class TrainingSpec(Spec):
    """Base of the training kinds.

    A value that is not given comes from the preset, then from the architecture, then from the
    field. The stored specification has every value spelt out, so that a later version's presets
    change no job of the past.
    """

    headline: ClassVar[tuple[str, ...]] = ("val_loss", "train_loss")

    presets: ClassVar[dict[str, dict[str, Any]]] = {}
    archs: ClassVar[dict[str, dict[str, Any]]] = {}

    preset: Literal["best", "course"] = Field(
        "best",
        description="best: the best that was found for the time; course: the network and "
        "hyperparameters of the course.",
    )
    epochs: int = Field(5, ge=1, le=10_000, description="Passes through the training images.")
    batch_size: int = Field(128, ge=1, le=65_536, description="Samples in a step.")
    optimizer: Literal["adamw", "adam", "sgd", "lbfgs"] = Field(
        "adamw", description="Optimiser of the weights; lbfgs: for whole-set batches only."
    )
    learning_rate: float = Field(2e-3, gt=0, le=100, description="Peak of the learning rate.")
    weight_decay: float = Field(0.01, ge=0, le=10, description="Decoupled weight decay.")
    schedule: Literal["onecycle", "cosine", "constant"] = Field(
        "onecycle", description="How the learning rate moves over the steps."
    )
    clip: float = Field(
        1.0, ge=0, le=1e6, description="Largest norm of the gradient; 0: no clipping."
    )
    ema: float = Field(
        0.0, ge=0, lt=1, description="Decay of the weights' moving average; 0: no average."
    )
    patience: int = Field(
        0, ge=0, le=10_000, description="Stop after so many epochs without a gain; 0: never."
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto: bfloat16 where the device multiplies in it natively."
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        # A word that is no preset or architecture is refused by its field.
        arch = cls.archs.get(str(values.get("arch")), {})
        preset = cls.presets.get(str(values.get("preset", "best")), {})
        return {**arch, **preset, **values}


class ImageTrainingSpec(TrainingSpec):
    """Base of the kinds that learn from pictures."""

    labelled: ClassVar[bool] = False  # whether the pictures need classes

    data: DataSource
    val_share: float = Field(
        0.05, gt=0, lt=0.9, description="Share of the training pictures to validate on."
    )
    augment: PipelineFile | None = Field(
        None,
        description="A pipeline that albumentations.save wrote, JSON or YAML; it takes the place "
        "of the kind's own augmentation.",
    )

    @property
    def picture(self) -> tuple[int, int, int]:
        """Height, width and channels of the pictures that the network learns from."""
        return 28, 28, 1
