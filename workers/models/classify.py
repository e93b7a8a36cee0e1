"""Say what is on pictures, with a classifier that another job has trained.

Inputs:   pictures of any size, decoded as those that the classifier learnt from: see
          `workers/data/seen.py`. A picture that looks like a negative of them is named in the log,
          and inverted only where `invert` says so.
Output:   `predictions.json` and a picture of the pictures as the network saw them. In a batch, a
          row for each picture.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from cvq.context import Context
from cvq.inference import Answer, Inference
from cvq.kinds.builtin.classify import ClassifySpec
from cvq.text import join, percent

from ..data.seen import Picture, Seen, Sight, as_trained
from ..training.plots import save_grid
from ..training.report import Report
from ..training.saved import Model, load_model
from .classifier import probabilities
from .coders import to_bytes

log = logging.getLogger("cvq.job")

_SHOWN = 64


def run(spec: ClassifySpec, ctx: Context) -> dict[str, Any]:
    """Classify what a job's specification names."""
    saved = load_model(spec.model, "classifier")
    network = saved.network.to(ctx.device)
    classes = saved.facts["classes"]
    pictures = as_trained(spec.images, saved.facts, ctx, invert=spec.invert)
    found = probabilities(
        network, pictures, ctx.device, torch.float32,
        most=Classify.max_batch, exact=spec.exact,
    )  # fmt: skip
    predictions = [
        {"image": file.name, **prediction}
        for file, prediction in zip(spec.images, _predictions(found, classes, spec), strict=True)
    ]
    for each in predictions:
        log.info("%s: %s (%s)", each["image"], each["class"], percent(each["probability"]))
    with ctx.artifact("predictions.json") as path:
        path.write_text(json.dumps(predictions, indent=2))
    report = Report(ctx, warnings=saved.warnings)
    titles = [
        f"{each['image']}\n{each['class']}\n{percent(each['probability'])} sure"
        for each in predictions[:_SHOWN]
    ]
    shown = to_bytes(pictures[:_SHOWN] / 255)
    title = f"predictions of {saved.kind}, job {spec.model.job}"
    report.draw(
        "predictions.png",
        lambda path: save_grid(path, shown, columns=8, titles=titles, title=title),
    )
    answers = [f"{each['class']} {percent(each['probability'])}" for each in predictions]
    report.figures = {
        "answer": join(answers, most=1),
        "model": spec.model.job,
        "kind": saved.kind,
        "predictions": predictions[:100],
    }
    return report.result()


class Classify(Inference):
    """A row for each picture: the likeliest class, its probability, and those that come next."""

    spec: ClassifySpec

    def load(self, model: Any) -> Model:
        """Load a classifier."""
        saved = load_model(model, "classifier")
        saved.network.to(self.device)
        return saved

    def decode(self, model: Model, item: Picture) -> Seen:
        """Bring a picture into the shape of those that the classifier has learnt from."""
        return Sight.of(model.facts, self.spec.invert).see(item)

    def infer(self, model: Model, batch: Sequence[Seen]) -> Iterator[Answer]:
        """Classify pictures."""
        pictures = torch.stack([picture.pixels for picture in batch])
        found = probabilities(
            model.network, pictures, self.device, torch.float32, most=self.max_batch
        )
        sight = Sight.of(model.facts, self.spec.invert)
        predictions = _predictions(found, model.facts["classes"], self.spec)
        for picture, row in zip(batch, predictions, strict=True):
            yield Answer(row, notes=sight.notes_on(picture))


def _predictions(
    found: Tensor, classes: Sequence[str], spec: ClassifySpec
) -> Iterator[dict[str, Any]]:
    """What probabilities (N, classes) say of each picture."""
    likely = found.topk(min(spec.top, len(classes)))
    for places, shares in zip(likely.indices.tolist(), likely.values.tolist(), strict=True):
        top = [
            {"class": classes[place], "probability": round(share, 6)}
            for place, share in zip(places, shares, strict=True)
        ]
        yield {**top[0], "top": top}
