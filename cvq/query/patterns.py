"""Patterns of texts: `*` and `?` as a shell has them, `%` and `_` as SQL has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ..errors import UsageError
from ..text import one_line

_LONGEST, _MOST_WILD = 500, 20
_LAST = 0x10FFFF


class _Wild:
    """A place that other characters take."""


ANY, ONE = _Wild(), _Wild()
"""Any number of characters; one."""

Part: TypeAlias = str | _Wild


@dataclass(frozen=True)
class Pattern:
    """Texts, `ANY` and `ONE` in turn; letters are as they are written, large or small."""

    parts: tuple[Part, ...]

    @property
    def start(self) -> str:
        """What each text that is meant begins with."""
        return self.parts[0] if self.parts and isinstance(self.parts[0], str) else ""

    @property
    def is_plain(self) -> bool:
        """Whether one text alone is meant: `start`."""
        return all(isinstance(part, str) for part in self.parts)

    def glob(self) -> str:
        """As SQLite's GLOB reads it."""
        wild = {ANY: "*", ONE: "?"}
        return "".join(
            wild[part] if isinstance(part, _Wild) else _each(part, "[*?", lambda c: f"[{c}]")
            for part in self.parts
        )

    def like(self) -> str:
        r"""As LIKE … ESCAPE '\' reads it."""
        wild = {ANY: "%", ONE: "_"}
        return "".join(
            wild[part] if isinstance(part, _Wild) else _each(part, "%_\\", lambda c: f"\\{c}")
            for part in self.parts
        )


def _each(text: str, marked: str, escape: object) -> str:
    return "".join(escape(c) if c in marked else c for c in text)  # type: ignore[operator]


def of_shell(text: str) -> Pattern:
    """`exp-*`; what has no `*` and no `?` means itself."""
    return _pattern(text, {"*": ANY, "?": ONE})


def of_sql(text: str) -> Pattern:
    r"""`exp-%`; `\%` is a percent sign."""
    return _pattern(text, {"%": ANY, "_": ONE}, escape="\\")


def _pattern(text: str, wild: dict[str, _Wild], escape: str = "") -> Pattern:
    if len(text) > _LONGEST:
        raise UsageError(f"a pattern of more than {_LONGEST} characters: {one_line(text, 40)}")
    parts: list[Part] = []
    characters = iter(text)
    for character in characters:
        if character in wild:
            if not (wild[character] is ANY and parts and parts[-1] is ANY):
                parts.append(wild[character])
            continue
        if character == escape:
            character = next(characters, escape)
        if parts and isinstance(parts[-1], str):
            parts[-1] += character
        else:
            parts.append(character)
    if sum(part is ANY for part in parts) > _MOST_WILD:
        raise UsageError(f"a pattern with more than {_MOST_WILD} of * or %: {one_line(text, 40)}")
    return Pattern(tuple(parts))


def after(start: str) -> str | None:
    """The first text that comes after all that begin so, by code points; None where none does."""
    while start:
        code = ord(start[-1]) + 1
        if code <= _LAST:
            return start[:-1] + chr(0xE000 if 0xD800 <= code <= 0xDFFF else code)
        start = start[:-1]
    return None
