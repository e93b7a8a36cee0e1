"""What a single setting may be: read from a word, a file's value or a program's, by one rule.

Not pydantic: every command reads the settings, and `cvq ls` needs nothing else of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import Field, dataclass, field
from pathlib import Path
from typing import Any, cast

from .text import count

_KEY = "setting"
_LONGEST = 60


@dataclass(frozen=True, eq=False)
class Setting:
    """How a setting is read, and what is said of it.

    Attributes:
        read: makes a given value into the setting's; a ValueError says what is wanted instead.
        description: for people.
        unit: of a number.
        secret: whether a value may hold a password, and so is never shown.
    """

    read: Callable[[Any], Any]
    description: str
    unit: str | None = None
    secret: bool = False

    def problem(self, value: Any, wanted: ValueError) -> str:
        """What is wrong with a value: `'0': give a number, 1 to 3600`."""
        text = repr(value)
        if self.secret or not isinstance(value, str | int | float | bytes):
            return f": {wanted}"
        return f" {text if len(text) <= _LONGEST else text[: _LONGEST - 1] + '…'}: {wanted}"


def setting(
    read: Callable[[Any], Any],
    description: str,
    *,
    default: Any = None,
    made: Callable[[], Any] | None = None,
    unit: str | None = None,
    secret: bool = False,
) -> Any:
    """A field of a dataclass that is a setting; `made` makes its default."""
    about = {_KEY: Setting(read, description, unit, secret)}
    if made is not None:
        return field(default_factory=made, repr=not secret, metadata=about)
    return field(default=default, repr=not secret, metadata=about)


def setting_of(field: Field[Any]) -> Setting:
    """What a field's `setting(…)` said."""
    return cast(Setting, field.metadata[_KEY])


def whole(least: int, most: int | None = None) -> Callable[[Any], int]:
    """Reads a whole number within bounds."""
    wanted = f"give a whole number, {_bounds(least, most)}"

    def read(value: Any) -> int:
        number = _number(value, wanted)
        if number != math.floor(number) or (isinstance(value, str) and not _is_whole(value)):
            raise ValueError(wanted)
        return int(value) if isinstance(value, str) else int(number)

    return _within(read, least, most)


def number(
    least: float = 0.0, most: float | None = None, *, above: bool = False
) -> Callable[[Any], float]:
    """Reads a number within bounds; `above` leaves the lower one out."""
    wanted = f"give a number, {_bounds(least, most, above=above)}"
    return _within(lambda value: _number(value, wanted), least, most, above=above)


def text(least: int = 0, most: int | None = None) -> Callable[[Any], str]:
    """Reads a text of some characters."""

    def read(value: Any) -> str:
        found = _text(value)
        if len(found) < least:
            raise ValueError(f"give at least {count(least, 'character')}")
        if most is not None and len(found) > most:
            raise ValueError(f"give at most {count(most, 'character')}")
        return found

    return read


def optional_text(value: Any) -> str | None:
    """Reads a text; an empty one is none, as container tools pass on what is not set."""
    return None if value is None else _text(value) or None


def one_of(*words: str) -> Callable[[Any], str | None]:
    """Reads one of some words, or none."""

    def read(value: Any) -> str | None:
        found = optional_text(value)
        if found is not None and found not in words:
            raise ValueError(f"give {' or '.join(words)}")
        return found

    return read


def names(value: Any) -> list[str]:
    """Reads names: a list, or words separated by commas."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, Sequence):
        raise ValueError("give a list")
    return [_text(part) for part in value]


def folder(value: Any) -> Path:
    """Reads a folder; an absolute path is made of it."""
    if value == "":  # which would be the working directory
        raise ValueError("is empty: give a folder, or unset it")
    if not isinstance(value, str | Path):
        raise ValueError("give a path")
    try:
        return Path(value).expanduser().absolute()
    except RuntimeError:  # ~ where there is no home folder
        raise ValueError("there is no such home folder; give an absolute path") from None


def _within(
    read: Callable[[Any], Any], least: float, most: float | None, *, above: bool = False
) -> Callable[[Any], Any]:
    def within(value: Any) -> Any:
        found = read(value)
        if found < least or (above and found == least) or (most is not None and found > most):
            raise ValueError(f"give {_bounds(least, most, above=above)}")
        return found

    return within


def _number(value: Any, wanted: str) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(wanted)
    try:
        found = float(value)
    except (ValueError, OverflowError):
        raise ValueError(wanted) from None
    if not math.isfinite(found):
        raise ValueError(wanted)
    return found


def _is_whole(word: str) -> bool:
    try:
        int(word)
    except ValueError:
        return False
    return True


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("give text")
    return value


def _bounds(least: float, most: float | None, *, above: bool = False) -> str:
    if most is None:
        return f"{'above' if above else 'at least'} {least:g}"
    return f"above {least:g}, at most {most:g}" if above else f"{least:g} to {most:.10g}"
