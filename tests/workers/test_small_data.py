"""Trainings on a handful of pictures: each ends with its model, its figures and what is wrong."""

from __future__ import annotations

import io
import json
import logging
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cvq import LocalContext
from cvq.inputs.data import DataSource
from cvq.kinds.builtin.autoencoder import AutoencoderSpec
from cvq.kinds.builtin.colorizer import ColorizerSpec
from cvq.kinds.builtin.face_vae import FaceVaeSpec
from cvq.kinds.builtin.fmnist_cnn import CnnSpec
from cvq.kinds.builtin.fmnist_mlp import MlpSpec
from cvq.kinds.builtin.fmnist_rnn import RnnSpec
from cvq.kinds.builtin.sum_regressor import SumRegressorSpec
from cvq.kinds.builtin.vae import VaeSpec
from cvq.kinds.training import ImageTrainingSpec, TrainingSpec
from cvq_workers.data.sides import typical_side
from cvq_workers.models import (
    autoencoder,
    classifier,
    coders,
    colorizer,
    face_vae,
    fmnist_cnn,
    fmnist_mlp,
    fmnist_rnn,
    sum_regressor,
    vae,
)
from cvq_workers.training import plots, report, verdicts
from cvq_workers.training.report import Report

pytestmark = pytest.mark.slow

KINDS: dict[str, tuple[Any, type[ImageTrainingSpec], dict[str, Any]]] = {
    "fmnist-mlp": (fmnist_mlp, MlpSpec, {}),
    "fmnist-cnn": (fmnist_cnn, CnnSpec, {"arch": "resnet", "width": 8, "epochs": 1}),
    "fmnist-rnn": (fmnist_rnn, RnnSpec, {"hidden": 8, "layers": 1}),
    "autoencoder": (autoencoder, AutoencoderSpec, {"arch": "course"}),
    "autoencoder-1": (autoencoder, AutoencoderSpec, {"arch": "course", "latent": 1}),
    "vae": (vae, VaeSpec, {"arch": "course"}),
    "vae-2": (vae, VaeSpec, {"arch": "course", "latent": 2}),
    "face-vae": (face_vae, FaceVaeSpec, {"size": 32, "latent": 4}),
    "face-vae-colour": (face_vae, FaceVaeSpec, {"size": 32, "latent": 4, "color": True}),
    "colorizer": (colorizer, ColorizerSpec, {"size": 16, "width": 8}),
}
CLASSIFIERS = ("fmnist-mlp", "fmnist-cnn", "fmnist-rnn")


def drawn(number: int, size: tuple[int, int]) -> bytes:
    """A coloured picture that no other number gives."""
    rough = np.random.default_rng(number).integers(0, 256, (2, 2, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(rough).resize(size, Image.Resampling.BICUBIC).save(content, "PNG")
    return content.getvalue()


def archive(
    path: Path,
    *,
    tested: int,
    classes: tuple[str, ...] = ("a", "b"),
    size: tuple[int, int] = (9, 9),
) -> DataSource:
    """Six pictures of each class to train on, and so many to test on."""
    with zipfile.ZipFile(path, "w") as file:
        for number in range(6 * len(classes)):
            file.writestr(
                f"train/{classes[number % len(classes)]}/{number}.png", drawn(number, size)
            )
        for number in range(tested):
            content = drawn(1000 + number, size)
            file.writestr(f"test/{classes[number % len(classes)]}/{number}.png", content)
    return DataSource(name=path.name, path=path)


def run(name: str, data: DataSource, ctx: LocalContext) -> dict[str, Any]:
    module, spec, values = KINDS[name]
    given = {"epochs": 1, "batch_size": 4, "val_share": 0.2, "precision": "fp32", **values}
    result: dict[str, Any] = module.run(spec(data=data, **given), ctx)
    return result


SLOW = pytest.mark.slow


@pytest.mark.parametrize("tested", [1, *(pytest.param(n, marks=SLOW) for n in (2, 3, 10))])
@pytest.mark.parametrize("name", KINDS)
def test_any_number_of_test_pictures_is_drawn(
    ctx: LocalContext, tmp_path: Path, name: str, tested: int
) -> None:
    result = run(name, archive(tmp_path / "few.zip", tested=tested), ctx)
    assert result["test_images"] == tested
    assert not [each for each in result["warnings"] if "could not be made" in each]
    assert {"model.safetensors", "model-card.md"} <= set(ctx.artifacts)
    for file in ctx.folder.glob("*.png"):
        with Image.open(file) as picture:
            picture.load()
    json.dumps(result, allow_nan=False)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1, 1), (7, 3), (33, 17)])
@pytest.mark.parametrize("name", KINDS)
def test_odd_pictures_of_one_class_are_drawn(
    ctx: LocalContext, tmp_path: Path, name: str, size: tuple[int, int]
) -> None:
    classes = ("a", "b") if name in CLASSIFIERS else ("only",)
    result = run(name, archive(tmp_path / "odd.zip", tested=2, classes=classes, size=size), ctx)
    assert not [each for each in result["warnings"] if "could not be made" in each]


@pytest.mark.parametrize("name", [*KINDS, "sum-regressor"])
def test_drawing_costs_no_training(
    ctx: LocalContext, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        assert "model.safetensors" in ctx.artifacts, "the model is stored before"
        raise ValueError("no such colour")

    for module in (plots, classifier, coders, colorizer, report):
        for function in ("save_curves", "save_grid", "save_scatter", "save_confusion"):
            monkeypatch.setattr(module, function, broken, raising=False)
    monkeypatch.setattr(report, "write_card", broken)
    if name == "sum-regressor":
        result = sum_regressor.run(SumRegressorSpec(epochs=1, restarts=0), ctx)
    else:
        result = run(name, archive(tmp_path / "few.zip", tested=3), ctx)
    assert not [file for file in ctx.artifacts if file.endswith(".png")]
    lost = [each for each in result["warnings"] if "could not be made" in each]
    assert any("model-card.md could not be made (ValueError: no such colour)" in x for x in lost)
    assert len(lost) >= 2
    json.dumps(result, allow_nan=False)


def test_a_part_that_fails_is_told_once_and_stops_nothing(
    ctx: LocalContext, caplog: pytest.LogCaptureFixture
) -> None:
    told = Report(ctx, {"loss": 0.5})
    with caplog.at_level(logging.INFO, "cvq.job"):
        with told.part("the test"):
            raise RuntimeError("first line\nsecond line")
        result = told.result()
    assert result == {
        "loss": 0.5,
        "warnings": ["the test could not be made (RuntimeError: first line); the model is not "
                     "affected"],
    }  # fmt: skip
    assert "done: loss 0.5" in caplog.text
    assert "Traceback" in caplog.text


def test_faces_choose_their_size(tmp_path: Path) -> None:
    for size, expected in (((28, 28), 32), ((40, 61), 48), ((92, 112), 64), ((900, 700), 64)):
        data = archive(tmp_path / "faces.zip", tested=3, size=size)
        assert face_vae.size_for(typical_side(data.path)) == expected
    (tmp_path / "faces.zip").write_bytes(b"no zip")
    assert typical_side(tmp_path / "faces.zip") is typical_side(None) is None
    assert face_vae.size_for(None) == 32
    assert FaceVaeSpec(data=DataSource(name="x")).picture == (64, 64, 1)
    with pytest.raises(ValueError, match="the smallest is 32"):
        FaceVaeSpec(data=DataSource(name="x"), size=16)


@pytest.mark.parametrize(
    ("spec", "samples", "epochs", "batch"),
    [
        # Large data, and the ORL faces: as was measured.
        (MlpSpec(), 57_000, 5, 128),
        (CnnSpec(arch="resnet"), 57_000, 20, 128),
        (AutoencoderSpec(), 57_000, 5, 128),
        (VaeSpec(), 57_000, 10, 128),
        (ColorizerSpec(), 44_100, 7, 128),
        (FaceVaeSpec(data=DataSource(name="x")), 340, 600, 64),
        (FaceVaeSpec(data=DataSource(name="x")), 10_000, 30, 64),
        # Small data: batches that leave some steps to an epoch, and epochs to learn by.
        (ColorizerSpec(), 102, 100, 16),
        (FaceVaeSpec(data=DataSource(name="x")), 102, 500, 16),
        (FaceVaeSpec(data=DataSource(name="x")), 20, 600, 16),
        (CnnSpec(), 342, 120, 64),
        (MlpSpec(), 3, 600, 3),
        # What was asked for is not touched.
        (VaeSpec(epochs=3), 342, 3, 64),
        (VaeSpec(batch_size=200), 342, 600, 200),
        (VaeSpec(batch_size=2000), 342, 600, 342),
        (MlpSpec(preset="course"), 102, 200, 32),
        (SumRegressorSpec(), 512, 20, 512),
    ],
)
def test_small_data_gets_the_steps_that_a_network_needs(
    spec: TrainingSpec, samples: int, epochs: int, batch: int
) -> None:
    settled = spec.settled(samples)
    assert (settled.epochs, settled.batch_size) == (epochs, batch)
    assert settled.settled(samples) == settled


@pytest.mark.parametrize("count", [1, 9])
def test_names_of_any_kind_are_drawn_as_they_are(tmp_path: Path, count: int) -> None:
    pictures = np.zeros((count, 5, 5), np.uint8)
    titles = [f"a$b^{{$ {n}.png\n\x1bclass_\u65e5\u672c{'x' * 80}" for n in range(count)]
    plots.save_grid(tmp_path / "g.png", pictures, columns=8, titles=titles, title="what it says")
    counts = np.eye(2, dtype=np.int64)
    plots.save_confusion(tmp_path / "c.png", counts, ("$x^", "y" * 300))
    points = np.zeros((count, 2), np.float32)
    plots.save_scatter(tmp_path / "s.png", points, np.zeros(count, int), ("$x^",), ("1", "2"))


def test_rows_are_filled_evenly() -> None:
    assert [plots._even(count, 8) for count in (1, 7, 8, 9, 16, 17)] == [1, 7, 8, 5, 8, 6]


def test_a_grid_of_thousands_is_one_picture(tmp_path: Path) -> None:
    pictures = np.full((2000, 28, 28), 7, np.uint8)
    plots.save_grid(tmp_path / "g.png", pictures, columns=20, title="many")
    with Image.open(tmp_path / "g.png") as picture:
        assert max(picture.size) < 2**16


# --- Verdicts ---------------------------------------------------------------------------------

TEN = tuple(map(str, range(10)))


def answers(count: int, right: float, classes: int = 10, seed: int = 0) -> Any:
    """Labels of a test part, and answers of which a share is right."""
    generator = np.random.default_rng(seed)
    true = np.arange(count) % classes
    wrong = (true + generator.integers(1, classes, count)) % classes
    return np.where(np.arange(count) < right * count, true, wrong), true


def test_one_answer_for_nearly_all_is_told() -> None:
    true = np.arange(180) % 10
    predicted = np.where(np.arange(180) < 175, 0, true)
    found = verdicts.of_classifier(predicted, true, true, TEN)
    assert any("says '0' for 175 of 180 test pictures" in each for each in found)


def test_classes_that_are_never_named_are_told() -> None:
    predicted, true = answers(200, 1.0)
    found = verdicts.one_answer(np.where(true == 7, 1, predicted), true, TEN)
    assert found == "the network never says '7'"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [40, 180, 10_000])
def test_luck_is_told_and_learning_is_not(count: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    true = np.arange(count) % 10
    guessed = generator.integers(0, 10, count)
    assert "no better than chance" in str(verdicts.no_better_than_chance(guessed, true, true, TEN))
    predicted, true = answers(count, 0.5, seed=seed)
    assert verdicts.of_classifier(predicted, true, true, TEN) == []


def test_a_common_class_is_no_merit() -> None:
    true = np.array([0] * 90 + [1] * 10)
    found = verdicts.no_better_than_chance(np.zeros(100, int), true, true, ("cat", "dog"))
    assert "'cat' for each would be right for about 90.0%" in str(found)
    assert verdicts.no_better_than_chance(true, true, true, ("cat", "dog")) is None


@pytest.mark.parametrize("count", [1, 2, 6])
def test_too_few_test_pictures_prove_nothing(count: int) -> None:
    true = np.arange(count) % 2
    found = verdicts.no_better_than_chance(true, true, np.arange(20) % 2, ("a", "b"))
    assert "too few to tell" in str(found)


def test_the_tail_is_that_of_the_binomial_distribution() -> None:
    assert verdicts.at_least(3, 3, 0.5) == pytest.approx(0.125)
    assert verdicts.at_least(1, 4, 0.25) == pytest.approx(1 - 0.75**4)
    assert verdicts.at_least(0, 5, 0.1) == verdicts.at_least(5, 5, 1.0) == 1.0
    assert verdicts.at_least(5000, 10_000, 0.5) == pytest.approx(0.504, abs=1e-3)


def test_an_error_is_held_against_a_simple_answers() -> None:
    generator = np.random.default_rng(0)
    others = generator.random(50)
    assert verdicts.no_better(others / 2, others, "the mean picture") is None
    assert "is worse than grey" in str(verdicts.no_better(others * 1.1, others, "grey"))
    noisy = others + generator.normal(0, 0.3, 50)
    assert "is within chance of grey" in str(verdicts.no_better(noisy, others, "grey"))
    # Smaller, but not by more than chance: nobody is told that the smaller number is no better.
    better = others - 0.01 + generator.normal(0, 0.3, 50)
    better += others.mean() - 0.01 - better.mean()
    told = str(verdicts.no_better(better, others, "grey"))
    assert "within chance of grey" in told
    assert "on 50 held out" in told
    assert verdicts.no_better(np.array([0.1]), np.array([0.2]), "grey") is None


def test_what_falls_short_of_a_good_answer_is_told_and_what_equals_it_is_not() -> None:
    generator = np.random.default_rng(0)
    others = generator.random(12)
    components = "32 principal components"
    assert verdicts.worse(others, others, components) is None
    assert verdicts.worse(others * 1.02, others, components) is None
    assert verdicts.worse(others + generator.normal(0, 0.3, 12), others, components) is None
    assert f"falls short of {components}" in str(verdicts.worse(others * 2, others, components))


def test_latents_that_say_nothing_are_told(ctx: LocalContext, tmp_path: Path) -> None:
    assert verdicts.unused_latents(8.0, 20) is None
    assert "not used: its 20 dimensions say 0.05 nats" in str(verdicts.unused_latents(0.05, 20))
    data = archive(tmp_path / "few.zip", tested=5)
    spec = VaeSpec(data=data, arch="course", beta=1000.0, epochs=60, batch_size=4)
    result = vae.run(spec, ctx)
    assert any("the latent space is not used" in each for each in result["warnings"]), result


def test_random_labels_are_noticed(ctx: LocalContext, tmp_path: Path) -> None:
    path = tmp_path / "random.zip"
    generator = np.random.default_rng(3)
    with zipfile.ZipFile(path, "w") as file:
        for number in range(160):
            label = generator.integers(0, 2)
            part = "train" if number < 80 else "test"
            file.writestr(f"{part}/{'ab'[label]}/{number}.png", drawn(number, (9, 9)))
    result = run("fmnist-mlp", DataSource(name=path.name, path=path), ctx)
    assert any("no better than chance" in each for each in result["warnings"]), result
    card = (ctx.folder / "model-card.md").read_text()
    assert "## Warnings" in card
    assert "no better than chance" in card
    assert "| class names | a, b |" in card


@pytest.mark.parametrize("name", ["autoencoder", "vae", "face-vae", "colorizer"])
def test_a_network_that_has_learnt_nothing_says_so(
    ctx: LocalContext, tmp_path: Path, name: str
) -> None:
    module, spec, values = KINDS[name]
    given = {"batch_size": 4, "epochs": 1, "val_share": 0.2, "learning_rate": 1e-6, **values}
    wanted = spec(data=archive(tmp_path / "few.zip", tested=10), **given)
    result = module.run(wanted, ctx)
    than = "the grey copy" if name == "colorizer" else "the mean picture"
    assert any(
        f"is {how} {than}" in each
        for each in result["warnings"]
        for how in ("worse than", "within chance of")
    ), result


def test_sums_that_are_not_learnt_are_told(ctx: LocalContext) -> None:
    spec = SumRegressorSpec(epochs=1, restarts=0, optimizer="sgd", learning_rate=1e-9)
    result = sum_regressor.run(spec, ctx)
    assert any("is worse than the mean sum" in each for each in result["warnings"])
    assert sum_regressor.run(SumRegressorSpec(), ctx)["warnings"] == []
