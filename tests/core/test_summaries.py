"""What is kept of each metric and result, and asked for by name: the same on both databases."""

from __future__ import annotations

import math
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event, text, update

from cvq import queries, schema
from cvq import tables as t
from cvq.db import Database
from cvq.errors import UsageError
from cvq.lifecycle import attempts, claims, jobs
from cvq.query.parser import parse
from cvq.records import Job, MetricPoint, NewJob, Outcome
from cvq.states import State
from cvq.views import filters
from cvq.views.filters import Filter
from cvq.views.spelling import check

TIME = datetime(2026, 11, 1, 12, tzinfo=UTC)


def start(database: Database, **values: Any) -> Job:
    """A job that runs; submitted where no job waits."""
    values = {"kind": "selftest", "user": "ann"} | values
    with database.write() as connection:
        jobs.promote(connection, "w")
        if not queries.count_states(connection).get("queued"):
            jobs.submit(connection, NewJob(spec={}, spec_hash="0", **values))
        job = claims.claim(
            connection,
            worker="w",
            host="h",
            queues=["default"],
            token=uuid.uuid4().hex,
            lease=60.0,
        )
        assert job is not None
        connection.execute(update(t.jobs).values(claim_token=None))
    return job


def report(database: Database, job: Job, *points: tuple[str, int, float]) -> None:
    with database.write() as connection:
        made = [MetricPoint(name, step, value, TIME) for name, step, value in points]
        attempts.report(connection, job.attempt_id, metrics=made)


def finish(database: Database, job: Job, state: str = State.SUCCEEDED, **more: Any) -> None:
    with database.write() as connection:
        attempts.finish(connection, job.attempt_id, Outcome(state, **more), "w")
        connection.execute(update(t.jobs).values(not_before=None))


def summary(database: Database, job: Job, name: str) -> tuple[Any, ...]:
    """value, last, min, max, best, best_step"""
    with database.read() as connection:
        row = queries.summaries_of(connection, job.id)[name]
    return (row.value, row.last, row.min, row.max, row.best, row.best_step)


def found(database: Database, *where: str, sort: str | None = None) -> list[int]:
    wanted = Filter(where=filters.conditions_of(where), sort=sort)
    with database.read() as connection:
        check(connection, wanted)
        return [job.id for job in filters.find(connection, wanted)]


def test_last_lowest_highest_and_best(database: Database) -> None:
    job = start(database)
    report(database, job, ("val_loss", 1, 3.0), ("val_accuracy", 1, 0.5), ("val_loss", 2, 1.0))
    assert summary(database, job, "val_loss") == (1.0, 1.0, 1.0, 3.0, 1.0, 2)
    report(database, job, ("val_accuracy", 3, 0.9), ("val_loss", 3, 2.0), ("epoch", 3, 3.0))
    report(database, job, ("val_accuracy", 4, 0.9), ("val_loss", 4, 1.0))
    assert summary(database, job, "val_loss") == (1.0, 1.0, 1.0, 3.0, 1.0, 2)
    assert summary(database, job, "val_accuracy") == (0.9, 0.9, 0.5, 0.9, 0.9, 3)
    assert summary(database, job, "epoch") == (3.0, 3.0, 3.0, 3.0, None, None)


def test_numbers_that_are_not_finite_are_no_extremes(database: Database) -> None:
    job = start(database)
    report(database, job, ("loss", 1, math.nan))
    assert summary(database, job, "loss") == (None,) * 6
    report(database, job, ("loss", 2, 5.0), ("loss", 3, math.inf), ("loss", 4, -math.inf))
    assert summary(database, job, "loss") == (None, None, 5.0, 5.0, 5.0, 2)
    assert found(database, "min(loss)<6") == [job.id]
    assert found(database, "loss<6") == []


def test_what_a_kind_declares_decides_what_is_best(database: Database) -> None:
    job = start(database, goals={"colourfulness": "max", "loss": "max"})
    report(database, job, ("colourfulness", 1, 9.0), ("colourfulness", 2, 1.0), ("loss", 1, 1.0))
    report(database, job, ("loss", 2, 2.0))
    assert summary(database, job, "colourfulness")[4:] == (9.0, 1)
    assert summary(database, job, "loss")[4:] == (2.0, 2)


def test_an_attempt_takes_back_what_it_does_anew(database: Database) -> None:
    first = start(database, max_attempts=9)
    for step, value in enumerate([0.5, 0.6, 0.99, 0.1], start=1):
        report(database, first, ("accuracy", step, value))
    finish(database, first, State.FAILED, reason="oom", retry=True)
    assert summary(database, first, "accuracy") == (0.1, 0.1, 0.1, 0.99, 0.99, 3)
    # Resumed after step 2.
    second = start(database)
    assert second.attempt_id == (first.id, 2)
    report(database, second, ("accuracy", 3, 0.4), ("accuracy", 4, 0.3))
    assert summary(database, first, "accuracy") == (0.3, 0.3, 0.3, 0.6, 0.6, 2)
    report(database, second, ("accuracy", 5, 0.7))
    assert summary(database, first, "accuracy") == (0.7, 0.7, 0.3, 0.7, 0.7, 5)
    finish(database, second, State.FAILED, reason="oom", retry=True)
    # Began anew: nothing of the others is left.
    third = start(database)
    report(database, third, ("accuracy", 1, 0.2))
    assert summary(database, first, "accuracy") == (0.2, 0.2, 0.2, 0.2, 0.2, 1)


def test_a_report_sent_again_is_not_counted_twice(database: Database) -> None:
    job = start(database)
    with database.write() as connection:
        for _ in range(2):
            point = MetricPoint("loss", 1, 2.0, TIME)
            attempts.report(connection, job.attempt_id, number=1, metrics=[point])
        late = MetricPoint("loss", 2, 9.0, TIME)
        attempts.report(connection, job.attempt_id, number=1, metrics=[late])
    assert summary(database, job, "loss") == (2.0, 2.0, 2.0, 2.0, 2.0, 1)


def test_the_figures_of_what_is_kept_are_those_that_count(database: Database) -> None:
    kept, other = start(database), start(database)
    for job, values in ((kept, (0.9, 0.975, 0.963)), (other, (0.9, 0.95, 0.97))):
        for step, value in enumerate(values, start=1):
            report(database, job, ("val_accuracy", step, value), ("epoch", step, step))
    result = {"val_accuracy": 0.975, "test_accuracy": 0.96, "best_epoch": 2, "device": "cpu"}
    finish(database, kept, result=result)
    finish(database, other, result={"val_accuracy": 0.97})
    with database.read() as connection:
        assert queries.get_job(connection, kept.id).metrics == {
            "val_accuracy": 0.975,
            "epoch": 3.0,
        }
        curve = queries.merged_points(connection, kept.id)["val_accuracy"]
    assert [point.value for point in curve] == [0.9, 0.975, 0.963]
    assert summary(database, kept, "val_accuracy") == (0.975, 0.963, 0.9, 0.975, 0.975, 2)
    assert found(database, "val_accuracy>0.972") == [kept.id]
    assert found(database, "last(val_accuracy)>0.965") == [other.id]
    assert found(database, sort="-val_accuracy") == [kept.id, other.id]
    assert found(database, sort="last(val_accuracy)") == [kept.id, other.id]


@pytest.mark.slow
def test_results_are_asked_for_by_name(database: Database) -> None:
    bad, good, none = start(database), start(database), start(database)
    for job, accuracy in ((bad, 0.8), (good, 0.95)):
        report(database, job, ("images", 1, 7.0))
        finish(database, job, result={
            "test_accuracy": accuracy, "passed": accuracy > 0.9, "per class": {"shoe": accuracy},
            "images": 8, "huge": 10**400, "rows": [1, 2], "name": "x", "nothing": None,
        })  # fmt: skip
    finish(database, none, result={"nan": math.nan})
    assert found(database, "test_accuracy>0.9") == [good.id]
    assert found(database, "best(test_accuracy)>=0.8", "test_accuracy<0.9") == [bad.id]
    assert found(database, "result.per class.shoe>0.9") == [good.id]
    assert found(database, 'result."per class.shoe">0.9') == [good.id]
    assert found(database, "passed=1") == [good.id]
    assert found(database, "images=8") == [good.id, bad.id]
    assert found(database, "last(metrics.images)=7") == [good.id, bad.id]
    assert found(database, "result.images=7") == []
    assert found(database, sort="-test_accuracy") == [good.id, bad.id, none.id]


@pytest.mark.parametrize("result", [[1, 2], 3, "x", True, {}, {"a": {"a": {"b": 1}}}])
def test_results_of_any_shape(database: Database, result: Any) -> None:
    finish(database, job := start(database), result=result)
    with database.read() as connection:
        assert queries.get_job(connection, job.id).state == State.SUCCEEDED


@pytest.mark.parametrize(
    "name", ["mAP@0.5", "top-5 acc", "größe", "it's", 'a"b', "a>b", "f(x)", "損失"]
)
def test_a_metric_of_any_name(database: Database, name: str) -> None:
    job = start(database)
    report(database, job, (name, 1, 0.7), ("other", 1, 0.9))
    quoted = name.replace('"', '\\"')
    assert found(database, f'"{quoted}">0.5') == [job.id]
    assert found(database, f'max(metrics."{quoted}")<0.5') == []
    assert found(database, f'metrics."{quoted}" < 0.5') == []
    assert found(database, sort=f'-"{quoted}"') == [job.id]


def test_a_name_that_no_job_has_is_refused(database: Database) -> None:
    assert found(database, "anything>1") == [], "there are no jobs yet"
    job = start(database, tags={"purpose": "poster"})
    with pytest.raises(UsageError, match=r"parameter, tag or result 'x': there is tags\.purp"):
        found(database, "x>1")
    report(database, job, ("val_accuracy", 1, 0.5))
    finish(database, job, result={"test_accuracy": 0.5})

    def refused(**wanted: Any) -> str:
        with pytest.raises(UsageError) as caught, database.read() as connection:
            check(connection, Filter(**wanted), kinds=lambda: ["vae"], figures=lambda: ["loss"])
        return str(caught.value)

    def remarks(**wanted: Any) -> list[str]:
        with database.read() as connection:
            return check(
                connection, Filter(**wanted), kinds=lambda: ["vae"], figures=lambda: ["loss"]
            )

    typo = parse("val_acuracy>0.5")
    assert refused(where=typo) == (
        "no job has a metric, parameter, tag or result 'val_acuracy': "
        "did you mean 'val_accuracy'?\n  val_acuracy>0.5\n  ^^^^^^^^^^^"
    )
    assert refused(where=parse("result.val_accuracy>1")).startswith(
        "no job has a value in its result 'val_accuracy': did you mean 'test_accuracy'"
    )
    assert refused(where=parse("metrics.zzz>1")).startswith(
        "no job has a metric 'zzz': there are loss and val_accuracy\n"
    )
    assert refused(where=parse("purpos = x")).startswith(
        "no job has a metric, parameter, tag or result 'purpos': did you mean 'tags.purpose'?"
    )
    assert refused(sort="-priorty").startswith(
        "no job has a metric, parameter, tag or result 'priorty': did you mean 'priority'?"
    )
    assert refused(kinds=["selftets"]) == "no job of kind 'selftets': did you mean 'selftest'?"
    assert refused(users=["Anne"]) == "no job of user 'Anne': did you mean 'ann'?"
    assert (
        refused(tags=[("purpos", None)]) == "no job with a tag 'purpos': did you mean 'purpose'?"
    )
    assert remarks(where=parse("loss<1"), kinds=["vae"], sort="loss") == []
    for where, message in {
        "loss<1 and not kind in (vae, selftets)":
            "no job of kind 'selftets': did you mean 'selftest'?\n"
            "  not kind in (vae, selftets)\n"
            "                    ^^^^^^^^",
        "user != Anne":
            "no job of user 'Anne': did you mean 'ann'?\n  user != Anne\n          ^^^^",
    }.items():  # fmt: skip
        assert refused(where=parse(where)) == message
    assert remarks(where=parse("user = bob or queue = defult or kind = vae")) == [
        "no job of user 'bob'", "no job on queue 'defult': did you mean 'default'?",
    ]  # fmt: skip
    assert remarks(queues=["cvq"]) == ["no job on queue 'cvq'"]
    assert remarks(users=["bob"]) == ["no job of user 'bob'"]
    assert remarks(tags=[("purpose", "art"), ("x", "1")]) == [
        "no job with the tag 'purpose=art'",
        "no job with a tag 'x'",
    ]


# ---------------------------------------------------------------------------- older histories


def test_an_upgrade_makes_the_summaries_of_the_whole_history(database: Database) -> None:
    job = start(database, max_attempts=9)
    for step, value in enumerate([0.5, 0.6, 0.99, math.nan], start=1):
        report(database, job, ("accuracy", step, value), ("epoch", step, step))
    finish(database, job, State.FAILED, reason="oom", retry=True)
    job = start(database)
    report(database, job, ("accuracy", 3, 0.4), ("accuracy", 4, 0.8), ("accuracy", 5, 0.7))
    finish(database, job, result={"accuracy": 0.8, "test": {"accuracy": 0.75}, "rows": [1]})
    with database.read() as connection:
        select = text(
            "SELECT job_id, name, source, value, last, min, max, best, best_step, attempt "
            "FROM summaries ORDER BY name, source"
        )
        made = connection.execute(select).all()
        metrics = queries.get_job(connection, job.id).metrics
    assert len(made) == 4
    with database.write() as connection:  # as an earlier version left it
        connection.execute(t.summaries.delete())
        connection.execute(update(t.jobs).values(metrics={"accuracy": 0.7, "epoch": 4.0}))
        sent: list[str] = []
        event.listen(database.engine, "before_cursor_execute", lambda *a: sent.append(a[2]))
        _run_migration(connection)
        # Once to learn the names, and once for all of them together.
        assert sum("FROM metrics" in statement for statement in sent) == 2
        assert connection.execute(select).all() == made
        assert queries.get_job(connection, job.id).metrics == metrics


@pytest.mark.slow
@pytest.mark.parametrize("column", ["result", "metrics"])
def test_an_upgrade_passes_over_rows_that_are_damaged(database: Database, column: str) -> None:
    jobs = [start(database) for _ in range(3)]
    for job in jobs:
        finish(database, job, result={"seconds": 1.5})
    with database.write() as connection:
        connection.execute(t.summaries.delete())
        if database.is_sqlite:  # Postgres keeps no such thing
            connection.execute(text(f"UPDATE jobs SET {column} = '{{\"a' WHERE id = {jobs[1].id}"))
        _run_migration(connection)
        found = connection.scalars(text("SELECT job_id FROM summaries ORDER BY job_id")).all()
    assert found == [job.id for job in jobs if job is not jobs[1] or not database.is_sqlite]


def _run_migration(connection: Any) -> None:
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(schema.alembic_config()).walk_revisions()
    [script] = [each for each in scripts if "summaries" in each.path]
    t.summaries.drop(connection)
    connection.execute(text("ALTER TABLE jobs DROP COLUMN goals"))
    with Operations.context(MigrationContext.configure(connection)):
        script.module.upgrade()
