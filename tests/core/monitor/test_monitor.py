"""What Prometheus is told: of a database, of one that is away, and of a port that is taken."""

from __future__ import annotations

import json
import re
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from plans import sqlite_plans
from prometheus_client.parser import text_string_to_metric_families as parsed
from steps import DONE, claimed, finish, new, registered, submit

from cvq import Client, Settings
from cvq.db import Database
from cvq.errors import SetupError, UsageError
from cvq.monitor import census
from cvq.monitor.figures import Figures
from cvq.monitor.followed import Followed
from cvq.monitor.gpus import Gpus
from cvq.monitor.serving import serve
from cvq.records import Outcome
from cvq.states import State

DASHBOARD = Path(__file__).parents[3] / "deploy" / "grafana" / "cvq.json"


@contextmanager
def served(*collectors: Any) -> Iterator[int]:
    port, end = serve(collectors, 0)
    try:
        yield port
    finally:
        end()
        for collector in collectors:
            getattr(collector, "close", lambda: None)()


def asked(port: int) -> dict[str, list[Any]]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        return {family.name: family.samples for family in parsed(answer.read().decode())}


def test_a_port_that_cannot_be() -> None:
    for port in (-1, 65_536):
        with pytest.raises(UsageError, match="give 1 to 65535"):
            serve([], port)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SetupError, match="is taken: give another"):
            serve([], taken.getsockname()[1])


def test_a_database_that_is_away_is_a_figure_and_no_traceback(home: Path) -> None:
    away = Settings.load(database_url="postgresql://127.0.0.1:1/none?connect_timeout=2")
    with served(Figures(away)) as port:
        for _ in range(2):
            found = asked(port)
            assert found["cvq_database_up"][0].value == 0
            assert "cvq_jobs" not in found


def test_what_is_told_of_queues_and_ends(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cvq.monitor.figures._SHARE", 0)  # each scrape looks
    registered(database)
    submit(database, new(), new(), new(queue="gpu"))
    with served(Figures(database.settings)) as port:
        found = asked(port)
        assert found["cvq_database_up"][0].value == 1
        jobs = {(s.labels["queue"], s.labels["state"]): s.value for s in found["cvq_jobs"]}
        assert jobs == {("default", "queued"): 2, ("gpu", "queued"): 1}
        assert [s.value for s in found["cvq_jobs_ended"]] == []
        finish(database, claimed(database).attempt_id, DONE)
        failed = Outcome(State.FAILED, reason="oom", error="too large")
        finish(database, claimed(database).attempt_id, failed)
        for _ in range(2):  # and each end is counted once
            found = asked(port)
            ends = {
                (s.labels["state"], s.labels["reason"]): s.value
                for s in found["cvq_jobs_ended"] if s.name.endswith("_total")
            }  # fmt: skip
            assert ends == {("succeeded", ""): 1, ("failed", "oom"): 1}
        assert found["cvq_slots"][0].value == 1
        runs = {s.name: s.value for s in found["cvq_job_run_seconds"] if "le" not in s.labels}
        assert runs["cvq_job_run_seconds_count"] == 2


def test_no_scrape_looks_at_what_has_ended_long_ago(client: Client) -> None:
    followed = Followed()

    def look() -> None:
        with client.db.read() as connection:
            census.take(connection)
            followed.look(connection)

    steps = sqlite_plans(client.db, look)
    looks = [step for step in steps if re.match("(SCAN|SEARCH) jobs", step)]
    assert len(looks) > 3
    assert [step for step in looks if not re.search("USING (COVERING )?INDEX", step)] == []
    assert any("ix_jobs_finished_at" in step for step in looks)


def test_each_query_of_the_dashboard_names_figures_that_there_are(database: Database) -> None:
    from cvq_workers.tally import WorkerFigures
    from cvq_workers.worker import Worker

    worker = Worker(database.settings, [], [])
    with served(Figures(database.settings), WorkerFigures(worker), Gpus()) as port:
        url = f"http://127.0.0.1:{port}/metrics"
        with urllib.request.urlopen(url) as answer:
            told = set(re.findall(r"^# TYPE (\w+)", answer.read().decode(), re.MULTILINE))
    told |= {f"{name}_bucket" for name in told}
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked_for = {
        name
        for panel in panels for target in panel["targets"]
        for name in re.findall(r"\bcvq_\w+", target["expr"])
    }  # fmt: skip
    assert len(asked_for) > 10
    assert asked_for - told == set()


def test_gpus_are_told_of_where_there_are_some() -> None:
    with served(Gpus()) as port:
        assert "cvq_gpu_memory_used_bytes" in asked(port)
