"""The course's models: shapes, what they leave behind, and that a job uses another's model."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cvq import LocalContext
from cvq.errors import PermanentError
from cvq.inputs.data import DataSource
from cvq.inputs.files import ImageFile
from cvq.inputs.models import ModelFile
from cvq.kinds.builtin.autoencoder import AutoencoderSpec
from cvq.kinds.builtin.classify import ClassifySpec
from cvq.kinds.builtin.colorize import ColorizeSpec
from cvq.kinds.builtin.colorizer import ColorizerSpec
from cvq.kinds.builtin.face_vae import FaceVaeSpec
from cvq.kinds.builtin.fmnist_cnn import CnnSpec
from cvq.kinds.builtin.fmnist_mlp import MlpSpec
from cvq.kinds.builtin.fmnist_rnn import RnnSpec
from cvq.kinds.builtin.generate import GenerateSpec
from cvq.kinds.builtin.predict_sum import PredictSumSpec
from cvq.kinds.builtin.reconstruct import ReconstructSpec
from cvq.kinds.builtin.sum_regressor import SumRegressorSpec
from cvq.kinds.builtin.vae import VaeSpec
from cvq_workers.data.dataset import Part
from cvq_workers.models import (
    autoencoder,
    classifier,
    classify,
    coders,
    colorize,
    colorizer,
    face_vae,
    fmnist_cnn,
    fmnist_mlp,
    fmnist_rnn,
    generate,
    lab,
    reconstruct,
    sum_regressor,
    vae,
)
from cvq_workers.models.lab import rgb_to_lab
from cvq_workers.training.saved import NAME, read_model

DIGITS = {"data": DataSource.model_validate({"name": "digits"})}
Tensor = torch.Tensor


def model(ctx: LocalContext) -> ModelFile:
    return ModelFile(name="model of job 7", job=7, path=ctx.folder / NAME)


def picture(path: Path, size: tuple[int, int] = (40, 30), seed: int = 0) -> ImageFile:
    rough = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(rough).resize(size, Image.Resampling.BICUBIC).save(path)
    return ImageFile(name=path.name, path=path)


def archive(path: Path, count: int = 60, persons: int = 6, side: int = 40) -> DataSource:
    """Smooth coloured pictures in a folder for each person, all different."""
    with zipfile.ZipFile(path, "w") as file:
        for number in range(count):
            rough = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
            content = io.BytesIO()
            smooth = Image.fromarray(rough).resize((side, side), Image.Resampling.BICUBIC)
            smooth.save(content, "PNG")
            file.writestr(f"p{number % persons}/{number}.png", content.getvalue())
    return DataSource(name=path.name, path=path)


def shaded(path: Path, folders: int, each: int = 60, side: int = 28) -> DataSource:
    """Pictures in a folder for each shade, from dark to light."""
    with zipfile.ZipFile(path, "w") as file:
        for number in range(folders * each):
            noise = np.random.default_rng(number).integers(0, 40, (side, side, 3))
            pixels = (noise + 200 * (number // each) / (folders - 1)).astype(np.uint8)
            content = io.BytesIO()
            Image.fromarray(pixels).save(content, "PNG")
            file.writestr(f"shade{number // each}/{number:03}.png", content.getvalue())
    return DataSource(name=path.name, path=path)


CLASSIFIERS = [
    (fmnist_mlp, MlpSpec, {}),
    (fmnist_cnn, CnnSpec, {"epochs": 2}),
    (fmnist_cnn, CnnSpec, {"arch": "resnet", "epochs": 2, "shift_x": 1, "shift_y": 1}),
    (fmnist_rnn, RnnSpec, {"hidden": 32, "layers": 1}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("module", "spec", "values"), CLASSIFIERS)
def test_a_classifier_learns_the_digits_and_is_used(
    ctx: LocalContext, tmp_path: Path, module: Any, spec: Any, values: dict[str, Any]
) -> None:
    wanted = spec(**DIGITS, **{"epochs": 4, "batch_size": 32, "precision": "fp32", **values})
    result = module.run(wanted, ctx)
    assert result["test_accuracy"] > 0.6
    assert result["test_images"] == 180
    assert {name: file.role for name, file in ctx.artifacts.items()} == {
        "model.safetensors": "model", "loss.png": "plot", "accuracy.png": "plot",
        "confusion.png": "plot", "per-class.json": "report", "mistakes.png": "plot",
        "model-card.md": "report",
    }  # fmt: skip
    card = (ctx.folder / "model-card.md").read_text()
    assert f"cvq submit {result_kind(module)}" in card
    assert "--data digits" in card
    from sklearn.datasets import load_digits

    digits = load_digits()
    files = []
    for number in range(20):
        pixels = (digits.images[number] * (255 / 16)).astype(np.uint8)
        path = tmp_path / f"{number}.png"
        Image.fromarray(pixels).resize((28, 28), Image.Resampling.BICUBIC).save(path)
        files.append(ImageFile(name=path.name, path=path))
    used = LocalContext(tmp_path)
    found = classify.run(ClassifySpec(images=files, model=model(ctx)), used)
    right = sum(
        each["class"] == str(label)
        for each, label in zip(found["predictions"], digits.target, strict=False)
    )
    assert right >= 12
    assert len(json.loads((tmp_path / "predictions.json").read_text())) == 20


def result_kind(module: Any) -> str:
    return str(module.__name__.rpartition(".")[2].replace("_", "-"))


def test_the_courses_networks_have_the_courses_layers() -> None:
    def sizes(network: torch.nn.Module) -> list[tuple[int, ...]]:
        return [tuple(p.shape) for p in network.parameters() if p.ndim > 1]

    cnn = fmnist_cnn.build(CnnSpec(preset="course"), 10)
    assert sizes(cnn) == [(64, 1, 3, 3), (128, 64, 3, 3), (256, 3200), (10, 256)]
    mlp = fmnist_mlp.build(MlpSpec(preset="course"), 10)
    assert sizes(mlp) == [(1000, 784), (10, 1000)]
    coder = autoencoder.build(AutoencoderSpec(preset="course"))
    assert sizes(coder) == [(128, 784), (64, 128), (3, 64), (64, 3), (128, 64), (784, 128)]
    course = CnnSpec(preset="course")
    assert (course.batch_size, course.learning_rate, course.optimizer) == (64, 1e-3, "adam")
    assert (course.shift_x, course.shift_y, course.settled(57_000).epochs) == (10, 0, 5)
    assert CnnSpec(preset="course", epochs=7).epochs == 7


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_sums_are_learnt_whatever_the_seed(ctx: LocalContext, seed: int) -> None:
    torch.manual_seed(seed)
    result = sum_regressor.run(SumRegressorSpec(seed=seed), ctx)
    assert result["largest_error"] < 0.01
    assert result["distant_error"] < 0.01
    spec = PredictSumSpec(numbers=[8, 9, -3.5, 1], model=model(ctx))
    (ctx.folder / "used").mkdir(exist_ok=True)
    found = sum_regressor.predict(spec, LocalContext(ctx.folder / "used"))
    assert [row["sum"] for row in found["sums"]] == pytest.approx([17, -2.5], abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["mlp", "conv", "course"])
def test_an_autoencoder_rebuilds(ctx: LocalContext, tmp_path: Path, arch: str) -> None:
    spec = AutoencoderSpec(**DIGITS, arch=arch, epochs=3, batch_size=64)
    result = autoencoder.run(spec, ctx)
    assert result["test_mse"] < 0.6
    assert {"reconstructions.png", "latent-space.png", "manifold.png"} <= set(ctx.artifacts)
    files = [picture(tmp_path / f"{n}.png", seed=n) for n in range(12)]
    found = reconstruct.run(
        ReconstructSpec(images=files, model=model(ctx)), LocalContext(tmp_path)
    )
    assert len(found["pictures"]) == 12
    assert len(found["pictures"][0]["latent"]) == 3


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["mlp", "conv"])
def test_a_vae_rebuilds_and_invents(ctx: LocalContext, tmp_path: Path, arch: str) -> None:
    spec = VaeSpec(**DIGITS, arch=arch, epochs=3, batch_size=64, latent=4)
    result = vae.run(spec, ctx)
    assert result["test_negative_elbo"] == pytest.approx(
        result["test_reconstruction"] + result["test_kl"], rel=1e-5
    )
    assert result["test_kl"] > 0
    used = LocalContext(tmp_path)
    generate.run(GenerateSpec(model=model(ctx), count=9, walks=2), used)
    first = (tmp_path / "samples.png").read_bytes()
    roles = {name: artifact.role for name, artifact in used.artifacts.items()}
    assert roles == {"samples.png": "result", "walks.png": "result"}
    generate.run(GenerateSpec(model=model(ctx), count=9, walks=2), used)
    assert (tmp_path / "samples.png").read_bytes() == first
    file = picture(tmp_path / "x.png")
    reconstruct.run(ReconstructSpec(images=[file], model=model(ctx)), used)
    assert used.artifacts["reconstructions.png"].role == "result"


def test_the_divergence_is_that_of_torch() -> None:
    mean, log_variance = torch.randn(5, 3), torch.randn(5, 3)
    posterior = torch.distributions.Normal(mean, (log_variance / 2).exp())
    prior = torch.distributions.Normal(torch.zeros(3), torch.ones(3))
    expected = torch.distributions.kl_divergence(posterior, prior).sum(1)
    torch.testing.assert_close(vae.divergence(mean, log_variance), expected)


def test_a_walk_begins_and_ends_where_it_should() -> None:
    first, last = torch.randn(2, 8)
    path = vae.walk(first, last, 7)
    torch.testing.assert_close(path[0], first)
    torch.testing.assert_close(path[-1], last, atol=1e-5, rtol=1e-4)
    norms = vae.walk(first / first.norm(), last / last.norm(), 7).norm(dim=1)
    torch.testing.assert_close(norms, torch.ones(7), atol=1e-3, rtol=1e-3)


@pytest.mark.slow
def test_what_is_drawn_is_of_all_folders(
    ctx: LocalContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[torch.Tensor] = []

    def keep(path: Path, originals: torch.Tensor, *_: Any) -> None:
        drawn.append(originals)

    monkeypatch.setattr(coders, "save_reconstructions", keep)
    data = shaded(tmp_path / "shades.zip", folders=5)
    vae.run(VaeSpec(data=data, arch="course", epochs=1, batch_size=64), ctx)
    shades = drawn[0].flatten(1).mean(1)
    assert len(shades) == 20
    assert shades.min() < 0.15
    assert shades.max() > 0.8


def test_some_pictures_are_taken_evenly_from_all() -> None:
    assert coders.spread(9, 3).tolist() == [0, 4, 8]
    assert coders.spread(3, 10).tolist() == [0, 1, 2]
    assert coders.spread(1, 10).tolist() == [0]


@pytest.mark.slow
def test_faces_are_learnt_from_some_people_and_tried_on_others(
    ctx: LocalContext, tmp_path: Path
) -> None:
    spec = FaceVaeSpec(
        data=archive(tmp_path / "faces.zip"), size=32, latent=8, epochs=3, batch_size=16,
        hold_out=["p1"],
    )  # fmt: skip
    result = face_vae.run(spec, ctx)
    assert result["test_images"] == 10
    assert 0 < result["pca_32_mse"] < result["test_mse"] < 0.2
    assert {"samples.png", "reconstructions.png", "interpolations.png"} <= set(ctx.artifacts)
    used = LocalContext(tmp_path)
    generate.run(GenerateSpec(model=model(ctx), count=5, walks=1), used)
    assert set(used.artifacts) == {"samples.png", "walks.png"}


@pytest.mark.slow
def test_a_colorizer_learns_and_colours_pictures_of_any_size(
    ctx: LocalContext, tmp_path: Path
) -> None:
    data = archive(tmp_path / "pictures.zip", side=32)
    spec = ColorizerSpec(data=data, width=8, epochs=2, batch_size=16, val_share=0.2)
    result = colorizer.run(spec, ctx)
    assert result["test_grey_mse"] > 0
    assert result["test_true_chroma"] > 10
    files = [picture(tmp_path / "a.png", (61, 43)), picture(tmp_path / "b.png", (20, 90))]
    used = LocalContext(tmp_path)
    found = colorize.run(ColorizeSpec(images=files, model=model(ctx)), used)
    assert found["pictures"] == ["001-a.png", "002-b.png"]
    for name, file in zip(found["pictures"], files, strict=True):
        assert file.path is not None
        with Image.open(tmp_path / name) as out, Image.open(file.path) as original:
            assert out.size == original.size
    colorize.run(ColorizeSpec(images=files[:1], model=model(ctx), strength=0), used)
    with Image.open(tmp_path / "a.png") as out:
        pixels = np.asarray(out).astype(int)
    assert np.ptp(pixels, axis=2).max() <= 1, "strength 0 is grey"


def test_colours_are_amplified_within_bounds_and_only_where_there_are_some() -> None:
    torch.manual_seed(0)
    images = torch.randint(0, 256, (20, 3, 16, 16), dtype=torch.uint8)

    class Guessing(colorizer.Colorizer):
        """Colours that are a share of the true ones, or of nothing."""

        def __init__(self, share: float) -> None:
            super().__init__(8)
            self.share = share

        def forward(self, lightness: torch.Tensor) -> torch.Tensor:
            true = rgb_to_lab(images.float() / 255)[:, 1:] / colorizer.AB
            return self.share * self.gain * true

    part = Part(images, None)
    for share, low, high in ((0.5, 1.3, 1.6), (0.05, 2.4, 2.5), (-0.1, 1.0, 1.0)):
        network = Guessing(share)
        colorizer._amplify(network, part, 0.72)
        assert low <= float(network.gain) <= high


def test_training_and_validation_report_the_same_quantity() -> None:
    torch.manual_seed(0)
    pictures = torch.randint(0, 256, (4, 1, 28, 28), dtype=torch.uint8)
    labels = torch.tensor([0, 1, 2, 3])
    classes = nn.Sequential(nn.Flatten(), nn.Linear(784, 4))
    networks = [
        (nn.Sequential(classifier.Scaled(classes, 128, 64)), classifier.measuring(0.3), labels),
        (vae.VariationalAutoencoder("course", 4), vae.measuring(7.0), pictures),
        (face_vae.FaceAutoencoder(1, 32, 4), face_vae.measuring(7.0), None),
    ]
    for network, measure, targets in networks:
        given = pictures if targets is not None else torch.nn.functional.pad(pictures, [2] * 4)
        found = []
        for training in (True, False):
            torch.manual_seed(1)  # what is drawn is the same
            measured = measure(
                network.train(training), given, given if targets is None else targets
            )
            found.append({name: float(v.detach()) for name, v in measured.values.items()})
        assert found[0] == pytest.approx(found[1])
        assert "loss" in found[0]


def test_grey_pictures_teach_no_colours(ctx: LocalContext, tmp_path: Path) -> None:
    path = tmp_path / "grey.zip"
    with zipfile.ZipFile(path, "w") as file:
        for number in range(20):
            content = io.BytesIO()
            Image.new("L", (32, 32), 10 * number).save(content, "PNG")
            file.writestr(f"{number}.png", content.getvalue())
    spec = ColorizerSpec(data=DataSource(name="grey.zip", path=path), width=8, epochs=1)
    with pytest.raises(PermanentError, match="its pictures are grey"):
        colorizer.run(spec, ctx)


@pytest.mark.slow
def test_a_dozen_pictures_of_three_classes_are_enough(ctx: LocalContext, tmp_path: Path) -> None:
    data = archive(tmp_path / "few.zip", count=12, persons=3)
    result = fmnist_mlp.run(MlpSpec(data=data, epochs=1), ctx)
    assert result["test_images"] == 2


def test_two_pictures_are_too_few(ctx: LocalContext, tmp_path: Path) -> None:
    data = archive(tmp_path / "few.zip", count=2, persons=2)
    with pytest.raises(PermanentError, match="has too few pictures"):
        fmnist_mlp.run(MlpSpec(data=data, epochs=1), ctx)


@pytest.mark.parametrize("share", ["x%", "0%", "200%", "nan%", "%"])
def test_a_share_of_persons_that_is_none_is_refused(share: str) -> None:
    with pytest.raises(ValueError, match="one share from 1% to 90%"):
        FaceVaeSpec(data=DataSource(name="faces"), hold_out=[share])
    with pytest.raises(ValueError, match="one share"):
        FaceVaeSpec(data=DataSource(name="faces"), hold_out=["10%", "s1"])


def test_lab_is_that_of_the_tables() -> None:
    # Known values: Lindbloom's calculator, sRGB, D65.
    known = {
        (1.0, 1.0, 1.0): (100.0, 0.0, 0.0),
        (0.0, 0.0, 0.0): (0.0, 0.0, 0.0),
        (1.0, 0.0, 0.0): (53.2408, 80.0925, 67.2032),
        (0.0, 1.0, 0.0): (87.7347, -86.1827, 83.1793),
        (0.0, 0.0, 1.0): (32.2970, 79.1875, -107.8602),
    }
    rgb = torch.tensor(list(known)).view(-1, 3, 1, 1)
    expected = torch.tensor(list(known.values())).view(-1, 3, 1, 1)
    torch.testing.assert_close(lab.rgb_to_lab(rgb), expected, atol=0.02, rtol=0)
    random = torch.rand(4, 3, 8, 8)
    back = lab.lab_to_rgb(lab.rgb_to_lab(random))
    torch.testing.assert_close(back, random, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no model file, or damaged"),
        (b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ", "no model file"),
        (b"PK\x03\x04 something else", "no model file, or damaged"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(PermanentError, match=said):
        read_model(path)


@pytest.mark.slow
def test_a_model_of_another_kind_and_a_checkpoint_are_refused(
    ctx: LocalContext, tmp_path: Path
) -> None:
    sum_regressor.run(SumRegressorSpec(epochs=1, restarts=0), ctx)
    file = picture(tmp_path / "x.png")
    with pytest.raises(PermanentError, match="is of kind sum-regressor: a model of fmnist"):
        classify.run(ClassifySpec(images=[file], model=model(ctx)), LocalContext(tmp_path))
    whole = (ctx.folder / NAME).read_bytes()
    (ctx.folder / NAME).write_bytes(whole[:-20])
    with pytest.raises(PermanentError, match="no model file, or damaged"):
        read_model(ctx.folder / NAME)
    ctx.checkpoint(3, weights=torch.zeros(2))
    with pytest.raises(PermanentError, match="no model file of cvq"):
        read_model(next(ctx.folder.rglob("checkpoint-00000003.safetensors")))


def test_pictures_without_classes_cannot_be_told_apart(ctx: LocalContext, tmp_path: Path) -> None:
    path = tmp_path / "flat.zip"
    with zipfile.ZipFile(path, "w") as file:
        for number in range(20):
            picture(tmp_path / "p.png", seed=number)
            file.writestr(f"{number}.png", (tmp_path / "p.png").read_bytes())
    with pytest.raises(PermanentError, match="has no classes: sort the pictures into a folder"):
        fmnist_mlp.run(MlpSpec(data=DataSource(name="flat.zip", path=path)), ctx)
