"""`cvq stats` as it is typed and read."""

from __future__ import annotations

from typing import Any

import pytest
from past_jobs import ended

from cvq import Client
from cvq.views import stats as views
from cvq_cli.commands import stats as command


@pytest.fixture(autouse=True)
def past(client: Client) -> None:
    ended(client.db, [({}, 100.0)] * 3, wait=2.0)
    ended(client.db, [({}, 7200.0)], kind="vae", device="cuda:0", user="=bea()")


def test_a_table_with_a_total(run: Any) -> None:
    lines = run("stats").out.splitlines()
    assert [line.split()[0] for line in lines] == ["KIND", "selftest", "vae", "total"]
    assert lines[1].split()[1:] == ["3", "3", "100", "%", *["2.0s"] * 3, *["1m40s"] * 3]
    assert lines[2].split()[-1] == "2.0"
    assert len(run("stats", "--kind", "vae").out.splitlines()) == 2  # no total of one line
    markdown = run("stats", "--md").out.splitlines()
    assert [line.split()[1] for line in markdown] == ["kind", "---", "selftest", "vae", "total"]


def test_json_and_csv(run: Any) -> None:
    assert run("stats", "-q").out == "selftest\nvae\n"
    [first, second] = run("stats", "--by", "kind,user", "--sort", "-gpu_hours", "--json").json
    assert (first["kind"], first["user"], first["gpu_hours"]) == ("vae", "=bea()", 2.0)
    assert (second["jobs"], second["run_p90"], second["success"]) == (3, 100.0, 1.0)
    assert set(first) == {"kind", "user", *views.FIGURES}
    head, *rows = run("stats", "--by", "user", "--csv").out.splitlines()
    assert head.startswith("user,jobs,succeeded,failed,")
    assert [row.split(",")[0] for row in rows] == ["ann", "'=bea()"]  # no formula


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--by", "colour"], "'colour' is not one of"),
        (["--by", ""], "'' names nothing"),
        (["--sort", "jbos"], "did you mean 'jobs'?"),
        (["--kind", "vea"], "did you mean 'vae'?"),
        (["--since", "whenever"], "'whenever' is not a time"),
    ],
)
def test_bad_input(run: Any, words: list[str], said: str) -> None:
    assert said in run("stats", *words, code=2).err


def test_nothing_at_all(run: Any) -> None:
    assert run("stats", "--state", "failed").err == "no jobs\n"
    assert run("stats", "--state", "failed", "--json").json == []


def test_the_columns_are_those_of_the_views() -> None:
    assert set(command._BY) == set(views.BY)
