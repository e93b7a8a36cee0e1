"""Columns that are chosen: any of what a query can name, beside those that a list has anyway."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from . import formats
from .output import Column
from .widths import ending

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from cvq.query.tree import Field
    from cvq.records import Job

_SECONDS = ("duration", "wait")


class Chosen:
    """The values of chosen fields of the jobs that are shown.

    Args:
        names: the fields as they were written.

    Raises:
        UsageError: one cannot be read.
    """

    def __init__(self, names: Sequence[str]) -> None:
        from cvq.query.parser import parse_field

        self.fields: dict[str, Field] = {name: parse_field(name) for name in names}
        self._values: dict[int, list[Any]] = {}

    def look(self, connection: Connection, jobs: Sequence[Job]) -> None:
        """Look up the values of some jobs, and forget those of others."""
        from cvq.views.values import values_of

        ids = [job.id for job in jobs]
        fields = list(self.fields.values())
        self._values = values_of(connection, ids, fields) if fields and ids else {}

    def of(self, job: Job) -> Mapping[str, Any]:
        """The values of a job, by the names of the fields."""
        return dict(zip(self.fields, self._values.get(job.id, ()), strict=False))

    def columns(self) -> Iterator[Column[Job]]:
        """A column for each field."""
        for name, field in self.fields.items():
            yield self._column(name, seconds=field.source is None and field.name in _SECONDS)

    def _column(self, name: str, *, seconds: bool) -> Column[Job]:
        return Column(
            name,
            lambda job: _text(self.of(job).get(name), seconds=seconds),
            lambda job: plain(self.of(job).get(name)),
            right=True,
            rank=2,
            least=10,
            short=ending,
        )


def plain(value: Any) -> Any:
    """A value as JSON and CSV have it."""
    from cvq.views.shapes import iso

    return iso(value) if isinstance(value, datetime) else value


def _text(value: Any, *, seconds: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return formats.clock(value)
    if isinstance(value, str):
        return formats.one_line(value)
    return formats.duration(value) if seconds else formats.number(value)
