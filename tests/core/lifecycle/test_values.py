"""Whatever jobs and workers say can be stored."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from steps import claimed, finish, get, new, submit

from cvq import queries
from cvq import tables as t
from cvq.db import Database
from cvq.errors import UsageError
from cvq.lifecycle import attempts, jobs
from cvq.lifecycle.values import fit
from cvq.records import Artifact, EncodedJson, LogLine, MetricPoint, NewJob, Outcome
from cvq.states import State


def test_whatever_a_job_says_can_be_stored(database: Database) -> None:
    # NULs, half a character, far too long names, numbers that JSON does not know.
    submit(database, new())
    job = claimed(database)
    odd = "a\x00b\udcffc"
    moment = datetime(2026, 11, 1, 12, 0, 0, 123456, UTC)
    with database.write() as connection:
        attempts.report(
            connection,
            job.attempt_id,
            pid=1,
            progress={"done": 1, "unit": odd, "eta_s": float("inf")},
            logs=[LogLine(1, moment, "stdout", odd), LogLine(2, moment, "stdout", "ü€😀")],
            metrics=[
                MetricPoint("m" * 500, 1, 0.5, moment),
                MetricPoint("nan", 1, float("nan"), moment),
                MetricPoint("inf", 1, float("-inf"), moment),
            ],
            artifacts=[Artifact("a.png", "r" * 500, "m" * 500, "file:///a", "0" * 64, 2**40)],
        )
    finish(
        database,
        job.attempt_id,
        Outcome(
            State.FAILED, "r" * 500, odd, odd * 1000, result={odd: [odd, float("nan"), {"x": 1.5}]}
        ),
    )
    ended = get(database, job.id)
    clean = "a\ufffdb?c"
    assert ended.error == clean
    assert ended.result == {clean: [clean, None, {"x": 1.5}]}
    assert ended.progress == {"done": 1, "unit": clean, "eta_s": None}
    assert ended.metrics == {"m" * 100: 0.5, "nan": None, "inf": None}
    with database.read() as connection:
        lines = queries.logs_of(connection, job.id)
        assert [(line.text, line.time) for line in lines] == [(clean, moment), ("ü€😀", moment)]
        values = [point.value for point in queries.metric_points(connection, job.id)]
        assert values == [0.5, None, None]
        assert [a.role for a in queries.artifacts_of(connection, [job.id])[job.id]] == ["r" * 50]


def test_a_huge_specification_survives(database: Database) -> None:
    spec = {"seed": 2**32 - 1, "text": "ü" * 1_000_000, "deep": [[[{"a": None}]]]}
    with database.write() as connection:
        job_id = jobs.submit(connection, NewJob("selftest", spec, "0" * 64, "ännchen"))
    assert claimed(database).spec == spec
    assert get(database, job_id).user == "ännchen"
    with database.read() as connection:
        assert queries.attempts_of(connection, job_id)[0].seed == 2**32 - 1


def test_whole_numbers_fit_to_the_last_one() -> None:
    for number in (-(2**31), 2**31 - 1):
        assert fit(t.jobs, max_attempts=number) == {"max_attempts": number}
    for number, bits in ((-(2**31) - 1, 33), (2**31, 33), (2**40, 42)):
        said = f"the max_attempts is a number of {bits} bits, and the database holds 32 of them"
        with pytest.raises(UsageError, match=said):
            fit(t.jobs, max_attempts=number)


def test_a_large_result_comes_back_whole(database: Database) -> None:
    submit(database, new())
    job = claimed(database)
    result = {"text": "ü0123456789" * 100_000, "more": ["'", '"', "\\", "%s", ":x"]}
    encoded = EncodedJson(json.dumps(result, ensure_ascii=False))
    finish(database, job.attempt_id, Outcome(State.SUCCEEDED, result=encoded))
    assert get(database, job.id).result == result
