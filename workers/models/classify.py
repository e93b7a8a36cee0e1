"""Say what is on pictures, with a classifier that another job has trained.

Inputs:   pictures of any size, decoded as those that the classifier learnt from: see
          `workers/data/seen.py`. A picture that looks like a negative of them is named in the log,
          and inverted only where `invert` says so.
Output:   `predictions.json` and a picture of the pictures as the network saw them.
"""

from __future__ import annotations

import json
import logging
from typing import Any

import torch

from cvq.context import Context
from cvq.kinds.builtin.classify import ClassifySpec
from cvq.text import join, percent

from ..data.seen import as_trained
from ..training.plots import save_grid
from ..training.report import Report
from ..training.saved import load_model
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
    found = probabilities(network, pictures, ctx.device, torch.float32)
    likely = found.topk(min(spec.top, len(classes)))
    predictions = [
        {
            "image": file.name,
            "class": classes[int(places[0])],
            "probability": round(float(shares[0]), 6),
            "top": [
                {"class": classes[int(place)], "probability": round(float(share), 6)}
                for place, share in zip(places, shares, strict=True)
            ],
        }
        for file, shares, places in zip(spec.images, likely.values, likely.indices, strict=True)
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
