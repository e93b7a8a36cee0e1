"""What the history answers: the same on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, text, update

from cvq import queries
from cvq import tables as t
from cvq.db import Database
from cvq.errors import UnknownJobError, UsageError
from cvq.ids import AttemptId
from cvq.lifecycle import attempts, claims, jobs
from cvq.records import Artifact, LogLine, MetricPoint, NewJob, Outcome
from cvq.states import State
from cvq.tables import now

TIME = datetime(2026, 11, 1, 12, tzinfo=UTC)


def submit(database: Database, count: int = 1, **values: Any) -> list[int]:
    values = {"kind": "selftest", "user": "ann"} | values
    with database.write() as connection:
        return [
            jobs.submit(connection, NewJob(spec={}, spec_hash="0", **values)) for _ in range(count)
        ]


def start(database: Database, worker: str = "w", lease: float = 60.0) -> AttemptId:
    with database.write() as connection:
        job = claims.claim(
            connection, worker=worker, host="h", queues=["default"], token=str(now), lease=lease
        )
        assert job is not None
        connection.execute(update(t.jobs).values(claim_token=None))
    return job.attempt_id


# ---------------------------------------------------------------------------- jobs


def test_an_unknown_job(database: Database) -> None:
    with pytest.raises(UnknownJobError, match="no job 4711"), database.read() as connection:
        queries.get_job(connection, 4711)


def test_the_last_jobs_of_a_user(database: Database) -> None:
    first, second = submit(database, 2)
    submit(database, user="bob")
    with database.read() as connection:
        assert queries.last_jobs(connection, "ann", 0) == second
        assert queries.last_jobs(connection, "ann", 1) == first
        with pytest.raises(UsageError, match=r"no job @~2: you \(ann\)"):
            queries.last_jobs(connection, "ann", 2)
        with pytest.raises(UsageError, match=r"no job @: you \(eve\)"):
            queries.last_jobs(connection, "eve", 0)


def test_ranges_name_only_what_there_is(database: Database) -> None:
    ids = submit(database, 4)
    with database.write() as connection:
        connection.execute(t.jobs.delete().where(t.jobs.c.id == ids[1]))
        assert queries.ids_between(connection, ids[0], 10**18 - 1) == [ids[0], *ids[2:]]
        assert queries.ids_between(connection, ids[3] + 1, ids[3] + 9) == []


def test_pruned_ids_are_never_given_again(database: Database) -> None:
    [old] = submit(database)
    with database.write() as connection:
        connection.execute(t.jobs.delete())
        for table in (t.events, t.dependencies):
            assert connection.execute(select(table)).all() == []
    assert submit(database)[0] > old


def test_counts(database: Database) -> None:
    submit(database, 2, queue="gpu")
    submit(database, 1)
    start(database)
    submit(database, 1, after=(1,))
    with database.read() as connection:
        assert queries.count_states(connection) == {"queued": 2, "running": 1, "waiting": 1}
        assert queries.queued_by_queue(connection) == {"gpu": 2}


def test_parents(database: Database) -> None:
    first, second = submit(database, 2)
    [child] = submit(database, after=(second, first))
    with database.read() as connection:
        assert {job.id for job in queries.parents_of(connection, child)} == {first, second}
        assert queries.parents_of(connection, first) == []


# ---------------------------------------------------------------------------- what jobs leave


def test_logs_after_a_line_and_the_last_lines(database: Database) -> None:
    submit(database, 2)
    attempt, other = start(database), start(database)
    with database.write() as connection:
        for seq in range(6):
            when = TIME + timedelta(seconds=seq)
            stream = "stderr" if seq % 2 else "stdout"
            attempts.report(connection, attempt, logs=[LogLine(seq, when, stream, f"line {seq}")])
            attempts.report(connection, other, logs=[LogLine(seq, when, stream, "other")])

    def lines(**wanted: Any) -> list[str]:
        with database.read() as connection:
            return [row.text[-1] for row in queries.logs_of(connection, attempt.job_id, **wanted)]

    with database.read() as connection:
        ids = [row.id for row in queries.logs_of(connection, attempt.job_id)]
    assert lines() == list("012345")
    assert lines(after=ids[3]) == list("45")
    assert lines(after=ids[-1]) == []
    assert lines(tail=2) == list("45")
    assert lines(tail=0) == []
    assert lines(tail=99) == list("012345")
    assert lines(after=ids[3], tail=1) == list("5")
    assert lines(since=TIME + timedelta(seconds=4)) == list("45")
    assert lines(attempt=2) == []
    assert lines(stream="stderr") == list("135")


def test_a_text_that_is_no_utf8_is_read_with_marks(database: Database) -> None:
    if not database.is_sqlite:
        pytest.skip("Postgres does not take it in the first place")
    submit(database)
    attempt = start(database)
    with database.write() as connection:
        attempts.report(connection, attempt, logs=[LogLine(1, TIME, "stdout", "loss")])
        connection.execute(text("UPDATE logs SET text = CAST(X'6cff73' AS TEXT)"))
    with database.read() as connection:
        assert [row.text for row in queries.logs_of(connection, attempt.job_id)] == ["l\ufffds"]


def test_the_newest_artifact_of_a_name(database: Database) -> None:
    submit(database, max_attempts=2)
    attempt = start(database)
    artifact = Artifact("a.png", "result", "image/png", "file:///1/a.png", "0" * 64, 5)
    with database.write() as connection:
        preview = Artifact("b.png", "preview", "image/png", "file:///1/b.png", "0" * 64, 6)
        attempts.report(connection, attempt, artifacts=[artifact, preview])
        attempts.finish(connection, attempt, Outcome(State.FAILED, "error", "no", retry=True), "w")
        connection.execute(update(t.jobs).values(not_before=None))
        jobs.promote(connection, "w")
    again = start(database)
    assert again == (attempt.job_id, 2)
    with database.write() as connection:
        newer = Artifact("a.png", "result", "image/png", "file:///2/a.png", "1" * 64, 7)
        attempts.report(connection, again, artifacts=[newer])
        found = queries.artifacts_of(connection, [attempt.job_id, 4711])
    assert found[4711] == []
    assert [(a.name, a.attempt, a.uri) for a in found[attempt.job_id]] == [
        ("b.png", 1, "file:///1/b.png"),
        ("a.png", 2, "file:///2/a.png"),
    ]


@pytest.mark.slow
def test_artifacts_of_more_jobs_than_a_statement_takes_values(database: Database) -> None:
    submit(database)
    attempt = start(database)
    artifact = Artifact("a.png", "result", "image/png", "file:///1/a.png", "0" * 64, 5)
    with database.write() as connection:
        attempts.report(connection, attempt, artifacts=[artifact])
        found = queries.artifacts_of(connection, range(300_000))
    assert len(found) == 300_000
    assert [len(files) for job_id, files in found.items() if files] == [1]


@pytest.mark.parametrize("damage", ["value='abc'", "name=X'ff'", "step='x'"])
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_damaged_rows_of_metrics_are_left_out(database: Database, damage: str) -> None:
    submit(database)
    attempt = start(database)
    points = [MetricPoint("loss", 1, 2.0, TIME), MetricPoint("accuracy", 1, 0.5, TIME)]
    with database.write() as connection:
        attempts.report(connection, attempt, metrics=points)
        connection.execute(text(f"UPDATE metrics SET {damage} WHERE name = 'loss'"))
        if not damage.startswith("step"):
            connection.execute(text(f"UPDATE summaries SET {damage} WHERE name = 'loss'"))
    with database.read() as connection:
        assert list(queries.merged_points(connection, attempt.job_id)) == ["accuracy"]
        known = queries.summaries_of(connection, attempt.job_id)
    assert known.keys() == {"accuracy", *(["loss"] if damage.startswith("step") else [])}


def test_metric_points_by_name_and_attempt(database: Database) -> None:
    submit(database)
    attempt = start(database)
    points = [
        MetricPoint(name, step, step / 2, TIME)
        for step in range(3)
        for name in ("loss", "accuracy")
    ]
    with database.write() as connection:
        attempts.report(connection, attempt, metrics=points)

        def steps(**wanted: Any) -> list[int]:
            return [p.step for p in queries.metric_points(connection, attempt.job_id, **wanted)]

        assert steps(names=["loss"]) == [0, 1, 2]
        assert steps(names=["loss", "accuracy"]) == [0, 0, 1, 1, 2, 2]
        assert steps(names=["loss"], attempt=2) == []
        last = queries.metric_points(connection, attempt.job_id)[-1].id
        assert steps(after=last) == []
        assert steps(after=last - 1) == [2]
        assert queries.get_job(connection, attempt.job_id).metrics == {
            "loss": 1.0,
            "accuracy": 1.0,
        }


def test_curves_of_attempts_that_resumed_one_another_are_merged(database: Database) -> None:
    submit(database, max_attempts=3)

    def attempt(*points: tuple[str, int]) -> AttemptId:
        attempt = start(database)
        with database.write() as connection:
            found = [
                MetricPoint(name, step, float(attempt.attempt), TIME) for name, step in points
            ]
            attempts.report(connection, attempt, metrics=found)
            attempts.finish(
                connection, attempt, Outcome(State.FAILED, "error", "no", retry=True), "w"
            )
            connection.execute(update(t.jobs).values(not_before=None))
            jobs.promote(connection, "w")
        return attempt

    def curves(**wanted: Any) -> dict[str, list[tuple[int, float]]]:
        with database.read() as connection:
            merged = queries.merged_points(connection, job_id, **wanted)
        return {name: [(p.step, p.value) for p in points] for name, points in merged.items()}

    # Died after step 3, with a checkpoint of step 1; accuracy was measured at step 0 alone.
    job_id = attempt(("loss", 0), ("loss", 1), ("loss", 2), ("loss", 3), ("accuracy", 0)).job_id
    attempt(("loss", 2), ("loss", 3))
    assert curves() == {
        "loss": [(0, 1.0), (1, 1.0), (2, 2.0), (3, 2.0)],
        "accuracy": [(0, 1.0)],
    }
    assert curves(names=["accuracy"]) == {"accuracy": [(0, 1.0)]}
    assert curves(attempt=1)["loss"] == [(0, 1.0), (1, 1.0), (2, 1.0), (3, 1.0)]
    assert curves(attempt=2) == {"loss": [(2, 2.0), (3, 2.0)]}
    assert curves(attempt=3) == {}
    # The third had no checkpoint and began anew: nothing of the others is left.
    attempt(("loss", 0))
    assert curves()["loss"] == [(0, 3.0)]


# ---------------------------------------------------------------------------- workers


def test_workers_are_alive_as_long_as_they_were_seen_within_their_lease(
    database: Database,
) -> None:
    entry = {"host": "h", "pid": 1, "devices": ["cpu"], "queues": ["default"], "slots": 1}
    with database.write() as connection:
        for name, seconds, state in (
            ("alive", -5, "up"),
            ("silent", -31, "up"),
            ("draining", -5, "draining"),
            ("left", -5, "gone"),
        ):
            connection.execute(
                insert(t.workers).values(
                    id=name,
                    lease=30.0,
                    state=state,
                    started_at=now(),
                    seen_at=now(seconds),
                    **entry,
                )
            )
    [job_id] = submit(database)
    start(database, worker="alive")
    with database.read() as connection:
        rows = {row.id: row for row in queries.workers(connection)}
        assert {name: row.alive for name, row in rows.items()} == {
            "alive": True,
            "silent": False,
            "draining": True,
        }
        assert rows["alive"].running == [job_id]
        assert rows["silent"].running == []
        assert [row.id for row in queries.live_workers(connection)] == ["alive"]
        assert [row.id for row in queries.live_workers(connection, "default")] == ["alive"]
        assert queries.live_workers(connection, "gpu") == []
        assert len(queries.workers(connection, also_gone=True)) == 4
