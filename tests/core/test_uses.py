"""Inputs that nobody uses go; one that a submission has just found stays."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cvq import uses
from cvq.artifacts import ArtifactStore
from cvq.errors import StoreError
from cvq.ids import AttemptId
from waiting import eventually

DAY = 86_400


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest) -> ArtifactStore:
    found: ArtifactStore = request.getfixturevalue(f"{request.param}_store")
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a picture.png"
    path.write_bytes(b"pixels")
    return path


@pytest.fixture
def old(store: ArtifactStore, file: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """Stores an input and lets two days pass: of all that was written until then."""

    def put() -> str:
        digest, _ = store.put_input(file)
        if store.is_local:
            path = store.local_path(store.input_uri(digest))
            assert path is not None
            before = path.stat().st_mtime - 2 * DAY
            os.utime(path, (before, before))
        else:
            real = store.fs.modified
            then = real(store._input_key(digest))

            def modified(key: str) -> Any:
                found = real(key)
                return found - timedelta(days=2) if found <= then else found

            eventually(lambda: _clock(store) > then)  # which is one of whole seconds
            monkeypatch.setattr(store.fs, "modified", modified)
        return digest

    return put


def is_there(store: ArtifactStore, digest: str) -> bool:
    store.fs.invalidate_cache()
    return bool(store.fs.exists(store.input_uri(digest)))


def kept(store: ArtifactStore) -> list[str]:
    store.fs.invalidate_cache()
    return list(store.fs.find(store.root))


def test_an_input_of_long_ago_goes(store: ArtifactStore, old: Callable[[], str]) -> None:
    digest = old()
    assert store.size_of_input(digest) == 6
    assert store.remove_input(digest) == 6
    assert kept(store) == []
    assert store.remove_input(digest) == 0
    assert store.size_of_input(digest) == 0


def test_one_that_was_just_stored_stays(store: ArtifactStore, file: Path) -> None:
    digest, _ = store.put_input(file)
    assert store.remove_input(digest) is None
    assert is_there(store, digest)
    assert store.remove_input(digest, 0) == 6


def test_one_that_is_found_again_stays(
    store: ArtifactStore, old: Callable[[], str], file: Path
) -> None:
    digest = old()
    store.put_input(file)
    assert store.remove_input(digest) is None
    assert is_there(store, digest)


def test_one_that_is_found_while_it_is_removed_stays(
    store: ArtifactStore, old: Callable[[], str], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = old()
    move = store.fs.mv

    def moved(source: str, target: str) -> None:
        if target.endswith(".unused"):
            store.put_input(file)
        move(source, target)

    monkeypatch.setattr(store.fs, "mv", moved)
    assert store.remove_input(digest) is None
    assert store.fetch_input(digest, file.parent / "cache").read_bytes() == b"pixels"
    assert not [each for each in kept(store) if each.endswith(".unused")]


@pytest.mark.parametrize("again", [False, True])
def test_a_removal_that_was_killed_is_done(
    store: ArtifactStore, old: Callable[[], str], file: Path, again: bool
) -> None:
    digest = old()
    store.fs.mv(store.input_uri(digest), store.input_uri(digest) + ".unused")
    if again:  # somebody has stored it anew meanwhile
        store.put_input(file)
    store.remove_input(digest)
    assert is_there(store, digest) is again
    assert not [each for each in kept(store) if each.endswith(".unused")]


def test_an_input_of_another_user_is_marked(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ArtifactStore((tmp_path / "store").as_uri())
    digest, _ = store.put_input(file)
    path = store.local_path(store.input_uri(digest))
    assert path is not None
    os.utime(path, (0, 0))

    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(uses.os, "utime", refused)
    store.put_input(file)
    assert store.remove_input(digest) is None


def test_a_job_that_takes_an_input_of_another_says_so_first(
    store: ArtifactStore, old: Callable[[], str]
) -> None:
    digest = old()
    store.note_use(digest)
    assert store.remove_input(digest) is None
    with pytest.raises(StoreError, match="is not in the store"):
        store.note_use("0" * 64)


def test_the_folders_of_a_job_go_when_they_are_empty(tmp_path: Path, file: Path) -> None:
    store = ArtifactStore((tmp_path / "store").as_uri())
    artifact = store.put_artifact(AttemptId(42, 1), file, name="a/b.png", role="result")
    store.remove_folder(42)
    assert store.remove_file(artifact.uri) == 6
    assert store.remove_file(artifact.uri) is None
    store.remove_folder(42)
    assert list((tmp_path / "store" / "jobs").iterdir()) == []


def _clock(store: ArtifactStore) -> datetime:
    """The store's own time, by a file that is gone after."""
    key = f"{store.root}/clock"
    store.fs.pipe_file(key, b"")
    found: datetime = store.fs.modified(key)
    store.fs.rm_file(key)
    return found
