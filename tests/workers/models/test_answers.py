"""What kinds that use models say of an item in a batch: rows, files and notes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cvq import Answer, LocalContext, Settings
from cvq.kinds import get_kind, make_spec
from cvq.pictures.decoding import decode_picture
from cvq_workers.inference.loading import load_runner
from untrained import Drawn, untrained


def answers(kind: str, ctx: LocalContext, trained: str, items: Any, **values: Any) -> list[Answer]:
    """What a kind says of items; its answers, not failures."""
    found = get_kind(kind, Settings.load())
    size = {"width": 8} if trained == "colorizer" else {}
    spec = make_spec(found, {"model": untrained(trained, ctx, **size), **values})
    with load_runner(found, spec) as runner:
        given = list(runner.answer(runner.inference.items(spec) if items is None else items))
    assert all(isinstance(each, Answer) for each in given), given
    return given  # type: ignore[return-value]


def pixels(content: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(content)))


def test_a_class_has_its_probability_and_those_that_come_next(ctx: LocalContext) -> None:
    (found,) = answers(
        "classify", ctx, "fmnist-mlp", [Drawn(1, (40, 30))], images=["x.png"], top=4
    )
    assert list(found.row) == ["class", "probability", "top"]
    assert len(found.row["top"]) == 4
    assert found.row["top"][0] == {k: found.row[k] for k in ("class", "probability")}
    shares = [each["probability"] for each in found.row["top"]]
    assert shares == sorted(shares, reverse=True)
    assert found.files == {}


def test_a_picture_that_looks_like_a_negative_is_noted(ctx: LocalContext, tmp_path: Path) -> None:
    class White(Drawn):
        def read(self) -> bytes:
            content = io.BytesIO()
            Image.new("L", (28, 28), 255).save(content, "PNG")
            return content.getvalue()

    white = White(1, (28, 28))
    noted = "dark on light, while the model has learnt from light on dark"
    for invert, told in ((None, True), (True, False), (False, True)):
        (found,) = answers("classify", ctx, "fmnist-mlp", [white], images=["x.png"], invert=invert)
        assert [note.startswith(noted) for note in found.notes] == [True] * told


def test_a_rebuilt_picture_has_its_error_and_its_latent(ctx: LocalContext) -> None:
    item = Drawn(1, (40, 30))
    (found,) = answers("reconstruct", ctx, "autoencoder", [item], images=["x.png"])
    assert set(found.row) == {"mse", "latent"}
    assert len(found.row["latent"]) == 3
    rebuilt = pixels(found.files["rebuilt.png"]) / 255
    original = decode_picture(item.read(), 1, 28) / 255
    assert found.row["mse"] == pytest.approx(np.square(rebuilt - original).mean(), rel=0.02)


def test_pictures_are_coloured_as_in_a_job_of_their_own(ctx: LocalContext, tmp_path: Path) -> None:
    items = [Drawn(1, (40, 30)), Drawn(2, (200, 90))]
    for item in items:
        (tmp_path / item.name).write_bytes(item.read())
    paths = [str(tmp_path / item.name) for item in items]
    found = answers("colorize", ctx, "colorizer", items, images=paths, exact=True)
    assert [each.row for each in found] == [
        {"width": 40, "height": 30}, {"width": 200, "height": 90},
    ]  # fmt: skip
    kind = get_kind("colorize", Settings.load())
    values = {"images": paths, "model": untrained("colorizer", ctx, width=8), "exact": True}
    spec = make_spec(kind, values)
    kind.load(spec)(spec, LocalContext(tmp_path / "used"))
    for name, each in zip(("001-1.png", "002-2.png"), found, strict=True):
        alone = pixels((tmp_path / "used" / name).read_bytes())
        assert (pixels(each.files["coloured.png"]) == alone).all()


def test_each_generated_picture_has_a_seed_that_draws_it_again(
    ctx: LocalContext, tmp_path: Path
) -> None:
    found = answers("generate", ctx, "vae", None, seed=5, count=4, exact=True)
    seeds = [each.row["seed"] for each in found]
    assert seeds[0] == 5
    assert len(set(seeds)) == 4
    for seed, each in zip(seeds, found, strict=True):
        (again,) = answers("generate", ctx, "vae", None, seed=seed, count=1, exact=True)
        assert again == each
    assert len({each.files["picture.png"] for each in found}) == 4


def test_pairs_are_added_one_by_one(ctx: LocalContext) -> None:
    found = answers("predict-sum", ctx, "sum-regressor", None, numbers=[1, 2.5, -3, 4])
    assert [(each.row["a"], each.row["b"]) for each in found] == [(1.0, 2.5), (-3.0, 4.0)]
    assert all(isinstance(each.row["sum"], float) for each in found)
