"""The pictures below a prefix of a bucket, as items."""

from __future__ import annotations

import errno
import glob
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from ...artifacts import backend_options
from ...datasets.inventory import Inventory
from ...endings import is_picture
from ...errors import InvalidInputError, MissingExtraError
from ...settings import Settings, masked, without_secrets
from ..items import Item, file_name, label
from .folders import tell
from .listing import listed

_SCHEMES = ("s3://", "s3a://", "gs://", "gcs://", "az://", "abfs://", "memory://")


def is_bucket(word: str) -> bool:
    """Whether a word is an address in a bucket."""
    return word.lower().startswith(_SCHEMES)


def below(
    url: str, settings: Settings, note: Callable[[str], None], tick: Callable[[], None]
) -> Iterator[Item]:
    """The pictures below a prefix, by name; or the one object that the address is.

    Raises:
        InvalidInputError: it cannot be read, or has no pictures.
        MissingExtraError: the packages for such buckets are not installed.
    """
    import fsspec

    try:
        system, root = fsspec.core.url_to_fs(url, **backend_options(settings, url))
        names = listed(lambda: system.find(root), tick)
    except ImportError as error:
        if url.lower().startswith("s3"):
            raise MissingExtraError("s3", masked(url)) from None
        raise InvalidInputError(f"{masked(url)}: {without_secrets(str(error), url)}") from None
    except Exception as error:  # each backend raises errors of its own
        said = without_secrets(str(error), url) or type(error).__name__
        raise InvalidInputError(f"{masked(url)} cannot be read: {said}") from None
    if not names and glob.has_magic(root):
        raise InvalidInputError(f"{masked(url)}: give what names begin with, not a pattern")
    found, pictures = Inventory(), []
    for name in sorted(names):
        if is_picture(name) and not PurePosixPath(name).name.startswith("."):
            pictures.append(name)
        else:
            found.leave_out(name, "no pictures")
    tell(found, masked(url), len(pictures), note)
    for name in pictures:
        called = label(system.unstrip_protocol(name))
        yield Item(called, file_name(name), bring=_Download(system, name, called))


class _Download:
    """Fetches an object to a path."""

    def __init__(self, system: Any, key: str, name: str) -> None:
        self._system, self._key, self._name = system, key, name

    def __call__(self, target: Path) -> None:
        try:
            self._system.get_file(self._key, str(target))
        except Exception as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:  # here
                raise
            said = without_secrets(str(error), self._name) or type(error).__name__
            raise InvalidInputError(f"{self._name} cannot be fetched: {said}") from None
