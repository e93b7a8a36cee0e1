"""What is to be pruned: which jobs of the history, and which of these stay in any case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Text, and_, cast, false, func, or_, select

from .. import tables as t
from ..errors import UsageError
from ..given import among
from ..lifecycle.prune import GROUPS, may_go, of_open_sweep
from ..query.distinct import names
from ..states import FINAL, State
from ..tables import now
from ..text import did_you_mean, join, nearest
from ..views import filters
from ..views.filters import Filter

ANY_TAG = ""
UNFINISHED = "not ended yet"
OF_SWEEP = "of a sweep that goes on"


@dataclass(frozen=True)
class Choice:
    """Which jobs to prune; what is empty does not choose.

    Attributes:
        wanted: as for a list, without a limit; None: those alone that are in the trash.
        ended_before: only such as have ended before then.
        keep_tagged: keep those with this tag; with any, for `ANY_TAG`.
        keep_last: keep the newest so many of those that are wanted.
        groups: not the jobs, but their files of these groups; see `lifecycle.prune.GROUPS`.
        trash: of the jobs in the trash, which go.
        trash_days: those that have been there for so long.

    Raises:
        UsageError: a value is out of bounds, or nothing that chooses.
    """

    wanted: Filter | None = None
    ended_before: datetime | None = None
    keep_tagged: str | None = None
    keep_last: int = 0
    groups: Sequence[str] = ()
    trash: Filter = field(default_factory=Filter)
    trash_days: float = 30.0

    def __post_init__(self) -> None:
        if self.keep_last < 0:
            raise UsageError(f"keep_last {self.keep_last}: give 0 or more")
        for asked in filter(None, (self.wanted, self.trash)):
            if asked.limit is not None or asked.sort is not None:
                raise UsageError("limit and sort do not choose what goes: see keep_last")
        for group in self.groups:
            if group not in GROUPS:
                raise UsageError(f"files '{group}': give {join(list(GROUPS), last='or')}")

    def ids(self, connection: Connection) -> list[int]:
        """The jobs that may go as far as they themselves are concerned, the newest first.

        Raises:
            UsageError: no job has the tag that is to keep jobs.
        """
        found = self._ids(connection, self._due(connection))
        if (wanted := self._wanted(connection)) is not None:
            chosen = self._ids(connection, wanted)[self.keep_last :]
            if chosen and self.keep_tagged:
                _check_tag(connection, self.keep_tagged)
            found += chosen
        return sorted(set(found), reverse=True)

    def stays(self, connection: Connection) -> dict[str, int]:
        """How many jobs were chosen and stay, whatever uses them, by the reason."""
        reasons = {
            UNFINISHED: t.in_state(*(state for state in State if state not in FINAL)),
            OF_SWEEP: and_(t.in_state(*FINAL), t.jobs.c.sweep.is_not(None), of_open_sweep()),
        }
        count = select(func.count()).select_from(t.jobs).where(self.condition(connection))
        return {why: connection.scalar(count.where(which)) or 0 for why, which in reasons.items()}

    def condition(self, connection: Connection) -> ColumnElement[bool]:
        """What a job must still be when it goes."""
        due, wanted = self._due(connection), self._wanted(connection)
        return due if wanted is None else or_(due, wanted)

    def batches(self, connection: Connection) -> list[int]:
        """The batches without jobs, as all their items were known, that may go."""
        b, wanted = t.batches.c, self.wanted
        if wanted is None or self.keep_tagged is not None or self.groups:
            return []
        if replace(wanted, batches=(), kinds=(), users=(), sort=None) != Filter():
            return []  # something is asked that they do not have
        if self.ended_before is None and not wanted.batches:
            return []
        query = select(b.id).where(b.jobs == 0)
        for column, values in ((b.kind, wanted.kinds), (b.user, wanted.users)):
            query = query.where(column.in_(values)) if values else query
        if wanted.batches:
            query = query.where(among(b.id, wanted.batches))
        if self.ended_before is not None:
            query = query.where(b.created_at <= self.ended_before)
        return list(connection.scalars(query.order_by(b.id.desc())))

    @staticmethod
    def _ids(connection: Connection, which: ColumnElement[bool]) -> list[int]:
        query = select(t.jobs.c.id).where(which, may_go()).order_by(t.jobs.c.id.desc())
        return list(connection.scalars(query))

    def _due(self, connection: Connection) -> ColumnElement[bool]:
        if self.groups:
            return false()
        late = t.jobs.c.trashed_at <= now(-self.trash_days * 86_400)
        return and_(late, *filters.conditions(connection, replace(self.trash, trashed=True)))

    def _wanted(self, connection: Connection) -> ColumnElement[bool] | None:
        if self.wanted is None:
            return None
        jobs = t.jobs.c
        asked = filters.conditions(connection, self.wanted)
        if self.ended_before is not None:
            asked.append(jobs.finished_at <= self.ended_before)
        if self.keep_tagged is not None:
            asked.append(_untagged(self.keep_tagged))
        return and_(*asked)


def _check_tag(connection: Connection, key: str) -> None:
    """Refuse a tag that no job has: it would keep none, and is misspelt."""
    a = t.attributes.c
    mine = select(a.job_id).where(a.source == "tags", a.name == key, a.text.is_not(None))
    # Only then in each job: a value that is too long to be asked for is found nowhere else.
    for query in (mine, select(t.jobs.c.id).where(~_untagged(key))):
        if connection.scalar(query.limit(1)) is not None:
            return
    known = sorted(names(connection, "tags"))
    there = f"there are {join(known, 10)}" if known else "there is none"
    near = did_you_mean(nearest(key, known))
    raise UsageError(f"no job has a tag '{key}' to be kept by: {near or there}")


def _untagged(key: str) -> ColumnElement[bool]:
    """Without any tag, or without this one."""
    tags = t.jobs.c.tags
    if key == ANY_TAG:  # as a text, which one that is damaged has, too
        return cast(tags, Text) == "{}"
    missing: ColumnElement[bool] = t.readable(tags)[key].as_string().is_(None)
    return missing
