"""Where a job comes from, and what has come of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from past import Past
from plans import sqlite_plans
from sqlalchemy import update
from steps import new, submit

from cvq import tables as t
from cvq.db import Database
from cvq.errors import UnknownJobError
from cvq.views import graph as view
from cvq.views.graph import Branch, Graph


@pytest.fixture
def past(database: Database, tmp_path: Path) -> Past:
    return Past(database, tmp_path)


def graph(past: Past, job: int, depth: int = view.DEPTH) -> Graph:
    with past.database.read() as connection:
        return view.graph(connection, job, depth)


def told(branches: list[Branch]) -> list[object]:
    """Ids, with how they hang together and what is behind them."""
    return [(each.how, each.node.id, *([told(each.branches)] if each.branches else []))
            for each in branches]  # fmt: skip


def test_data_become_a_model_and_a_model_predictions(past: Past) -> None:
    data = past.input("garments")
    training = past.job(inputs={"data": data}, files={"model:model": "w"})
    picture = past.job(files={"painted.png": "paint"})
    [drawn] = [past.input("paint")]
    answer = past.job(inputs={"model": past.model(training), "images": [drawn]})
    found = graph(past, answer)
    digest = f"input {str(data['sha256'])[:12]}"
    assert told(found.sources) == [
        ("images", f"job {picture}"),
        ("model", f"job {training}", [("data", digest)]),
    ]
    assert found.uses == []
    assert told(graph(past, training).uses) == [("model of", f"job {answer}")]
    assert told(graph(past, picture).uses) == [("taken by", f"job {answer}")]
    assert {node.name for node in found.nodes() if node.type == "input"} == {"a.png"}
    assert set(found.links()) == {
        (digest, f"job {training}", "data"),
        (f"job {training}", f"job {answer}", "model"),
        (f"job {picture}", f"job {answer}", "images"),
    }


def test_reruns_twins_and_what_waits_are_told(past: Past) -> None:
    first = past.job()
    rerun, twin = past.job(made_from=first), past.job(twin_of=first)
    [waiting] = submit(past.database, new(after=(first,)))
    assert told(graph(past, first).uses) == [
        ("rerun as", f"job {rerun}"),
        ("same as", f"job {twin}"),
        ("waited for by", f"job {waiting}"),
    ]
    for job, how in ((rerun, "rerun of"), (twin, "same as"), (waiting, "after")):
        assert told(graph(past, job).sources) == [(how, f"job {first}")]


def test_what_is_many_is_counted(past: Past) -> None:
    model = past.job()
    users = [past.job(inputs={"model": past.model(model)}) for _ in range(15)]
    with past.database.write() as connection:
        last = t.jobs.c.id == users[-1]
        connection.execute(update(t.jobs).where(last).values(kind="other"))
    branches = graph(past, model).uses
    assert [branch.node.job for branch in branches] == [*users[:12], None]
    assert branches[-1].node.name == "3 more: other 1, selftest 2"


def test_a_graph_ends(past: Past) -> None:
    jobs = [past.job()]
    for _ in range(4):
        jobs.append(past.job(made_from=jobs[-1]))
    with past.database.write() as connection:  # no job is older than itself, but by damage
        first = t.jobs.c.id == jobs[0]
        connection.execute(update(t.jobs).where(first).values(made_from=jobs[-1]))
    found = graph(past, jobs[2], 100)
    assert len(found.nodes()) == 5
    assert graph(past, jobs[2], 1).uses[0].more
    with past.database.write() as connection:
        connection.execute(t.jobs.delete().where(t.jobs.c.id == jobs[0]))
    assert graph(past, jobs[1]).sources[0].node.name == "which is gone"
    with pytest.raises(UnknownJobError):
        graph(past, jobs[0])


def test_no_table_is_read_as_a_whole(past: Past) -> None:
    if not past.database.is_sqlite:
        pytest.skip("plans are SQLite's")
    model = past.job(files={"model:model": "w"}, inputs={"data": past.input("x")})
    past.job(inputs={"model": past.model(model)})
    steps = sqlite_plans(past.database, lambda: print(graph(past, model)))
    assert [step for step in steps if step.startswith("SCAN") and "json_each" not in step] == []
