"""The tables. Times are UTC; `now()` is the database's own clock, so that hosts need not agree."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    literal,
    literal_column,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeDecorator, TypeEngine

# The Alembic revision that this code expects; tests hold it equal to the newest migration.
SCHEMA_VERSION = "0007"


# A queue is served in this order: by priority, then fairness, then age. Each is a column of `jobs`
# and whether its highest comes first.
SERVING_ORDER = (("priority", True), ("fair_rank", False), ("id", False))


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


BigId = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only INTEGER keys

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _job_id(**kw: Any) -> Column[int]:
    return Column("job_id", BigId, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False, **kw)


def _by_turn() -> list[Any]:
    return [text(f"{name} DESC") if falling else name for name, falling in SERVING_ORDER]


jobs = Table(
    "jobs",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("kind", String(100), nullable=False),
    Column("queue", String(200), nullable=False),
    Column("priority", Turn(small=True), nullable=False),
    Column("fair_rank", Turn, nullable=False),
    # Of jobs that a worker may run together, on a model that stays loaded; without one, a job has
    # a process of its own.
    Column("batch_key", String(200)),
    Column("user", String(200), nullable=False),
    Column("name", String(200)),
    Column("tags", Json, nullable=False),
    Column("spec", Json, nullable=False),
    Column("spec_hash", String(64), nullable=False),
    Column("device", String(20)),
    Column("time_limit", Float),
    Column("state", String(20), nullable=False),
    Column("reason", String(50)),
    Column("attempt", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("lease_owner", String(200)),
    Column("lease_until", UtcDateTime),
    Column("claim_token", String(40)),
    Column("cancel_requested", Boolean, nullable=False),
    Column("not_before", UtcDateTime),
    Column("progress", Json),
    Column("metrics", Json, nullable=False),
    Column("result", Json),
    Column("error", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("queued_at", UtcDateTime),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("soft_time_limit", Float),
    # Which way its kind says that its metrics are better, as it was when the job was submitted;
    # and under the empty name, which no metric has, those that it wants shown first.
    Column("goals", Json),
    # Jobs with the same word need the same of a worker (`matching.Needs.key`); empty where it was
    # not to be read when the column came.
    Column("needs", String(40), nullable=False, server_default=text("''")),
    Column("batch", BigInteger),  # the id of the batch that it was submitted in
    Index(
        "ix_jobs_queued",
        "queue",
        *_by_turn(),
        sqlite_where=text("state = 'queued'"),
        postgresql_where=text("state = 'queued'"),
    ),
    # The same, apart for each kind of worker that jobs need.
    Index(
        "ix_jobs_needs",
        "queue",
        "needs",
        *_by_turn(),
        sqlite_where=text("state = 'queued'"),
        postgresql_where=text("state = 'queued'"),
    ),
    # The same, of jobs that may run together.
    Index(
        "ix_jobs_batch_key",
        "queue",
        "batch_key",
        *_by_turn(),
        sqlite_where=text("state = 'queued' AND batch_key IS NOT NULL"),
        postgresql_where=text("state = 'queued' AND batch_key IS NOT NULL"),
    ),
    Index(
        "ix_jobs_unfinished",
        "queue",
        "priority",
        "user",
        "fair_rank",
        sqlite_where=text("state IN ('queued', 'running')"),
        postgresql_where=text("state IN ('queued', 'running')"),
    ),
    Index(
        "ix_jobs_lease",
        "lease_until",
        sqlite_where=text("state = 'running'"),
        postgresql_where=text("state = 'running'"),
    ),
    Index(
        "ix_jobs_waiting",
        "not_before",
        sqlite_where=text("state = 'waiting'"),
        postgresql_where=text("state = 'waiting'"),
    ),
    Index("ix_jobs_batch_state", "batch", "state"),
    # Those of no batch, by age: a batch may be a million before them.
    Index(
        "ix_jobs_alone",
        "batch",
        "id",
        sqlite_where=text("batch IS NULL"),
        postgresql_where=text("batch IS NULL"),
    ),
    Index("ix_jobs_claim_token", "claim_token"),
    Index("ix_jobs_state_id", "state", "id"),
    Index("ix_jobs_kind_id", "kind", "id"),
    Index("ix_jobs_user_id", "user", "id"),
    Index("ix_jobs_created_at", "created_at"),
    sqlite_autoincrement=True,  # an id is never given twice, also after pruning
)


def in_state(*states: str) -> ColumnElement[bool]:
    """The state is one of these: as literals, so that planners see which partial index applies."""
    literals: list[ColumnElement[str]] = [literal_column(f"'{state}'") for state in states]
    return jobs.c.state == literals[0] if len(literals) == 1 else jobs.c.state.in_(literals)


# Jobs that were submitted together.
batches = Table(
    "batches",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("kind", String(100), nullable=False),
    Column("user", String(200), nullable=False),
    Column("name", String(200)),
    Column("spec", Json, nullable=False),  # what its jobs' specifications have in common
    Column("jobs", Integer, nullable=False),
    Column("items", BigInteger, nullable=False),  # those refused or known too
    Column("max_fails", Integer),  # items that may fail before the rest is cancelled
    Column("created_at", UtcDateTime, nullable=False),
    # Of batches that may answer each other's items: kind, model and parameters. With it the
    # SHA-256 of the manifest, which is in the artifact store.
    Column("cache_key", String(64)),
    Column("manifest", String(64)),
    # Items that are answered by jobs of earlier batches.
    Column("known", BigInteger, nullable=False, server_default=text("0")),
    Index(None, "cache_key", "id"),
    sqlite_autoincrement=True,
)

attempts = Table(
    "attempts",
    metadata,
    _job_id(primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("worker", String(200), nullable=False),
    Column("host", String(200), nullable=False),
    Column("pid", Integer),
    Column("device", String(100)),
    Column("versions", Json),
    Column("seed", BigInteger),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("outcome", String(20)),
    Column("reason", String(50)),
    Column("error", Text),
    Column("traceback", Text),
    Column("peak_memory", BigInteger),
    Column("last_lines", Json),
    # How many reports were written, so that one whose answer was lost is not written twice.
    Column("reports", Integer, nullable=False, server_default=text("0")),
    # The group of attempts that ran together on one loaded model, and how many they were.
    Column("micro_batch", String(40)),
    Column("micro_batch_size", Integer),
)

metrics = Table(
    "metrics",
    metadata,
    Column("id", BigId, primary_key=True),
    _job_id(),
    Column("attempt", Integer, nullable=False),
    Column("name", String(100), nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("value", Float),
    Column("time", UtcDateTime, nullable=False),
    Index(None, "job_id", "name", "attempt", "step"),
)

# What can be asked of a job's numbers: a row for each metric and for each number of its result.
summaries = Table(
    "summaries",
    metadata,
    _job_id(primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("source", String(10), primary_key=True),  # `metrics` or `result`
    # The figure that counts: of a job that succeeded, what its result says under this name.
    Column("value", Float),
    Column("last", Float),
    Column("min", Float),
    Column("max", Float),
    # The better of the two, where it is known which way this metric is better.
    Column("best", Float),
    Column("best_step", BigInteger),
    Column("attempt", Integer, nullable=False),
    Index(None, "name", "value"),
    Index(None, "name", "best"),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("id", BigId, primary_key=True),
    _job_id(),
    Column("attempt", Integer, nullable=False),
    Column("name", String(300), nullable=False),
    Column("role", String(50), nullable=False),
    Column("media_type", String(100), nullable=False),
    Column("uri", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index(None, "job_id", "id"),
)

logs = Table(
    "logs",
    metadata,
    Column("id", BigId, primary_key=True),
    _job_id(),
    Column("attempt", Integer, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("time", UtcDateTime, nullable=False),
    Column("stream", String(20), nullable=False),
    Column("text", Text, nullable=False),
    Index(None, "job_id", "id"),
)

events = Table(
    "events",
    metadata,
    Column("id", BigId, primary_key=True),
    _job_id(),
    Column("time", UtcDateTime, nullable=False),
    Column("what", String(200), nullable=False),
    Column("by", String(200), nullable=False),
    Index(None, "job_id", "id"),
)

workers = Table(
    "workers",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("host", String(200), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("devices", Json, nullable=False),
    Column("queues", Json, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("versions", Json),
    Column("started_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("lease", Float, nullable=False),
    Column("state", String(20), nullable=False),
    # How somebody wants it to leave: `stop` its jobs, or `finish` them first.
    Column("drain", String(10)),
    # What it can run, as `matching.announcement` writes it; NULL from a cvq that did not say.
    Column("kinds", Json),
    Index(None, "seen_at"),
)

dependencies = Table(
    "dependencies",
    metadata,
    _job_id(primary_key=True),
    Column(
        "parent_id",
        BigId,
        ForeignKey("jobs.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Index(None, "parent_id"),
)
