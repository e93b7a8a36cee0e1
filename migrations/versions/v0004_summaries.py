"""Summaries of metrics and results, made for the whole history; which way a metric is better."""

import math
import re
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")

# The words as they were at this revision.
_UP = re.compile(
    r"acc(uracy)?|ap|auc|auroc|dice|f[12]|iou|jaccard|miou|map|precision|psnr|r2|recall|speed|"
    r"ssim|throughput"
)
_DOWN = re.compile(
    r"bce|bits|bpd|cer|divergence|err(or)?|fid|kl|loss|lpips|mae|mape|mse|nats|nll|perplexity|"
    r"ppl|rmse|seconds|wer"
)
_BATCH = 500

# Of a curve that several attempts made, each counts up to the first step of a later one. All names
# at once: the history may be long, and its names many.
_FROM_METRICS = """
INSERT INTO summaries
    (job_id, name, source, value, last, min, max, best, best_step, attempt)
WITH firsts AS (
    SELECT job_id, name, attempt, MIN(step) AS step, MAX(id) AS newest
    FROM metrics GROUP BY job_id, name, attempt
), cuts AS (
    SELECT f.job_id, f.name, f.attempt, MIN(l.step) AS step
    FROM firsts f LEFT JOIN firsts l
        ON l.job_id = f.job_id AND l.name = f.name AND l.attempt > f.attempt
    GROUP BY f.job_id, f.name, f.attempt
), kept AS (
    SELECT m.job_id, m.name, m.step, m.value
    FROM metrics m JOIN cuts c
        ON c.job_id = m.job_id AND c.name = m.name AND c.attempt = m.attempt
    WHERE c.step IS NULL OR m.step < c.step
), ends AS (
    SELECT k.job_id, k.name, MIN(k.value) AS low, MAX(k.value) AS high,
        CASE MIN(g.goal) WHEN 'max' THEN MAX(k.value) WHEN 'min' THEN MIN(k.value) END AS best
    FROM kept k LEFT JOIN summary_goals g ON g.name = k.name
    GROUP BY k.job_id, k.name
), bests AS (
    SELECT e.job_id, e.name, e.low, e.high, e.best, MIN(k.step) AS step
    FROM ends e LEFT JOIN kept k
        ON k.job_id = e.job_id AND k.name = e.name AND k.value = e.best
    GROUP BY e.job_id, e.name, e.low, e.high, e.best
), newest AS (
    SELECT job_id, name, MAX(newest) AS id FROM firsts GROUP BY job_id, name
)
SELECT b.job_id, b.name, 'metrics', m.value, m.value, b.low, b.high, b.best, b.step, m.attempt
FROM bests b
    JOIN newest n ON n.job_id = b.job_id AND n.name = b.name
    JOIN metrics m ON m.id = n.id
"""


def upgrade() -> None:
    op.add_column("jobs", sa.Column("goals", JSON))
    op.create_table(
        "summaries",
        sa.Column("job_id", ID, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("source", sa.String(length=10), nullable=False),
        sa.Column("value", sa.Float()),
        sa.Column("last", sa.Float()),
        sa.Column("min", sa.Float()),
        sa.Column("max", sa.Float()),
        sa.Column("best", sa.Float()),
        sa.Column("best_step", sa.BigInteger()),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_summaries_job_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "name", "source", name="pk_summaries"),
    )
    op.create_index("ix_summaries_name_value", "summaries", ["name", "value"])
    op.create_index("ix_summaries_name_best", "summaries", ["name", "best"])
    connection = op.get_bind()
    _from_metrics(connection)
    _from_results(connection)


def _from_metrics(connection: sa.Connection) -> None:
    names = connection.scalars(sa.text("SELECT DISTINCT name FROM metrics")).all()
    known = [{"name": name, "goal": goal} for name in names if (goal := _goal(name))]
    goals = op.create_table(
        "summary_goals",
        sa.Column("name", sa.String(length=200), primary_key=True),
        sa.Column("goal", sa.String(length=3), nullable=False),
    )
    op.bulk_insert(goals, known)
    connection.execute(sa.text(_FROM_METRICS))
    op.drop_table("summary_goals")


def _from_results(connection: sa.Connection) -> None:
    """Numbers of results, which are the figures of the metrics of the same name, too."""
    jobs = sa.table(
        "jobs",
        sa.column("id", sa.BigInteger()),
        sa.column("attempt", sa.Integer()),
        sa.column("state", sa.String()),
        sa.column("metrics", JSON),
        sa.column("result", JSON),
    )
    summaries = sa.table(
        "summaries",
        *(sa.column(name) for name in ("job_id", "name", "source", "value", "last", "min")),
        *(sa.column(name) for name in ("max", "best", "attempt")),
    )
    good = [jobs.c.state == "succeeded", jobs.c.result.is_not(None)]
    if connection.dialect.name == "sqlite":  # which keeps anything, and reads it as JSON or fails
        good += [sa.func.json_valid(column) == 1 for column in (jobs.c.metrics, jobs.c.result)]
    after = 0
    while rows := connection.execute(
        sa.select(jobs).where(jobs.c.id > after, *good).order_by(jobs.c.id).limit(_BATCH)
    ).all():
        after = rows[-1].id
        for row in rows:
            _add_result(connection, jobs, summaries, row)


def _add_result(
    connection: sa.Connection, jobs: sa.TableClause, summaries: sa.TableClause, row: sa.Row[Any]
) -> None:
    numbers = _numbers(row.result) if isinstance(row.result, dict) else {}
    metrics = row.metrics if isinstance(row.metrics, dict) else {}
    kept = {name: value for name, value in numbers.items() if name in metrics}
    for name, value in numbers.items():
        whole = None if name in kept else value
        connection.execute(
            summaries.insert().values(
                job_id=row.id, name=name, source="result", attempt=row.attempt, value=value,
                last=whole, min=whole, max=whole, best=whole if _goal(name) else None,
            )
        )  # fmt: skip
    if not kept:
        return
    connection.execute(
        jobs.update().where(jobs.c.id == row.id).values(metrics={**metrics, **kept})
    )
    for name, value in kept.items():
        s = summaries.c
        connection.execute(
            summaries.update()
            .where(s.job_id == row.id, s.name == name, s.source == "metrics")
            .values(value=value)
        )


def _numbers(record: dict[str, Any], prefix: str = "") -> dict[str, float]:
    found: dict[str, float] = {}
    for key, value in record.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            found |= _numbers(value, f"{name}.")
        elif isinstance(value, int | float) and len(name) <= 200:
            try:
                number = float(value)
            except OverflowError:
                continue
            if math.isfinite(number):
                found[name] = number
    return found


def _goal(name: str) -> str | None:
    if name.lower().endswith("per_second"):
        return "max"
    for word in reversed(re.findall(r"[a-z]+\d*", name.lower())):
        for stem in (word, word.rstrip("0123456789")):
            if _UP.fullmatch(stem):
                return "max"
            if _DOWN.fullmatch(stem):
                return "min"
    return None
