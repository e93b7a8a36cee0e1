"""Jobs side by side: what differs, and which value is best."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from steps import claimed, finish, new, submit

from cvq import Client
from cvq import tables as t
from cvq.db import Database
from cvq.errors import UnknownJobError, UsageError
from cvq.lifecycle import attempts, jobs
from cvq.records import MetricPoint, NewJob, Outcome
from cvq.states import State
from cvq.views.compare import Comparison, Line, compare


def submitted(database: Database, spec: dict[str, Any], **more: Any) -> int:
    made = NewJob(spec=spec, **{"kind": "train", "spec_hash": "0" * 64, "user": "ann", **more})
    with database.write() as connection:
        return jobs.submit(connection, made)


def done(database: Database, result: dict[str, Any], **metrics: float) -> None:
    """Let the next job run, record metrics and succeed."""
    job = claimed(database)
    now = datetime.now(UTC)
    with database.write() as connection:
        points = [MetricPoint(name, 1, value, now) for name, value in metrics.items()]
        attempts.report(connection, job.attempt_id, metrics=points)
    finish(database, job.attempt_id, Outcome(State.SUCCEEDED, result=result))


def compared(database: Database, *ids: int) -> Comparison:
    with database.read() as connection:
        return compare(connection, ids)


def lines(found: Comparison) -> dict[str, Line]:
    return {line.name: line for line in found.lines}


def test_only_what_differs_and_the_best_by_its_goal(database: Database) -> None:
    first = submitted(database, {"lr": 0.1, "epochs": 3, "net": {"width": 8}})
    second = submitted(database, {"lr": 0.2, "epochs": 3, "net": {"width": 16}})
    done(database, {"val_accuracy": 0.9, "note": "fine"}, val_loss=0.5, val_accuracy=0.8)
    done(database, {"val_accuracy": 0.7, "note": "fine"}, val_loss=0.4, val_accuracy=0.9)
    found = compared(database, second, first)
    assert [job.id for job in found.jobs] == [second, first]
    shown = {line.name: line for line in found.differing if line.name != "duration"}
    assert {name: list(line.values) for name, line in shown.items()} == {
        "params.lr": [0.2, 0.1],
        "params.net.width": [16, 8],
        "metrics.val_loss": [0.4, 0.5],
        "metrics.val_accuracy": [0.7, 0.9],  # what the result says, which is of the weights kept
    }
    assert {name: set(line.best) for name, line in shown.items() if line.best} == {
        "metrics.val_loss": {0},
        "metrics.val_accuracy": {1},
    }
    every = lines(found)
    assert list(every["params.epochs"].values) == [3, 3]
    assert not every["result.note"].differs
    assert "batch" not in every, "what none of them has"


def test_kinds_have_in_common_what_is_called_alike(database: Database) -> None:
    ids = [
        submitted(database, {"lr": 0.1, "width": 8}),
        submitted(database, {"lr": 0.1, "width": 8}),
        submitted(database, {"lr": 0.2, "depth": 3}, kind="other", goals={"score": "max"}),
    ]
    for score in (1.0, 2.0, 3.0):
        done(database, {}, score=score)
    found = compared(database, *ids)
    names = [line.name for line in found.differing if line.name != "duration"]
    assert names == ["kind", "params.lr", "metrics.score"]
    score = lines(found)["metrics.score"]
    assert (score.goal, score.best) == (None, frozenset()), "the kinds do not agree"


def test_files_are_told_apart_by_their_content(database: Database) -> None:
    def spec(name: str, digit: str) -> dict[str, Any]:
        return {"picture": {"name": name, "sha256": digit * 64}}

    same = [submitted(database, spec("a.png", "1")), submitted(database, spec("b.png", "1"))]
    other = submitted(database, spec("a.png", "2"))
    assert not lines(compared(database, *same))["params.picture"].differs
    picture = lines(compared(database, same[0], other))["params.picture"]
    assert list(picture.values) == ["a.png (11111111)", "a.png (22222222)"]


def test_a_number_is_no_truth_value_and_nan_is_not_best(database: Database) -> None:
    ids = [submitted(database, {"flip": True}), submitted(database, {"flip": 1})]
    done(database, {}, loss=float("nan"))
    done(database, {}, loss=2.0)
    found = lines(compared(database, *ids))
    assert found["params.flip"].differs
    assert list(found["metrics.loss"].values) == [None, 2.0]
    assert not found["metrics.loss"].best


def test_a_damaged_row_is_compared_by_what_is_whole(database: Database) -> None:
    ids = submit(database, new(), new())
    with database.write() as connection:
        connection.execute(
            t.jobs.update().where(t.jobs.c.id == ids[0]).values(spec=["no", "record"])
        )
    assert list(lines(compared(database, *ids))["params.seed"].values) == [None, 7]


def test_a_job_that_is_not_there_is_named(database: Database) -> None:
    [job_id] = submit(database, new())
    with pytest.raises(UnknownJobError, match="99"):
        compared(database, job_id, 99)


def test_json_tells_the_best_by_their_job(database: Database) -> None:
    ids = [submitted(database, {"lr": rate}) for rate in (0.1, 0.2)]
    found = compared(database, *ids)
    [line] = [each for each in found.to_json()["lines"] if each["name"] == "params.lr"]
    assert line == {
        "name": "params.lr", "values": [0.1, 0.2], "goal": None, "best": [], "differs": True,
    }  # fmt: skip


def test_the_client_compares_jobs_and_ids(client: Client) -> None:
    jobs = [client.submit("selftest", steps=steps) for steps in (2, 3)]
    found = client.compare(jobs[0], jobs[1].id)
    assert [line.name for line in found.differing] == ["params.steps"]
    with pytest.raises(UsageError, match="two"):
        client.compare(jobs[0], jobs[0].id)
