"""`cvq watch` of several jobs: a live table, or lines in a pipe."""

from __future__ import annotations

import json

import pytest

from cvq import Client

from .conftest import Cli, FakeWorker


def test_lines_tell_of_changes_until_all_have_ended(
    run: Cli, client: Client, worker: FakeWorker
) -> None:
    for _ in range(2):
        client.submit("selftest")
    first, second = worker.claim(), worker.claim()
    worker.report(first, progress={"done": 3, "total": 10, "unit": "step", "eta_s": 7.0},
                  memory=12_000_000)  # fmt: skip
    worker.metric(first, "loss", 0.5)
    said = run("watch", "--timeout", "0s", code=124)
    assert "job 1 running  3/10, 7.0s left  12 MB  loss 0.5" in said.out.splitlines()
    assert "2 jobs continue" in said.err
    worker.finish(first)
    worker.finish(second, "failed", reason="error", error="no")
    said = run("watch", 1, 2, code=1)
    assert [line.split("  ")[0] for line in said.out.splitlines()] == [
        "job 1 succeeded",
        "job 2 failed (error)",
    ]
    assert run("watch").err == "none of your jobs runs or waits\n"


def test_json_has_a_line_of_each_change(run: Cli, client: Client, worker: FakeWorker) -> None:
    for _ in range(2):
        client.submit("selftest")
        worker.finish(worker.claim())
    found = [json.loads(line) for line in run("watch", "1-2", "--json").out.splitlines()]
    assert [(job["id"], job["state"], job["memory"]) for job in found] == [
        (1, "succeeded", None),
        (2, "succeeded", None),
    ]


def test_a_job_that_was_cancelled_has_its_code(run: Cli, client: Client) -> None:
    for _ in range(2):
        client.submit("selftest")
    client.cancel(1)
    client.cancel(2)
    run("watch", "1-2", code=3)


def test_a_filter_means_jobs_of_anybody(run: Cli, client: Client, worker: FakeWorker) -> None:
    for name in ("one", "two", "three"):
        client.submit("selftest", name=name, tags={"for": "poster"} if name != "two" else {})
    for words in (("--tag", "for=poster"), ("--where", "name in ('one', 'three')")):
        said = run("watch", *words, "--timeout", "0s", code=124)
        assert [line.split()[1] for line in said.out.splitlines()] == ["1", "3"]
    # Of jobs that are named besides, those of which it holds, with their outcome.
    worker.finish(worker.claim(), "failed", reason="error", error="no")
    assert run("watch", "1-2", "--tag", "for", code=1).out.startswith("job 1 failed")
    assert "2 jobs continue" in run("watch", "--name", "t*", "--timeout", "0s", code=124).err
    client.cancel(2)
    client.cancel(3)
    assert run("watch", "--name", "t*").err == "none of these jobs runs or waits\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((1, "--batch", 1), "no batch 1"),
        (("--kind", "selftest", "--tail", 3), "a single one"),
        (("--kind", "selftst"), "did you mean 'selftest'?"),
        (("--tail", 3), "a single one"),
        ((1, 2, "--tail", 3), "a single one"),
        ((1, 9), "no job 9"),
        (("--sweep", 7), "7"),
    ],
)
def test_what_cannot_be_watched_is_told(
    run: Cli, client: Client, words: tuple[object, ...], told: str
) -> None:
    for _ in range(2):
        client.submit("selftest")
    assert told in run("watch", *words, code=2).err
