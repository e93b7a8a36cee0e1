"""By what a list is to be sorted, as it was written: `-val_accuracy`, `kind,-best(loss)`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .parser import parse_field
from .place import Place, QueryError
from .tree import Field

_MOST = 5
_KEY = re.compile(r"""(?:[^,"'`]|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)+""", re.DOTALL)


@dataclass(frozen=True)
class Key:
    """A field, and whether its highest value comes first."""

    field: Field
    falling: bool = False


def parse_order(text: str) -> tuple[Key, ...]:
    """The keys that a text means, those after the first for what is equal in it.

    Raises:
        QueryError: one cannot be read, or there are too many.
    """
    parts = [found[0] for found in _KEY.finditer(text)]
    if parts and ",".join(parts) != text:
        raise QueryError("expected a name on each side of a comma", Place(text, 0, len(text)))
    if len(parts) > _MOST:
        raise QueryError(f"more than {_MOST} keys to sort by", Place(text, 0, len(text)))
    return tuple(map(_key, parts or [text]))


def _key(text: str) -> Key:
    bare = text.strip()
    falling = bare.startswith("-")
    return Key(parse_field(bare[1:] if falling else bare), falling)
