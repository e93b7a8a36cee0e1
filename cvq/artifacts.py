"""The artifact store: inputs under their SHA-256, outputs under their job and attempt.

    STORE/inputs/9f/9f86d081…            uploaded once, however many jobs read it
    STORE/jobs/42/1/result.png           what attempt 1 of job 42 left

A file that is there is never written again: one that takes another's name, such as the next
preview, gets a key of its own (`preview-2.png`), so that whoever reads the earlier reads it whole.

`fsspec` makes it a folder or a bucket. Nothing outside STORE is read or written through it.
"""

from __future__ import annotations

import contextlib
import errno
import mimetypes
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from .errors import CvqError, InvalidInputError, MissingExtraError, StoreError, UsageError
from .files import atomic, is_sha256, make_home, sha256_of, why
from .ids import AttemptId
from .names import Names, safe_name
from .records import Artifact
from .settings import Settings, masked, without_secrets
from .text import one_line
from .uses import IDLE_S, age_of, files_in, note_use, remove_unused

_CONNECT_TIMEOUT_S = 5.0  # as s3fs has it, whose are the settings' defaults, too
_MARK = ".cvq-store"  # a file that tells this store from others
_TICK_S = 2.0  # of the clock of any file system
_MOST_KNOWN = 1000
_LONGEST_SAID = 40  # of what is no SHA-256
# What fsspec's backends take for versions, patterns, protocols or parts of a URL.
_SPECIAL = re.compile(r"[?#*%:\[\]{}]")


class ArtifactStore:
    """Files by URI, in a folder (`file:///…`) or a bucket (`s3://bucket/prefix`).

    Args:
        url: where it is, as fsspec takes it.
        options: what fsspec's backend is given besides, as `backend_options` makes them.
    """

    def __init__(self, url: str, options: Mapping[str, Any] | None = None) -> None:
        import fsspec  # 40 ms that a submission without files need not spend

        self.url = url.rstrip("/")
        try:
            if self.url.startswith("file://"):  # a path as it stands, also with '::' in it
                self.fs = fsspec.filesystem("file")
                self.root = self.fs._strip_protocol(self.url)
            else:
                self.fs, self.root = fsspec.core.url_to_fs(self.url, **(options or {}))
        except ImportError as error:
            if self.url.startswith("s3:"):
                raise MissingExtraError("s3", f"the artifact store {self}") from None
            raise StoreError(f"artifact store {self}: {self._plain(error)}") from None
        except OSError as error:  # a server that is not there
            raise StoreError(f"artifact store {self}: {self._plain(why(error))}") from None
        except ValueError as error:
            raise UsageError(f"CVQ_STORE_URL '{self}': {self._plain(error)}") from None
        self.is_local = "file" in _protocols(self.fs)
        self.root = self.root.rstrip("/")
        # Files that were found whole, each with what its next write would change.
        self._whole: dict[Path, tuple[str, int, int, int, int]] = {}

    def __str__(self) -> str:
        return masked(self.url)

    def _plain(self, said: object) -> str:
        """What a backend or a row says, without what is secret in an address."""
        return without_secrets(str(said), self.url)

    def put_input(self, path: Path) -> tuple[str, int]:
        """Store a file under its content, once; return its SHA-256 and size in bytes.

        Raises:
            InvalidInputError: the file cannot be read.
            StoreError: the store cannot be written, or the file changed on its way there.
        """
        try:
            digest, size = sha256_of(path), path.stat().st_size
        except OSError as error:
            raise InvalidInputError(f"{path} cannot be read: {why(error)}") from None
        key = self._input_key(digest)
        with self._errors(key):
            note_use(self.fs, key, local=self.is_local)
            if not self._holds(key, digest, size):
                self._upload(path, key, keep=True, digest=digest)
        return digest, size

    def fetch_input(self, digest: str, cache: Path) -> Path:
        """A local path of an input, checked; a copy in `cache` where the store is not local.

        Raises:
            StoreError: it is not there, or its content is not what its name says.
        """
        key = self._input_key(digest)
        path = Path(key) if self.is_local else cache / digest
        with self._errors(key):
            if path.exists() and (self.is_local or sha256_of(path) == digest):
                _check(path, digest, key)
            elif not self.fs.exists(key):
                raise StoreError(f"input {digest[:12]} is not in the store {self}")
            else:
                self._download(key, path, digest)
        return path

    def put_artifact(
        self,
        attempt: AttemptId,
        path: Path,
        *,
        name: str,
        role: str,
        media_type: str | None = None,
        names: Names | None = None,
    ) -> Artifact:
        """Move a file into an attempt's folder and describe it. The local file is gone after.

        Args:
            attempt: the attempt that left it.
            path: the file.
            name: what the job calls it.
            role: what it is for.
            media_type: guessed from the name when not given.
            names: those that the attempt has used, also of files that are gone again.

        Raises:
            StoreError: the store cannot be written.
            UsageError: the name points out of the attempt's folder, or the path is not a file.
        """
        name = safe_name(name)
        if path.is_symlink() or not path.is_file():  # a pipe would never end
            raise UsageError(f"artifact {name}: {path.name} is not a regular file")
        folder = f"{self.root}/jobs/{attempt.job_id}/{attempt.attempt}/"
        with self._errors(folder):
            plain = _SPECIAL.sub("_", name)
            inside = (names or Names()).place(plain, lambda path: self.fs.exists(folder + path))
        key = folder + inside
        with self._errors(key):
            digest, size = sha256_of(path), path.stat().st_size
            self._upload(path, key, keep=False)
        return Artifact(
            name=name,
            role=role,
            media_type=media_type or mimetypes.guess_type(name)[0] or "application/octet-stream",
            uri=self._uri(key),
            sha256=digest,
            bytes=size,
            attempt=attempt.attempt,
        )

    def fetch(self, artifact: Artifact, target: Path) -> Path:
        """Copy an artifact to a local path, whole or not at all.

        Raises:
            StoreError: it is not there, lies outside the store, or was changed.
        """
        key = self._key(artifact.uri)
        self._download(key, target, artifact.sha256)
        return target

    def fetch_readable(self, artifact: Artifact, folder: Path) -> Path:
        """A local path to read an artifact from: its own, or a copy in `folder`; checked.

        A copy that is there already, and is whole, is not brought again. One that was found whole
        is not read again as long as nobody has written to it.

        Raises:
            StoreError: it is not there, lies outside the store, or was changed.
        """
        key = self._key(artifact.uri)
        if not self.is_local:
            copy = folder / PurePosixPath(key).name
            with self._errors(key):
                there = copy.is_file() and self._is_whole(copy, artifact.sha256)
            return copy if there else self.fetch(artifact, copy)
        with self._errors(key):
            if not self._is_whole(Path(key), artifact.sha256):
                raise _damaged(key)
        return Path(key)

    def _is_whole(self, path: Path, digest: str) -> bool:
        found = path.stat()
        known = (digest, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        if self._whole.get(path) == known:
            return True
        if sha256_of(path) != digest:
            return False
        if time.time() - found.st_ctime > _TICK_S:  # else another write may have the same time
            if len(self._whole) >= _MOST_KNOWN:
                self._whole.clear()
            self._whole[path] = known
        return True

    def remove(self, artifact: Artifact) -> None:
        """Delete an artifact's file, if it is still there.

        Raises:
            StoreError: it lies outside the store, or cannot be deleted.
        """
        self.remove_file(artifact.uri)

    def remove_file(self, uri: str) -> int | None:
        """Delete a job's file; return its bytes, None where it is gone already.

        Raises:
            StoreError: it lies outside the store, or cannot be deleted.
        """
        key = self._key(uri)
        with self._errors(key):
            try:
                size = int(self.fs.size(key) or 0)
                self.fs.rm_file(key)
            except FileNotFoundError:
                return None
        return size

    def remove_folder(self, job_id: int) -> None:
        """Delete the folders of a job that is gone, as far as they are empty."""
        if self.is_local:  # a bucket has none
            for folder, _, _ in os.walk(f"{self.root}/jobs/{job_id}", topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)  # noqa: PTH106 - as they come

    def note_use(self, digest: str) -> None:
        """Take down that a job is about to take an input that is in the store.

        To be called before that job is entered: otherwise a prune may take the input away.

        Raises:
            StoreError: it is not there, or the store cannot be asked.
        """
        key = self._input_key(digest)
        with self._errors(key):
            note_use(self.fs, key, local=self.is_local)
            if not self.fs.exists(key):
                raise StoreError(f"input {digest[:12]} is not in the store {self}")

    def remove_input(self, digest: str, idle_s: float = IDLE_S) -> int | None:
        """Delete an input that nobody has used for so long; return its bytes.

        Returns:
            None where somebody has used it: it stays.

        Raises:
            StoreError: the store cannot be asked or written.
        """
        key = self._input_key(digest)
        with self._errors(key):
            return remove_unused(self.fs, key, local=self.is_local, idle_s=idle_s)

    def listing(self, folder: str) -> Iterator[tuple[str, int, float]]:
        """What lies in `inputs` or `jobs`: paths below it, bytes, seconds since it was written.

        Raises:
            StoreError: the store cannot be read.
        """
        start = f"{self.root}/{folder}"
        with self._errors(start):
            for key in files_in(self.fs, start, local=self.is_local):
                with contextlib.suppress(FileNotFoundError):  # gone meanwhile
                    age = age_of(self.fs, key, local=self.is_local)
                    if age is not None:
                        yield key[len(start) + 1 :], int(self.fs.size(key) or 0), age

    def uri_of(self, path: str) -> str:
        """The URI of what lies at a path of the store: `jobs/42/1/result.png`."""
        return self._uri(f"{self.root}/{path}")

    def size_of_input(self, digest: str) -> int:
        """The bytes of an input; 0 of one that is not there.

        Raises:
            StoreError: the store cannot be asked.
        """
        key = self._input_key(digest)
        with self._errors(key):
            try:
                return int(self.fs.size(key) or 0)
            except FileNotFoundError:
                return 0

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

    def identity(self) -> str:
        """A word that only this store has, from wherever it is seen; written when first asked for.

        Raises:
            StoreError: it can be neither read nor written.
        """
        key = f"{self.root}/{_MARK}"
        with self._errors(key):
            if not self.fs.exists(key):
                self._make_mark(key)
            said: bytes = self.fs.cat_file(key)
        return said.decode(errors="replace").strip()

    def _make_mark(self, key: str) -> None:
        word = secrets.token_hex(16)
        with contextlib.suppress(FileExistsError):  # somebody else was first, and theirs it is
            if not self.is_local:
                self.fs.pipe_file(key, word.encode(), mode="create")
                return
            whole = Path(f"{key}-{word}")
            with atomic(whole) as partial:
                partial.write_text(word)
            try:
                Path(key).hardlink_to(whole)
            except PermissionError:  # a file system without links
                whole.replace(key)
            finally:
                whole.unlink(missing_ok=True)

    def input_uri(self, digest: str) -> str:
        """The URI of an input."""
        return self._uri(self._input_key(digest))

    def _input_key(self, digest: str) -> str:
        if not is_sha256(digest):  # rows and proofs may say anything, `../..` too
            raise StoreError(
                f"{one_line(str(digest), _LONGEST_SAID)!r} names no input: it is no SHA-256"
            )
        return f"{self.root}/inputs/{digest[:2]}/{digest}"

    def _uri(self, key: str) -> str:
        uri: str = self.fs.unstrip_protocol(key)
        return uri

    def has_place(self, uri: str) -> bool:
        """Whether a URI is of this store, and of none that was used before."""
        try:
            self._key(uri)
        except StoreError:
            return False
        return True

    def _key(self, uri: str) -> str:
        key: str = self.fs._strip_protocol(uri)
        if self.is_local:
            # No link leads out; and whoever names the folder by a link has the same store.
            inside = Path(key).resolve().is_relative_to(Path(self.root).resolve())
        else:
            inside = PurePosixPath(key).is_relative_to(self.root)
        if not inside or ".." in key.split("/"):
            raise StoreError(f"{self._plain(uri)} is not in the artifact store {self}")
        return key

    def _holds(self, key: str, digest: str, size: int) -> bool:
        """Whether the store has this input, as whole as can be told without fetching it."""
        if not self.fs.exists(key) or self.fs.size(key) != size:
            return False
        return not self.is_local or sha256_of(Path(key)) == digest

    def _download(self, key: str, target: Path, digest: str) -> None:
        with atomic(target) as partial, self._errors(key):
            self.fs.get_file(key, str(partial))
            _check(partial, digest, key)

    def _upload(self, path: Path, key: str, *, keep: bool, digest: str | None = None) -> None:
        if not self.is_local:
            self.fs.put_file(str(path), key)  # an object appears whole or not at all
            if not keep:
                path.unlink()
        elif keep or not _renamed(path, Path(key)):
            with atomic(Path(key)) as partial:
                shutil.copyfile(path, partial)
                if digest is not None and sha256_of(partial) != digest:
                    raise StoreError(f"{path} changed while it was stored: submit it again")
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
        except FileNotFoundError as error:
            if not self.is_local and "bucket" in str(error):
                raise StoreError(f"artifact store {self}: {self._plain(error)}") from None
            raise StoreError(f"{self._plain(key)} is not in the artifact store {self}") from None
        except Exception as error:  # each fsspec backend raises errors of its own
            advice = why(error) if isinstance(error, OSError) else f"{error}"
            raise StoreError(f"artifact store {self}: {self._plain(advice)}") from error


def open_store(settings: Settings) -> ArtifactStore:
    """The store that the settings name. The default one is in the home folder, which is made.

    Raises:
        SetupError: there is no such store, or the home folder cannot be made.
    """
    if settings.store_url is None:
        make_home(settings.home)
    return ArtifactStore(settings.store, backend_options(settings))


def backend_options(settings: Settings, url: str | None = None) -> dict[str, Any]:
    """What a backend is told of retries and timeouts, the store's or another; S3 takes any."""
    if not (url or settings.store).startswith(("s3:", "s3a:")):
        return {}
    return {
        "config_kwargs": {
            "retries": {"max_attempts": settings.store_retries},
            "connect_timeout": min(_CONNECT_TIMEOUT_S, settings.store_timeout),
            "read_timeout": settings.store_timeout,
        }
    }


def _protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


def _renamed(path: Path, target: Path) -> bool:
    """Move within one file system, which costs nothing; False where that cannot be."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.stat().st_nlink > 1:  # whoever holds the other link could still write to it
        return False
    try:
        path.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return False
    return True


def _check(path: Path, digest: str, key: str) -> None:
    if sha256_of(path) != digest:
        raise _damaged(key)


def _damaged(key: str) -> StoreError:
    return StoreError(f"{key} is damaged: its content is not what was stored")
