"""`cvq prune`, `trash`, `restore` and `export`: what they say, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from past import Past
from steps import opened

from cvq.db import Database

from .conftest import Cli


@pytest.fixture
def past(home: Path) -> Iterator[Past]:
    with opened() as database:
        past = Past(Database(database.settings), home)
        yield past
        past.database.engine.dispose()


def test_prune_tells_what_it_frees_before_and_after(run: Cli, past: Past) -> None:
    past.job(files={"a.png": "one"})
    kept = past.job(tags={"best": "1"})
    words = ("prune", "--older-than", "30d", "--keep-tagged=best")
    told = "1 job: 6 rows, 1 file, 3 B"
    assert run(*words, "--dry-run").out == f"would remove {told}\n"
    refused = run(*words, code=2).err
    assert "what is pruned is gone for good: give --yes, or --dry-run to look first" in refused
    assert f"removed {told}" in run(*words, "--yes").out
    assert run("ls", "-q").out.split() == [str(kept)]
    again = run(*words, "--yes", "--json").json
    assert (again["jobs"], again["dry_run"], again["stays"]) == (0, False, {})


def test_only_an_equals_sign_gives_the_tag_to_keep_by(run: Cli, past: Past) -> None:
    tagged, plain = past.job(tags={"best": "1"}), past.job()
    said = run("prune", "--older-than", "30d", "--keep-tagged=bset", "-y", code=2).err
    assert "no job has a tag 'bset' to be kept by: did you mean 'best'?" in said
    run("prune", "--keep-tagged", tagged, plain, "-y")
    assert run("ls", "-q").out.split() == [str(tagged)]


def test_prune_says_which_jobs_it_wants(run: Cli, past: Past) -> None:
    for words in (
        ["--keep-tagged=x"],
        ["--keep-tagged"],
        ["--keep-last", "3"],
        ["--files-only", "samples"],
    ):
        assert "of which jobs?" in run("prune", *words, "-y", code=2).err
    running = past.job(state="running")
    assert (
        f"job {running} is running: `cvq cancel {running}` first"
        in run("prune", running, "-y", code=2).err
    )
    assert run("prune", "-y").out == "removed nothing\n"


@pytest.mark.parametrize(
    "command", ["show", "logs", "why", "metrics", "artifacts", "get", "prune"]
)
def test_every_command_says_that_a_job_was_pruned(run: Cli, past: Past, command: str) -> None:
    job = past.job()
    run("prune", job, "-y")
    said = run(command, job, code=2).err
    if command == "prune":
        said = run(command, job, "-y", code=2).err
    assert f"cvq: error: job {job} was pruned on 20" in said
    assert said.count("\n") == 1


def test_the_trash_hides_jobs_and_gives_them_back(run: Cli, past: Past) -> None:
    first, second = past.job(), past.job()
    running = past.job(state="running")
    assert run("trash", first, second).out.splitlines() == [
        f"job {first} is in the trash", f"job {second} is in the trash"
    ]  # fmt: skip
    assert run("ls", "-q").out.split() == [str(running)]
    assert run("trash", "--list", "-q").out.split() == [str(second), str(first)]
    [restored] = run("restore", first, "--json").json
    assert (restored["id"], restored["state"]) == (first, "succeeded")
    assert run("restore", first).err == "none of these is in the trash\n"
    assert (
        f"job {running} is running: `cvq cancel {running}` first"
        in run("trash", running, code=2).err
    )
    filtered = run("trash", "--kind", "selftest")
    assert (filtered.out, filtered.err) == (
        f"job {first} is in the trash\n", "1 job stays: not ended yet\n"
    )  # fmt: skip
    assert "which jobs?" in run("restore", code=2).err
    assert run("prune", "-y").out == "removed nothing\n", "it is too early"
    assert run("trash", "--empty", "--user", "ann", "-y").out.startswith("removed 2 jobs: ")


def test_the_delay_of_the_trash_is_a_setting(
    run: Cli, past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = past.job()
    run("trash", job)
    monkeypatch.setenv("CVQ_TRASH_DAYS", "0")
    assert run("prune", "--dry-run").out.startswith("would remove 1 job")
    monkeypatch.setenv("CVQ_TRASH_DAYS", "-1")
    assert "CVQ_TRASH_DAYS" in run("prune", "--dry-run", code=2).err


def test_export_writes_lines_that_come_back(run: Cli, past: Past, tmp_path: Path) -> None:
    first, second = past.job(files={"a.png": "one"}, name="größe"), past.job(lines=1)
    lines = [json.loads(line) for line in run("export").out.splitlines()]
    assert [line["id"] for line in lines] == [first, second]
    assert lines[0]["name"] == "größe"
    assert lines[0]["artifacts"][0]["bytes"] == 3
    assert set(lines[0]) >= {"attempts", "curves"}
    assert "logs" not in lines[0]
    target = tmp_path / "out.jsonl"
    assert run("export", second, "--logs", "-o", target).err == f"1 job exported to {target}\n"
    [line] = [json.loads(line) for line in target.read_text().splitlines()]
    assert [each["text"] for each in line["logs"]] == ["so"]


def test_export_refuses_what_would_have_no_effect(run: Cli, past: Past) -> None:
    assert "--files is for --mlflow" in run("export", "--files", code=2).err
    assert "--experiment is for --mlflow" in run("export", "--experiment", "x", code=2).err
    assert "-o FILE" in run("export", "--logs", "--tensorboard", "x", code=2).err


def test_tensorboard_gets_a_folder_for_each_job(run: Cli, past: Past, tmp_path: Path) -> None:
    jobs = [past.job(), past.job()]
    for _ in range(2):
        said = run("export", "--tensorboard", tmp_path / "tb").err
        assert said == f"2 jobs exported to {tmp_path / 'tb'}\n"
    found = sorted(path.name for path in (tmp_path / "tb").iterdir())
    assert found == [f"{job}-selftest" for job in jobs]
    assert all(len(list((tmp_path / "tb" / name).iterdir())) == 1 for name in found)
