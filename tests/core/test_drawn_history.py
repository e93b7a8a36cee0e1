"""The benchmarks' history: what stands beside each job is what cvq itself would have written."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from sqlalchemy import Connection, select

from benchmarks.history.__main__ import main
from benchmarks.history.making import make
from cvq import attributes, queries, summaries
from cvq import tables as t
from cvq.db import Database
from cvq.records import Job
from cvq.states import State

JOBS = 300


def test_a_drawn_history_is_as_cvq_writes_it(database: Database) -> None:
    said: list[str] = []
    make(database, JOBS, 4000, said.append)
    with database.read() as connection:
        jobs = queries.get_jobs(connection, range(1, JOBS + 1))
        assert len(jobs) == JOBS
        assert {job.state for job in jobs} == set(State) - {"waiting"}
        assert not any(job.damage for job in jobs)
        for job in jobs[::11]:
            assert stored(connection, job) == written(job)
            figures = {
                name: each.value for name, each in queries.summaries_of(connection, job.id).items()
            }
            assert figures == pytest.approx(job.metrics)
            curves = queries.merged_points(connection, job.id)
            last = {name: curve[-1].value for name, curve in curves.items()}
            said = {name: job.result[name] for name in last if name in (job.result or {})}
            assert last | said == pytest.approx(job.metrics)
        assert connection.scalar(select(t.batches.c.id).limit(1)) is not None
        assert connection.scalar(select(t.sweeps.c.id).limit(1)) is not None


def written(job: Job) -> dict[str, object]:
    """What cvq would write of a job."""
    given = [*attributes.params_of(job.spec), *attributes.tags_of(job.tags)]
    numbers = summaries.numbers_of(job.result) if job.result else {}
    return {
        "given": sorted((each.name, each.value, each.text) for each in given),
        "words": attributes.words_of(job.result) if job.result else {},
        "numbers": pytest.approx(numbers, rel=1e-5),
        "inputs": [each._asdict()["sha256"] for each in attributes.inputs_of(job.spec)],
    }


def stored(connection: Connection, job: Job) -> dict[str, object]:
    """What stands in the tables beside it."""
    a, s = t.attributes.c, t.summaries.c
    rows = connection.execute(
        select(a.name, a.value, a.text, a.source).where(a.job_id == job.id)
    ).all()
    numbers = select(s.name, s.value).where(s.job_id == job.id, s.source == "result")
    return {
        "given": sorted((row.name, row.value, row.text) for row in rows if row.source != "result"),
        "words": {row.name: row.text for row in rows if row.source == "result"},
        "numbers": dict(connection.execute(numbers).all()),
        "inputs": list(
            connection.scalars(select(t.inputs.c.sha256).where(t.inputs.c.job_id == job.id))
        ),
    }


@pytest.mark.slow
def test_a_small_history_is_measured(database: Database) -> None:
    words = "--jobs 60 --points 500 --repeat 1 --lives 2 --calm --only lists --only costs"
    url = database.settings.database_url
    words += f" --postgres {url}" if url else ""
    done = CliRunner().invoke(main, words.split())
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    there = f"60 jobs on {'Postgres' if url else 'SQLite'}"
    for part in (there, "--sort -val_accuracy, warm", "claim of a job"):
        assert part in done.stdout
