"""What the specifications of all training kinds have in common: presets and hyperparameters."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ..inputs.data import DataSource
from ..inputs.files import PipelineFile
from .spec import Auto, Spec

_SMALLEST_BATCH = 16  # that is chosen: a mean over fewer samples says little of the rest
_LEAST_STEPS_IN_EPOCH = 4


class TrainingSpec(Spec):
    """Base of the training kinds.

    A value that is not given comes from the preset, then from the architecture, then from the
    field. The stored specification has every value spelt out, so that a later version's presets
    change no job of the past.

    Steps, and not epochs, are what a network learns by. Where `epochs` and `batch_size` are 0,
    `settled` chooses them by the number of training samples: batches of `usual_batch`, or of less,
    but 16, where an epoch would have fewer than four; and `usual_epochs`, or as many as
    `least_steps` take.
    """

    headline: ClassVar[tuple[str, ...]] = ("val_loss", "train_loss")
    usual_batch: ClassVar[int] = 128

    presets: ClassVar[dict[str, dict[str, Any]]] = {}
    archs: ClassVar[dict[str, dict[str, Any]]] = {}

    preset: Literal["best", "course"] = Field(
        "best",
        description="best: the best settings that we found; course: the network and "
        "hyperparameters of the course.",
    )
    epochs: Annotated[int, Auto()] = Field(
        0,
        ge=0,
        le=10_000,
        description="Passes through the training images; 0: chosen by their number.",
    )
    batch_size: Annotated[int, Auto()] = Field(
        0, ge=0, le=65_536, description="Samples in a step; 0: 128, or fewer for small data."
    )
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
        0, ge=0, le=10_000, description="Stop after this many epochs without a gain; 0: never."
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto: bfloat16 where the device supports it natively."
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

    @property
    def usual_epochs(self) -> int:
        """Passes through data that is large enough."""
        return 5

    def least_steps(self, samples: int) -> int:
        """Steps that a network needs to learn, however few the samples are."""
        return 600

    def settled(self, samples: int) -> Self:
        """The same with `epochs` and `batch_size` chosen, for so many training samples."""
        batch = min(self.batch_size or self._batch_for(samples), samples)
        needed = -(-self.least_steps(samples) // max(1, samples // max(1, batch)))
        epochs = self.epochs or max(self.usual_epochs, needed)
        return self.model_copy(update={"epochs": epochs, "batch_size": batch})

    def _batch_for(self, samples: int) -> int:
        quarter = max(1, samples // _LEAST_STEPS_IN_EPOCH)
        return max(_SMALLEST_BATCH, min(self.usual_batch, 1 << (quarter.bit_length() - 1)))


class ImageTrainingSpec(TrainingSpec):
    """Base of the kinds that learn from pictures."""

    labelled: ClassVar[bool] = False  # whether the pictures need classes

    data: DataSource
    val_share: float = Field(
        0.05, gt=0, lt=0.9, description="Share of the training pictures to validate on."
    )
    augment: PipelineFile | None = Field(
        None,
        description="A pipeline saved by albumentations.save, JSON or YAML; it takes the place "
        "of the kind's own augmentation.",
    )

    @property
    def picture(self) -> tuple[int, int, int]:
        """Height, width and channels of the pictures that the network learns from."""
        return 28, 28, 1
