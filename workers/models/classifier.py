"""What the classifiers of 28 x 28 pictures share: data, loss, and what they leave behind.

Inputs:   grey pictures of 28 x 28 pixels and their classes, up to 256 of them.
Output:   `model.safetensors`, curves, a confusion matrix, a report per class, the worst mistakes.

The test part is looked at once, when the weights are chosen; the choice is made on a validation
part that is taken out of the training pictures by the seed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from sklearn.metrics import classification_report, confusion_matrix
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, softmax

from cvq.errors import PermanentError
from cvq.kinds.fmnist import ClassifierSpec

from ..context import Context
from ..data.dataset import Dataset, load_dataset
from ..training.augment import (
    Operation,
    augmentation_of,
    chain,
    random_erase,
    random_flip,
    random_shift,
)
from ..training.card import write_card
from ..training.loop import Measured, Samples, Trained, autocast, dtype_of, train
from ..training.plots import save_confusion, save_curves, save_grid
from ..training.saved import save_model

SIZE = 28
_MISTAKES = 40
_BATCH = 1000


class Scaled(nn.Module):
    """Scales pixels 0..255 (N, 1, 28, 28) of any type, then applies a network.

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
    build: Callable[[int], nn.Module],
    *,
    scaling: Callable[[Tensor], tuple[float, float]] | None = None,
) -> dict[str, Any]:
    """Train, test and publish a classifier; returns the job's result.

    Args:
        kind: the job kind.
        summary: one sentence on the network, for the model card.
        spec: what was asked for.
        ctx: the job's context.
        build: makes the network for so many classes.
        scaling: mean and deviation to scale pixels with, from the training pictures; default:
            to mean 0 and deviation 1.
    """
    dataset = load_dataset(
        spec.data,
        channels=1,
        size=SIZE,
        val_share=spec.val_share,
        seed=spec.seed,
        cache=ctx.cache,
    )
    if dataset.train.labels is None or dataset.test.labels is None:
        raise PermanentError(
            f"data {dataset.name} has no classes: sort the pictures into a folder for each class"
        )
    mean, deviation = (scaling or standard)(dataset.train.images)
    network = Scaled(build(len(dataset.classes)), mean, deviation)
    trained = train(
        network,
        Samples(dataset.train.images, dataset.train.labels),
        Samples(dataset.val.images, dataset.val.labels),
        measuring(spec.label_smoothing),
        spec,
        ctx,
        augment=augmentation(spec),
        best_by="val_accuracy",
        classes=dataset.classes,
    )
    facts = {"classes": list(dataset.classes), "size": SIZE}
    save_model(trained.network, kind=kind, spec=spec, facts=facts, ctx=ctx)
    result = {**trained.facts, **_report(dataset, trained, spec, ctx)}
    write_card(
        ctx,
        kind=kind,
        summary=summary,
        spec=spec,
        data=dataset.facts,
        figures=result,
        use="cvq submit classify PICTURE.png",
    )
    return result


def standard(images: Tensor) -> tuple[float, float]:
    """Mean and standard deviation of pictures."""
    deviation, mean = torch.std_mean(images[:10_000].float())
    return float(mean), max(1e-3, float(deviation))


def measuring(smoothing: float) -> Callable[[nn.Module, Tensor, Tensor], Measured]:
    """Cross-entropy in nats, smoothed in training only, and accuracy."""

    def measure(network: nn.Module, pictures: Tensor, labels: Tensor) -> Measured:
        logits = network(_laid_out(pictures)).float()
        loss = cross_entropy(
            logits, labels, label_smoothing=smoothing if network.training else 0.0
        )
        accuracy = (logits.argmax(1) == labels).float().mean()
        return Measured(loss, {"accuracy": accuracy}, logits)

    return measure


def augmentation(spec: ClassifierSpec) -> Operation | None:
    """What the specification says of shifts, flips and erased parts, or its pipeline."""
    flipped = spec.data.name not in ("mnist", "digits") if spec.flip is None else spec.flip
    own = chain(
        random_shift(spec.shift_x, spec.shift_y) if spec.shift_x or spec.shift_y else None,
        random_flip if flipped else None,
        random_erase(spec.erase) if spec.erase else None,
    )
    return augmentation_of(spec, own)


def probabilities(network: nn.Module, pictures: Tensor, device: str, dtype: torch.dtype) -> Tensor:
    """Class probabilities (N, classes) of pictures 0..255, on the CPU."""
    found = []
    with torch.no_grad(), autocast(device, dtype):
        for part in torch.split(pictures, _BATCH):
            found.append(softmax(network(_laid_out(part.to(device))).float(), dim=1).cpu())
    return torch.cat(found)


def _laid_out(pictures: Tensor) -> Tensor:
    return pictures.contiguous(memory_format=torch.channels_last)


def _report(
    dataset: Dataset, trained: Trained, spec: ClassifierSpec, ctx: Context
) -> dict[str, Any]:
    """Test, and publish what people look for; returns the figures."""
    for name in ("loss", "accuracy"):
        with ctx.artifact(f"{name}.png", role="plot") as path:
            save_curves(path, trained.history, name)
    part = dataset.test
    assert part.labels is not None
    found = probabilities(trained.network, part.images, ctx.device, dtype_of(spec, ctx.device))
    predicted, true = found.argmax(1).numpy(), part.labels.numpy()
    places = list(range(len(dataset.classes)))
    with ctx.artifact("confusion.png", role="plot") as path:
        counts = confusion_matrix(true, predicted, labels=places)
        save_confusion(path, counts, dataset.classes)
    report: dict[str, Any] = classification_report(
        true, predicted, labels=places, target_names=list(dataset.classes),
        output_dict=True, zero_division=0.0,
    )  # fmt: skip
    with ctx.artifact("per-class.json", role="report") as path:
        path.write_text(json.dumps(report, indent=2))
    _save_mistakes(part.images, found, true, dataset.classes, ctx)
    loss = float(-found.gather(1, part.labels[:, None]).clamp_min(1e-12).log().mean())
    accuracy = float((predicted == true).mean())
    return {"test_accuracy": accuracy, "test_loss": loss, "test_images": len(true)}


def _save_mistakes(
    images: Tensor, found: Tensor, true: np.ndarray[Any, Any], classes: Sequence[str], ctx: Context
) -> None:
    """The wrong answers that the network was surest of."""
    sure, answer = found.max(1)
    wrong = torch.from_numpy(answer.numpy() != true)
    if not bool(wrong.any()):
        return
    order = torch.where(wrong, sure, -1.0).argsort(descending=True)[: int(wrong.sum())]
    chosen = order[:_MISTAKES].tolist()
    titles = [f"{classes[int(answer[i])]}\nis {classes[int(true[i])]}" for i in chosen]
    with ctx.artifact("mistakes.png", role="plot") as path:
        save_grid(
            path, images[chosen, 0].numpy(), columns=8, titles=titles, title="the worst mistakes"
        )
