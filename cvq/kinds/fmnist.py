"""The specifications of the image classifiers of course section 3, and of `classify`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from ..inputs.data import DataSource
from ..inputs.files import ImageFile
from ..inputs.models import ModelFile, ModelOf
from .spec import Argument, Kind, Spec
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
        0, ge=0, le=27, description="Shift a picture sideways by up to so many pixels."
    )
    shift_y: int = Field(
        0, ge=0, le=27, description="Shift a picture up or down by up to so many pixels."
    )
    flip: bool | None = Field(
        None, description="Mirror every second picture; default: garments yes, digits no."
    )
    erase: float = Field(0.0, ge=0, le=1, description="Share of pictures with a part erased.")
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Probability that is spread over all classes."
    )


class MlpSpec(ClassifierSpec):
    """Train Linear(784, 1000), ReLU, Linear(1000, 10)."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "course": {
            "optimizer": "sgd", "learning_rate": 1e-2, "schedule": "constant", "clip": 0.0,
            "weight_decay": 0.0, "batch_size": 32, "ema": 0.0, "dropout": 0.0, "scale": False,
        }
    }  # fmt: skip

    weight_decay: float = Field(0.05, ge=0, le=10, description="Decoupled weight decay.")
    ema: float = Field(0.99, ge=0, lt=1, description="Decay of the weights' moving average.")
    # In a few epochs two linear layers do not learn that a mirrored shoe is a shoe.
    flip: bool | None = Field(
        False, description="Mirror every second picture; null: garments yes, digits no."
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of hidden units left out.")
    scale: bool = Field(
        True, description="Scale pixels to mean 0 and deviation 1; the course left them 0 to 255."
    )


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


class RnnSpec(ClassifierSpec):
    """Train an LSTM that reads the 28 rows of a picture as a sequence."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "course": {
            "optimizer": "adam", "learning_rate": 1e-3, "schedule": "constant", "clip": 0.0,
            "weight_decay": 0.0, "batch_size": 64, "flip": False, "layers": 1,
            "bidirectional": False, "ema": 0.0,
        }
    }  # fmt: skip

    learning_rate: float = Field(4e-3, gt=0, le=100, description="Peak of the learning rate.")
    weight_decay: float = Field(0.05, ge=0, le=10, description="Decoupled weight decay.")
    ema: float = Field(0.99, ge=0, lt=1, description="Decay of the weights' moving average.")
    hidden: int = Field(192, ge=1, le=4096, description="Units of the LSTM.")
    layers: int = Field(2, ge=1, le=8, description="Layers of the LSTM.")
    bidirectional: bool = Field(True, description="Read the rows in both directions.")


class ClassifySpec(Spec):
    """Say what is on pictures, with a classifier that another job has trained."""

    headline: ClassVar[tuple[str, ...]] = ("answer",)
    endings: ClassVar[tuple[str, ...]] = ("json",)

    images: Annotated[list[ImageFile], Argument("IMAGE...")] = Field(
        min_length=1, max_length=1000, description="Pictures to classify."
    )
    model: Annotated[ModelFile, ModelOf("classifier")] = Field(
        description="The job that trained the classifier."
    )
    top: int = Field(3, ge=1, le=256, description="How many of the likeliest classes to name.")
    invert: bool | None = Field(
        None,
        description="Whether to invert the pictures; default: they are taken as those that the "
        "model was trained on.",
    )


def _classifier(name: str, spec: type[Spec], summary: str) -> Kind:
    module = f"cvq_workers.models.{name.replace('-', '_')}"
    return Kind(
        name=name,
        spec=spec,
        run=f"{module}:run",
        summary=summary,
        extra="worker",
        offers=("classifier",),
        network=f"{module}:network",
    )


MLP = _classifier("fmnist-mlp", MlpSpec, "Train a two-layer network on FashionMNIST.")
CNN = _classifier("fmnist-cnn", CnnSpec, "Train a convolutional network on FashionMNIST.")
RNN = _classifier("fmnist-rnn", RnnSpec, "Train an LSTM over picture rows on FashionMNIST.")
CLASSIFY = Kind(
    name="classify",
    spec=ClassifySpec,
    run="cvq_workers.models.classify:run",
    summary="Classify pictures with a trained model.",
    extra="worker",
)
