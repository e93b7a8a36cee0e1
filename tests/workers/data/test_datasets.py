"""Data sets: what is read, how it is split and cached, and what damaged data is told."""

from __future__ import annotations

import errno
import gzip
import io
import logging
import struct
import zipfile
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image

from cvq.datasets import idx as idx_format
from cvq.datasets import pack, reading
from cvq.errors import InvalidInputError, PermanentError, TemporaryError
from cvq.inputs.data import DataSource
from cvq_workers.data.dataset import Dataset, load_dataset, stratified


def idx(array: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    head = struct.pack(f">I{array.ndim}I", 0x800 + array.ndim, *array.shape)
    return head + array.tobytes()


def idx_files(count: int = 40, test: int = 10, side: int = 6) -> dict[str, bytes]:
    generator = np.random.default_rng(0)
    files = {}
    for word, number in (("train", count), ("t10k", test)):
        images = generator.integers(0, 256, (number, side, side), dtype=np.uint8)
        labels = (np.arange(number) % 10).astype(np.uint8)
        files[f"{word}-images-idx3-ubyte"] = idx(images)
        files[f"{word}-labels-idx1-ubyte"] = idx(labels)
    return files


def picture(number: int, size: tuple[int, int] = (12, 12), kind: str = "PNG") -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def people(persons: int = 10, each: int = 4) -> dict[str, bytes]:
    return {
        f"faces/s{p}/{n}.png": picture(10 * p + n) for p in range(persons) for n in range(each)
    }


def zipped(tmp_path: Path, files: dict[str, bytes], name: str = "data.zip") -> DataSource:
    path = tmp_path / name
    with zipfile.ZipFile(path, "w") as archive:
        for entry, content in files.items():
            archive.writestr(entry, content)
    return DataSource(name=name, sha256="0" * 64, path=path)


def load(tmp_path: Path, data: DataSource, **values: object) -> Dataset:
    options = {
        "channels": 1, "size": None, "val_share": 0.2, "seed": 0, "cache": tmp_path / "cache"
    }  # fmt: skip
    return load_dataset(data, **{**options, **values})  # type: ignore[arg-type]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("folder", ["", "MNIST/raw/"])
def test_idx_files_are_read_raw_and_packed_at_any_depth(
    tmp_path: Path, packed: bool, folder: str
) -> None:
    files = idx_files()
    if packed:
        files = {f"{name}.gz": gzip.compress(data) for name, data in files.items()}
    dataset = load(
        tmp_path, zipped(tmp_path, {folder + name: data for name, data in files.items()})
    )
    assert [len(part) for part in (dataset.train, dataset.val, dataset.test)] == [32, 8, 10]
    assert dataset.train.images.shape == (32, 1, 6, 6)
    assert dataset.classes == tuple("0123456789")
    assert dataset.test.labels is not None
    assert dataset.test.labels.tolist() == list(range(10))


@given(count=st.integers(0, 5), side=st.integers(0, 5), cut=st.integers(0, 200))
@settings(max_examples=60)
def test_an_idx_file_cut_off_anywhere_is_refused(count: int, side: int, cut: int) -> None:
    array = np.arange(count * side * side, dtype=np.uint8).reshape(count, side, side)
    data = idx(array)
    shape, content = idx_format.content_of(io.BytesIO(data), "x", 3)
    assert (tuple(shape), content) == (array.shape, array.tobytes())
    if cut < len(data):
        with pytest.raises(InvalidInputError, match=r"x (is cut off|has )"):
            idx_format.content_of(io.BytesIO(data[:cut]), "x", 3)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "train-images-idx3-ubyte",
            b"\x00\x00\x09\x03" + bytes(12),
            "magic number 2307, not 2051",
        ),
        ("train-images-idx3-ubyte", idx_files()["train-labels-idx1-ubyte"], "files swapped"),
        ("train-labels-idx1-ubyte", idx_files(39)["train-labels-idx1-ubyte"], "39 labels"),
        ("train-labels-idx1-ubyte", b"", "cut off"),
        (
            "train-images-idx3-ubyte",
            gzip.compress(idx_files()["train-images-idx3-ubyte"])[:-20],
            "cut off or damaged",
        ),
        ("train-images-idx3-ubyte", None, "no train-images-idx3-ubyte"),
        ("train-labels-idx1-ubyte", None, "labels beside it are missing"),
    ],
)
def test_a_wrong_idx_file_is_named(
    tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    files: dict[str, bytes | None] = {**idx_files(), name: content}
    data = zipped(tmp_path, {key: value for key, value in files.items() if value is not None})
    with pytest.raises(PermanentError, match=said):
        load(tmp_path, data)


def test_cifar_batches_are_read_without_pickle(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).integers(0, 256, (20, 3073), dtype=np.uint8)
    rows[:, 0] = np.arange(20) % 10
    files = {f"cifar-10-batches-bin/data_batch_{i}.bin": rows.tobytes() for i in (1, 2)}
    files["cifar-10-batches-bin/test_batch.bin"] = rows[:10].tobytes()
    dataset = load(tmp_path, zipped(tmp_path, files), channels=3)
    assert dataset.train.images.shape == (32, 3, 32, 32)
    assert dataset.classes[0] == "airplane"
    expected = rows[0, 1:].reshape(3, 32, 32)
    np.testing.assert_array_equal(dataset.test.images[0].numpy(), expected)
    with pytest.raises(PermanentError, match="no multiple of 3073"):
        load(tmp_path, zipped(tmp_path, {"data_batch_1.bin": bytes(3000)}, "cut.zip"), channels=3,
             cache=tmp_path / "other")  # fmt: skip


def test_parts_and_classes_are_folders(tmp_path: Path) -> None:
    files = {
        f"top/{part}/{name}/{number}.png": picture(number)
        for part, many in (("train", 10), ("val", 3), ("test", 4))
        for name in ("cat", "dog")
        for number in range(many)
    }
    dataset = load(tmp_path, zipped(tmp_path, files), channels=3)
    assert [len(p) for p in (dataset.train, dataset.val, dataset.test)] == [20, 6, 8]
    assert dataset.classes == ("cat", "dog")
    assert dataset.train.labels is not None
    assert dataset.train.labels.bincount().tolist() == [10, 10]


def test_a_flat_folder_has_no_labels(tmp_path: Path) -> None:
    data = zipped(tmp_path, {f"pictures/{n}.jpg": picture(n, kind="JPEG") for n in range(20)})
    dataset = load(tmp_path, data, channels=3)
    assert dataset.train.labels is None
    assert dataset.classes == ()
    assert sum(map(len, (dataset.train, dataset.val, dataset.test))) == 20


def test_persons_are_held_out_whole(tmp_path: Path) -> None:
    data = zipped(tmp_path, people())
    dataset = load(tmp_path, data, hold_out=["s3", "s7"])
    assert {name.split("/")[1] for name in dataset.test.names} == {"s3", "s7"}
    assert not {name.split("/")[1] for name in (*dataset.train.names, *dataset.val.names)} & {
        "s3", "s7"
    }  # fmt: skip
    drawn = load(tmp_path, data, hold_out=["20%"])
    assert len({name.split("/")[1] for name in drawn.test.names}) == 2
    with pytest.raises(PermanentError, match="no folder s99 to hold out"):
        load(tmp_path, data, hold_out=["s99"])
    with pytest.raises(PermanentError, match="all folders are held out"):
        load(tmp_path, data, hold_out=["100%"])


def test_mixed_sizes_need_a_size(tmp_path: Path) -> None:
    files = {f"a/{n}.png": picture(n, (10 + n % 3, 12)) for n in range(12)}
    data = zipped(tmp_path, files)
    with pytest.raises(PermanentError, match=r"pictures of 3 sizes .* give a --size"):
        load(tmp_path, data)
    assert load(tmp_path, data, size=8).train.images.shape[1:] == (1, 8, 8)


def test_damaged_pictures_are_named_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = {f"a/{n}.png": picture(n) for n in range(40)}
    files["a/7.png"] = files["a/7.png"][:60]
    caplog.set_level(logging.WARNING)
    dataset = load(tmp_path, zipped(tmp_path, files))
    assert sum(map(len, (dataset.train, dataset.val, dataset.test))) == 39
    assert dataset.facts["damaged pictures left out"] == 1
    assert "1 of 40 pictures is damaged and left out: a/7.png" in caplog.text


def test_too_many_damaged_pictures_stop_the_job(tmp_path: Path) -> None:
    files = {f"a/{n}.png": picture(n) for n in range(40)}
    files |= {f"a/{n}.png": b"no picture" for n in range(3)}
    with pytest.raises(PermanentError, match=r"3 of 40 pictures are damaged: a/0.png: "):
        load(tmp_path, zipped(tmp_path, files))


def test_a_zip_with_a_damaged_member_is_no_mystery(tmp_path: Path) -> None:
    data = zipped(tmp_path, {f"a/{n}.png": picture(n) for n in range(4)})
    assert data.path is not None
    content = bytearray(data.path.read_bytes())
    content[200:240] = bytes(40)
    data.path.write_bytes(content)
    dataset = load(tmp_path, data, val_share=0.3)
    assert dataset.facts["damaged pictures left out"] == 1
    data.path.write_bytes(content[:300])
    with pytest.raises(PermanentError, match="cannot be read"):
        load(tmp_path, data, cache=tmp_path / "other")


def test_the_second_time_data_comes_from_the_cache(tmp_path: Path) -> None:
    data = zipped(tmp_path, people())
    first = load(tmp_path, data, size=16)
    assert data.path is not None
    data.path.write_bytes(b"gone")
    again = load(tmp_path, data, size=16)
    assert first.facts == again.facts
    assert first.train.names == again.train.names
    assert bool((first.train.images == again.train.images).all())
    for path in (tmp_path / "cache" / "data").glob("*.npy"):
        path.write_bytes(b"damaged")
    with pytest.raises(PermanentError, match="cannot be read"):  # it is read anew
        load(tmp_path, data, size=16)


def test_digits_need_no_file(tmp_path: Path) -> None:
    dataset = load(tmp_path, DataSource.model_validate({"name": "digits"}), size=28)
    assert dataset.train.images.shape[1:] == (1, 28, 28)
    assert sum(map(len, (dataset.train, dataset.val, dataset.test))) == 1797
    assert int(dataset.train.images.max()) == 255


@given(
    labels=st.lists(st.integers(0, 4), min_size=2, max_size=60),
    share=st.floats(0.01, 0.89),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=100)
def test_a_split_loses_nothing_and_keeps_the_shares(
    labels: list[int], share: float, seed: int
) -> None:
    index, array = np.arange(len(labels)), np.array(labels)
    rest, taken = stratified(index, array, share, np.random.default_rng(seed))
    assert sorted([*rest, *taken]) == index.tolist()
    assert len(rest)
    # Of small data, enough to judge by.
    least = min(16, len(labels) // 5)
    assert len(taken) == min(max(1, least, round(share * len(labels))), len(labels) - 1)
    for label in set(labels):
        count = labels.count(label)
        assert abs(int((array[taken] == label).sum()) - share * count) <= 2
    again = stratified(index, array, share, np.random.default_rng(seed))
    assert again[1].tolist() == taken.tolist()


def test_the_same_folder_gives_the_same_zip(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for name, content in {**people(2, 2), "notes.txt": b"x", ".hidden.png": b"x"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "out.png").symlink_to("/etc/hostname")
    first = pack(folder, tmp_path / "1.zip").read_bytes()
    (folder / "faces/s0/0.png").touch()
    assert pack(folder, tmp_path / "2.zip").read_bytes() == first
    with zipfile.ZipFile(tmp_path / "1.zip") as archive:
        assert archive.namelist() == sorted(people(2, 2))


def test_a_disk_that_fails_is_no_damaged_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    folder = tmp_path / "pictures"
    for number in range(4):
        (folder / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), number).save(folder / "ab"[number % 2] / f"{number}.png")
    packed = pack(folder, tmp_path / "x.zip")
    monkeypatch.setattr(reading, "decode_picture", fail)
    with pytest.raises(TemporaryError, match=r"cannot be read: .*Input/output error"):
        reading.read(packed, channels=1)
