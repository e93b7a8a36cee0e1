"""`cvq ls`: its filters, columns and forms, and what it says of mistakes."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cvq import Client
from cvq.views import filters
from cvq_cli.output import dump_each
from waiting import HANG_S

from .conftest import Cli, FakeWorker


@pytest.fixture
def lab(client: Client, worker: FakeWorker) -> Client:
    """Six jobs of two kinds, users and workers, with figures; one failed, one runs, one waits."""
    for number, name in enumerate(("first", "second", "=1+2", "|pipes|", "last\nline", "é")):
        client.submit(
            "selftest", steps=1 + number, name=name, queue="default" if number else "night",
            tags={"project": "a" if number % 2 else "b"},
        )  # fmt: skip
    worker.name = "lab.1"
    for value, more in ((0.1, 0.5), (0.2, 0.4), (0.3, 0.3)):
        job = worker.claim("default", "night")
        worker.metric(job, "loss", value)
        worker.finish(job, result={"score": more, "class": "boot"})
    worker.name = "lab.2"
    worker.finish(worker.claim(), "failed", reason="oom")
    worker.claim()
    return client


def test_a_query_has_or_and_not(lab: Client, run: Cli) -> None:
    assert ids(run, "--where", "not (loss < 0.3) or params.steps = 6") == "6 3"


def ids(run: Cli, *words: object) -> str:
    return " ".join(run("ls", "-q", *words).out.split())


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("--state failed,running", "5 4"),
        ("--state failed --status queued", "6 4"),
        ("--reason oom,timeout", "4"),
        ("--name f* --name *pipe*", "4 1"),
        ("--name s?cond", "2"),
        ("--worker lab.2", "5 4"),
        ("--worker lab.1 --queue night", "1"),
        ("--tag project=a --state succeeded", "2"),
        ("--since today --until 0s", "6 5 4 3 2 1"),
        ("--until yesterday", ""),
        ("--where loss<0.3 --where score<0.5", "2"),
        ("--sort=-loss --state succeeded", "3 2 1"),
        ("--sort loss -L 2", "1 2"),
        ("--sort score", "3 2 1 4 5 6"),
    ],
)
def test_filters_are_combined(words: str, found: str, lab: Client, run: Cli) -> None:
    assert ids(run, *words.split()) == found


def test_count_is_a_number(lab: Client, run: Cli) -> None:
    assert run("ls", "--count").out == "6\n"
    assert run("ls", "--count", "--where", "loss > 0.1", "-n", 1).out == "2\n"
    assert run("ls", "--count", "--user", "nobody").out == "0\n"


def test_a_list_goes_on_after_a_job(lab: Client, run: Cli) -> None:
    said = run("ls", "-q", "--sort", "loss", "-n", 2)
    assert (said.out, said.err) == ("1\n2\n", "… 4 more: -n 6, --after 2 or --all\n")
    said = run("ls", "-q", "--sort", "loss", "-n", 2, "--after", 2)
    assert (said.out, said.err) == ("3\n4\n", "… more: --after 4 or --all\n")
    said = run("ls", "-q", "--sort", "loss", "--after", 4)
    assert (said.out, said.err) == ("5\n6\n", "")
    assert ids(run, "--state", "queued,running", "--after", "4", "--all") == ""
    assert ids(run, "--after", "4", "--all") == "3 2 1"
    assert "no job 99" in run("ls", "--after", "99", code=2).err
    assert "leave --after away" in run("ls", "--after", "4", "--count", code=2).err


def test_columns_are_chosen_or_added(lab: Client, run: Cli) -> None:
    lines = run("ls", "--columns", "id,params.steps,metrics.loss,tags.project", "-n", 4).out
    assert [line.split() for line in lines.splitlines()] == [
        ["ID", "PARAMS.STEPS", "METRICS.LOSS", "TAGS.PROJECT"],
        ["6", "6", "a"], ["5", "5", "b"], ["4", "4", "a"], ["3", "3", "0.3", "b"],
    ][:5]  # fmt: skip
    heading = run("ls", "--columns", "+best(loss)", "--columns", "+wait", code=0).out.split("\n")[
        0
    ]
    assert heading.split()[:3] == ["ID", "STATE", "KIND"]
    assert heading.endswith("WAIT")
    heading = run("ls", "--columns", "+wait,priority", code=0).out.split("\n")[0]
    assert heading.split()[:3] == ["ID", "STATE", "KIND"]
    assert heading.split()[-2:] == ["WAIT", "PRIORITY"]


def test_what_is_asked_of_a_job_is_shown(lab: Client, run: Cli) -> None:
    lines = run("ls", "--where", "loss > 0.1", "--sort", "params.steps").out.splitlines()
    assert lines[0].split()[-2:] == ["PARAMS.STEPS", "LOSS"]
    assert [line.split()[-2:] for line in lines[1:]] == [["2", "0.2"], ["3", "0.3"]]
    plain = run("ls", "--where", "duration > -1").out.splitlines()[0]
    assert "DURATION" not in plain  # the time stands there
    assert "score" not in run("ls", "--where", "score > 0", "--csv").out.splitlines()[0]


def test_json_of_some_fields(lab: Client, run: Cli) -> None:
    found = run("ls", "--json", "id,state,loss,params.steps,result.class,reason", "-n", 3).json
    assert found[0] == {
        "id": 6, "state": "queued", "loss": None, "params.steps": 6, "result.class": None,
        "reason": None,
    }  # fmt: skip
    assert found[2]["reason"] == "oom"
    assert list(run("ls", "--json", "--all").json[0])[:3] == ["id", "kind", "state"]
    assert run("ls", "--json", "duration,created", "--state", "succeeded").json[0]["duration"] >= 0
    said = run("ls", "--json", "id", "--columns", "id", code=2)
    assert "cannot be combined" in said.err


def test_all_in_parts_is_the_same(lab: Client, run: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {form: run("ls", "--all", "--unfold", *form.split()).out for form in FORMS}
    monkeypatch.setattr("cvq.views.filters._CHUNK", 2)
    for form, text in whole.items():
        assert run("ls", "--all", "--unfold", *form.split()).out == text, form
    assert json.loads(whole["--json"]) == run("ls", "--json", "-n", 6).json
    assert run("ls", "--all", "--json", "--user", "nobody").out == "[]\n"


SOME = "--columns id,name,loss"  # no ages, which grow
FORMS = (
    SOME, f"{SOME} --md", f"{SOME} --csv", "--json", "-q", "--json id,loss --sort loss",
    "-q --sort=-score",
)  # fmt: skip


def test_a_list_in_parts_is_the_same_json(capsys: pytest.CaptureFixture[str]) -> None:
    for values in ([], [{}], [{"a": "x\ny", "b": [1, {"c": []}]}, None, [], "{\n}"]):
        dump_each(iter(values))
        assert capsys.readouterr().out == json.dumps(values, indent=2) + "\n"


def test_cells_are_harmless_in_every_form(lab: Client, run: Cli) -> None:
    rows = list(csv.DictReader(io.StringIO(run("ls", "--csv").out)))
    assert [row["name"] for row in rows][1:4] == ["last\\x0aline", "|pipes|", "'=1+2"]
    lines = run("ls", "--md").out.splitlines()
    assert len(lines) == 2 + 6
    assert {line.replace("\\|", "").count("|") for line in lines} == {10}


MISTAKES = {
    "loss >> 3": "expected a value",
    "los > 3": "did you mean 'loss'",
    "loss > ": "expected",
    "duration > 2 parsecs": "",
    "state = 'runing'": "did you mean 'running'",
    "((loss > 3": "",
    "'; DROP TABLE jobs; --": "",
    "\x1b[31m > 3": "",
    "é" * 500 + " > 3": "",
}


@pytest.mark.parametrize("query", MISTAKES)
def test_a_mistake_is_pointed_at(query: str, lab: Client, run: Cli) -> None:
    said = run("ls", "--where", query, code=2)
    first, *place = said.err.splitlines()
    assert first.startswith("cvq: error: ")
    assert MISTAKES[query] in first
    assert len(place) == 2
    assert set(place[1].strip()) == {"^"}
    assert max(map(len, place)) <= 40
    assert "\x1b" not in said.err
    assert said.out == ""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--columns", "id,los"], "did you mean 'loss'"),
        (["--sort", "los"], "did you mean 'loss'"),
        (["--json", "id,stat"], ""),
        (["--columns", ""], "names nothing"),
        (["--since", "2026-13-45"], "is not a time"),
        (["--since", "tomorow"], "is not a time"),
        (["--batch", "9"], "no batch 9"),
        (["--sweep", "9"], "no sweep 9"),
        (["--state", "done"], "is not one of"),
        (["--limit", "0"], ""),
    ],
)
def test_every_mistake_is_told_in_a_line(
    words: list[str], told: str, lab: Client, run: Cli
) -> None:
    said = run("ls", *words, code=2)
    assert told in said.err
    assert said.err.startswith("cvq: error: ")
    assert "Traceback" not in said.err


@pytest.mark.slow
def test_a_reader_of_everything_may_leave(lab: Client, home: Path) -> None:
    for words in (["--json"], ["--csv"], [], ["--md"]):
        command = [sys.executable, "-m", "cvq_cli", "ls", "--all", *words]
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=HANG_S, check=False
        )
        os.close(writer)
        assert (done.returncode, done.stderr) == (141, "")


def test_pages_ask_for_no_more_than_they_show(
    lab: Client, run: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cvq.views.filters._CHUNK", 2)
    sizes: list[int | None] = []
    page: Callable[..., filters.Page] = filters.page

    def counted(connection: object, wanted: filters.Filter, after: str | None) -> filters.Page:
        found = page(connection, wanted, after)
        sizes.append(len(found.jobs))
        return found

    monkeypatch.setattr("cvq.views.filters.page", counted)
    assert len(run("ls", "--all", "-q").out.split()) == 6
    assert max(filter(None, sizes)) == 2
