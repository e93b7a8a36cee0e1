"""Augmentation of batches: equal to albumentations, drawn for each picture, repeatable."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from cvq.errors import PermanentError
from cvq.kinds.builtin.colorizer import ColorizerSpec
from cvq.kinds.builtin.fmnist_cnn import CnnSpec
from cvq_workers.training import augment


def pictures(count: int, channels: int = 1, side: int = 28) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(
        0, 256, (count, channels, side, side), generator=generator, dtype=torch.uint8
    )


@pytest.mark.filterwarnings("ignore")
def test_the_shift_is_that_of_albumentations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations

    batch = pictures(63)
    across = torch.arange(-10, 11).repeat(3)
    down = torch.tensor([-4, 0, 7]).repeat_interleave(21)
    found = augment.shift(batch, across, down)
    for picture, x, y, shifted in zip(batch, across, down, found, strict=True):
        affine = albumentations.Affine(
            translate_px={"x": (int(x), int(x)), "y": (int(y), int(y))}, p=1.0
        )
        expected = affine(image=picture[0].numpy())["image"]
        np.testing.assert_array_equal(shifted[0].numpy(), expected)


@given(across=st.integers(-30, 30), down=st.integers(-30, 30), channels=st.sampled_from([1, 3]))
@settings(max_examples=50)
def test_a_shift_moves_every_pixel_and_fills_with_black(
    across: int, down: int, channels: int
) -> None:
    batch = pictures(2, channels, 12)
    shifted = augment.shift(batch, torch.tensor([across, 0]), torch.tensor([down, 0]))
    assert torch.equal(shifted[1], batch[1])
    for row in range(12):
        for column in range(12):
            y, x = row - down, column - across
            inside = 0 <= y < 12 and 0 <= x < 12
            expected = batch[0, :, y, x] if inside else torch.zeros(channels, dtype=torch.uint8)
            assert torch.equal(shifted[0, :, row, column], expected)


def test_every_picture_has_a_draw_of_its_own_and_a_seed_repeats_it() -> None:
    one = pictures(1).expand(200, -1, -1, -1)
    operation = augment.chain(
        augment.random_shift(10, 0), augment.random_flip, augment.random_erase(0.5)
    )
    assert operation is not None
    first = operation(one, torch.Generator().manual_seed(1))
    again = operation(one, torch.Generator().manual_seed(1))
    other = operation(one, torch.Generator().manual_seed(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len(torch.unique(first.flatten(1), dim=0)) > 42  # shifts, mirrored or not


def test_every_shift_is_drawn() -> None:
    batch = torch.zeros(2000, 1, 1, 28, dtype=torch.uint8)
    batch[:, :, :, 14] = 255
    shifted = augment.random_shift(10, 0)(batch, torch.Generator().manual_seed(0))
    places = shifted[:, 0, 0].float().argmax(1).unique().tolist()
    assert places == list(range(4, 25))


def test_about_so_many_pictures_are_erased_in_a_part() -> None:
    white = torch.full((1000, 1, 28, 28), 255, dtype=torch.uint8)
    erased = augment.random_erase(0.3)(white, torch.Generator().manual_seed(0))
    black = (erased == 0).float().mean((1, 2, 3))
    assert 0.25 < float((black > 0).float().mean()) < 0.35
    assert float(black[black > 0].min()) > 0.03
    assert float(black.max()) <= 0.27


def test_nothing_to_do_is_none() -> None:
    assert augment.chain(None, None) is None


@pytest.mark.parametrize("channels", [1, 3])
def test_a_jobs_own_pipeline_draws_for_every_picture_and_again_for_the_same_seed(
    tmp_path: Path, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations

    path = tmp_path / "mine.json"
    albumentations.save(
        albumentations.Compose([albumentations.Affine(translate_px=(-9, 9), p=1.0)]), path
    )
    spec = ColorizerSpec(augment=path, size=32) if channels == 3 else CnnSpec(augment=path)
    operation = augment.augmentation_of(spec, None)
    assert operation is not None
    side = spec.picture[0]
    pictures = torch.zeros(16, channels, side, side, dtype=torch.uint8)
    pictures[:, :, side // 2, side // 2] = 255
    first = operation(pictures, torch.Generator().manual_seed(1))
    assert first.shape == pictures.shape
    assert first.dtype == torch.uint8
    assert torch.equal(first, operation(pictures, torch.Generator().manual_seed(1)))
    assert not torch.equal(first, operation(pictures, torch.Generator().manual_seed(2)))
    places = {tuple(place) for place in first[:, 0].nonzero()[:, 1:].tolist()}
    assert len(places) > 8


def test_without_a_pipeline_a_kind_has_its_own() -> None:
    assert augment.augmentation_of(CnnSpec(), augment.random_flip) is augment.random_flip


def test_a_pipeline_that_is_gone_or_broken_fails_the_job(tmp_path: Path) -> None:
    spec = CnnSpec(augment={"name": "mine.json", "sha256": "0" * 64})
    with pytest.raises(PermanentError, match=r"mine\.json is not on this machine"):
        augment.augmentation_of(spec, None)
    path = tmp_path / "broken.json"
    path.write_text("{}")
    with pytest.raises(PermanentError, match="no pipeline"):
        augment.augmentation_of(CnnSpec(augment=path), None)
