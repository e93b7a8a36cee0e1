"""Data at submission: what is read, what is left out and why, and what is refused, in a line."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import struct
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cvq import Client
from cvq.datasets import inventory, pack
from cvq.datasets.reading import LoadedData, read
from cvq.datasets.survey import survey
from cvq.errors import InvalidInputError, PermanentError


def png(number: int = 0) -> bytes:
    content = io.BytesIO()
    Image.new("L", (8, 8), number % 256).save(content, "PNG")
    return content.getvalue()


def pictures(*classes: str, each: int = 4) -> dict[str, bytes]:
    return {f"{c}/{n}.png": png(n) for c in classes for n in range(each)}


def idx(array: object) -> bytes:
    numbers = np.asarray(array, np.uint8)
    return struct.pack(f">I{numbers.ndim}I", 0x800 + numbers.ndim, *numbers.shape) + (
        numbers.tobytes()
    )


def garments(
    folder: str = "", count: int = 20, parts: tuple[str, ...] = ("train", "t10k")
) -> dict[str, bytes]:
    files = {}
    for part in parts:
        files[f"{folder}{part}-images-idx3-ubyte"] = idx(np.zeros((count, 6, 6)))
        files[f"{folder}{part}-labels-idx1-ubyte"] = idx(np.arange(count) % 10)
    return files


def folder_of(path: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        target = os.fsencode(path) + b"/" + os.fsencode(name)
        os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
        with open(target, "wb") as file:  # noqa: PTH123
            file.write(content)
    return path


def zip_of(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def refused(path: Path, **wanted: object) -> str:
    with pytest.raises(InvalidInputError) as caught:
        survey(path, **wanted)  # type: ignore[arg-type]
    message = str(caught.value)
    assert str(path) in message or path.name in message
    assert "\n" not in message
    return message


def as_job(path: Path, scratch: Path) -> LoadedData:
    packed = pack(path, scratch / "packed.zip") if path.is_dir() else path
    return read(packed, channels=1, size=8, name="data")


# --- Said, and read -----------------------------------------------------------------------------


def test_what_is_left_out_is_said_with_its_reason(tmp_path: Path) -> None:
    files = {
        **pictures("cat", "dog"), "labels.csv": b"x", "cat/notes.txt": b"x", "a.zip": b"x",
        ".DS_Store": b"x", "cat/.ipynb_checkpoints/0.png": png(), "cat/Thumbs.db": b"x",
    }  # fmt: skip
    folder = folder_of(tmp_path / "pets", files)
    (folder / "cow").mkdir()
    (folder / "cat/gone.png").symlink_to("nowhere.png")
    (folder / "cat/circle").symlink_to(folder)
    (folder / "loop").symlink_to("loop")
    (folder / "cat/secret.png").symlink_to("/etc/hostname")
    found = survey(folder, labelled=True)
    assert found.summary == "pictures: 8 to train on; 2 folders"
    assert found.notes == [
        "left out: 1 file (a link to a folder that it lies in): cat/circle",
        "left out: 1 file (a link to itself): loop",
        "left out: 1 file (a link to nothing): cat/gone.png",
        "left out: 1 file (a link to what is no picture): cat/secret.png",
        "left out: 1 file (an empty folder): cow/",
        "left out: 3 files (hidden or of the system's own): "
        ".DS_Store, cat/.ipynb_checkpoints and cat/Thumbs.db",
        "left out: 3 files (neither pictures, IDX files nor CIFAR batches): "
        "a.zip, cat/notes.txt and labels.csv",
    ]
    read_by_job = as_job(folder, tmp_path)
    assert read_by_job.left_out == found.notes
    assert len(read_by_job.parts["train"].images) == 8


def test_class_folders_that_are_links_are_read(tmp_path: Path) -> None:
    folder_of(tmp_path / "store", {"felines/0.png": png(1), "felines/1.png": png(2)})
    folder_of(tmp_path / "blobs", {"ab12": png(3)})
    folder = folder_of(tmp_path / "pets", pictures("dog"))
    (folder / "cat").symlink_to(tmp_path / "store/felines")
    (folder / "dog/link.png").symlink_to(tmp_path / "blobs/ab12")
    found = survey(folder, labelled=True)
    assert (found.summary, found.notes) == ("pictures: 7 to train on; 2 folders", [])
    assert as_job(folder, tmp_path).classes == ("cat", "dog")


@pytest.fixture
def nobody() -> Iterator[Path]:
    """A folder in which this process is nobody in particular: root may read everything."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    yield place
    if os.getuid() == 0:
        os.seteuid(0)
    for path in place.rglob("*"):
        path.chmod(0o755)
    shutil.rmtree(place)


@pytest.mark.parametrize("locked", ["pets/cat", "pets/cat/0.png"])
def test_what_may_not_be_read_is_refused(nobody: Path, locked: str) -> None:
    folder = folder_of(nobody / "pets", pictures("cat", "dog"))
    (nobody / locked).chmod(0)
    if os.getuid() == 0:
        os.seteuid(65534)
    assert f"{locked} cannot be read: permission denied" in refused(folder)


@pytest.mark.skipif(sys.platform == "darwin", reason="its file system has UTF-8 names only")
def test_a_name_that_is_not_utf_8_is_read(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    folder = folder_of(tmp_path / "d", {**pictures("a", name), f"a/{name}.png": png()})
    assert survey(folder, labelled=True).summary == "pictures: 9 to train on; 2 folders"
    assert as_job(folder, tmp_path).classes == ("a", r"caf\xe9")


def test_names_composed_and_decomposed_are_one(tmp_path: Path) -> None:
    files = {"cafe\u0301/0.png": png(), "caf\xe9/1.png": png(), "a/0.png": png()}
    folder = folder_of(tmp_path / "d", files)
    assert as_job(folder, tmp_path).classes == ("a", "caf\xe9")


# --- A zip gives what its folder gives ----------------------------------------------------------

HARD_NAMES = {
    **pictures("cat", "dog", "größe"), ".ipynb_checkpoints/cat/0.png": png(), "notes.txt": b"x",
    "__MACOSX/cat/._0.png": b"x", "cat/.DS_Store": b"x", "Thumbs.db": b"x",
}  # fmt: skip


def test_a_zip_equals_its_folder(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pets", HARD_NAMES)
    direct = as_job(folder, tmp_path)
    packed = as_job(zip_of(tmp_path / "pets.zip", HARD_NAMES), tmp_path)
    assert packed.classes == direct.classes == ("cat", "dog", "größe")
    assert packed.parts["train"].names == direct.parts["train"].names
    np.testing.assert_array_equal(packed.parts["train"].images, direct.parts["train"].images)


@pytest.mark.parametrize("way", ["backslashes", "utf-8 without a word", "zip64", "in a folder"])
def test_the_ways_of_other_tools_make_no_difference(tmp_path: Path, way: str) -> None:
    files = pictures("cat", "größe")
    path = tmp_path / "pets.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            if way == "backslashes":
                name = f"top\\{name}".replace("/", "\\")
            elif way == "in a folder":
                name = f"a/b/{name}"
            with archive.open(name, "w", force_zip64=way == "zip64") as file:
                file.write(content)
    if way == "utf-8 without a word":
        content = path.read_bytes()
        for head in (b"PK\3\4\x14\0", b"PK\1\2\x14\3\x14\0"):
            content = content.replace(head + b"\0\x08", head + b"\0\0")
        path.write_bytes(content)
        with zipfile.ZipFile(path) as archive:
            assert any("gr├" in name for name in archive.namelist())
    assert survey(path, labelled=True).summary == "pictures: 8 to train on; 2 folders"
    assert as_job(path, tmp_path).classes == ("cat", "größe")


def test_odd_members_are_left_out_with_a_word(tmp_path: Path) -> None:
    path = tmp_path / "odd.zip"
    link = zipfile.ZipInfo("cat/link.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in pictures("cat", "dog").items():
            archive.writestr(name, content)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("cat/0.png", png(99))
        archive.writestr("../evil.png", png())
        archive.writestr("/abs.png", png())
        archive.writestr(link, "/etc/passwd")
        archive.writestr("more.zip", b"PK")
        archive.writestr("empty/", b"")
    found = survey(path, labelled=True)
    assert found.summary == "pictures: 8 to train on; 2 folders"
    text = "\n".join(found.notes)
    for said in (
        "2 files (a name that leads out of the zip): ../evil.png and /abs.png",
        "(a link, which a zip cannot bring along): cat/link.png",
        "(another file of the same name follows): cat/0.png",
        "(an empty folder): empty/", ": more.zip",
    ):  # fmt: skip
        assert said in text
    job = as_job(path, tmp_path)
    assert job.left_out == found.notes
    assert int(job.parts["train"].images[0].max()) == 99, "as with whoever unpacks it"


def encrypted(path: Path) -> None:
    content = bytearray(zip_of(path, pictures("a", "b")).read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)


def deflate64(path: Path) -> None:
    content = bytearray(zip_of(path, pictures("a", "b")).read_bytes())
    content[content.index(b"PK\1\2") + 10] = 9
    path.write_bytes(content)


def bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number in range(2):
            archive.writestr(f"a/{number}.png", bytes(140 << 20))


def overlapping(path: Path) -> None:
    """Every entry of the directory points to the same packed bytes."""
    zip_of(path, {"a/00.png": os.urandom(4000), "a/01.png": png()})
    content = path.read_bytes()
    start = content.index(b"PK\1\2")
    end = content.index(b"PK\5\6")
    first = content[start : content.index(b"PK\1\2", start + 4)]
    entries = [first.replace(b"a/00", f"a/{n:02}".encode()) for n in range(50)]
    directory = b"".join(entries)
    tail = bytearray(content[end:])
    struct.pack_into("<HHI", tail, 8, 50, 50, len(directory))
    path.write_bytes(content[:start] + directory + bytes(tail))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (encrypted, "is encrypted (a/0.png): pack it without a password"),
        (deflate64, "is packed by method 9 (a/0.png), which Python does not know"),
        (bomb, "is a bomb: 2 files that would unpack from"),
        (overlapping, "is a bomb: 50 files"),
    ],
)
def test_a_zip_that_will_not_do_is_refused_unopened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], said: str
) -> None:
    path = tmp_path / "a.zip"
    make(path)
    for name in ("open", "read"):
        monkeypatch.setattr(zipfile.ZipFile, name, lambda *_: pytest.fail("it was unpacked"))
    assert said in refused(path)
    with pytest.raises(PermanentError, match=r"data a "):
        read(path, channels=1, size=8, name="a")


def test_a_member_larger_than_any_picture_is_refused(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "a.zip", {**pictures("a", "b"), "a/x.png": os.urandom(20_000)})
    survey(path)
    assert "a/x.png has 0 MiB: no picture of 0.001 megapixels" in refused(path, max_pixels=1000)


# --- Which data set, which parts, which classes -------------------------------------------------


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            garments("FashionMNIST/raw/", parts=("train",)) | garments("MNIST/raw/"),
            "IDX files in FashionMNIST/raw and MNIST/raw; give one of the folders",
        ),
        (
            garments("FashionMNIST/", parts=("train",)) | garments("MNIST/", parts=("t10k",)),
            "IDX files in FashionMNIST and MNIST",
        ),
        (
            garments("gzip/emnist-letters-") | garments("gzip/emnist-digits-"),
            "IDX files in gzip/emnist-digits and gzip/emnist-letters",
        ),
        (garments() | pictures("cat"), "IDX files (at the top) and pictures (cat); give one"),
        (
            {"a/data_batch_1.bin": bytes(3073), "b/data_batch_1.bin": bytes(3073)},
            "CIFAR batches in a and b",
        ),
        ({"data_batch_1.bin": bytes(3000)}, "no multiple of 3073"),
        ({"test_batch.bin": bytes(3073)}, "no data_batch_1.bin"),
        (
            {"train-images-idx3-ubyte": idx(np.zeros((0, 32, 32))),
             "train-labels-idx1-ubyte": idx(np.zeros(0))},
            "has 0 pictures in its train part",
        ),
        (
            garments() | {"t10k-labels-idx1-ubyte": idx(np.zeros(3))},
            "has 20 pictures, t10k-labels",
        ),
        (garments() | {"train-images-idx3-ubyte": idx(np.zeros(9))}, "it holds labels"),
        (
            garments() | {"train-images-idx3-ubyte": gzip.compress(b"\0\0")},
            "cut off: it has 2 bytes",
        ),
        (
            garments() | {"train-labels-idx1-ubyte": gzip.compress(idx(np.zeros(20)))[:-9]},
            "train-labels-idx1-ubyte is cut off or damaged",
        ),
        (
            garments() | {"train-images-idx3-ubyte": idx(np.zeros((20, 6, 6)))[:-1]},
            "has 719 bytes of data, and its head says 20 x 6 x 6 = 720",
        ),
        (
            garments() | {"train-images-idx3-ubyte": b"hello\n"},
            "train-images-idx3-ubyte is not an IDX file",
        ),
        (
            garments(parts=("train",)) | {"t10k-images-idx3-ubyte": idx(np.zeros((20, 7, 6))),
             "t10k-labels-idx1-ubyte": idx(np.arange(20) % 10)},
            "train-images-idx3-ubyte has pictures of 6 x 6 pixels and t10k-images-idx3-ubyte has "
            "pictures of 6 x 7 pixels: a set has pictures of one size",
        ),
        ({"test/a/0.png": png()}, "has no pictures to train on, only a test part"),
        ({"a/0.png": png(), "a/1.png": png()}, "has too few pictures: 2, and 3 are needed"),
        (
            pictures("train/cat", "test/cat", "docs"),
            "has test/ and train/ and beside it docs/: parts of a split, or classes?",
        ),
        (pictures("train", "test") | {"0.png": png()}, "and pictures beside it"),
        ({"notes.txt": b"x"}, "has no pictures, IDX files or CIFAR batches"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["folder", "zip"])
def test_what_no_job_could_use_is_refused(
    tmp_path: Path, form: str, files: dict[str, bytes], said: str
) -> None:
    make = folder_of if form == "folder" else zip_of
    message = refused(make(tmp_path / "data", files))
    for word in said.split("test/ and train/"):
        assert word in message


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({f"{n}.png": png(n) for n in range(5)}, "has no classes: sort the pictures into"),
        (
            pictures("cat", "dog") | {"loose.png": png()},
            "has 1 picture beside the class folders (loose.png): move",
        ),
        (
            pictures("train/cat", "train/dog", "test/cat", "test/cow"),
            "class cow is in the test part only: a network cannot learn it",
        ),
        (
            pictures("cat", "dog") | {"cow/0.png": png()},
            "class cow has a single picture: a class needs two or more",
        ),
        (pictures("train/cat", "test/cat"), "has a single class, cat: two are needed"),
        (
            garments() | {"train-labels-idx1-ubyte": idx(np.zeros(20))},
            "all training labels are class 0",
        ),
        (
            garments() | {"t10k-labels-idx1-ubyte": idx(np.full(20, 12))},
            "class 12 is in the test part only",
        ),
        (
            garments() | {"t10k-labels-idx1-ubyte": idx([*range(10), *[11, 12] * 5])},
            "classes 11 and 12 are in the test part only: a network cannot learn them",
        ),
        (
            pictures("cat", "dog") | {"cow/0.png": png(), "elk/0.png": png()},
            "classes cow and elk have a single picture: a class needs two or more",
        ),
    ],
)
def test_what_no_classifier_could_learn_from_is_refused(
    client: Client, tmp_path: Path, files: dict[str, bytes], said: str
) -> None:
    folder = folder_of(tmp_path / "data", files)
    survey(folder)  # others can
    assert said in refused(folder, labelled=True)
    with pytest.raises(InvalidInputError):
        client.submit("fmnist-mlp", data=str(folder))
    assert client.jobs() == []
    client.check("autoencoder", data=str(folder))


def test_classes_may_be_called_like_parts(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "toys", pictures("train", "bus", "car"))
    found = survey(folder, labelled=True)
    assert found.summary == "pictures: 12 to train on; 3 folders"
    assert found.notes == ["train/ taken for a class, as bus/ and car/ lie beside it"]
    assert as_job(folder, tmp_path).classes == ("bus", "car", "train")
    split = folder_of(tmp_path / "split", pictures("train/test", "train/val", "test/test"))
    assert survey(split).summary == "pictures: 8 to train on, 4 to test on; 2 folders"


def test_folders_to_hold_out_are_looked_for_at_once(client: Client, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "faces", pictures("s1", "s2"))
    with pytest.raises(InvalidInputError, match="no folder s3 to hold out, but s1 and s2"):
        client.check("face-vae", data=str(folder), hold_out=["s3"])
    with pytest.raises(InvalidInputError, match="all folders are held out"):
        client.check("face-vae", data=str(folder), hold_out=["s1", "s2"])
    client.check("face-vae", data=str(folder), hold_out=["50%"])


def test_submission_says_what_is_left_out(client: Client, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pets", pictures("cat", "dog") | {"notes.txt": b"x"})
    with pytest.warns(UserWarning, match=r"data pets: pictures: 8 to train on; .* notes\.txt"):
        client.submit("fmnist-mlp", data=str(folder))


def test_parts_of_two_sizes_are_refused_by_the_job_in_the_same_words(tmp_path: Path) -> None:
    files = garments() | {"t10k-images-idx3-ubyte": idx(np.zeros((20, 7, 6)))}
    path = zip_of(tmp_path / "data.zip", files)
    said = refused(path).removeprefix(f"{path}: ")
    with pytest.raises(PermanentError) as caught:
        read(path, channels=1, size=8)
    assert str(caught.value) == said


def test_a_zip_that_is_cut_off_is_called_so(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "data.zip", pictures("cat", "dog"))
    path.write_bytes(path.read_bytes()[:-40])
    assert refused(path) == f"{path} is a zip that is cut off: its end is missing"


@pytest.mark.slow
@pytest.mark.parametrize("size", [1_000, 70_000])
def test_notes_that_a_zip_has_no_room_for_are_counted(tmp_path: Path, size: int) -> None:
    lines = [f"left out: {number} {'x' * size}" for number in range(100)]
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.comment = inventory.mark(lines)
    told = inventory.take(path).lines()
    kept = len(told) - 1
    assert told == [*lines[:kept], f"and {100 - kept} more notes of what is left out"]
    assert kept == (0 if size > 65_535 else 64)


def test_a_comment_of_somebody_elses_tells_nothing(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "a.zip", pictures("a"))
    for comment in (b"hello", b"cvq-left-out [", b"cvq-left-out " + b"[" * 60_000,
                    b"cvq-left-out " + json.dumps({"a": 1}).encode()):  # fmt: skip
        with zipfile.ZipFile(path, "a") as archive:
            archive.comment = comment
        assert inventory.take(path).lines() == []
