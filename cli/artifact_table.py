"""The columns of a list of artifacts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import formats
from .output import Column
from .widths import name

if TYPE_CHECKING:
    from collections.abc import Callable

    from cvq.records import Artifact


def columns(place: Callable[[Artifact], str]) -> list[Column[Artifact]]:
    """Name, role, type, size, and where it is, as `place` says."""
    return [
        Column("name", lambda file: file.name, least=16, after=1, short=name),
        Column("role", lambda file: file.role, rank=1),
        Column("type", lambda file: file.media_type, rank=3),
        Column(
            "size",
            lambda file: formats.size(file.bytes),
            lambda file: file.bytes,
            right=True,
            rank=2,
        ),
        Column("place", place, below=True),
    ]
