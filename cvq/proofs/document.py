"""A proof as a file: what a job was made from and by, and what came of it, under its own SHA-256.

It is JSON that another machine can check. The SHA-256 tells of edits by mistake and of files that
were cut; it is no signature, and says nothing about who wrote the proof.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from sqlalchemy import Connection

from .. import attributes
from ..errors import UsageError
from ..files import atomic, is_sha256, why
from ..leaves import without_paths
from ..records import Job
from .comparison import File, Making, making_of

VERSION = 1
_MOST_BYTES = 64 << 20
_SEAL = "sha256"


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str
    role: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)


class _Job(BaseModel):
    model_config = ConfigDict(strict=True)

    id: int
    kind: str
    spec: dict[str, Any]
    device: str | None = None

    @field_validator("spec")
    @classmethod
    def _files_have_a_sha256(cls, spec: dict[str, Any]) -> dict[str, Any]:
        for value in spec.values():
            for file in value if isinstance(value, list) else [value]:
                digest = file.get("sha256") if isinstance(file, dict) else None
                if digest is not None and not is_sha256(digest):
                    raise ValueError("an input is not named by a SHA-256")
        return spec


class _Shape(BaseModel):
    """What a proof is at least: whoever sent one may have written it by hand."""

    model_config = ConfigDict(strict=True)

    job: _Job
    inputs: list[Any]
    code: str | None = None
    environment: dict[str, Any]
    artifacts: list[_File]


def proof_of(
    connection: Connection, job: Job, compared: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The proof of a job that has succeeded.

    Args:
        connection: reads only.
        job: the job.
        compared: how it came out when it was run again, and was compared.
    """
    made = making_of(connection, job)
    proof: dict[str, Any] = {
        "proof": VERSION,
        "job": {
            "id": job.id,
            "kind": job.kind,
            "spec": without_paths(job.spec),
            "seed": job.spec.get("seed", made.seed),
            "device": job.device,
            "in_batch": job.batch_key is not None,
            "finished_at": job.finished_at and job.finished_at.isoformat(),
        },
        "inputs": [each._asdict() for each in attributes.inputs_of(job.spec)],
        "code": made.environment.get("code"),
        "environment": dict(made.environment),
        "artifacts": [file._asdict() for file in made.files],
    }
    if compared is not None:
        proof["verified"] = compared
    return sealed(proof)


def sealed(proof: dict[str, Any]) -> dict[str, Any]:
    """The proof with its SHA-256."""
    return {**proof, _SEAL: _digest(proof)}


def write(proof: dict[str, Any], path: Path) -> None:
    """Write a proof, whole or not at all.

    Raises:
        UsageError: the file cannot be written.
    """
    text = json.dumps(proof, indent=2, ensure_ascii=False) + "\n"
    try:
        with atomic(path) as partial:
            partial.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {why(error)}") from None


def read(path: Path) -> dict[str, Any]:
    """A proof that is as it was written.

    Raises:
        UsageError: the file cannot be read, is no proof, or was edited.
    """
    try:
        if not path.is_file():  # a pipe may never end
            raise UsageError(f"{path} is not a file: give a proof, or a job")
        if path.stat().st_size > _MOST_BYTES:
            raise UsageError(f"{path} is no proof: it is larger than {_MOST_BYTES >> 20} MiB")
        proof = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {why(error)}") from None
    except (ValueError, RecursionError):
        raise UsageError(f"{path} is no proof: it is not JSON, or was cut off") from None
    if not isinstance(proof, dict) or "proof" not in proof:
        raise UsageError(f"{path} is no proof: `cvq rerun JOB --verify --proof FILE` writes one")
    seal = proof.pop(_SEAL, None)
    if seal != _digest(proof):
        raise UsageError(f"{path} was edited: its content does not have the SHA-256 that it says")
    if proof["proof"] != VERSION:
        raise UsageError(f"{path} is a proof of another version of cvq: {proof['proof']!r}")
    try:
        _Shape.model_validate(proof)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise UsageError(
            f"{path} is no proof: {where} is missing, or not as it should be"
        ) from None
    return proof


def making_in(proof: Mapping[str, Any]) -> Making:
    """What a proof says was made, and what by.

    Raises:
        UsageError: it says it otherwise than a proof does.
    """
    try:
        files = [File(**each) for each in proof["artifacts"]]
        environment = {str(name): str(value) for name, value in proof["environment"].items()}
        return Making(files, environment, proof["job"].get("seed"))
    except (TypeError, AttributeError):
        raise UsageError("the proof does not say what was made") from None


def _digest(proof: dict[str, Any]) -> str:
    """Of the JSON with its keys in order and no spaces, in UTF-8."""
    text = json.dumps(proof, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
