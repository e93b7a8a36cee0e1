"""Which files of a program are kept: patterns of names, as `out/**` or `*.pt`.

`*` and `?` stand for characters of one name, `**` for any folders, also none. A pattern that ends
at a folder means all that is in it.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import cache

_LONGEST = 300


def check_pattern(pattern: str) -> None:
    """Refuse a pattern that means nothing within a folder.

    Raises:
        ValueError: it is empty, absolute or climbs.
    """
    parts = pattern.split("/")
    if not _parts(pattern) or "\x00" in pattern or len(pattern) > _LONGEST:
        raise ValueError(f"'{pattern[:80]}' names no file: write 'out/**' or '*.pt'")
    if pattern.startswith(("/", "~")) or ".." in parts:
        raise ValueError(
            f"'{pattern}' leads out of the program's folder: name files within it, as 'out/**'"
        )


def is_kept(name: str, patterns: list[str]) -> bool:
    """Whether a file of this name, relative and with `/`, is among those that patterns mean."""
    parts = tuple(name.split("/"))
    return any(_matches(parts, _parts(pattern)) for pattern in patterns)


@cache
def _parts(pattern: str) -> tuple[str, ...]:
    return tuple(part for part in pattern.split("/") if part not in ("", "."))


def _matches(name: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """Whether a pattern, or a folder that it means, has a name."""
    reached = {0}  # how many parts of the pattern may be used up so far
    for part in name:
        reached = _past_any(reached, pattern)
        if len(pattern) in reached:  # the rest lies in a folder that it means
            return True
        reached = {
            place if pattern[place] == "**" else place + 1
            for place in reached
            if pattern[place] == "**" or fnmatchcase(part, pattern[place])
        }
    return len(pattern) in _past_any(reached, pattern)


def _past_any(reached: set[int], pattern: tuple[str, ...]) -> set[int]:
    """With the places behind each `**`, which stands for no folder, too."""
    found = set(reached)
    for place in sorted(reached):
        while place < len(pattern) and pattern[place] == "**":
            place += 1
            found.add(place)
    return found
