"""Whether files in the store still have the content that they were stored with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Connection, select

from .. import tables as t
from ..artifacts import ArtifactStore
from ..errors import StoreError, UsageError
from ..files import is_sha256
from ..records import Artifact
from ..states import Role
from .comparison import Comparison


def damaged(
    artifacts: ArtifactStore,
    files: Sequence[Artifact],
    spec: Mapping[str, Any],
    on_file: Callable[[int, int], None],
) -> list[str]:
    """What is wrong with the stored files of a job and with its inputs, a sentence each.

    Args:
        artifacts: the store.
        files: that the job has left.
        spec: its specification as JSON.
        on_file: told how many have been read, and of how many.
    """
    inputs = inputs_in(spec)
    total, wrong = len(files) + len(inputs), []
    with TemporaryDirectory(prefix="cvq-verify-") as folder:
        checks = [
            *((file.name, _read_artifact(artifacts, file, Path(folder))) for file in files),
            *((f"input {name}", _read_input(artifacts, sha256, Path(folder)))
              for name, sha256 in inputs),
        ]  # fmt: skip
        for done, (name, check) in enumerate(checks, 1):
            try:
                check()
            except StoreError as error:
                wrong.append(f"{name}: {error}")
            on_file(done, total)
    return wrong


def inputs_in(spec: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and SHA-256 of the inputs in a specification that lie in the store as such.

    A model lies among the files of the job that has trained it.
    """
    found: dict[str, str] = {}
    for value in spec.values():
        for file in value if isinstance(value, list) else [value]:
            is_input = isinstance(file, dict) and "name" in file and not file.get("job")
            if is_input and is_sha256(file.get("sha256")):
                found.setdefault(file["sha256"], str(file["name"]))
    return [(name, sha256) for sha256, name in found.items()]


def with_models_here(connection: Connection, spec: Any) -> dict[str, Any]:
    """A specification as JSON in which each model is of a job of this database.

    Raises:
        UsageError: there is no such model here, or it is no specification.
    """
    if not isinstance(spec, dict):
        raise UsageError("the proof has no specification")
    return {name: _with_model(connection, value) for name, value in spec.items()}


def _with_model(connection: Connection, value: Any) -> Any:
    if isinstance(value, list):
        return [_with_model(connection, each) for each in value]
    if not (isinstance(value, dict) and "name" in value and value.get("job") is not None):
        return value
    a = t.artifacts.c
    sha256 = str(value.get("sha256"))
    own = select(a.job_id).where(a.sha256 == sha256, a.role == Role.MODEL)
    found = connection.scalar(own.order_by(a.job_id).limit(1))
    if found is None:
        raise UsageError(f"no job here has left the model {sha256[:12]}: train it here first")
    return {**value, "job": found}


def files_here(connection: Connection, found: Comparison) -> dict[str, Artifact]:
    """The earlier files that differ, as far as some job of this database has left the same."""
    a, here = t.artifacts.c, {}
    for each in found.differences:
        row = connection.execute(
            select(t.artifacts).where(a.sha256 == each.before).order_by(a.job_id).limit(1)
        ).one_or_none()
        if each.before is not None and row is not None:
            here[each.name] = Artifact.from_row(row)
    return here


def missing(artifacts: ArtifactStore, inputs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those of some inputs that are not in the store."""
    gone = []
    for name, sha256 in inputs:
        try:
            artifacts.note_use(sha256)
        except StoreError:
            gone.append((name, sha256))
    return gone


def _read_artifact(artifacts: ArtifactStore, file: Artifact, folder: Path) -> Callable[[], object]:
    def read() -> None:
        path = artifacts.fetch_readable(file, folder)
        if not artifacts.is_local:
            path.unlink()  # the next may be as large

    return read


def _read_input(artifacts: ArtifactStore, sha256: str, folder: Path) -> Callable[[], object]:
    def read() -> None:
        path = artifacts.fetch_input(sha256, folder)
        if not artifacts.is_local:
            path.unlink()

    return read
