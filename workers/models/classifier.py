"""What classifiers of pictures share: data, loss, and what they leave behind.

Inputs:   square pictures, as large as the specification's `picture` says (the course's: grey, 28
          pixels), and their classes, up to 256 of them.
Output:   `model.safetensors`, curves, a confusion matrix, a report per class, the worst mistakes.

The test part is looked at once, when the weights are chosen; the choice is made on a validation
part that is taken out of the training pictures by the seed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import classification_report, confusion_matrix
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, softmax

from cvq.context import Context
from cvq.errors import PermanentError
from cvq.kinds.classifier import ClassifierSpec

from ..data.dataset import Dataset
from ..training import verdicts
from ..training.augment import (
    Operation,
    chain,
    random_erase,
    random_flip,
    random_shift,
)
from ..training.loop import Measure, Measured, autocast, dtype_of
from ..training.pictures import PictureTraining
from ..training.plots import save_confusion, save_grid
from ..training.report import Report
from .batches import in_batches
from .coders import to_bytes

SIZE = 28
_MISTAKES = 40
_ONE_LINE = 20  # letters of what was said and what is
_BATCH = 1000


class Scaled(nn.Module):
    """Scales pixels 0..255 (N, C, H, W) of any type, then applies a network.

    The numbers are the training pictures' own, and a part of the model.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: nn.Module, mean: float = 0.0, deviation: float = 1.0) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("deviation", torch.tensor(deviation))

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits (N, classes)."""
        logits: Tensor = self.network((pictures.float() - self.mean) / self.deviation)
        return logits


def train_classifier(
    kind: str,
    summary: str,
    spec: ClassifierSpec,
    ctx: Context,
    network: Callable[[Any, dict[str, Any]], nn.Module],
    *,
    scaling: Callable[[Tensor], tuple[float, float]] | None = None,
) -> dict[str, Any]:
    """Train, test and publish a classifier; returns the job's result.

    Args:
        kind: the job kind.
        summary: one sentence on the network, for the model card.
        spec: what was asked for.
        ctx: the job's context.
        network: makes the network from the specification and the facts that are kept in the model
            file: `classes`, their names; `size`; `mean` and `deviation` of the training pictures.
            The same function as the kind's `network`. Initialised by the specification's seed.
        scaling: mean and deviation to scale pixels with, from the training pictures; default:
            to mean 0 and deviation 1.
    """

    def facts(dataset: Dataset) -> dict[str, Any]:
        mean, deviation = (scaling or standard)(dataset.train.images)
        return {"classes": list(dataset.classes), "mean": mean, "deviation": deviation}

    training = PictureTraining(
        kind=kind,
        summary=summary,
        use="cvq submit classify PICTURE.png",
        network=network,
        measure=measuring(spec.label_smoothing),
        facts=facts,
        check=_check_classes,
        augment=augmentation(spec),
        best_by="val_accuracy",
        test=_test,
        curves=("loss", "accuracy"),
        names_classes=True,
    )
    return training.run(spec, ctx)


def _check_classes(dataset: Dataset) -> None:
    if dataset.train.labels is None or dataset.test.labels is None:
        raise PermanentError(
            f"data {dataset.name} has no classes: sort the pictures into a folder for each class"
        )


def scaled(network: nn.Module, facts: dict[str, Any]) -> Scaled:
    """A network behind the scaling that a model's facts tell of."""
    return Scaled(network, facts.get("mean", 0.0), facts.get("deviation", 1.0))


def standard(images: Tensor) -> tuple[float, float]:
    """Mean and standard deviation of pictures."""
    deviation, mean = torch.std_mean(images[:10_000].float())
    return float(mean), max(1e-3, float(deviation))


def measuring(smoothing: float) -> Measure:
    """Cross-entropy in nats and accuracy; what training follows is smoothed."""

    def measure(network: nn.Module, pictures: Tensor, labels: Tensor) -> Measured:
        logits = network(_laid_out(pictures)).float()
        plain = cross_entropy(logits, labels)
        loss = plain
        if smoothing and network.training:
            loss = cross_entropy(logits, labels, label_smoothing=smoothing)
        accuracy = (logits.argmax(1) == labels).float().mean()
        return Measured(loss, {"loss": plain, "accuracy": accuracy}, logits)

    return measure


def augmentation(spec: ClassifierSpec) -> Operation | None:
    """What the specification says of shifts, flips and erased parts."""
    flipped = spec.data.name not in ("mnist", "digits") if spec.flip is None else spec.flip
    return chain(
        random_shift(spec.shift_x, spec.shift_y) if spec.shift_x or spec.shift_y else None,
        random_flip if flipped else None,
        random_erase(spec.erase) if spec.erase else None,
    )


def probabilities(
    network: nn.Module,
    pictures: Tensor,
    device: str,
    dtype: torch.dtype,
    *,
    most: int = _BATCH,
    exact: bool = False,
) -> Tensor:
    """Class probabilities (N, classes) of pictures 0..255, on the CPU; see `in_batches`."""

    def answer(part: Tensor) -> tuple[Tensor]:
        return (softmax(network(_laid_out(part.to(device))).float(), dim=1).cpu(),)

    with autocast(device, dtype):
        return in_batches(answer, pictures, most, exact=exact)[0]


def _laid_out(pictures: Tensor) -> Tensor:
    return pictures.contiguous(memory_format=torch.channels_last)


def _test(network: nn.Module, dataset: Dataset, spec: ClassifierSpec, report: Report) -> None:
    """Test, judge, and publish what people look for."""
    part, classes, ctx = dataset.test, dataset.classes, report.ctx
    assert part.labels is not None
    assert dataset.train.labels is not None
    found = probabilities(network, part.images, ctx.device, dtype_of(spec, ctx.device))
    predicted, true = found.argmax(1).numpy(), part.labels.numpy()
    loss = float(-found.gather(1, part.labels[:, None]).clamp_min(1e-12).log().mean())
    accuracy = float((predicted == true).mean())
    report.figures |= {"test_accuracy": accuracy, "test_loss": loss, "test_images": len(true)}
    trained_on = dataset.train.labels.numpy()
    report.warn(*verdicts.of_classifier(predicted, true, trained_on, classes))
    places = list(range(len(classes)))
    counts = confusion_matrix(true, predicted, labels=places)
    report.draw("confusion.png", lambda path: save_confusion(path, counts, classes))

    def per_class(path: Path) -> None:
        found = classification_report(
            true, predicted, labels=places, target_names=list(classes),
            output_dict=True, zero_division=0.0,
        )  # fmt: skip
        path.write_text(json.dumps(found, indent=2))

    report.draw("per-class.json", per_class, role="report")
    if (predicted != true).any():
        report.draw(
            "mistakes.png", lambda path: save_mistakes(path, part.images, found, true, classes)
        )


def save_mistakes(
    path: Path,
    images: Tensor,
    found: Tensor,
    true: np.ndarray[Any, Any],
    classes: Sequence[str],
) -> None:
    """Draw the wrong answers that the network was surest of.

    Args:
        path: the PNG.
        images: (N, C, H, W), 0..255.
        found: probabilities (N, classes).
        true: labels (N,).
        classes: their names.
    """
    sure, answer = found.max(1)
    wrong = torch.from_numpy(answer.numpy() != true)
    order = torch.where(wrong, sure, -1.0).argsort(descending=True)[: int(wrong.sum())]
    chosen = order[:_MISTAKES].tolist()
    titles = []
    for i in chosen:
        said, is_ = f"said {classes[int(answer[i])]}", f"is {classes[int(true[i])]}"
        between = ", " if len(said) + len(is_) < _ONE_LINE else ",\n"
        titles.append(f"{said}{between}{is_}\n{sure[i]:.0%} sure")
    title = "surest mistakes on the test pictures"
    save_grid(path, to_bytes(images[chosen] / 255), columns=8, titles=titles, title=title)
