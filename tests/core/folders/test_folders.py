"""The files of a folder: which they are, as one archive, and out of it again."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from cvq.errors import InvalidInputError, PermanentError
from cvq.files import sha256_of
from cvq.folders import tracked
from cvq.folders.archive import pack, unpack
from cvq.folders.listing import Listing, list_folder, stays_within

BYTES = os.fsdecode(b"caf\xe9.txt")  # a name that is no UTF-8


def names(listing: Listing) -> list[str]:
    return [member.name for member in listing.members]


def write(folder: Path, *files: str) -> Path:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Git, in the folder of the test where none is named."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always")

    def run(*words: str, folder: Path = tmp_path) -> None:
        subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)

    return run


# ---------------------------------------------------------------------------- which files


def test_in_git_it_is_what_is_tracked_and_what_is_new_and_not_ignored(
    tmp_path: Path, git: Callable[..., None]
) -> None:
    write(tmp_path, "train.py", "gone.py", "sub/net.py", "data/large.bin", ".env.example")
    (tmp_path / ".gitignore").write_text("data\n.env\n")
    git("init", "-q")  # without a commit, too
    git("add", ".")
    (tmp_path / "gone.py").unlink()
    write(tmp_path, "new.py", ".env", "__pycache__/train.pyc", "venv/pyvenv.cfg", "venv/bin/x")
    found = list_folder(tmp_path)
    assert names(found) == [".env.example", ".gitignore", "new.py", "sub/net.py", "train.py"]
    assert found.notes == []
    assert names(list_folder(tmp_path / "sub")) == ["net.py"]


def test_a_secret_that_is_tracked_is_told_of(tmp_path: Path, git: Callable[..., None]) -> None:
    write(tmp_path, ".env", "train.py")
    git("init", "-q")
    git("add", ".env")
    assert list_folder(tmp_path).notes == [
        f".env in {tmp_path} may hold secrets, and is kept with the job: who may read the store "
        "can read it"
    ]


def test_a_submodule_a_worktree_and_a_nested_repository_are_looked_through(
    tmp_path: Path, git: Callable[..., None]
) -> None:
    other, main = write(tmp_path / "other", "lib.py"), write(tmp_path / "main", "train.py")
    for folder in (other, main):
        git("init", "-q", folder=folder)
        git("add", ".", folder=folder)
        git("commit", "-qm", "first", folder=folder)
    git("submodule", "add", "-q", str(other), "lib", folder=main)
    git("commit", "-qm", "second", folder=main)
    assert names(list_folder(main)) == [".gitmodules", "lib/lib.py", "train.py"]
    git("worktree", "add", "-q", str(tmp_path / "tree"), folder=main)
    found = list_folder(tmp_path / "tree")
    assert names(found) == [".gitmodules", "train.py"]
    assert "lib is a submodule that is not checked out: it is left out" in found.notes[0]
    git("clone", "-q", str(other), str(main / "nested"))
    assert "nested/lib.py" in names(list_folder(main))


def test_what_git_ignores_must_be_known(
    tmp_path: Path, git: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    git("init", "-q", "--bare", str(tmp_path / "bare"))
    with pytest.raises(InvalidInputError, match="without a working tree"):
        list_folder(tmp_path / "bare" / "refs")
    git("init", "-q")
    write(tmp_path, "train.py", ".env")
    monkeypatch.setenv("GIT_DIR", "/nowhere")  # as in a hook of another repository
    assert ".env" in names(list_folder(tmp_path))
    (tmp_path / ".git" / "HEAD").write_text("")
    with pytest.raises(InvalidInputError, match="what git ignores there is not known"):
        list_folder(tmp_path)
    monkeypatch.setattr(tracked.shutil, "which", lambda _: None)
    with pytest.raises(InvalidInputError, match="git is not installed"):
        list_folder(tmp_path)


def test_outside_of_git_it_is_all_but_what_leads_out_or_is_no_file(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "p", "a.py", "sub/b.py", "__pycache__/a.pyc", "v/pyvenv.cfg", "home/x"
    )
    (folder / BYTES).write_text("")
    (folder / "sub" / "up").symlink_to("../a.py")
    (folder / "inner").symlink_to("sub")
    (folder / "data").symlink_to("/usr")
    (folder / "sneaky").symlink_to("sub/../../../etc")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "s"))
    found = list_folder(folder, without=[folder / "home", tmp_path])
    assert names(found) == ["a.py", BYTES, "inner", "sub/b.py", "sub/up"]
    assert found.notes == [
        f"{folder}: left out, as they lead out of the folder: data and sneaky",
        f"{folder}: left out, as they are no regular files: pipe and s",
    ]


def test_a_folder_that_is_none_or_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "a.py")
    with pytest.raises(InvalidInputError, match="cannot be read: No such file"):
        list_folder(tmp_path / "nowhere")
    with pytest.raises(InvalidInputError, match="is not a folder"):
        list_folder(tmp_path / "a.py")
    monkeypatch.setattr("cvq.folders.listing.os.access", lambda *_: False)  # root may read all
    with pytest.raises(InvalidInputError, match=r"a\.py cannot be read: permission denied"):
        list_folder(tmp_path)


def test_a_folder_that_is_too_large_names_the_largest(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "b.py")
    (tmp_path / "data.bin").write_bytes(bytes(5_000))
    with pytest.raises(InvalidInputError, match=r"5.01 kB in 3 files.*data\.bin 5 kB, .*; do"):
        list_folder(tmp_path).check_size(1_000, 10, "do")
    with pytest.raises(InvalidInputError, match="10 kB in 2 files are kept"):
        list_folder(tmp_path).check_size(10_000, 2, "do")


@pytest.mark.parametrize(
    ("name", "target", "within"),
    [
        ("a", "b", True),
        ("d/a", "../b", True),
        ("a", "../b", False),
        ("a", "/b", False),
        ("d/a", "../../b", False),
        ("d/a", "x/../../../b", False),
        ("a", "x/../b", False),  # x may be a link itself
        ("a", "", False),
    ],
)
def test_a_link_leads_to_a_place_within(name: str, target: str, within: bool) -> None:
    assert stays_within(name, target) is within


# ---------------------------------------------------------------------------- the archive


def test_the_same_files_give_the_same_archive_and_come_out_as_they_were(tmp_path: Path) -> None:
    folder = write(tmp_path / "one", "a.py", "sub/b.sh", f"{'n' * 120}/{'m' * 120}.py")
    (folder / BYTES).write_bytes(b"\xff")
    (folder / "sub" / "b.sh").chmod(0o700)
    (folder / "link").symlink_to("sub/b.sh")
    first = pack(list_folder(folder).members, tmp_path / "1.tar")
    out = tmp_path / "out"
    written = unpack(first, out)
    assert names(list_folder(out)) == names(list_folder(folder))
    assert (out / BYTES).read_bytes() == b"\xff"
    assert os.access(out / "sub" / "b.sh", os.X_OK)
    assert (out / "link").read_text() == "sub/b.sh"
    assert written["a.py"].st_mtime_ns == (out / "a.py").stat().st_mtime_ns
    os.utime(out / "a.py", (1, 1))  # as it lies elsewhere
    second = pack(list_folder(out).members, tmp_path / "2.tar")
    assert sha256_of(first) == sha256_of(second)
    (out / "a.py").write_text("A.PY")
    assert sha256_of(pack(list_folder(out).members, tmp_path / "3.tar")) != sha256_of(first)


def test_a_file_that_changes_while_it_is_packed_is_told(tmp_path: Path) -> None:
    members = list_folder(write(tmp_path / "p", "a.py")).members
    (tmp_path / "p" / "a.py").write_text("")
    with pytest.raises(InvalidInputError, match=r"a\.py was changed while it was packed"):
        pack(members, tmp_path / "1.tar")
    (tmp_path / "p" / "a.py").unlink()
    os.mkfifo(tmp_path / "p" / "a.py")
    with pytest.raises(InvalidInputError, match="was changed"):
        pack(members, tmp_path / "1.tar")


def entry(name: str, kind: bytes = tarfile.REGTYPE, **values: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type = kind
    for key, value in values.items():
        setattr(made, key, value)
    return made


def link(name: str, target: str) -> tarfile.TarInfo:
    return entry(name, tarfile.SYMTYPE, linkname=target)


HOSTILE = {
    "absolute": [entry("/tmp/cvq-escaped")],
    "climbs": [entry("a/../../escaped")],
    "a folder": [entry("a", tarfile.DIRTYPE)],
    "a device": [entry("a", tarfile.CHRTYPE)],
    "a pipe": [entry("a", tarfile.FIFOTYPE)],
    "a hard link": [entry("a"), entry("b", tarfile.LNKTYPE, linkname="a")],
    "a link out": [link("a", "/etc")],
    "a link by a link": [link("a", "b/../../x")],
    "through a link": [link("a", "."), link("a/b", "c")],
    "a file in a file": [entry("a"), entry("a/b")],
    "twice": [entry("a"), entry("a")],
    "a bomb": [entry("a", pax_headers={"GNU.sparse.map": "0,1", "GNU.sparse.size": "1" * 13})],
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_archive_writes_nothing_elsewhere(tmp_path: Path, what: str) -> None:
    archive, out = tmp_path / "h.tar", tmp_path / "deep" / "out"
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as writing:
        for each in HOSTILE[what]:
            writing.addfile(each, io.BytesIO(b""))
    with pytest.raises(PermanentError, match=r"archive"):
        unpack(archive, out)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "deep", archive]
    assert list((tmp_path / "deep").iterdir()) == [out]


def headers(count: int, size: int = 0) -> bytes:
    """Headers alone, each about the next."""
    return entry("x", tarfile.XHDTYPE, size=size).tobuf(tarfile.GNU_FORMAT) * count


@pytest.mark.parametrize(
    "content",
    [b"", b"no tar" * 1000, b"\x1f\x8b" + bytes(600), headers(3_000), headers(2, size=2**80)],
    ids=["empty", "text", "gzip", "within each other", "size"],
)
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "h.tar").write_bytes(content)
    with pytest.raises(PermanentError, match="no archive of a folder"):
        unpack(tmp_path / "h.tar", tmp_path / "out")
