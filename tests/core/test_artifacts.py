"""The artifact store, in a folder and behind a real S3 API."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cvq import Settings, artifacts
from cvq.artifacts import ArtifactStore, open_store, safe_name
from cvq.errors import MissingExtraError, StoreError, UsageError
from cvq.files import atomic, sha256_of
from cvq.ids import AttemptId
from cvq.names import Names
from cvq.records import Artifact
from cvq.results import is_missing
from waiting import eventually


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest) -> ArtifactStore:
    found: ArtifactStore = request.getfixturevalue(f"{request.param}_store")
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a picture.png"
    path.write_bytes(b"pixels")
    return path


def damage(store: ArtifactStore, uri: str) -> None:
    store.fs.pipe_file(uri, b"PIXELS")


@pytest.mark.slow
def test_an_input_is_stored_once_and_comes_back(
    store: ArtifactStore, file: Path, tmp_path: Path
) -> None:
    digest, size = store.put_input(file)
    assert size == 6
    before = store.fs.info(store.input_uri(digest))
    assert store.put_input(file) == (digest, 6)
    assert file.exists()
    store.fs.invalidate_cache()
    key = "LastModified" if "LastModified" in before else "mtime"
    assert store.fs.info(store.input_uri(digest))[key] == before[key]
    assert store.fetch_input(digest, tmp_path / "cache").read_bytes() == b"pixels"


def test_an_input_that_is_missing_is_said_so(store: ArtifactStore, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="input 000000000000 is not in the store"):
        store.fetch_input("0" * 64, tmp_path / "cache")


@pytest.mark.parametrize("name", ["../../outside", "0" * 63, "A" * 64, "0" * 64 + "\n", "x" * 999])
def test_no_input_is_named_by_anything_but_a_sha256(tmp_path: Path, name: str) -> None:
    store = ArtifactStore((tmp_path / "store").as_uri())
    (tmp_path / "outside").write_text("mine")
    os.utime(tmp_path / "outside", (1, 1))
    for use in (
        store.note_use, store.remove_input, store.size_of_input, store.input_uri,
        lambda name: store.fetch_input(name, tmp_path / "cache"),
    ):  # fmt: skip
        with pytest.raises(StoreError, match="names no input: it is no SHA-256"):
            use(name)
    assert (tmp_path / "outside").stat().st_mtime == 1


def test_an_artifact_moves_into_its_attempts_folder(
    store: ArtifactStore, file: Path, tmp_path: Path
) -> None:
    artifact = store.put_artifact(AttemptId(42, 3), file, name="plots/loss.png", role="plot")
    assert not file.exists()
    assert artifact.uri == f"{store.url}/jobs/42/3/plots/loss.png"
    assert (artifact.media_type, artifact.bytes, artifact.attempt) == ("image/png", 6, 3)
    assert store.fetch(artifact, tmp_path / "copy.png").read_bytes() == b"pixels"


ODD = [
    "a%20b.png", "a#b.png", "a?versionId=1.png", "a::b.png", "*.png", "[a].png", "~", "~/a", " ",
    "a ", "...", "-rf", "con", "日本.png", "a\nb", "back\\slash", "x" * 300, "ü" * 300,
    "é" * 100 + "/y",
]  # fmt: skip


@pytest.mark.slow
def test_files_of_any_name_come_back(store: ArtifactStore, file: Path, tmp_path: Path) -> None:
    names = Names()
    left = []
    for number, name in enumerate([*ODD, *ODD]):
        file.write_text(str(number))
        left.append(
            store.put_artifact(AttemptId(1, 1), file, name=name, role="result", names=names)
        )
    for number, artifact in enumerate(left):
        copy = store.fetch(artifact, tmp_path / "copy")
        assert copy.read_text() == store.fetch_readable(artifact, tmp_path / "in").read_text()
        assert (artifact.name, copy.read_text()) == ([*ODD, *ODD][number], str(number))


def test_another_database_with_the_same_store_loses_no_file(
    store: ArtifactStore, file: Path, tmp_path: Path
) -> None:
    left = []
    for text in ("one's", "another's"):
        file.write_text(text)
        left.append(store.put_artifact(AttemptId(1, 1), file, name="a/result.png", role="result"))
    assert [store.fetch(a, tmp_path / "copy").read_text() for a in left] == ["one's", "another's"]


def test_who_holds_a_file_open_cannot_change_it_in_the_store(tmp_path: Path, file: Path) -> None:
    store = ArtifactStore((tmp_path / "store").as_uri())
    link = tmp_path / "another name"
    link.hardlink_to(file)
    artifact = store.put_artifact(AttemptId(1, 1), file, name="a.png", role="result")
    link.write_bytes(b"other!")
    assert store.fetch(artifact, tmp_path / "copy").read_bytes() == b"pixels"


def test_a_damaged_artifact_is_refused_and_leaves_no_copy(
    store: ArtifactStore, file: Path, tmp_path: Path
) -> None:
    artifact = store.put_artifact(AttemptId(1, 1), file, name="result.png", role="result")
    damage(store, artifact.uri)
    target = tmp_path / "out" / "copy.png"
    with pytest.raises(StoreError, match="damaged"):
        store.fetch(artifact, target)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../secret", "a/../../b", "..", "a\x00b", "..\\b"]
)
def test_a_name_that_leaves_its_folder_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        safe_name(name)


@pytest.mark.parametrize("outside", ["/../evil", "-evil/x", "/jobs/../../x", "/../../etc/passwd"])
def test_nothing_outside_the_store_is_read(
    store: ArtifactStore, file: Path, tmp_path: Path, outside: str
) -> None:
    artifact = store.put_artifact(AttemptId(1, 1), file, name="result.png", role="result")
    stolen = type(artifact)(**{**artifact.__dict__, "uri": store.url + outside})
    with pytest.raises(StoreError, match="not in the artifact store"):
        store.fetch(stolen, tmp_path / "copy.png")


def test_a_folder_is_the_same_store_by_whatever_link_it_is_named(
    tmp_path: Path, file: Path
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    by_link, by_name = (
        ArtifactStore(f"file://{tmp_path / name}/store") for name in ("link", "real")
    )
    artifact = by_link.put_artifact(AttemptId(1, 1), file, name="a.png", role="result")
    assert by_name.fetch(artifact, tmp_path / "copy.png").read_bytes() == b"pixels"


def test_probe_leaves_nothing(store: ArtifactStore) -> None:
    store.probe()
    store.fs.invalidate_cache()
    assert [name for name in store.fs.find(store.root) if ".probe" in name] == []


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path, file: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file, not a folder")
    with pytest.raises(StoreError, match="blocked"):
        ArtifactStore(blocked.as_uri()).put_input(file)


@pytest.mark.slow
def test_a_full_disk_leaves_no_half_file(tmp_path: Path) -> None:
    # A limit on the size of files stands for the disk: both fail in the middle of a write.
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from cvq.artifacts import ArtifactStore; from cvq.errors import StoreError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: ArtifactStore(sys.argv[1]).put_input(Path(sys.argv[2]))\n"
        "except StoreError as error: print(error)\n"
    )
    assert resource.RLIMIT_FSIZE
    big = tmp_path / "big.png"
    big.write_bytes(b"x" * 5000)
    done = subprocess.run(
        [sys.executable, "-c", code, (tmp_path / "store").as_uri(), str(big)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "the disk is full" in done.stdout
    assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []


def test_the_settings_say_how_patient_an_s3_store_is(s3: str) -> None:
    def config(**values: Any) -> Any:
        store = open_store(Settings.load(store_url=f"s3://{s3}/cvq", **values))
        store.fs.connect()
        return store.fs.s3.meta.config  # as botocore understood it

    usual, patient = config(), config(store_retries=9, store_timeout=60)
    assert (usual.retries["total_max_attempts"], usual.read_timeout) == (5, 15)
    assert (patient.retries["total_max_attempts"], patient.read_timeout) == (10, 60)
    assert (usual.connect_timeout, patient.connect_timeout) == (5, 5)


def test_a_missing_backend_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> Any:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    with pytest.raises(MissingExtraError, match=r"pip install .*\[s3\]'"):
        ArtifactStore("s3://bucket/prefix")


def test_an_unknown_scheme_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="gopher"):
        ArtifactStore("gopher://x")


@pytest.mark.parametrize("uri", ["ftp://ann:hunter2@other/x", "memory://u:hunter2@lab/x"])
def test_errors_show_no_password_of_an_address(tmp_path: Path, uri: str) -> None:
    store = ArtifactStore("memory://u:hunter2@lab/cvq")
    artifact = Artifact("x", "result", "text/plain", uri, "0" * 64, 1)
    with pytest.raises(StoreError) as caught:
        store.fetch(artifact, tmp_path / "x")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(StoreError) as caught:
        store.fetch_input("0" * 64, tmp_path)
    assert "hunter2" not in str(caught.value)
    artifact = replace(artifact, uri=f"{store.fs.unstrip_protocol(store.root)}/jobs/1/1/x")
    with pytest.raises(StoreError) as caught:
        store.fetch(artifact, tmp_path / "x")
    assert "hunter2" not in str(caught.value)


def test_a_file_where_a_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with (
        pytest.raises(StoreError, match=r"mine/a\.png cannot be written: .*mine is not a folder"),
        atomic(tmp_path / "mine" / "a.png"),
    ):
        pass


def test_what_fails_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    for path in (tmp_path / "new" / "er" / "a.png", tmp_path / "old" / "a.png"):
        with pytest.raises(ValueError, match="no"), atomic(path):
            raise ValueError("no")
    assert [path.name for path in tmp_path.rglob("*")] == ["old"]
    with atomic(tmp_path / "new" / "a.png") as partial:
        partial.write_text("x")
    assert (tmp_path / "new" / "a.png").read_text() == "x"


def test_a_device_is_never_replaced_by_a_file(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)  # as /dev/null, which whoever may write in /dev would lose
    link.symlink_to("/proc/self/exe")  # as /dev/stdout may lead to a file
    for path in (pipe, link):
        with pytest.raises(UsageError, match="no file that can be replaced"), atomic(path):
            pass
    with pytest.raises(UsageError, match="no file that can be replaced"):
        is_missing(pipe, "0" * 64, force=True)
    assert pipe.is_fifo()
    assert link.is_symlink()


def test_a_file_is_read_again_only_where_somebody_has_written_to_it(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ArtifactStore((tmp_path / "store").as_uri())
    left = store.put_artifact(AttemptId(1, 1), file, name="a.png", role="result")
    path = store.fetch_readable(left, tmp_path)  # it is too young to be known
    monkeypatch.setattr(artifacts, "_TICK_S", -1.0)
    store.fetch_readable(left, tmp_path)
    reads: list[Path] = []

    def read(path: Path) -> str:
        reads.append(path)
        return sha256_of(path)

    monkeypatch.setattr(artifacts, "sha256_of", read)
    assert store.fetch_readable(left, tmp_path) == path
    assert reads == []
    before = path.stat()

    def written() -> bool:  # a tick of the file system's clock later
        path.write_bytes(b"PIXELS")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        return path.stat().st_ctime_ns != before.st_ctime_ns

    eventually(written)
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    with pytest.raises(StoreError, match="damaged"):
        store.fetch_readable(left, tmp_path)
    assert reads == [path]
