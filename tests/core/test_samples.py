"""The samples: written safely, attributed, rich enough to be a style, readable as data."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cvq import samples
from cvq.errors import UsageError
from cvq.samples import write_samples
from cvq.samples.painting import paint

COPYRIGHT = 0x8298


@pytest.fixture(scope="module")
def painting() -> Image.Image:
    return paint(240, 192, seed=1)


def _luma(picture: Image.Image) -> NDArray[np.float64]:
    return np.asarray(picture.convert("L"), np.float64)


@pytest.mark.slow
def test_writes_everything_into_a_new_directory(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "samples"
    paths = write_samples(folder, size=120)

    assert set(folder.iterdir()) == set(paths.values())
    found = {}
    for name in samples.PICTURES:
        with Image.open(paths[name]) as picture:
            found[name] = (picture.format, picture.mode, picture.size)
    assert found == {
        "content": ("JPEG", "RGB", (120, 80)),
        "style": ("JPEG", "RGB", (120, 96)),
        "grey": ("JPEG", "L", (120, 80)),
        "shoe": ("PNG", "L", (280, 280)),
    }


@pytest.mark.slow
def test_the_data_sets_are_read_as_jobs_read_them(tmp_path: Path) -> None:
    paths = write_samples(tmp_path, size=64)
    classes = {name: sorted(p.name for p in paths[name].iterdir()) for name in samples.DATA}
    assert classes["digits"] == list("0123456789")
    assert classes["garments"] == ["bag", "boot", "dress", "shirt", "trousers"]
    assert len(classes["faces"]) == samples.PERSONS
    for name in samples.DATA:
        pictures = {path.read_bytes() for path in paths[name].rglob("*.png")}
        assert len(pictures) == len(list(paths[name].rglob("*.png"))), f"two {name} are alike"


@pytest.mark.slow
def test_photograph_carries_its_attribution_and_is_never_enlarged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, painting: Image.Image
) -> None:
    monkeypatch.setattr(samples, "_painting", lambda size: painting)
    paths = write_samples(tmp_path, size=2000)
    for name in ("content", "grey"):
        with Image.open(paths[name]) as picture:
            assert picture.size == (640, 427)
            assert picture.getexif()[COPYRIGHT] == samples.ATTRIBUTION
    assert "danielbuechele" in samples.ATTRIBUTION
    assert "CC BY 2.0" in samples.ATTRIBUTION


@pytest.mark.slow
def test_the_same_call_writes_the_same_bytes(tmp_path: Path) -> None:
    first, second = write_samples(tmp_path / "a", size=80), write_samples(tmp_path / "b", size=80)

    def contents(folder: Path) -> dict[str, bytes]:
        found = folder.rglob("*.*")
        return {str(path.relative_to(folder)): path.read_bytes() for path in found}

    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert first.keys() == second.keys()


@pytest.mark.parametrize("name", ["content.jpg", "style.jpg", "digits", "shoe.png"])
def test_a_file_that_exists_is_kept(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"mine")

    with pytest.raises(UsageError, match=name):
        write_samples(tmp_path, size=64)

    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"mine"


@pytest.mark.slow
def test_overwrite_replaces(tmp_path: Path) -> None:
    (tmp_path / "style.jpg").write_bytes(b"old")
    paths = write_samples(tmp_path, size=64, overwrite=True)
    with Image.open(paths["style"]) as picture:
        assert picture.size == (64, 51)


@pytest.mark.slow
def test_a_directory_that_is_a_file_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot write samples"):
        write_samples(tmp_path / "file", size=64)


def test_a_size_too_small_to_paint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="16 or more"):
        write_samples(tmp_path, size=8)


@pytest.mark.parametrize("package", ["numpy", "sklearn"])
def test_without_the_extra_the_error_names_it(tmp_path: Path, package: str) -> None:
    # A fresh interpreter: in this one, numpy and scikit-learn are loaded already.
    program = f"""
import sys
sys.modules[{package!r}] = None
from pathlib import Path
from cvq.errors import MissingExtraError
from cvq.samples import write_samples
try:
    write_samples(Path({str(tmp_path)!r}))
except MissingExtraError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "pip install" in done.stdout, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_importing_samples_loads_no_heavy_package() -> None:
    program = (
        "import sys, cvq.samples\n"
        "drawing = {'cvq.samples.painting', 'cvq.samples.sketches'}\n"
        "heavy = {'numpy', 'sklearn', 'PIL', 'torch', *drawing}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.slow
def test_another_seed_is_another_painting() -> None:
    first = paint(80, 64, seed=1).tobytes()
    assert first == paint(80, 64, seed=1).tobytes()
    assert first != paint(80, 64, seed=2).tobytes()


@pytest.mark.slow
def test_a_small_painting_shows_the_same_picture(painting: Image.Image) -> None:
    large = paint(400, 320, seed=1).resize((15, 12), Image.Resampling.BOX)
    small = painting.resize((15, 12), Image.Resampling.BOX)
    assert np.corrcoef(_luma(large).ravel(), _luma(small).ravel())[0, 1] > 0.9


def test_painting_is_colourful(painting: Image.Image) -> None:
    hue, saturation, value = np.moveaxis(np.asarray(painting.convert("HSV")), -1, 0)
    strong = hue[(saturation > 100) & (value > 60)]
    shares = np.histogram(strong, bins=24, range=(0, 256))[0] / hue.size

    assert strong.size > 0.6 * hue.size
    assert (shares > 0.005).sum() >= 10
    # Complementary colours hold the picture together: orange against blue.
    assert shares[1:4].sum() > 0.15
    assert shares[12:17].sum() > 0.25


def test_painting_has_texture_at_every_scale(painting: Image.Image) -> None:
    luma = _luma(painting)
    for step in (1, 2, 4, 8):
        coarse = luma[::step, ::step]
        energy = np.mean([np.abs(np.diff(coarse, axis=axis)).mean() for axis in (0, 1)])
        assert energy > 10, f"flat at {step} pixels"


def test_strokes_follow_the_flow(painting: Image.Image) -> None:
    # On open water the strokes lie flat, so brightness changes more downwards than sideways;
    # in the meadow they stand up, and it is the other way round.
    luma = _luma(painting)
    water, meadow = luma[122:160, 5:60], luma[180:, 60:]
    assert _down(water) > 1.3 * _right(water)
    assert _right(meadow) > 1.1 * _down(meadow)


def _down(luma: NDArray[np.float64]) -> float:
    return float(np.abs(np.diff(luma, axis=0)).mean())


def _right(luma: NDArray[np.float64]) -> float:
    return float(np.abs(np.diff(luma, axis=1)).mean())
