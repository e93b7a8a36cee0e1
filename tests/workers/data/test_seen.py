"""What the network saw is a fact of the model: a good one knows its own training pictures."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from cvq import LocalContext
from cvq.datasets import pack
from cvq.errors import PermanentError
from cvq.inputs.data import DataSource
from cvq.inputs.files import ImageFile
from cvq.inputs.models import ModelFile
from cvq.kinds.builtin.autoencoder import AutoencoderSpec
from cvq.kinds.builtin.classify import ClassifySpec
from cvq.kinds.builtin.fmnist_mlp import MlpSpec
from cvq.kinds.builtin.reconstruct import ReconstructSpec
from cvq_workers.data.dataset import load_dataset
from cvq_workers.data.seen import as_trained, seen_of
from cvq_workers.models import autoencoder, classify, fmnist_mlp, reconstruct
from cvq_workers.training.saved import NAME, read_model

Level = np.ndarray  # (8, 8), 0 to 1: how much ink is where


def _ink(level: Level) -> Image.Image:
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[..., 3] = level * 255
    return Image.fromarray(pixels)


def _chalk(level: Level) -> Image.Image:
    pixels = np.full((8, 8, 4), 255, np.uint8)
    pixels[..., 3] = level * 255
    return Image.fromarray(pixels)


# What people have, and what the network is to see of it.
FORMS: dict[str, tuple[str, Callable[[Level], Image.Image], str]] = {
    "black on white": (
        "png", lambda x: Image.fromarray((255 - x * 255).astype("u1")), "dark on light",
    ),
    "white on black": ("png", lambda x: Image.fromarray((x * 255).astype("u1")), "light on dark"),
    "ink on nothing": ("png", _ink, "dark on light"),
    "chalk on nothing": ("png", _chalk, "light on dark"),
    "16 bits": ("png", lambda x: Image.fromarray((x * 65535).astype("u2")), "light on dark"),
    "floats": ("tif", lambda x: Image.fromarray((1 - x).astype("f4")), "dark on light"),
    "colours": (
        "png",
        lambda x: Image.fromarray(np.stack([255 - x * 255, 255 - x * 80, x * 0 + 255], 2)
                                  .astype("u1")),
        "dark on light",
    ),
    "jpeg": ("jpg", lambda x: Image.fromarray((255 - x * 255).astype("u1")).resize((90, 70)),
             "dark on light"),
}  # fmt: skip


def digits(folder: Path, suffix: str, make: Callable[[Level], Image.Image]) -> DataSource:
    """A folder for each of 0, 1 and 7, and its zip."""
    bunch = load_digits()
    for number, (level, label) in enumerate(zip(bunch.images / 16, bunch.target, strict=True)):
        if label in (0, 1, 7):
            place = folder / str(label)
            place.mkdir(parents=True, exist_ok=True)
            make(level).save(place / f"{number}.{suffix}")
    return DataSource(name="digits", path=pack(folder, folder.parent / "data.zip"))


def model(ctx: LocalContext) -> ModelFile:
    return ModelFile(name="model of job 7", job=7, path=ctx.folder / NAME)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["black on white", "ink on nothing", "16 bits", "floats"])
def test_a_network_knows_its_own_training_pictures(
    ctx: LocalContext, tmp_path: Path, form: str
) -> None:
    suffix, make, polarity = FORMS[form]
    data = digits(tmp_path / "pictures", suffix, make)
    spec = MlpSpec(data=data, epochs=6, batch_size=16, precision="fp32")
    assert fmnist_mlp.run(spec, ctx)["test_accuracy"] > 0.9
    seen = read_model(ctx.folder / NAME, ["fmnist-mlp"]).facts["seen"]
    assert seen == {"channels": 1, "size": 28, "background": "white", "polarity": polarity}
    paths = sorted((tmp_path / "pictures").rglob("*.*"))[::4]
    files = [ImageFile(name=path.name, path=path) for path in paths]
    found = classify.run(ClassifySpec(images=files, model=model(ctx)), LocalContext(tmp_path))[
        "predictions"
    ]
    right = sum(
        each["class"] == path.parent.name for each, path in zip(found, paths, strict=False)
    )
    assert right >= 0.95 * len(found)
    card = (ctx.folder / "model-card.md").read_text()
    assert f"| polarity | {polarity} |" in card


@pytest.mark.parametrize("form", FORMS)
def test_use_sees_to_the_pixel_what_training_saw(tmp_path: Path, form: str) -> None:
    suffix, make, polarity = FORMS[form]
    data = digits(tmp_path / "pictures", suffix, make)
    found = load_dataset(
        data, channels=1, size=28, val_share=0.1, seed=0, cache=tmp_path / "cache"
    )
    paper = "black" if form == "chalk on nothing" else "white"
    assert (found.seen["polarity"], found.seen["background"]) == (polarity, paper)
    files = [
        ImageFile(name=name, path=tmp_path / "pictures" / name) for name in found.train.names[:9]
    ]
    used = as_trained(files, {"seen": found.seen}, LocalContext(tmp_path), invert=None)
    assert torch.equal(used, found.train.images[:9])


def test_a_negative_is_named_and_left_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dark = torch.zeros(3, 1, 28, 28, dtype=torch.uint8)
    facts = {"seen": seen_of(dark, "white")}
    Image.new("L", (28, 28), 250).save(tmp_path / "shoe.png")
    files = [ImageFile(name="shoe.png", path=tmp_path / "shoe.png")]
    caplog.set_level(logging.WARNING)
    assert int(as_trained(files, facts, LocalContext(tmp_path), invert=None)[0, 0, 0, 0]) == 250
    assert "shoe.png: dark on light, while the model has learnt from light on dark" in caplog.text
    caplog.clear()
    assert int(as_trained(files, facts, LocalContext(tmp_path), invert=True)[0, 0, 0, 0]) == 5
    assert caplog.text == ""


def test_a_model_that_does_not_know_what_it_saw_is_used_as_before(tmp_path: Path) -> None:
    for name, level in (("light.png", 250), ("dark.png", 10)):
        Image.new("L", (40, 40), level).save(tmp_path / name)
    files = [ImageFile(name=n, path=tmp_path / n) for n in ("light.png", "dark.png")]
    for invert, expected in ((None, [5, 10]), (False, [250, 10]), (True, [5, 245])):
        found = as_trained(files, {"size": 28}, LocalContext(tmp_path), invert=invert)
        assert found[:, 0, 0, 0].tolist() == expected


@pytest.mark.slow
def test_an_autoencoder_rebuilds_its_own_training_pictures(
    ctx: LocalContext, tmp_path: Path
) -> None:
    data = digits(tmp_path / "pictures", *FORMS["black on white"][:2])
    result = autoencoder.run(AutoencoderSpec(data=data, epochs=12, batch_size=16), ctx)
    paths = sorted((tmp_path / "pictures").rglob("*.png"))[::20]
    files = [ImageFile(name=path.name, path=path) for path in paths]
    spec = ReconstructSpec(images=files, model=model(ctx))
    found = reconstruct.run(spec, LocalContext(tmp_path))
    assert found["mse"] < 1.5 * result["test_mse"] / 4  # in [0, 1], and in [-1, 1]


def test_pictures_that_are_all_alike_stop_a_training(ctx: LocalContext, tmp_path: Path) -> None:
    data = digits(tmp_path / "pictures", "png", lambda x: Image.new("L", (8, 8), 7))
    with pytest.raises(
        PermanentError, match=r"training pictures are alike \(every pixel is 7\)"
    ) as caught:
        fmnist_mlp.run(MlpSpec(data=data, epochs=1), ctx)
    assert "\n" not in str(caught.value)
