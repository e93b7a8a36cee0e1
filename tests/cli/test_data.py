"""`cvq data`: what is there, what a folder has in it, and what is wrong with it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .conftest import Cli


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Six faces of three persons, one of them not a picture."""
    for number in range(6):
        folder = tmp_path / "faces" / f"s{number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.full((10, 8), 40 * number, np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (tmp_path / "faces" / "s0" / "0.png").write_bytes(b"no picture")
    return tmp_path / "faces"


def test_the_known_data_sets_are_listed_with_where_they_are(run: Cli, home: Path) -> None:
    listed = {row["name"]: row for row in run("data", "list", "--json").json}
    assert set(listed) >= {"digits", "fashion-mnist", "mnist", "cifar10"}
    assert listed["digits"]["ready"]
    assert not listed["mnist"]["ready"]
    said = run("data", "list").out
    assert "cvq data fetch mnist" in said
    folder = home / "data" / "mnist"
    folder.mkdir(parents=True)
    for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (folder / f"{part}-ubyte").write_bytes(b"\0")
    listed = {row["name"]: row for row in run("data", "list", "--json").json}
    assert listed["mnist"]["path"] == str(folder)
    assert run("data", "fetch", "mnist").out.strip() == str(folder)


def test_a_folder_is_read_as_a_job_would(run: Cli, faces: Path) -> None:
    said = run("data", "check", faces, "--grey", "--size", "8")
    assert "5 pictures of 8 x 8, 3 classes" in said.out
    assert "classes s0, s1, s2" in said.out
    assert "damaged: s0/0.png" in said.err
    found = run("data", "check", faces, "--json", "--size", "8").json
    assert found["parts"]["train"] == {"pictures": 5, "pixels": "8 x 8", "classes": 3}
    assert len(found["damaged"]) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["check", "nowhere"], "does not exist, and is not a known data set"),
        (["check", "."], "has no pictures"),
        (["fetch", "imagenet"], "no data set 'imagenet'"),
        (["fetch", "digits"], "digits needs no files"),
        (["fetch"], "missing argument"),
        (["check", "FACES", "--size", "0"], "0 is not in the range"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    run: Cli, faces: Path, words: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = faces.parent / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    found = run("data", *[str(faces) if word == "FACES" else word for word in words], code=2)
    assert said in found.err
    assert "Traceback" not in found.err


def test_one_of_a_sort_is_told_as_one(run: Cli, faces: Path) -> None:
    for name in ("s1", "s2"):
        shutil.rmtree(faces / name)
    (faces / "s0" / "0.png").unlink()
    for part in ("train", "val", "test"):
        shutil.copytree(faces / "s0", faces / part / "s0")
    shutil.rmtree(faces / "s0")
    lines = run("data", "check", faces).out.splitlines()
    assert "  train  1 picture of 8 x 10, 1 class" in lines


def test_digits_are_always_there(run: Cli) -> None:
    assert "always there" in run("data", "check", "digits").out


def test_a_damaged_picture_is_told_once(shell: Cli, faces: Path) -> None:
    said = shell("data", "check", faces)
    assert (said.out + said.err).count("0.png") == 1
    assert said.err.count("damaged") == 1


def test_loose_pictures_are_told_whatever_else_is_wrong(run: Cli, faces: Path) -> None:
    for number, side in enumerate((11, 12)):
        pixels = np.full((side, side), 90, np.uint8)
        Image.fromarray(pixels).save(faces / f"loose-{number}.png")
    said = run("data", "check", faces, code=2)
    loose, error = said.err.splitlines()[-2:]
    assert loose.startswith("not for a classifier: ")
    assert "loose-0.png" in loose
    assert "pictures of 3 sizes" in error
    assert run("data", "check", faces, "--size", 8).err.count("loose-0.png") == 1


def test_names_of_classes_stay_in_their_line(run: Cli, faces: Path) -> None:
    for name in ("a\nb", "c\x1b[31m"):
        shutil.copytree(faces / "s1", faces / name)
    line = next(
        line
        for line in run("data", "check", faces, "--size", "8").out.splitlines()
        if "classes " in line
    )
    assert line.startswith(r"  classes a\x0ab, c\x1b[31m, ")
