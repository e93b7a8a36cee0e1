"""Say what is on pictures, with a classifier that another job has trained.

Inputs:   pictures of any size. They are turned grey, cut square around the middle and resized to
          28 x 28. FashionMNIST and its kin are light on dark: a picture with a light border is
          inverted, unless `invert` says otherwise.
Output:   `predictions.json` and a picture of the pictures as the network saw them.
"""

from __future__ import annotations

import json
import logging
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import nn

from cvq.errors import PermanentError
from cvq.kinds.fmnist import CLASSIFIERS, ClassifySpec, CnnSpec, MlpSpec, RnnSpec

from ..context import Context
from ..training.plots import save_grid
from ..training.saved import SavedModel, load_model
from . import fmnist_cnn, fmnist_mlp, fmnist_rnn
from .classifier import SIZE, Scaled, probabilities
from .pictures import open_picture

log = logging.getLogger("cvq.job")

_SHOWN = 64


def network_of(saved: SavedModel) -> nn.Module:
    """The trained network of a classifier's model file."""
    classes = len(saved.facts["classes"])
    if saved.kind == "fmnist-mlp":
        inner = fmnist_mlp.build(MlpSpec.model_validate(saved.spec), classes)
    elif saved.kind == "fmnist-rnn":
        inner = fmnist_rnn.build(RnnSpec.model_validate(saved.spec), classes)
    else:
        inner = fmnist_cnn.build(CnnSpec.model_validate(saved.spec), classes)
    return saved.into(Scaled(inner))


def prepared(picture: Image.Image, invert: bool | None) -> NDArray[np.uint8]:
    """A picture as the classifiers were trained on: (28, 28), light on dark."""
    grey = ImageOps.fit(picture.convert("L"), (SIZE, SIZE), Image.Resampling.LANCZOS)
    pixels = np.asarray(grey)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    dark_on_light = border.mean() > 127 if invert is None else invert
    return 255 - pixels if dark_on_light else pixels.copy()


def run(spec: ClassifySpec, ctx: Context) -> dict[str, Any]:
    """Classify what a job's specification names."""
    saved = load_model(spec.model, CLASSIFIERS)
    network = network_of(saved).to(ctx.device)
    classes = saved.facts["classes"]
    pixels = []
    for number, file in enumerate(spec.images, 1):
        if file.path is None:
            raise PermanentError(f"{file.name} is not on this machine")
        pixels.append(prepared(open_picture(file.path, file.name), spec.invert))
        ctx.progress(number, len(spec.images), "picture")
    pictures = np.stack(pixels)
    found = probabilities(network, torch.from_numpy(pictures)[:, None], ctx.device, torch.float32)
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
        log.info("%s: %s (%.1f %%)", each["image"], each["class"], 100 * each["probability"])
    with ctx.artifact("predictions.json") as path:
        path.write_text(json.dumps(predictions, indent=2))
    with ctx.artifact("predictions.png", role="plot") as path:
        titles = [f"{each['class']}\n{each['probability']:.0%}" for each in predictions[:_SHOWN]]
        save_grid(path, pictures[:_SHOWN], columns=min(8, len(titles)), titles=titles)
    return {"model": spec.model.job, "kind": saved.kind, "predictions": predictions[:100]}
