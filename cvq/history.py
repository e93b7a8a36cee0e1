"""The history alone: what needs no kind, no Redis and no store loads none of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import schema
from .db import Database
from .once import once
from .settings import Settings

if TYPE_CHECKING:
    from .views.filters import Filter


class History:
    """The job database of a place, to be asked.

    Args:
        settings: read from the environment and `cvq.toml` when not given.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings.load()

    @once
    def db(self) -> Database:
        """The database, its schema checked (and made, where it is the embedded one)."""
        database = Database(self.settings)
        schema.ensure(database)
        return database

    def check_filter(self, wanted: Filter, fields: Sequence[str] = ()) -> list[str]:
        """Refuse names that no job has; return remarks on what may be right and finds nothing.

        Args:
            wanted: the filter.
            fields: what else is asked of the jobs, as a query names it.

        Raises:
            UsageError: a metric, kind, user or tag is misspelt; the nearest is named.
        """
        from .views import spelling

        def kinds() -> dict[str, Any]:
            from .kinds import find_kinds

            return find_kinds(self.settings)[0]  # a broken plug-in is no reason to refuse

        def figures() -> list[str]:
            return [name for kind in kinds().values() for name in (*kind.headline, *kind.goals)]

        with self.db.read() as connection:
            return spelling.check(connection, wanted, fields=fields, kinds=kinds, figures=figures)
