"""Where items come from: named in the order given, what is left out told, what is bad kept."""

from __future__ import annotations

import errno
import io
import os
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cvq import Settings
from cvq.errors import InvalidInputError, UsageError
from cvq.inputs.items import Item
from cvq.inputs.sources import Sources, archives, is_source, lists
from cvq.inputs.sources.listing import listed


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def read(notes: list[str]) -> Callable[..., list[Item]]:
    def call(*words: str, lists: tuple[str, ...] = (), **options: Any) -> list[Item]:
        return list(Sources(Settings.load(), note=notes.append, **options).items(words, lists))

    return call


def picture(name: str, colour: int = 0) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (3, 3), colour).save(path, format="PNG")
    return path


def names(items: list[Item]) -> list[str]:
    return [item.name for item in items]


def content(item: Item, here: Path) -> bytes:
    assert item.bring is not None
    target = here / "brought"
    item.bring(target)
    return target.read_bytes()


# --- Folders and patterns -----------------------------------------------------------------------


def test_a_folder_is_read_with_all_below_it_in_order(
    read: Callable[..., list[Item]], notes: list[str]
) -> None:
    for name in ("p/b.png", "p/a.JPG", "p/sub/1.png", "p/sub/10.png", "p/sub/2.png"):
        picture(name)
    Path("p/notes.txt").write_text("x")
    Path("p/.hidden.png").write_text("x")
    Path("p/x-ubyte").write_text("x")
    found = read("p/")
    assert names(found) == [
        "p/a.JPG", "p/b.png", "p/sub/1.png", "p/sub/10.png", "p/sub/2.png",
    ]  # fmt: skip
    assert [item.value for item in found] == names(found)
    assert [item.path for item in found] == [str(Path(item.name).absolute()) for item in found]
    assert notes == [
        "p: left out: 1 file (hidden or of the system's own): .hidden.png",
        "p: left out: 1 file (neither pictures, IDX files nor CIFAR batches): notes.txt",
        "p: left out: 1 file (no pictures): x-ubyte",
    ]


def test_folders_without_pictures_are_refused(read: Callable[..., list[Item]]) -> None:
    Path("empty").mkdir()
    Path("texts").mkdir()
    Path("texts/a.txt").touch()
    with pytest.raises(InvalidInputError, match=r"^empty has no pictures: it is empty$"):
        read("empty")
    with pytest.raises(InvalidInputError, match=r"^texts has no pictures: .*a\.txt$"):
        read("texts")


def test_names_that_are_no_utf8_keep_their_path(read: Callable[..., list[Item]]) -> None:
    raw = os.fsdecode(b"p/caf\xe9.png")
    picture(raw)
    [item] = read("p")
    assert (item.name, item.value) == ("p/caf\\xe9.png", raw)


def test_a_subfolder_that_vanishes_is_left_out(
    read: Callable[..., list[Item]], notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    picture("p/a.png")
    picture("p/sub/b.png")
    real = os.scandir

    def scan(folder: Any) -> Any:
        if Path(folder).name == "sub":
            raise FileNotFoundError(2, "No such file or directory")
        return real(folder)

    monkeypatch.setattr(os, "scandir", scan)
    assert names(read("p")) == ["p/a.png"]
    [note] = notes
    assert "a folder that cannot be read: No such file or directory): sub/" in note


def test_a_pattern_is_expanded_where_no_shell_has(
    read: Callable[..., list[Item]], notes: list[str]
) -> None:
    for name in ("2.png", "1.png", "sub/3.png", "[1].png"):
        picture(name)
    assert names(read("*.png")) == ["1.png", "2.png", "[1].png"]
    assert names(read("**/*.png")) == ["1.png", "2.png", "[1].png", "sub/3.png"]
    assert names(read("[1].png")) == ["[1].png"]  # there is a file that is called so
    assert names(read("[2].png")) == ["2.png"]
    assert names(read("*")) == ["1.png", "2.png", "[1].png"]
    assert notes == ["left out: 1 folder that * matches"]
    with pytest.raises(InvalidInputError, match=r"^x\*\.png matches no file$"):
        read("x*.png")


def test_files_and_sources_mix_and_duplicates_stay(read: Callable[..., list[Item]]) -> None:
    picture("a.png")
    picture("p/b.png")
    assert names(read("a.png", "p", "a.png", "nowhere.png")) == [
        "a.png", "p/b.png", "a.png", "nowhere.png",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("word", "is_one"),
    [
        ("p", True), ("p/", True), ("a.png", False), ("nowhere.png", False), ("-", True),
        ("@list", True), ("@a.png", False), ("@", False), ("x.zip", True), ("x.tar", True),
        ("x.csv", True), ("x.parquet", True), ("s3://b/c/", True), ("https://h/a.png", False),
        ("*.png", True), ("https://h/a?b*", False), ("a" * 5000, False), ("nul\0", False),
    ],
)  # fmt: skip
def test_what_is_a_source(read: Callable[..., list[Item]], word: str, is_one: bool) -> None:
    picture("p/b.png")
    picture("@a.png")
    assert is_source(word) is is_one
    if not is_one:
        assert [item.value for item in read(word)] == [Path(word)]


@pytest.mark.parametrize("word", ["@{}", "{}.zip", "{}.tar", "{}.csv", "{}/*"])
def test_a_source_with_too_long_a_name_is_told(read: Callable[..., list[Item]], word: str) -> None:
    with pytest.raises(InvalidInputError, match=r"a{5000}.*(cannot be read|no file)"):
        read(word.format("a" * 5000), column="c")


# --- Lists --------------------------------------------------------------------------------------


def test_a_list_has_a_name_a_line(read: Callable[..., list[Item]]) -> None:
    Path("lists").mkdir()
    Path("lists/a.txt").write_bytes(
        b"\xef\xbb\xbfone.png\r\n\r\n  \nsub/two.png\nhttps://h/three.png\n/four.png\none.png"
    )
    found = read("@lists/a.txt")
    assert names(found) == [
        "one.png", "sub/two.png", "https://h/three.png", "/four.png", "one.png",
    ]  # fmt: skip
    assert [str(item.value) for item in found[:2]] == ["lists/one.png", "lists/sub/two.png"]
    assert str(found[3].value) == "/four.png"
    assert read(lists=("lists/a.txt",)) == found
    with pytest.raises(InvalidInputError, match=r"^nowhere cannot be read: No such file"):
        read("@nowhere")
    with pytest.raises(InvalidInputError, match=r"^lists is not a list"):
        read(lists=("lists",))


def test_lines_of_stdin_and_of_no_text(read: Callable[..., list[Item]]) -> None:
    found = read("-", stdin=io.BytesIO(b"a.png\ncaf\xe9.png\nx\x00y\n"))
    assert names(found) == ["a.png", "caf\\xe9.png", "x\\x00y"]
    assert [item.error for item in found] == [
        None, None, "stdin, line 3: a name has no NUL: is this a list?",
    ]  # fmt: skip


def test_an_endless_stdin_can_be_left(read: Callable[..., list[Item]]) -> None:
    source, sink = os.pipe()
    ticks = threading.Event()

    def tick() -> None:
        ticks.set()
        raise KeyboardInterrupt

    with os.fdopen(source, "rb") as stdin:
        items = Sources(Settings.load(), stdin=stdin, tick=tick).items(["-"])
        os.write(sink, b"a.png\n")
        assert next(items).name == "a.png"
        os.write(sink, b"half a na")
        with pytest.raises(KeyboardInterrupt):
            next(items)
    assert ticks.is_set()
    os.close(sink)


def test_a_list_may_be_a_pipe_of_the_shell() -> None:
    source, sink = os.pipe()
    try:
        os.write(sink, b"a.png\nb/c.png\n")
        os.close(sink)
        items = Sources(Settings.load()).items([], [f"/dev/fd/{source}"])
        assert names(list(items)) == ["a.png", "b/c.png"]
    finally:
        os.close(source)


def test_stdin_comes_in_pieces(read: Callable[..., list[Item]]) -> None:
    source, sink = os.pipe()
    lines = b"".join(b"%d.png\r\n" % number for number in range(20_000)) + b"last.png"
    writer = threading.Thread(target=lambda: (os.write(sink, lines), os.close(sink)))

    with os.fdopen(source, "rb") as stdin:
        writer.start()
        found = read("-", stdin=stdin)
    writer.join()
    assert names(found) == [*(f"{number}.png" for number in range(20_000)), "last.png"]


def test_what_is_no_list_is_not_read_for_ever(read: Callable[..., list[Item]]) -> None:
    with Path("/dev/zero").open("rb") as zeros, pytest.raises(InvalidInputError, match="is it a"):
        read("-", stdin=zeros)
    Path("zeros").write_bytes(bytes(3 << 20))
    with pytest.raises(InvalidInputError, match=r"^zeros has a line that is too long"):
        read("@zeros")


def test_values_stand_in_lines(read: Callable[..., list[Item]]) -> None:
    Path("pairs").write_text("1 2\n3,4\n5\t6\n")
    found = read(lists=("pairs",), files=False)
    assert [item.value for item in found] == [["1", "2"], ["3", "4"], ["5", "6"]]
    assert names(found) == ["1 2", "3 4", "5 6"]


@given(
    lines=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0:"), max_size=12),
        max_size=20,
    ),
    end=st.sampled_from(["\n", "\r\n"]),
    last=st.booleans(),
)
def test_every_line_that_is_not_blank_is_an_item(lines: list[str], end: str, last: bool) -> None:
    text = end.join(lines) + (end if last else "")
    encoded = io.BytesIO(text.encode())
    found = list(lists.items_of(encoded, Path("folder"), True, "x"))
    first = [line.removeprefix("\ufeff") for line in lines[:1]]
    wanted = [line for line in [*first, *lines[1:]] if line.encode().strip()]
    assert names(found) == wanted


# --- Archives -----------------------------------------------------------------------------------


def test_a_zip_is_read_where_it_lies(
    read: Callable[..., list[Item]], here: Path, notes: list[str]
) -> None:
    one, two = picture("one.png", 1).read_bytes(), picture("two.png", 2).read_bytes()
    with zipfile.ZipFile("p.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("b/two.png", two)
        archive.writestr("a.png", one)
        archive.writestr("notes.txt", "x")
    found = read("p.zip")
    assert names(found) == ["p.zip/a.png", "p.zip/b/two.png"]
    assert [item.value for item in found] == ["a.png", "two.png"]
    assert [content(item, here) for item in found] == [one, two]
    assert len(notes) == 1


def test_damage_within_a_zip_is_one_items(read: Callable[..., list[Item]], here: Path) -> None:
    with zipfile.ZipFile("p.zip", "w") as archive:
        archive.writestr("a.png", b"A" * 100)
        archive.writestr("b.png", b"B" * 100)
    path = Path("p.zip")
    path.write_bytes(path.read_bytes().replace(b"AAAA", b"AAXA", 1))
    bad, good = read("p.zip")
    with pytest.raises(InvalidInputError, match=r"^p\.zip/a\.png is damaged: Bad CRC"):
        content(bad, here)
    assert content(good, here) == b"B" * 100
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InvalidInputError, match="cut off: its end is missing"):
        read("p.zip")


def test_of_many_zips_few_are_open_at_a_time(
    read: Callable[..., list[Item]], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def still_open() -> list[str]:
        paths = (Path(file.path) for file in psutil.Process().open_files())
        return [path.name for path in paths if path.parent == here and path.suffix == ".zip"]

    monkeypatch.setattr(archives, "_MOST_OPEN", 3)
    for number in range(8):
        with zipfile.ZipFile(f"{number}.zip", "w") as archive:
            archive.writestr("a.png", b"A%d" % number)
            archive.writestr("b.png", b"B%d" % number)
    found = read(*(f"{number}.zip" for number in range(8)))
    assert still_open() == []
    for _ in range(2):
        for start, letter in enumerate("AB"):
            some = found[start::2]
            assert [content(item, here) for item in some] == [
                b"%c%d" % (ord(letter), number) for number in range(8)
            ]
            assert len(still_open()) <= 3
    del found, some
    assert still_open() == []


def test_a_zip_that_cannot_be_read_is_told(
    read: Callable[..., list[Item]], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile("p.zip", "w") as archive:
        archive.writestr("a.png", b"A")
    [item] = read("p.zip")

    def failing(*_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    told = r"^p\.zip/a\.png cannot be read: .*[Ii]nput/output error"
    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipExtFile, "read", failing)
        with pytest.raises(InvalidInputError, match=told):
            item.read()
        with pytest.raises(InvalidInputError, match=told):
            item.brought(here / "folder")
    [item] = read("p.zip")
    Path("p.zip").unlink()
    with pytest.raises(InvalidInputError, match=r"^p\.zip/a\.png cannot be read: "):
        item.read()
    with pytest.raises(InvalidInputError, match=r"^p\.zip does not exist"):
        read("p.zip")


def tar(**members: bytes) -> Path:
    with tarfile.open("p.tar", "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(f"{name}.png")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return Path("p.tar")


def test_a_tar_is_read_where_it_lies(
    read: Callable[..., list[Item]], here: Path, notes: list[str]
) -> None:
    path = tar(b=b"B" * 700, a=b"A")
    with tarfile.open(path, "a") as archive:
        Path("notes.txt").write_text("x")
        archive.add("notes.txt")
        Path("sub").mkdir()
        archive.add("sub")
    found = read("p.tar")
    assert names(found) == ["p.tar/b.png", "p.tar/a.png"]  # as they lie in it
    assert [content(item, here) for item in found] == [b"B" * 700, b"A"]
    assert notes == ["p.tar: left out: 1 file (no pictures): notes.txt"]


def test_a_tar_that_is_cut_off(read: Callable[..., list[Item]], here: Path) -> None:
    path = tar(a=b"A" * 100, b=b"B" * 5000, c=b"C")
    whole = path.read_bytes()
    path.write_bytes(whole[:3000])  # within b
    good, cut, *rest = read("p.tar")
    assert content(good, here) == b"A" * 100
    assert cut.error == "p.tar/b.png is cut off: the archive ends before it does"
    assert all(item.error for item in rest)
    path.write_bytes(b"no tar at all")
    with pytest.raises(InvalidInputError, match=r"^p\.tar is not a \.tar that can be read"):
        read("p.tar")
    Path("p.tar.gz").touch()
    with pytest.raises(InvalidInputError, match="unpack it"):
        read("p.tar.gz")


# --- Tables and buckets -------------------------------------------------------------------------


def test_a_column_of_a_csv(read: Callable[..., list[Item]]) -> None:
    Path("t").mkdir()
    Path("t/a.csv").write_text(
        '\ufefffile,"label, of it"\r\none.png,1\r\n\r\n"a,b.png",2\r\n,3\r\n'
    )
    found = read("t/a.csv", column="file")
    assert names(found) == ["one.png", "a,b.png", "t/a.csv, row 3"]
    assert str(found[0].value) == "t/one.png"
    assert found[2].error == "t/a.csv, row 3: the cell is empty"
    with pytest.raises(UsageError, match=r"which column\? --column NAME: it has file and label"):
        read("t/a.csv")
    with pytest.raises(UsageError, match=r"no column 'fil': did you mean 'file'\? it has file"):
        read("t/a.csv", column="fil")
    Path("none.csv").touch()
    with pytest.raises(InvalidInputError, match=r"^none\.csv is empty$"):
        read("none.csv", column="file")


def test_a_column_of_a_parquet_file(read: Callable[..., list[Item]]) -> None:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    table = arrow.table({"file": ["one.png", None], "pair": [[1.0, 2.0], [3.0, 4.0]]})
    parquet.write_table(table, "a.parquet")
    found = read("a.parquet", column="file")
    assert [(item.name, item.error) for item in found] == [
        ("one.png", None),
        ("a.parquet, row 2", "a.parquet, row 2: the cell is empty"),
    ]
    pairs = read(lists=("a.parquet",), column="pair", files=False)
    assert [item.value for item in pairs] == [[1.0, 2.0], [3.0, 4.0]]
    Path("b.parquet").write_text("no parquet")
    with pytest.raises(InvalidInputError, match=r"^b\.parquet cannot be read"):
        read("b.parquet", column="file")
    with pytest.raises(UsageError, match=r"a\.parquet: which column\?"):  # a list is a text
        read(lists=("a.parquet",), files=False)


def test_what_lies_below_a_prefix(
    read: Callable[..., list[Item]], here: Path, notes: list[str]
) -> None:
    memory = fsspec.filesystem("memory")
    for name in ("b.png", "a.png", "notes.txt"):
        memory.pipe_file(f"/bucket/p/{name}", name.encode())
    found = read("memory://bucket/p/")
    assert names(found) == ["memory:///bucket/p/a.png", "memory:///bucket/p/b.png"]
    assert content(found[1], here) == b"b.png"
    assert len(notes) == 1
    memory.rm("/bucket/p/b.png")
    with pytest.raises(InvalidInputError, match=r"b\.png cannot be fetched"):
        content(found[1], here)
    with pytest.raises(InvalidInputError, match="has no pictures: it is empty"):
        read("memory://bucket/nothing/")
    with pytest.raises(InvalidInputError, match="give what names begin with, not a pattern"):
        read("memory://bucket/p/*.png")


def test_listing_can_be_left(monkeypatch: pytest.MonkeyPatch) -> None:
    listing = threading.Event()

    def tick() -> None:
        if listing.is_set():
            raise KeyboardInterrupt

    def endless() -> None:
        listing.set()
        left.wait()

    left = threading.Event()
    with pytest.raises(KeyboardInterrupt):
        listed(endless, tick)
    left.set()  # or its thread would stay
    assert listed(lambda: 3, lambda: None) == 3
    with pytest.raises(ZeroDivisionError):
        listed(lambda: 1 // 0, lambda: None)


@pytest.mark.slow
def test_a_prefix_of_s3_has_pages_and_odd_names(
    s3: str, read: Callable[..., list[Item]], here: Path, notes: list[str]
) -> None:
    system = fsspec.filesystem("s3")
    system.mkdir(s3)
    odd = [" a b.png", "a?#*[1].png", "é.png", "x" * 240 + ".png", "a//b.png", "c.png/d.png"]
    for name in odd:
        system.pipe_file(f"{s3}/p/{name}", name.encode())
    for number in range(1001):  # more than one page of a listing
        system.pipe_file(f"{s3}/p/n/{number}.txt", b"")
    system.pipe_file(f"{s3}/photos.png", b"beside")
    found = read(f"s3://{s3}/p/")
    assert sorted(item.name[-20:] for item in found) == sorted(
        f"s3://{s3}/p/{name}"[-20:] for name in odd
    )
    assert {content(item, here) for item in found} == {name.encode() for name in odd}
    assert all(len(os.fsencode(item.value)) <= 255 for item in found)
    assert "1001 files" in notes[0]
    system.rm_file(f"{s3}/p/a//b.png")
    [gone] = [item for item in found if item.name.endswith("//b.png")]
    with pytest.raises(InvalidInputError, match=r"//b\.png cannot be fetched"):
        content(gone, here)
    assert content(read(f"s3://{s3}/photos.png")[0], here) == b"beside"
    with pytest.raises(InvalidInputError, match="has no pictures: it is empty"):
        read(f"s3://{s3}/phot")
    with pytest.raises(InvalidInputError, match=r"^s3://no-such-\S+ cannot be read: .*bucket"):
        read(f"s3://no-such-{s3}/")
