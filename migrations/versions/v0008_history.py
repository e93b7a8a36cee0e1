"""What can be asked of a job (attributes and inputs), made for the whole history; sweeps; trash.

And an index for each column that a list may be sorted or filtered by.
"""

import json
import math
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from cvq.tables import UtcDateTime

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_BYTEWISE = 'COLLATE "C"'  # texts of Postgres in the order of their code points, as of SQLite
_WORDS = {
    "jobs": {
        "kind": 100, "queue": 200, "user": 200, "name": 200, "device": 20, "state": 20,
        "reason": 50,
    },
    "attempts": {"worker": 200, "device": 100},
}  # fmt: skip
_BATCH = 500
_LONGEST_LIST = 100
_SPANS = {"duration": ("started_at", "finished_at"), "wait": ("queued_at", "started_at")}


def upgrade() -> None:
    _order_texts()
    _add_columns()
    _make_attributes()
    _make_inputs()
    _make_sweeps()
    op.create_table(
        "pruned",
        sa.Column("what", sa.String(length=10), nullable=False),
        sa.Column("first", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("what", "first", name="pk_pruned"),
    )
    op.create_table(
        "leftovers",
        sa.Column("id", ID, nullable=False),
        sa.Column("job_id", sa.BigInteger()),
        sa.Column("uri", sa.Text()),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_leftovers"),
    )
    _fill(op.get_bind())
    _make_indexes()


def _word(length: int | None = None) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def _order_texts() -> None:
    """On Postgres, whose databases have texts in the order of some language."""
    if op.get_bind().dialect.name != "postgresql":
        return
    # Made again, Postgres would write its condition in other words than that of a new index.
    op.drop_index("ix_jobs_unfinished", "jobs")
    for table, columns in _WORDS.items():
        changes = [
            f'ALTER COLUMN "{name}" TYPE VARCHAR({length}) {_BYTEWISE}'
            for name, length in columns.items()
        ]
        op.execute(f"ALTER TABLE {table} {', '.join(changes)}")
    columns_of_turn = ["queue", "priority", "user", "fair_rank"]
    _index("jobs", "ix_jobs_unfinished", columns_of_turn, "state IN ('queued', 'running')")


def _add_columns() -> None:
    for column in (
        sa.Column("sweep", sa.BigInteger()),
        sa.Column("note", _word()),
        sa.Column("origin", JSON),
        sa.Column("identity", sa.String(length=64)),
        sa.Column("twin_of", sa.BigInteger()),
        sa.Column("made_from", sa.BigInteger()),
        sa.Column("trashed_at", UtcDateTime()),
    ):
        op.add_column("jobs", column)


def _make_attributes() -> None:
    op.create_table(
        "attributes",
        sa.Column("job_id", ID, nullable=False),
        sa.Column("source", sa.String(length=10), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("value", sa.Float()),
        sa.Column("text", _word(500)),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_attributes_job_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "source", "name", name="pk_attributes"),
        sqlite_with_rowid=False,
    )


def _make_inputs() -> None:
    op.create_table(
        "inputs",
        sa.Column("job_id", ID, nullable=False),
        sa.Column("field", sa.String(length=100), nullable=False),
        sa.Column("nth", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sha256", sa.String(length=64)),
        sa.Column("source_job", sa.BigInteger()),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_inputs_job_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "field", "nth", name="pk_inputs"),
        sqlite_with_rowid=False,
    )


def _make_sweeps() -> None:
    op.create_table(
        "sweeps",
        sa.Column("id", ID, nullable=False),
        sa.Column("kind", sa.String(length=100), nullable=False),
        sa.Column("user", sa.String(length=200), nullable=False),
        sa.Column("name", sa.String(length=200)),
        sa.Column("stage", sa.String(length=20), nullable=False),
        sa.Column("spec", JSON, nullable=False),
        sa.Column("space", JSON, nullable=False),
        sa.Column("method", sa.String(length=20), nullable=False),
        sa.Column("options", JSON, nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("trials", sa.Integer(), nullable=False),
        sa.Column("parallel", sa.Integer()),
        sa.Column("metric", sa.String(length=200)),
        sa.Column("direction", sa.String(length=3)),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("finished_at", UtcDateTime()),
        sa.Column("driver", sa.String(length=200)),
        sa.Column("driver_until", UtcDateTime()),
        sa.PrimaryKeyConstraint("id", name="pk_sweeps"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "trials",
        sa.Column("sweep", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("job_id", ID),
        sa.Column("params", JSON, nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_trials_job_id", ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("sweep", "number", name="pk_trials"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_trials_job_id", "trials", ["job_id"])


def _make_indexes() -> None:
    """After the rows, which go in more quickly without them."""
    for column in ("queue", "attempt", "priority", "batch"):
        op.create_index(f"ix_jobs_{column}_id", "jobs", [column, "id"])
    for column in ("reason", "sweep", "identity", "twin_of", "made_from"):
        _index("jobs", f"ix_jobs_{column}_id", [column, "id"], f"{column} IS NOT NULL")
    _index("jobs", "ix_jobs_trashed_at", ["trashed_at"], "trashed_at IS NOT NULL")
    waiting = "state = 'waiting' AND twin_of IS NOT NULL"
    _index("jobs", "ix_jobs_waiting_twin", ["twin_of"], waiting)
    for column in ("started_at", "finished_at"):
        op.create_index(f"ix_jobs_{column}", "jobs", [column])
    _index("jobs", "ix_jobs_succeeded", ["kind", "id"], "state = 'succeeded'")
    gpu = ["job_id", "started_at", "finished_at"]
    _index("attempts", "ix_attempts_gpu", gpu, "device <> 'cpu'")
    op.drop_index("ix_jobs_alone", "jobs")
    _index("jobs", "ix_jobs_note", ["id"], "note IS NOT NULL")
    for name, (start, end) in _SPANS.items():
        op.create_index(f"ix_jobs_{name}", "jobs", [_seconds(start, end), "id"])
    op.create_index("ix_jobs_name_id", "jobs", ["name", "id"])
    for column in ("worker", "device"):
        op.create_index(f"ix_attempts_{column}_job_id", "attempts", [column, "job_id"])
    op.drop_index("ix_summaries_name_value", "summaries")
    op.drop_index("ix_summaries_name_best", "summaries")
    for figure in ("value", "last", "min", "max", "best"):
        op.create_index(f"ix_summaries_name_{figure}", "summaries", ["name", figure, "job_id"])
    for column in ("value", "text"):
        columns = ["source", "name", column, "job_id"]
        _index("attributes", f"ix_attributes_{column}", columns, f"{column} IS NOT NULL")
    for column in ("sha256", "source_job"):
        columns = [column, "job_id"]
        _index("inputs", f"ix_inputs_{column}_job_id", columns, f"{column} IS NOT NULL")
    op.create_index("ix_artifacts_sha256_job_id", "artifacts", ["sha256", "job_id"])
    for column in ("job_id", "sha256"):
        op.create_index(f"ix_leftovers_{column}", "leftovers", [column])
    _index("batches", "ix_batches_manifest", ["manifest"], "manifest IS NOT NULL")
    op.create_index("ix_sweeps_user_id", "sweeps", ["user", "id"])


def _seconds(start: str, end: str) -> sa.TextClause:
    """From one time to another."""
    if op.get_bind().dialect.name == "sqlite":
        return sa.text(f"round((julianday({end}) - julianday({start})) * 86400.0, 3)")
    return sa.text(rf"(extract(epoch from ({end} - {start}))\:\:double precision)")


def _index(table: str, name: str, columns: list[Any], where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, sqlite_where=condition, postgresql_where=condition)


def _fill(connection: sa.Connection) -> None:
    """Attributes and inputs of the jobs that there are."""
    names = ("id", "spec", "tags", "result")
    jobs = sa.table("jobs", sa.column("id", ID), *(sa.column(name, JSON) for name in names[1:]))
    columns: list[sa.ColumnElement[Any]] = [jobs.c.id]
    for name in names[1:]:
        column: sa.ColumnElement[Any] = jobs.c[name]
        if (
            connection.dialect.name == "sqlite"
        ):  # which keeps anything, and reads it as JSON or fails
            valid = sa.func.json_valid(column) == 1
            column = sa.type_coerce(sa.case((valid, column)), JSON).label(name)
        columns.append(column)
    attributes = sa.table(
        "attributes", *(sa.column(name) for name in ("job_id", "source", "name", "value", "text"))
    )
    inputs = sa.table(
        "inputs", *(sa.column(name) for name in ("job_id", "field", "nth", "sha256", "source_job"))
    )
    after = 0
    while rows := connection.execute(
        sa.select(*columns).where(jobs.c.id > after).order_by(jobs.c.id).limit(_BATCH)
    ).all():
        after = rows[-1].id
        if found := [each for row in rows for each in _attributes(row)]:
            connection.execute(attributes.insert(), found)
        if files := [each for row in rows for each in _inputs(row)]:
            connection.execute(inputs.insert(), files)


def _attributes(row: Any) -> list[dict[str, Any]]:
    found = []
    for source, record in (("params", row.spec), ("tags", row.tags), ("result", row.result)):
        leaves = _leaves(record) if isinstance(record, dict) else {}
        made = [_attribute(source, name, value) for name, value in leaves.items()]
        found += [each for each in made if each is not None][:500]
    return [{"job_id": row.id, **each} for each in found]


def _attribute(source: str, name: str, value: Any) -> dict[str, Any] | None:
    """Of results the words, whose numbers are in the summaries."""
    if len(name) > 200 or (source == "result" and not isinstance(value, str)):
        return None
    number = text = None
    if isinstance(value, bool):
        number, text = float(value), str(value).lower()
    elif isinstance(value, int | float) or source == "tags":
        number = _number(value)
    if isinstance(value, str):
        text = value if len(value) <= 500 else None
        number = number if text is not None else None
    if number is None and text is None:
        return None
    return {"source": source, "name": name, "value": number, "text": text}


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _leaves(record: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in record.items():
        name = f"{prefix}{key}"
        if _is_file(value):
            found[name] = _of_file(value)
        elif isinstance(value, dict):
            found |= _leaves(value, f"{name}.")
        elif isinstance(value, list):
            found[name] = _of_list(value)
        else:
            found[name] = value
    return found


def _of_list(values: list[Any]) -> Any:
    if len(values) == 1 and _is_file(values[0]):
        return _of_file(values[0])
    few = 0 < len(values) <= _LONGEST_LIST
    plain = few and not any(isinstance(value, dict | list) for value in values)
    return json.dumps(values, ensure_ascii=False) if plain else None


def _is_file(value: Any) -> bool:
    return isinstance(value, dict) and "sha256" in value and "name" in value


def _of_file(file: dict[str, Any]) -> Any:
    return file["name"] if _whole(file.get("job")) is None else file["job"]


def _whole(value: Any) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63
    return value if whole else None


def _inputs(row: Any) -> list[dict[str, Any]]:
    found = []
    for field, value in row.spec.items() if isinstance(row.spec, dict) else ():
        for nth, file in enumerate(value if isinstance(value, list) else [value]):
            if not _is_file(file):
                continue
            sha256 = file["sha256"] if isinstance(file["sha256"], str) else None
            found.append(
                {"job_id": row.id, "field": field[:100], "nth": nth,
                 "sha256": sha256 and sha256[:64], "source_job": _whole(file.get("job"))}
            )  # fmt: skip
    return found
