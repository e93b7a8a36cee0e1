"""The types of columns, which read what a hand may have put in, and what SQL has of times.

Times are UTC; `now()` is the database's own clock, so that hosts need not agree.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Float, Integer, String, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeDecorator, TypeEngine


class Unreadable(str):
    """What stands in a column that should hold JSON, or a text, and is none."""


_MOST_TURNS = 1 << 53
# What is read where a column should hold a time, and does not.
UNREADABLE_TIME = datetime(1970, 1, 1, tzinfo=UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC: `timestamptz` on Postgres, sortable text on SQLite.

    SQLite keeps anything in any column. What is no time is read as `UNREADABLE_TIME`: one damaged
    row must not stop a statement that reads many.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC; SQLite keeps it without the zone."""
        if value is None:
            return None
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Read a time and put the zone back, or read `UNREADABLE_TIME`."""
        impl = self.impl_instance.dialect_impl(dialect)
        read: Callable[[Any], Any] = impl.result_processor(dialect, coltype) or (lambda x: x)

        def aware(value: Any) -> datetime:
            time: datetime = read(value)
            return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)

        return _tolerant(aware, lambda _: UNREADABLE_TIME)


def _tolerant(read: Callable[[Any], Any] | None, instead: Callable[[Any], Any]) -> Any:
    """A result processor that gives something else where a value cannot be read.

    It is called for each value of each row: what is NULL, as most are, is told first.
    """
    if read is None:
        return None

    def process(value: Any) -> Any:
        if value is None:
            return None
        if type(value) is Unreadable:
            return instead(value)
        try:
            return read(value)
        except (ValueError, TypeError, RecursionError):
            return instead(value)

    return process


class now(FunctionElement[datetime]):  # noqa: N801 - it reads as SQL
    """The database's clock, moved by a number of seconds."""

    type = UtcDateTime()
    inherit_cache = True

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__(literal(float(seconds), Float))


@compiles(now, "sqlite")
def _now_sqlite(element: now, compiler: Any, **kw: Any) -> str:
    # The shape in which SQLAlchemy stores datetimes on SQLite: microseconds, no zone.
    seconds = compiler.process(element.clauses, **kw)
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', printf('%+.3f seconds', {seconds}))"


@compiles(now, "postgresql")
def _now_postgresql(element: now, compiler: Any, **kw: Any) -> str:
    # Not now(), which stands still for a whole transaction.
    return (
        f"(clock_timestamp() + make_interval(secs => {compiler.process(element.clauses, **kw)}))"
    )


class seconds_between(FunctionElement[float]):  # noqa: N801 - it reads as SQL
    """Seconds from one time to another; NULL where one is missing."""

    type = Float()
    inherit_cache = True


@compiles(seconds_between, "sqlite")
def _seconds_between_sqlite(element: seconds_between, compiler: Any, **kw: Any) -> str:
    start, end = (compiler.process(each, **kw) for each in element.clauses)
    # Within it counts milliseconds; what a number of days adds to them is noise.
    return f"round((julianday({end}) - julianday({start})) * 86400.0, 3)"


@compiles(seconds_between, "postgresql")
def _seconds_between_postgresql(element: seconds_between, compiler: Any, **kw: Any) -> str:
    start, end = (compiler.process(each, **kw) for each in element.clauses)
    return f"(extract(epoch from ({end} - {start}))::double precision)"


class minute_of(FunctionElement[str]):  # noqa: N801 - it reads as SQL
    """A time up to its minute, in UTC: `2026-11-01 18:30`."""

    type = String()
    inherit_cache = True


@compiles(minute_of, "sqlite")
def _minute_of_sqlite(element: minute_of, compiler: Any, **kw: Any) -> str:
    return f"substr({compiler.process(element.clauses, **kw)}, 1, 16)"


@compiles(minute_of, "postgresql")
def _minute_of_postgresql(element: minute_of, compiler: Any, **kw: Any) -> str:
    time = compiler.process(element.clauses, **kw)
    return f"to_char({time} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')"


def Word(length: int | None = None) -> TypeEngine[str]:  # noqa: N802 - it is a type of columns
    """A text that history is asked for: in the order of its code points.

    So SQLite has all texts. Postgres has them in the order of some language, as its database was
    made: `B` between `a` and `c`, in which what begins with `a` does not stand together.
    """
    return String(length).with_variant(String(length, collation="C"), "postgresql")


class Json(TypeDecorator[Any]):
    """JSON: `jsonb` on Postgres, text on SQLite; None is NULL. What is no JSON is `Unreadable`."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Import the Postgres dialect only where it is used: it costs 20 ms."""
        if dialect.name != "postgresql":
            return dialect.type_descriptor(JSON(none_as_null=True))
        from sqlalchemy.dialects.postgresql import JSONB

        return dialect.type_descriptor(JSONB(none_as_null=True))

    def coerce_compared_value(self, op: OperatorType | None, value: Any) -> Any:
        """Let `column["key"]` take its type from JSON, not from the key."""
        return self.impl_instance.coerce_compared_value(op, value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Read JSON, or `Unreadable`."""
        return _tolerant(super().result_processor(dialect, coltype), Unreadable)


class Turn(TypeDecorator[int]):
    """A whole number by which jobs are ordered; what is none is read as 0.

    So is one that is too large to be counted on from: turns are counted up from those of others,
    and one damaged row must not keep everybody from submitting and claiming.
    """

    impl = BigInteger
    cache_ok = True

    def __init__(self, *, small: bool = False) -> None:
        super().__init__()
        self.small = small

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[int]:
        """Of 32 or 64 bits."""
        return dialect.type_descriptor(Integer() if self.small else BigInteger())

    def process_result_value(self, value: Any, dialect: Dialect) -> int | None:
        """Read the number, or 0."""
        if value is None:
            return None
        return value if isinstance(value, int) and abs(value) < _MOST_TURNS else 0


class readable(FunctionElement[Any]):  # noqa: N801 - it reads as SQL
    """A column of JSON to look into: NULL where it is none, which SQLite would stop at."""

    type = Json()
    inherit_cache = True


@compiles(readable, "sqlite")
def _readable_sqlite(element: readable, compiler: Any, **kw: Any) -> str:
    column = compiler.process(element.clauses, **kw)
    return f"CASE WHEN json_valid({column}) THEN {column} END"


@compiles(readable, "postgresql")
def _readable_postgresql(element: readable, compiler: Any, **kw: Any) -> str:
    return str(compiler.process(element.clauses, **kw))
