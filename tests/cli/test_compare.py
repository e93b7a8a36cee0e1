"""`cvq compare`: jobs side by side, in every form."""

from __future__ import annotations

import csv
import io

import pytest

from cvq import Client
from cvq_cli.comparison import Drawing
from cvq_cli.widths import cells

from .conftest import Cli, FakeWorker


@pytest.fixture
def two(client: Client, worker: FakeWorker) -> None:
    """Two jobs that differ in their steps and losses."""
    for steps, loss in ((5, 0.123456), (7, 0.123457)):
        client.submit("selftest", steps=steps)
        job = worker.claim()
        worker.metric(job, "loss", loss)
        worker.finish(job, result={})


def test_a_table_marks_the_best_and_shows_digits_that_tell_apart(run: Cli, two: None) -> None:
    said = run("compare", "1-2")
    found = [line.split() for line in said.out.splitlines()]
    assert ["JOB", "1", "2"] in found
    assert ["params.steps", "5", "7"] in found
    assert ["metrics.loss", "0.123456", "*", "0.123457"] in found
    assert not any(line[0] == "params.pause" for line in found)
    found = [line.split() for line in run("compare", 1, 2, "--all").out.splitlines()]
    assert ["params.pause", "0.05", "0.05"] in found
    said = run("compare", 1, 2, "--precision", 2)
    assert ["metrics.loss", "0.12", "*", "0.12"] in [
        line.split() for line in said.out.splitlines()
    ]


def test_csv_has_a_row_for_each_job_markdown_a_line_for_each_word(run: Cli, two: None) -> None:
    rows = list(csv.DictReader(io.StringIO(run("compare", "1-2", "--csv").out)))
    assert [(row["job"], row["params.steps"], row["metrics.loss"]) for row in rows] == [
        ("1", "5", "0.123456"),
        ("2", "7", "0.123457"),
    ]
    assert run("compare", "1-2", "-q").out == "1\n2\n"
    said = run("compare", "1-2", "--md").out
    assert "| metrics.loss | **0.123456** | 0.123457 |" in said
    found = run("compare", "1-2", "--json").json
    assert found["jobs"] == [1, 2]
    assert [line["best"] for line in found["lines"] if line["name"] == "metrics.loss"] == [[1]]


def test_a_filter_means_jobs_too(run: Cli, two: None) -> None:
    found = run("compare", "--kind", "selftest", "--sort=-loss", "--json").json
    assert found["jobs"] == [2, 1]
    assert run("compare", "--where", "loss>0", "--json").json["jobs"] == [2, 1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "which jobs"),
        ((1,), "it takes two"),
        ((1, 1), "it takes two"),
        ((1, 99), "99"),
        ((1, 2, "--kind", "selftest"), "not both"),
        (("--where", "loss>9"), "it takes two"),
    ],
)
def test_what_cannot_be_compared_is_told(
    run: Cli, two: None, words: tuple[object, ...], told: str
) -> None:
    assert told in run("compare", *words, code=2).err


@pytest.mark.parametrize("width", [30, 40, 80, 160])
def test_it_fits_every_terminal_and_leaves_nothing_out(
    client: Client,
    worker: FakeWorker,
    width: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from cvq.views.compare import compare

    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr("cvq_cli.comparison.on_terminal", lambda: True)
    monkeypatch.setattr("cvq_cli.output.on_terminal", lambda *, err=False: True)
    for steps in range(20):
        client.submit("selftest", steps=steps + 1, name=f"a long name of job {steps}" * 3)
        worker.finish(worker.claim(), result={"figure": steps / 7, "word": f"w{steps}"})
    with client.db.read() as connection:
        found = compare(connection, range(1, 21))
    Drawing(found, found.differing).table()
    out = capsys.readouterr().out
    assert max(cells(line) for line in out.splitlines()) <= width
    for steps in range(20):
        assert f"w{steps}" in out
    assert "FIGURE" in out.upper()
