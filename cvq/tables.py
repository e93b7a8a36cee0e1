"""The tables of the job database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    event,
    literal_column,
    text,
)

from .column_types import UNREADABLE_TIME as UNREADABLE_TIME
from .column_types import Json as Json
from .column_types import Turn as Turn
from .column_types import Unreadable as Unreadable
from .column_types import UtcDateTime as UtcDateTime
from .column_types import Word
from .column_types import now as now
from .column_types import readable as readable
from .column_types import seconds_between as seconds_between

# The Alembic revision that this code expects; tests hold it equal to the newest migration.
SCHEMA_VERSION = "0008"


_WHERE = "where"  # of a partial index, in its `info`

# A queue is served in this order: by priority, then fairness, then age. Each is a column of `jobs`
# and whether its highest comes first.
SERVING_ORDER = (("priority", True), ("fair_rank", False), ("id", False))

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


def _where(condition: str) -> dict[str, Any]:
    """The rows that a partial index is of: see `_tell_where`."""
    return {"info": {_WHERE: condition}}


@event.listens_for(metadata, "before_create")
def _tell_where(_target: Any, connection: Connection, **_: Any) -> None:
    """Give partial indexes their conditions when they are made.

    Given to `Index` itself, as `postgresql_where`, they load all of SQLAlchemy's Postgres, which
    takes 25 ms of each command.
    """
    for table in metadata.tables.values():
        for index in table.indexes:
            if _WHERE in index.info:
                options = index.dialect_options[connection.dialect.name]
                options["where"] = text(index.info[_WHERE])


jobs = Table(
    "jobs",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("kind", Word(100), nullable=False),
    Column("queue", Word(200), nullable=False),
    Column("priority", Turn(small=True), nullable=False),
    Column("fair_rank", Turn, nullable=False),
    # Of jobs that a worker may run together, on a model that stays loaded; without one, a job has
    # a process of its own.
    Column("batch_key", String(200)),
    Column("user", Word(200), nullable=False),
    Column("name", Word(200)),
    Column("tags", Json, nullable=False),
    Column("spec", Json, nullable=False),
    Column("spec_hash", String(64), nullable=False),
    Column("device", Word(20)),
    Column("time_limit", Float),
    Column("state", Word(20), nullable=False),
    Column("reason", Word(50)),
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
    Column("sweep", BigInteger),  # the id of the sweep that it is a trial of
    Column("note", Word()),
    # Where it was submitted: versions, host, and the state of the working folder in git.
    Column("origin", Json),
    # Equal for jobs that do the same; NULL of one whose work is never shared.
    Column("identity", String(64)),
    # The job whose result it shares, or waits for; and the one that it was made from, to be run
    # again.
    Column("twin_of", BigInteger),
    Column("made_from", BigInteger),
    Column("trashed_at", UtcDateTime),
    Index(
        "ix_jobs_queued",
        "queue",
        *_by_turn(),
        **_where("state = 'queued'"),
    ),
    # The same, apart for each kind of worker that jobs need.
    Index(
        "ix_jobs_needs",
        "queue",
        "needs",
        *_by_turn(),
        **_where("state = 'queued'"),
    ),
    # The same, of jobs that may run together.
    Index(
        "ix_jobs_batch_key",
        "queue",
        "batch_key",
        *_by_turn(),
        **_where("state = 'queued' AND batch_key IS NOT NULL"),
    ),
    Index(
        "ix_jobs_unfinished",
        "queue",
        "priority",
        "user",
        "fair_rank",
        **_where("state IN ('queued', 'running')"),
    ),
    Index(
        "ix_jobs_lease",
        "lease_until",
        **_where("state = 'running'"),
    ),
    Index(
        "ix_jobs_waiting",
        "not_before",
        **_where("state = 'waiting'"),
    ),
    Index("ix_jobs_batch_state", "batch", "state"),
    # By age, and those of no batch, too: a batch may be a million before them.
    Index("ix_jobs_batch_id", "batch", "id"),
    Index("ix_jobs_claim_token", "claim_token"),
    Index("ix_jobs_state_id", "state", "id"),
    Index("ix_jobs_kind_id", "kind", "id"),
    # Of a kind, the newest that tell how long its jobs run, whatever is queued since.
    Index("ix_jobs_succeeded", "kind", "id", **_where("state = 'succeeded'")),
    Index("ix_jobs_user_id", "user", "id"),
    Index("ix_jobs_queue_id", "queue", "id"),
    Index("ix_jobs_note", "id", **_where("note IS NOT NULL")),
    Index("ix_jobs_reason_id", "reason", "id", **_where("reason IS NOT NULL")),
    Index("ix_jobs_attempt_id", "attempt", "id"),
    Index("ix_jobs_priority_id", "priority", "id"),
    Index("ix_jobs_sweep_id", "sweep", "id", **_where("sweep IS NOT NULL")),
    Index("ix_jobs_identity_id", "identity", "id", **_where("identity IS NOT NULL")),
    Index("ix_jobs_twin_of_id", "twin_of", "id", **_where("twin_of IS NOT NULL")),
    Index(
        "ix_jobs_waiting_twin", "twin_of", **_where("state = 'waiting' AND twin_of IS NOT NULL")
    ),
    Index("ix_jobs_made_from_id", "made_from", "id", **_where("made_from IS NOT NULL")),
    Index("ix_jobs_trashed_at", "trashed_at", **_where("trashed_at IS NOT NULL")),
    Index("ix_jobs_created_at", "created_at"),
    Index("ix_jobs_started_at", "started_at"),
    Index("ix_jobs_finished_at", "finished_at"),
    Index("ix_jobs_name_id", "name", "id"),
    sqlite_autoincrement=True,  # an id is never given twice, also after pruning
)


# How long the last attempt took, of a job that has ended; and how long it was queued before.
duration = seconds_between(jobs.c.started_at, jobs.c.finished_at)
wait = seconds_between(jobs.c.queued_at, jobs.c.started_at)
Index("ix_jobs_duration", duration, jobs.c.id)
Index("ix_jobs_wait", wait, jobs.c.id)


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
    Index(None, "manifest", **_where("manifest IS NOT NULL")),
    sqlite_autoincrement=True,
)

attempts = Table(
    "attempts",
    metadata,
    _job_id(primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("worker", Word(200), nullable=False),
    Column("host", String(200), nullable=False),
    Column("pid", Integer),
    Column("device", Word(100)),
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
    Index(None, "worker", "job_id"),
    Index(None, "device", "job_id"),
    # For GPU-hours.
    Index("ix_attempts_gpu", "job_id", "started_at", "finished_at", **_where("device <> 'cpu'")),
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
    *(
        Index(f"ix_summaries_name_{figure}", "name", figure, "job_id")
        for figure in ("value", "last", "min", "max", "best")
    ),
)

# What else can be asked of a job: a row for each of its parameters, tags and words of its result.
attributes = Table(
    "attributes",
    metadata,
    _job_id(primary_key=True),
    Column("source", String(10), primary_key=True),  # `params`, `tags` or `result`
    Column("name", String(200), primary_key=True),
    Column("value", Float),  # where it is a number, or a truth value
    Column("text", Word(500)),  # where it is none
    Index(
        "ix_attributes_value", "source", "name", "value", "job_id", **_where("value IS NOT NULL")
    ),
    Index("ix_attributes_text", "source", "name", "text", "job_id", **_where("text IS NOT NULL")),
    sqlite_with_rowid=False,
)

# The files that a job takes, and the jobs whose models it uses.
inputs = Table(
    "inputs",
    metadata,
    _job_id(primary_key=True),
    Column("field", String(100), primary_key=True),
    Column("nth", Integer, primary_key=True, autoincrement=False),
    Column("sha256", String(64)),  # NULL of a model that was still to be trained
    Column("source_job", BigInteger),
    Index(None, "sha256", "job_id", **_where("sha256 IS NOT NULL")),
    Index(None, "source_job", "job_id", **_where("source_job IS NOT NULL")),
    sqlite_with_rowid=False,
)

# Searches through the parameters of a kind; each trial is a job.
sweeps = Table(
    "sweeps",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("kind", String(100), nullable=False),
    Column("user", String(200), nullable=False),
    Column("name", String(200)),
    Column("stage", String(20), nullable=False),
    Column("spec", Json, nullable=False),  # what its jobs' specifications have in common
    Column("space", Json, nullable=False),
    Column("method", String(20), nullable=False),
    Column("options", Json, nullable=False),  # of its jobs and of its method
    Column("seed", BigInteger, nullable=False),
    Column("trials", Integer, nullable=False),
    Column("parallel", Integer),
    Column("metric", String(200)),
    Column("direction", String(3)),  # `min` or `max`
    Column("created_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    # Who goes on with it, and until when nobody else may.
    Column("driver", String(200)),
    Column("driver_until", UtcDateTime),
    Index(None, "user", "id"),
    sqlite_autoincrement=True,
)

# The trials of sweeps, by their numbers. What is known of one outlives its job.
trials = Table(
    "trials",
    metadata,
    Column("sweep", BigInteger, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("job_id", BigId, ForeignKey("jobs.id", ondelete="SET NULL")),
    Column("params", Json, nullable=False),
    Index(None, "job_id"),
    sqlite_with_rowid=False,
)

# Ids of jobs that were removed, from first to last.
pruned = Table(
    "pruned",
    metadata,
    Column("what", String(10), primary_key=True),  # job, batch or sweep
    Column("first", BigInteger, primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("by", String(200), nullable=False),
)

# Files whose last row is gone, and that are still to be removed from the store.
leftovers = Table(
    "leftovers",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("job_id", BigInteger),  # whose file it was; NULL of an input
    Column("uri", Text),  # NULL of an input
    Column("sha256", String(64), nullable=False),
    Index(None, "job_id"),
    Index(None, "sha256"),
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
    Index(None, "sha256", "job_id"),
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
