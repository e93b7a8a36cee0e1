"""The artifact store: inputs under their SHA-256, outputs under their job and attempt.

    STORE/inputs/9f/9f86d081…            uploaded once, however many jobs read it
    STORE/jobs/42/1/result.png           what attempt 1 of job 42 left

`fsspec` makes it a folder or a bucket. Nothing outside STORE is read or written through it.
"""

from __future__ import annotations

import errno
import mimetypes
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec

from .errors import CvqError, MissingExtraError, StoreError, UsageError
from .files import atomic, sha256_of
from .jobs import Artifact, Lease


class ArtifactStore:
    """Files by URI, in a folder (`file:///…`) or a bucket (`s3://bucket/prefix`)."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        try:
            self.fs, self.root = fsspec.core.url_to_fs(self.url)
        except ImportError:
            extra = self.url.partition(":")[0]
            raise MissingExtraError(extra, f"the artifact store {self.url}") from None
        except ValueError as error:
            raise UsageError(f"CVQ_STORE_URL '{self.url}': {error}") from None
        self.is_local = "file" in _protocols(self.fs)
        self.root = self.root.rstrip("/")

    def put_input(self, path: Path) -> tuple[str, int]:
        """Store a file under its content, once; return its SHA-256 and size in bytes.

        Raises:
            StoreError: the store cannot be written.
        """
        digest, size = sha256_of(path), path.stat().st_size
        key = self._input_key(digest)
        with self._errors(key):
            if not self.fs.exists(key) or self.fs.size(key) != size:
                self._upload(path, key, keep=True)
        return digest, size

    def fetch_input(self, digest: str, cache: Path) -> Path:
        """A local path of an input; a copy in `cache` where the store is not local.

        Raises:
            StoreError: it is not there, or its content is not what its name says.
        """
        key = self._input_key(digest)
        path = Path(key) if self.is_local else cache / digest
        if not path.exists():
            with self._errors(key):
                if not self.fs.exists(key):
                    raise StoreError(f"input {digest[:12]} is not in the store {self.url}")
                with atomic(path) as partial:
                    self.fs.get_file(key, str(partial))
                    _check(partial, digest, key)
        return path

    def put_artifact(
        self, lease: Lease, path: Path, *, name: str, role: str, media_type: str | None = None
    ) -> Artifact:
        """Move a file into an attempt's folder and describe it. The local file is gone after.

        Raises:
            StoreError: the store cannot be written.
            UsageError: the name points out of the attempt's folder.
        """
        key = f"{self.root}/jobs/{lease.job_id}/{lease.attempt}/{safe_name(name)}"
        digest, size = sha256_of(path), path.stat().st_size
        with self._errors(key):
            self._upload(path, key, keep=False)
        return Artifact(
            name=name,
            role=role,
            media_type=media_type or mimetypes.guess_type(name)[0] or "application/octet-stream",
            uri=self._uri(key),
            sha256=digest,
            bytes=size,
            attempt=lease.attempt,
        )

    def fetch(self, artifact: Artifact, target: Path) -> Path:
        """Copy an artifact to a local path, whole or not at all.

        Raises:
            StoreError: it is not there, lies outside the store, or was changed.
        """
        key = self._key(artifact.uri)
        with self._errors(key), atomic(target) as partial:
            self.fs.get_file(key, str(partial))
            _check(partial, artifact.sha256, key)
        return target

    def local_path(self, uri: str) -> Path | None:
        """Where a URI lies on this machine, or None where the store is remote."""
        return Path(self._key(uri)) if self.is_local else None

    def probe(self) -> None:
        """Write and remove a small file, to find out whether that works.

        Raises:
            StoreError: it does not.
        """
        key = f"{self.root}/.probe-{os.getpid()}"
        with self._errors(key):
            self._makedirs(key)
            self.fs.pipe_file(key, b"cvq")
            self.fs.rm_file(key)

    def input_uri(self, digest: str) -> str:
        """The URI of an input."""
        return self._uri(self._input_key(digest))

    def _input_key(self, digest: str) -> str:
        return f"{self.root}/inputs/{digest[:2]}/{digest}"

    def _uri(self, key: str) -> str:
        uri: str = self.fs.unstrip_protocol(key)
        return uri

    def _key(self, uri: str) -> str:
        key: str = self.fs._strip_protocol(uri)
        inside = PurePosixPath(key).is_relative_to(self.root) and ".." not in key.split("/")
        if not inside:
            raise StoreError(f"{uri} is not in the artifact store {self.url}")
        return key

    def _upload(self, path: Path, key: str, *, keep: bool) -> None:
        if not self.is_local:
            self.fs.put_file(str(path), key)  # an object appears whole or not at all
            if not keep:
                path.unlink()
        elif keep or not _renamed(path, Path(key)):
            with atomic(Path(key)) as partial:
                shutil.copyfile(path, partial)
            if not keep:
                path.unlink()

    def _makedirs(self, key: str) -> None:
        if self.is_local:
            Path(key).parent.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        try:
            yield
        except CvqError:
            raise
        except FileNotFoundError:
            raise StoreError(f"{key} is not in the artifact store {self.url}") from None
        except Exception as error:  # each fsspec backend raises errors of its own
            full = isinstance(error, OSError) and error.errno == errno.ENOSPC
            advice = "the disk is full" if full else f"{error}"
            raise StoreError(f"artifact store {self.url}: {advice}") from error


def safe_name(name: str) -> str:
    """The name of an artifact, refused where it would leave the folder it belongs in.

    Raises:
        UsageError: it is empty, absolute, or climbs.
    """
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\x00" in name or "\\" in name:
        raise UsageError(f"'{name}' is not a name for an artifact")
    return "/".join(parts)


def _protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


def _renamed(path: Path, target: Path) -> bool:
    """Move within one file system, which costs nothing; False where that cannot be."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return False
    return True


def _check(path: Path, digest: str, key: str) -> None:
    if sha256_of(path) != digest:
        raise StoreError(f"{key} is damaged: its content is not what was stored")
