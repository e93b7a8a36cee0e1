"""What the specifications of all image classifiers have in common."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ..inputs.data import DataSource
from .training import ImageTrainingSpec


class ClassifierSpec(ImageTrainingSpec):
    """Train a classifier of 28 x 28 grey pictures."""

    labelled: ClassVar[bool] = True
    headline: ClassVar[tuple[str, ...]] = ("val_accuracy", "val_loss", "loss")

    data: DataSource = Field(
        DataSource.model_validate("fashion-mnist"),
        description="Pictures with classes: fashion-mnist, mnist, digits, or a folder or zip with "
        "IDX files or a folder of pictures for each class.",
    )
    shift_x: int = Field(
        0, ge=0, le=27, description="Shift a picture sideways by up to this many pixels."
    )
    shift_y: int = Field(
        0, ge=0, le=27, description="Shift a picture up or down by up to this many pixels."
    )
    flip: bool | None = Field(
        None,
        description="Mirror each picture with probability 1/2; default: garments yes, digits no.",
    )
    erase: float = Field(0.0, ge=0, le=1, description="Share of pictures with a part erased.")
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the probability that is spread evenly over all classes.",
    )
