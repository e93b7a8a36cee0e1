"""The forms of an answer: the same options in every command, and one form at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cvq.records import Job
from cvq_cli.main import cvq

from .conftest import Cli, FakeWorker


def commands(command: click.Command, name: str = "") -> Iterator[tuple[str, set[str]]]:
    """Every command, and its options; of kinds, one stands for all."""
    context = click.Context(command)
    if not isinstance(command, click.Group):
        words = {word for param in command.params for word in param.opts}
        yield name.strip(), words
        return
    for each in command.list_commands(context):
        if name.strip() not in ("submit", "run", "sweep") or each in ("ls", "show", "selftest"):
            found = command.get_command(context, each)
            assert found is not None
            yield from commands(found, f"{name} {each}")


def test_what_is_a_table_has_every_form_of_one(home: Path) -> None:
    for name, words in commands(cvq):
        assert ("--csv" in words) == ("--md" in words), name
        assert "--json" in words or "--csv" not in words, name


def test_a_short_option_means_the_same_everywhere(home: Path) -> None:
    meanings = {"-w": "--watch", "-q": "--quiet", "-o": "--output", "-L": "--limit"}
    for name, words in commands(cvq):
        for short, long in meanings.items():
            assert short not in words or long in words, f"{name} {short}"


@pytest.mark.parametrize(
    "words",
    ["submit selftest", "run selftest", "sweep selftest --grid steps=1,2", "sweep resume 1",
     "verify 1", "preview 1", "results 1", "tag", "kinds", "data list"],
)  # fmt: skip
def test_there_is_one_form_at_a_time(run: Cli, words: str) -> None:
    said = run(*words.split(), "--json", "-q" if "results" not in words else "--md", code=2)
    assert "cannot be combined: give one" in said.err
    assert run("ls", "--json").json == []


def test_results_and_tags_as_markdown(run: Cli, added: list[Job], tmp_path: Path) -> None:
    out = run("results", 1, "--md").out
    assert out.startswith("| name | job | state |")
    assert "| 1 2 | 1 | succeeded |" in out
    file = tmp_path / "answers.md"
    run("results", 1, "-o", file)
    assert file.read_text() == out
    run("tag", 1, "for=paper")
    assert run("tag", "--md").out.splitlines()[-1] == "| for | paper | 1 |"
    assert "has --csv and --md" in run("tag", 1, "a=b", "--csv", code=2).err


def test_metrics_as_markdown(run: Cli, client: object, worker: FakeWorker) -> None:
    run("submit", "selftest", "-q")
    worker.metric(worker.claim(), "loss", 3.0, 1.0)
    head, rule, row = run("metrics", 1, "--md").out.splitlines()
    assert head.startswith("| name | value |")
    assert (rule.count("|"), row.startswith("| loss |")) == (head.count("|"), True)


def test_quiet_says_as_little_as_can_be(run: Cli, client: object, worker: FakeWorker) -> None:
    run("submit", "selftest", "-q")
    job = worker.claim()
    worker.artifact(job, "a.txt", b"one")
    worker.finish(job)
    assert run("verify", 1, "-q").out == ""
    [path] = run("preview", 1, "-q").out.splitlines()
    assert Path(path).read_bytes() == b"one"
    assert run("data", "list", "-q").out.split()[0] == "digits"


@pytest.mark.usefixtures("home")
def test_nothing_is_left_where_nothing_comes_of_it(
    run: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (
        "run selftest --steps -3 -o new/", "run selftest --dry-run -o new/a/", "get 9 new",
        "get 9 new.png", "get 9 -o new/", "get --batch 9 new", "export 9 -o new/a.jsonl",
        "results 9 -o new/a.csv", "rerun 9 --verify --proof new/a.json",
    ):  # fmt: skip
        run(*words.split(), code=None)
        assert list(tmp_path.iterdir()) == [], words
    (tmp_path / "file").write_text("x")
    assert "cannot be created" in run("run", "selftest", "-o", "file/a/", code=2).err
