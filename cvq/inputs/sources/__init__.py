"""Where the items of a batch come from: what is typed in the place of files.

photos/                a folder, with all below it
'photos/*.jpg'         a pattern, where no shell has put names in its place
@list.txt  -           a list, a name a line; - reads it from stdin
photos.zip photos.tar  an archive, as it is
files.csv              a table (also .tsv, .parquet), of which a column is named
s3://bucket/photos/    what lies below a prefix of a bucket
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ...errors import InvalidInputError
from ...settings import Settings
from ...text import count
from ..items import Item
from . import archives, buckets, folders, lists, tables
from .listing import listed

STDIN = "-"


@dataclass(frozen=True)
class Sources:
    """Reads items from sources.

    Attributes:
        settings: how buckets are asked.
        files: whether items are files; else they are values, such as numbers, a line each.
        column: of a table.
        stdin: what `-` reads.
        note: told what is left out, and why.
        tick: called now and then while a source is listed, or stdin says nothing; may raise to
            end it.
    """

    settings: Settings
    files: bool = True
    column: str | None = None
    stdin: BinaryIO | None = None
    note: Callable[[str], None] = field(default=lambda _: None)
    tick: Callable[[], None] = field(default=lambda: None)

    def items(self, words: Sequence[str], lists: Sequence[str] = ()) -> Iterator[Item]:
        """The items of sources, in the order of these; files among them are items themselves.

        Args:
            words: sources and files.
            lists: lists and tables, each by its own name, or `-`.

        Raises:
            InvalidInputError: a source cannot be read, or has nothing in it.
            MissingExtraError: it takes packages that are not installed.
        """
        for word in words:
            yield from self._items(word)
        for name in lists:
            yield from self._lines(name)

    def _lines(self, name: str) -> Iterator[Item]:
        if name == STDIN and self.stdin is not None:
            return lists.of_stream(self.stdin, self.files, self.tick)
        if tables.is_table(name) and (self.column is not None or not tables.is_text(name)):
            return tables.of_file(Path(name), self.column, self.files)
        return lists.of_file(Path(name), self.files, self.tick)

    def _items(self, word: str) -> Iterator[Item]:
        if word == STDIN:
            yield from self._lines(word)
        elif name := list_name(word):
            yield from self._lines(name)
        elif tables.is_table(word):
            yield from tables.of_file(Path(word), self.column, self.files)
        elif buckets.is_bucket(word):
            yield from buckets.below(word, self.settings, self.note, self.tick)
        elif _is_folder(word):
            yield from folders.below(Path(word), self.note, self.tick)
        elif archives.is_archive(word):
            yield from archives.members(Path(word), self.note, self.tick)
        elif is_pattern(word):
            yield from self._matches(word)
        else:
            yield Item.of(word, files=self.files)

    def _matches(self, pattern: str) -> Iterator[Item]:
        found, named = listed(lambda: _matching(pattern), self.tick)
        if not found:
            raise InvalidInputError(f"{pattern} matches no file")
        if len(named) < len(found):
            self.note(
                f"left out: {count(len(found) - len(named), 'folder')} that {pattern} matches"
            )
        yield from map(Item.of, named)


def _matching(pattern: str) -> tuple[list[str], list[str]]:
    """What a pattern matches, and which of that are no folders."""
    found = sorted(glob.iglob(pattern, recursive=True))  # noqa: PTH207 - as shells do
    return found, [name for name in found if not Path(name).is_dir()]


def is_source(word: str) -> bool:
    """Whether a word names items, and is not one of them."""
    return (
        word == STDIN
        or list_name(word) is not None
        or tables.is_table(word)
        or buckets.is_bucket(word)
        or archives.is_archive(word)
        or is_pattern(word)
        or _is_folder(word)
    )


def list_name(word: str) -> str | None:
    """The list that `@FILE` means; None of a file that is called so itself."""
    return word[1:] if len(word) > 1 and word[0] == "@" and not os.path.lexists(word) else None


def is_pattern(word: str) -> bool:
    """Whether a word is a pattern: a file that has such signs in its name comes first."""
    return glob.has_magic(word) and "://" not in word and not os.path.lexists(word)


def _is_folder(word: str) -> bool:
    try:
        return Path(word).is_dir()
    except (OSError, ValueError):
        return False
