"""What a job will cost, as commands tell it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from past_jobs import ended
from situations import arrive, change, start

from cvq import Client
from cvq import tables as t
from cvq.estimates import Estimate, Range
from cvq_cli import estimates

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def past(client: Client) -> None:
    """Thirty jobs of 100 s each, and a worker that is up."""
    ended(client.db, [({"steps": 10, "pause": 0.05}, 100.0)] * 30, ago=36_000)
    arrive(client.db)


def told(**values: Any) -> str:
    given = {"kind": "vae", "jobs": 1, "now": NOON} | values
    return estimates.line(Estimate(**given))


def test_submit_says_what_it_will_take(run: Any) -> None:
    first = run("submit", "selftest")
    assert "about 1.5m" in first.err
    assert "starts at once" in first.err
    assert "done at about" in first.err
    assert "from 30 jobs of its kind" in first.err
    assert "starts in about 1.5m" in run("submit", "selftest").err
    assert "about" not in run("submit", "selftest", "-q").err
    said = run("submit", "selftest", "--json")
    assert "about" not in said.err
    assert said.json["estimate"]["seconds"]["p50"] == pytest.approx(100)


def test_a_dry_run_says_it_and_queues_nothing(run: Any) -> None:
    said = run("submit", "selftest", "--dry-run")
    assert said.json["steps"] == 10
    assert "about 1.5m" in said.err
    shape = run("submit", "selftest", "--dry-run", "--json").json
    assert (shape["kind"], shape["spec"]) == ("selftest", said.json)
    assert shape["estimate"]["seconds"]["p50"] == pytest.approx(100)
    assert run("ls", "--state", "queued", "-q").out == ""


def test_show_has_it_of_a_job_that_has_not_ended(run: Any) -> None:
    number = run("submit", "selftest", "-q").out.strip()
    assert "estimate" in run("show", number).out
    assert run("show", number, "--json").json["estimate"]["seconds"]["p50"] == pytest.approx(100)
    run("cancel", number, "-y")
    assert "estimate" not in run("show", number).out
    assert run("show", number, "--json").json["estimate"] is None


@pytest.mark.usefixtures("batched")
def test_a_batch_has_one_for_all(run: Any, client: Client, folder: Path) -> None:
    spec = {"image": {"sha256": "0", "name": "a.png", "bytes": 70}}
    ended(client.db, [(spec, 100.0)] * 30, kind="brightness", ago=36_000)
    said = run("submit", "brightness", folder, "--dry-run")
    assert said.json["estimate"]["jobs"] == 3
    assert said.json["estimate"]["end_in_s"]["p50"] == pytest.approx(300, rel=0.1)
    assert "3 jobs of about 1.5m each, starts at once, all done at about" in said.err
    assert "3 jobs of about 1.5m each" in run("submit", "brightness", folder).err


def test_a_job_is_queued_whatever_becomes_of_its_estimate(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cvq.estimates.of_job", lambda *_: 1 / 0)
    said = run("submit", "selftest")
    assert "queued" in said.out
    assert "about" not in said.err
    assert "Traceback" not in said.err
    said = run("--debug", "submit", "selftest")
    assert "queued" in said.out
    assert "ZeroDivisionError" in said.err


def test_the_line_says_what_is_known_and_what_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Range(100, 180, 320)
    soon = Range(0, 0, 0)
    assert told(time=time, start=soon, end=time, based_on=9, gpu_hours=Range(0.1, 0.5, 1)) == (
        "about 3m (1.5–5.5m), starts at once, done at about "
        f"{datetime(2026, 11, 2, 12, 3, tzinfo=UTC).astimezone():%H:%M}, 0.5 GPU-hours; "
        "from 9 jobs of its kind"
    )
    assert told(notes=("no vae job has succeeded yet",)) == (
        "no estimate: no vae job has succeeded yet"
    )
    assert told(time=Range(60, 61, 62), jobs=3).startswith("3 jobs of about 61s each")
    late = told(time=time, end=Range(1e5, 2e5, 3e5))
    assert f"done at about {datetime(2026, 11, 4, 19, 33, tzinfo=UTC).astimezone():%a}" in late


def test_a_list_says_when_queued_jobs_start(run: Any, client: Client) -> None:
    for _ in range(3):
        run("submit", "selftest", "-q")
    start(client.db)
    newest, queued, running = (line for line in run("ls", "-n", "3").out.splitlines()[1:])
    assert "starts in 3.5m" in newest
    assert "starts in 1.5m" in queued
    assert "1.5m left" in running
    change(client.db, t.workers, state="gone")
    said = run("ls")
    assert "starts" not in said.out
    assert "nothing starts: no worker is up" in said.err
    assert "starts" not in run("ls", "--csv").out


def test_a_list_says_why_there_is_no_estimate(run: Any) -> None:
    run("submit", "selftest", "-q")
    assert "no estimate" not in run("ls").err
    first, second = (
        run("submit", "fmnist-mlp", "--data", "digits", "--epochs", epochs, "-q").out.strip()
        for epochs in ("1", "2")
    )
    reason = "no fmnist-mlp job has succeeded yet"
    assert f"no estimate of jobs {second} and {first}: {reason}" in run("ls").err
    assert "no estimate" not in run("ls", "--json").err


def test_a_list_has_estimates_where_they_are_asked_for(run: Any, client: Client) -> None:
    number = int(run("submit", "selftest", "-q").out)
    shape = run("ls", "-n", "2", "--json").json
    assert shape[0]["estimate"]["seconds"]["p50"] == pytest.approx(100)
    assert shape[0]["estimate"]["starts_at"]["p50"]
    assert shape[1]["estimate"] is None
    asked = run("ls", "-n", "1", "--json", "id,takes,starts_at,ends_at").json
    assert list(asked[0]) == ["id", "takes", "starts_at", "ends_at"]
    assert (asked[0]["id"], asked[0]["takes"]) == (number, pytest.approx(100))
    line = run("ls", "-n", "1", "--columns", "id,takes,ends_at").out.splitlines()[1]
    assert "1.5m" in line
    header, first, second = run("ls", "-n", "2", "--columns", "id,takes", "--csv").out.splitlines()
    assert header == "id,takes"
    assert float(first.split(",")[1]) == pytest.approx(100)
    assert second.endswith(",")
    change(client.db, t.workers, state="gone")
    assert run("ls", "-n", "1", "--json").json[0]["estimate"]["notes"] == [
        "no worker that is up can run it"
    ]


def test_a_list_asks_for_no_more_than_it_shows(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run("submit", "selftest", "-q")
    monkeypatch.setattr("cvq.queries.workers", lambda *_: 1 / 0)
    assert [row["state"] for row in run("ls", "-n", "1", "--json", "state").json] == ["queued"]
    assert "queued" in run("--debug", "ls", "--csv").out


def test_a_list_of_what_has_ended_asks_for_no_estimate(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cvq.queries.workers", lambda *_: 1 / 0)
    assert "succeeded" in run("ls").out
