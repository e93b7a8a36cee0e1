"""Items go into a shard: each is read once, and its digest taken on the way."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from .errors import CvqError, InvalidInputError, SetupError, UsageError
from .in_order import QUICK_S
from .inputs import shards
from .inputs.contents import UnreadableError, digest, read_file
from .inputs.files import ImageFile
from .inputs.items import Item
from .known import Answer, Known, Seen
from .manifests import Entry, Stamp
from .settings import Settings

_TRIED = 20


class Taken(NamedTuple):
    """What has become of an item.

    Attributes:
        entry: what it is.
        row: of the answers of its job; None where the job has no other item.
        error: why it cannot be used.
        answer: of an earlier batch, where there is one.
    """

    entry: Entry
    row: int | None = None
    error: str | None = None
    answer: Answer | None = None


@dataclass(frozen=True)
class Packer:
    """Packs items into shards.

    Attributes:
        settings: how large a picture may be.
        known: what earlier batches have answered.
        strict: whether one that is no picture ends it all.
    """

    settings: Settings
    known: Known
    strict: bool

    def pack(self, target: Path, items: Sequence[Seen], place: Path) -> list[Taken]:
        """Write a shard; what is found to be known is left out.

        Args:
            target: the shard.
            items: looked up, as far as they can be without being fetched.
            place: a folder to be made where something has to be fetched.

        Raises:
            InvalidInputError: an item cannot be used, and this is strict.
            StoreError: the shard cannot be written.
        """
        taken: list[Taken] = []
        root = _root([seen.item.name for seen in items])
        shards.write(target, self._files(items, place, taken), in_order=True, root=root)
        return taken

    def is_quick(self, items: Sequence[Seen]) -> bool:
        """Whether items seem to be here, and read without waiting: the first are tried."""
        if self.strict or any(seen.item.place is None for seen in items):
            return False
        began = time.perf_counter()
        for seen in items[:_TRIED]:
            with suppress(UnreadableError, CvqError):  # said when it is packed
                seen.item.read()
        return time.perf_counter() - began < _TRIED * QUICK_S

    def _files(
        self, items: Sequence[Seen], place: Path, taken: list[Taken]
    ) -> Iterator[tuple[str, bytes | shards.Problem]]:
        row = 0
        for item, known, _ in items:
            try:
                content, stamp = self._content(item, place)
            except (UsageError, SetupError, UnreadableError) as error:
                said = item.told(error, place)
                if isinstance(error, UnreadableError):
                    said = f"{item.name} {said}"
                if self.strict:
                    raise InvalidInputError(f"nothing was queued: {said}") from None
                problem = _behind(item.name, said)
                entry = Entry(known.nth, item.name, item.place)
                taken.append(Taken(entry, row, problem))
                yield item.name, shards.Problem(problem)
            else:
                sha256 = digest(content)
                entry = Entry(known.nth, item.name, item.place, stamp, sha256)
                # What is on this machine was looked up before.
                if entry.place is None and (answer := self.known.alike(sha256)):
                    taken.append(Taken(entry, answer=answer))
                    continue
                taken.append(Taken(entry, row))
                yield item.name, content
            row += 1

    def _content(self, item: Item, place: Path) -> tuple[bytes, Stamp | None]:
        """What an item holds, and the stamp of its file from before."""
        if item.error is not None:
            raise InvalidInputError(item.error)
        if not self.strict and (read := item.read()) is not None:
            return read
        with folder(place):
            path = self._on_disk(item, place)
            if self.strict:
                from .pictures.images import check_image

                check_image(path, self.settings.max_pixels, item.name)
            content, stamp = read_file(path)
        return content, stamp if item.within is None else item.within.stamp

    def _on_disk(self, item: Item, place: Path) -> Path:
        if item.path is not None:
            return Path(item.path)
        file = ImageFile.model_validate(item.brought(place).value)
        if file.address is not None:
            place.mkdir(exist_ok=True)
            file = file.fetch(place / "fetched", self.settings, download=True)
        return file.given_path


def _root(names: list[str]) -> str:
    """The folder that all names lie in, as they are written."""
    common = os.path.commonprefix(names)  # noqa: RUF071 - cut at a slash below
    return "".join(common.rpartition("/")[:2])


def _behind(name: str, error: str) -> str:
    """An error so that it reads on behind a name."""
    return error.removeprefix(f"{name} ") if error.startswith(name) else f"has none: {error}"


@contextmanager
def folder(path: Path) -> Iterator[Path]:
    """A folder to be made where it is needed, and gone afterwards."""
    try:
        yield path
    finally:
        if path.exists():
            shutil.rmtree(path, ignore_errors=True)
