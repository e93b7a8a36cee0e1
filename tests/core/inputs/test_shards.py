"""Shards: the same files make the same bytes; what is no file in one is said, and never read."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvq.errors import InvalidInputError, PermanentError
from cvq.inputs import contents, shards
from cvq.inputs.files import ImageFile
from cvq.inputs.images import ImagesFile
from cvq.inputs.shards import Problem, ShardError, members
from cvq.inputs.submission import Submission
from cvq.kinds.builtin.classify import ClassifySpec
from cvq.settings import Settings

FILES = [("b/2.png", b"two"), ("a/1.png", b"one"), ("c.png", b"")]


def read(path: Path) -> list[tuple[str, bytes | str]]:
    """The files of a shard, each with its content or what is wrong with it."""
    found: list[tuple[str, bytes | str]] = []
    for member in members(path):
        try:
            found.append((member.name, member.read()))
        except PermanentError as error:
            found.append((member.name, str(error)))
    return found


def written(path: Path, *entries: tarfile.TarInfo, content: bytes = b"") -> Path:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for info in entries:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_files_stay_in_order_under_any_name_where_that_is_asked(tmp_path: Path) -> None:
    names = ["b.png", "/data/a.png", "../c.png", "b.png", "é/../../d.png", "/", "e.png"]
    files: list[tuple[str, Path | bytes | Problem]] = [(name, name.encode()) for name in names]
    files[-1] = ("e.png", Problem("is cut off"))
    wrong = shards.write(tmp_path / "1.tar", files, in_order=True)
    assert wrong == ["e.png is cut off"]
    found = read(tmp_path / "1.tar")
    assert [name for name, _ in found] == names
    assert [content for _, content in found[:-1]] == [name.encode() for name in names[:-1]]
    assert found[-1][1] == "e.png is cut off"
    with tarfile.open(tmp_path / "1.tar") as tar:
        assert not any(name.startswith("/") or ".." in name for name in tar.getnames())


def test_what_all_names_begin_with_is_written_once(tmp_path: Path) -> None:
    files = [(f"/dätä/../{name}", b"x") for name in ("a.png", "b/c.png", "/d.png")]
    shards.write(tmp_path / "1.tar", files, in_order=True, root="/dätä/../")
    assert read(tmp_path / "1.tar") == files
    with tarfile.open(tmp_path / "1.tar") as tar:
        assert tar.getnames() == ["a.png", "b/c.png", "d.png"]


def test_files_are_sorted_and_the_same_files_make_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "1.tar", tmp_path / "2.tar"
    shards.write(first, FILES)
    (tmp_path / "one").write_bytes(b"one")
    shards.write(second, [FILES[2], ("a/1.png", tmp_path / "one"), FILES[0]])
    assert first.read_bytes() == second.read_bytes()
    assert read(first) == [("a/1.png", b"one"), ("b/2.png", b"two"), ("c.png", b"")]
    assert shards.count(first) == 3


NAMES = st.text(
    st.characters(exclude_characters="\x00/", exclude_categories=("Cs",)), min_size=1, max_size=300
).filter(lambda name: name not in (".", ".."))


@given(st.dictionaries(NAMES, st.binary(max_size=2000), max_size=5))
def test_any_names_and_contents_come_back(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    path = tmp_path_factory.mktemp("shard") / "x.tar"
    shards.write(path, files.items())
    assert read(path) == sorted(files.items(), key=lambda each: each[0].encode())


def test_names_that_are_no_utf_8_stay_apart(tmp_path: Path) -> None:
    names = [b"caf\xe9.png", b"caf\xe8.png"]
    shards.write(
        tmp_path / "x.tar", [(name.decode("utf-8", "surrogateescape"), name) for name in names]
    )
    assert read(tmp_path / "x.tar") == [("caf\\xe8.png", names[1]), ("caf\\xe9.png", names[0])]


def test_a_file_that_cannot_be_packed_is_in_the_shard_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    shards.write(
        tmp_path / "x.tar",
        [("gone.png", tmp_path / "gone.png"), ("folder", tmp_path / "folder"), ("b", b"b")],
    )
    assert read(tmp_path / "x.tar") == [
        ("b", b"b"), ("folder", "folder is not a regular file"),
        ("gone.png", "gone.png does not exist"),
    ]  # fmt: skip


def test_what_is_no_file_in_a_shard_is_said_and_never_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    path = written(
        tmp_path / "x.tar", entry("folder", tarfile.DIRTYPE),
        entry("link", tarfile.SYMTYPE, str(secret)), entry("hard", tarfile.LNKTYPE, "../secret"),
        entry("pipe", tarfile.FIFOTYPE), entry("device", tarfile.CHRTYPE),
        entry("../secret"), entry("/etc/passwd"), entry("fine/../../secret"),
    )  # fmt: skip
    assert read(path) == [
        ("link", "link is a link: a shard holds files"),
        ("hard", "hard is a link: a shard holds files"),
        ("pipe", "pipe is not a regular file"),
        ("device", "device is not a regular file"),
        ("../secret", "../secret has a path that leads out of the shard"),
        ("/etc/passwd", "/etc/passwd has a path that leads out of the shard"),
        ("fine/../../secret", "fine/../../secret has a path that leads out of the shard"),
    ]


def test_a_file_that_is_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "x.tar", entry("large"), content=bytes((1 << 20) + 1))
    for module in (contents, shards):
        monkeypatch.setattr(module, "MOST_BYTES", 1 << 20)
    assert read(path) == [("large", "large is larger than 1 MiB")]
    shards.write(tmp_path / "y.tar", [("x.tar", path)])
    assert read(tmp_path / "y.tar") == [("x.tar", "x.tar is larger than 1 MiB")]


def test_a_shard_that_is_cut_anywhere_is_never_taken_for_a_whole_one(tmp_path: Path) -> None:
    path, cut = tmp_path / "x.tar", tmp_path / "cut.tar"
    shards.write(path, [("ö" * 60 + f"{n}.png", bytes([n]) * 700) for n in range(3)])
    whole = path.read_bytes()
    with tarfile.open(path) as tar:
        tar.getmembers()
        end = tar.offset
    for length in range(0, end + 512, 128):
        cut.write_bytes(whole[:length])
        with pytest.raises(ShardError, match=r"truncated|damaged|not a \.tar"):
            shards.count(cut)
    cut.write_bytes(whole[: end + 512])
    assert shards.count(cut) == 3


def test_a_shard_that_is_damaged_is_never_taken_for_a_shorter_one(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    shards.write(path, FILES)
    content = bytearray(path.read_bytes())
    content[1024 + 148] ^= 1  # the checksum of the second header
    path.write_bytes(content)
    with pytest.raises(ShardError, match="damaged after 1 files"):
        shards.count(path)


def test_headers_are_read_as_tarfile_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.tar"
    shards.write(path, FILES)
    whole = path.read_bytes()

    quick = shards._next_plain

    def found(read: Callable[..., shards.Member | None]) -> list[tuple[str, int, int]] | None:
        monkeypatch.setattr(shards, "_next_plain", read)
        try:
            return [(each.name, each.offset, each.size) for each in members(path)]
        except ShardError:
            return None

    refused = 0
    assert found(quick) == found(lambda *_: None) is not None
    for bit in range(0, 8 * 512, 3):
        content = bytearray(whole)
        content[1024 + bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        told = found(quick)
        assert told == found(lambda *_: None), bit
        refused += told is None
    assert refused > 1300  # all but what stands behind the checksum


def checked(path: Path) -> Any:
    settings = Settings.load()
    file = ImagesFile.model_validate(str(path))
    return file.check(Submission(None, settings, None)).file  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [b"", b"no tar at all", bytes(1024), b"\x1f\x8b" + bytes(600)])
def test_what_is_no_shard_is_refused_before_the_job_is_queued(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"x\.tar (is not a \.tar|holds no files)"):
        checked(path)


def test_a_shard_that_is_missing_or_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"x\.tar cannot be read: No such file"):
        checked(tmp_path / "x.tar")
    (tmp_path / "y.tar").mkdir()
    with pytest.raises(InvalidInputError, match=r"y\.tar cannot be read: Is a directory"):
        checked(tmp_path / "y.tar")


def test_a_shard_is_taken_in_the_place_of_a_picture(tmp_path: Path) -> None:
    shards.write(tmp_path / "x.TAR", FILES)
    file = checked(tmp_path / "x.TAR")
    assert file.is_shard
    assert [member.name for member in file.members()] == ["a/1.png", "b/2.png", "c.png"]
    (tmp_path / "x.png").write_bytes(b"no picture")
    with pytest.raises(InvalidInputError, match="is not a picture"):
        checked(tmp_path / "x.png")


def test_a_picture_is_taken_as_such(tmp_path: Path) -> None:
    picture = ImageFile(name="x.png", path=tmp_path / "y.png")
    taken = ClassifySpec(images=[picture], model=1).images[0]  # type: ignore[list-item, arg-type]
    assert (taken.name, taken.path, taken.is_shard) == ("x.png", tmp_path / "y.png", False)
