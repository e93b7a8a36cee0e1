"""Models that have learnt nothing, and pictures of noise, for tests of what uses them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from cvq import LocalContext, Settings
from cvq.inputs.data import DataSource
from cvq.inputs.models import ModelFile
from cvq.kinds import get_kind, make_spec
from cvq_workers.training.saved import NAME, save_model


@dataclass(frozen=True)
class Drawn:
    """A picture of noise, grey or in colours."""

    number: int
    size: tuple[int, int]

    @property
    def name(self) -> str:
        return f"{self.number}.png"

    def read(self) -> bytes:
        noise = np.random.default_rng(self.number).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        content = io.BytesIO()
        Image.fromarray(noise).resize(self.size, Image.Resampling.BICUBIC).save(content, "PNG")
        return content.getvalue()


def untrained(kind: str, ctx: LocalContext, **values: Any) -> ModelFile:
    """The file of a model that a kind would train with these values, before it has."""
    trained = get_kind(kind, Settings.load())
    data = {"data": DataSource.model_validate({"name": "digits"})}
    given = {**(data if "data" in trained.spec.model_fields else {}), **values}
    spec: Any = make_spec(trained, given)
    size = values.get("size", 28)
    seen = {
        "channels": 3 if kind in ("colorizer", "face-vae") else 1, "size": size,
        "background": "white", "polarity": "light on dark",
    }  # fmt: skip
    facts = {
        "size": size, "seen": seen, "classes": list("abcdefghij"), "mean": 110.0,
        "deviation": 70.0, "latent": 3, "unit": 10.0,
    }  # fmt: skip
    torch.manual_seed(5)
    network = trained.load_network()(spec, facts)
    save_model(network, kind=kind, spec=spec, facts=facts, ctx=ctx)
    return ModelFile(name="model of job 7", job=7, path=ctx.folder / NAME)
