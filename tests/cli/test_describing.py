"""`cvq tag`, `note` and `rename`."""

from __future__ import annotations

import click
import pytest

from cvq import Client
from cvq_cli.commands.tag import tag

from .conftest import Cli, FakeWorker


def test_tags_are_given_and_taken_away(run: Cli, client: Client) -> None:
    for _ in range(3):
        client.submit("selftest")
    assert run("tag", "1-2", "for=paper", "fold=2").out == "2 jobs tagged for=paper and fold=2\n"
    said = run("tag", "1-3", "for=paper")
    assert (said.out, said.err) == ("1 job tagged for=paper\n", "2 of 3 were so already\n")
    assert [line.split() for line in run("tag").out.splitlines()] == [
        ["KEY", "VALUE", "JOBS"], ["fold", "2", "2"], ["for", "paper", "3"]
    ]  # fmt: skip
    assert run("tag", "1", "--remove", "fold", "x=1").out == "1 job tagged x=1 and untagged fold\n"
    assert client.job(1).tags == {"for": "paper", "x": "1"}
    assert run("tag", "1", "-q").out == "for=paper\nx=1\n"
    assert run("tag", "2", "--json").json == [
        {"id": 2, "key": "fold", "value": "2"}, {"id": 2, "key": "for", "value": "paper"}
    ]  # fmt: skip
    assert run("ls", "--tag", "fold=2", "-q").out == "2\n"


def test_filters_say_which_jobs_are_tagged(run: Cli, client: Client, worker: FakeWorker) -> None:
    for value in (0.5, 0.95, 0.99):
        client.submit("selftest")
        job = worker.claim()
        worker.metric(job, "value", value)
        worker.finish(job)
    assert run("tag", "--where", "value>0.9", "for=paper", "-q").out.split() == ["2", "3"]
    assert run("tag", "1-2", "--where", "value>0.9", "x=y", "--json").json == {
        "jobs": [2], "changed": [2]
    }  # fmt: skip
    listed = run("tag", "--where", "value>0.9", "x=z", "--dry-run", "-q").out.split()
    assert sorted(listed) == ["2", "3"]
    assert not any(each["value"] == "z" for each in run("tag", "--json").json)
    assert "which tags?" in run("tag", "1", "--dry-run", code=2).err
    assert "no such jobs" in run("tag", "--where", "value>2", "x=y").err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["tag", "for=paper"], "which jobs? Give JOB, or a filter"),
        (["tag", "1", "=x"], "'=x' is not a tag"),
        (["tag", "1", 'a"b=c'], "a key has no quotes"),
        (["tag", "1", "a=b", "--remove", "a"], "'a' is given and removed"),
        (["tag", "9", "a=b"], "no job 9"),
        (["tag", "x", "a=b"], "'x' is not a job"),
        (["tag", "1", "a=\udcff"], "unpaired surrogate"),
        (["note", "1", "text", "--edit"], "give TEXT, --edit or --remove"),
        (["note", "1", " "], "the note is empty"),
        (["note", "1", "x" * 20_001], "give 1 to 20,000 characters"),
        (["note", "9", "x"], "no job 9"),
        (["rename", "1"], "give NAME, or --remove"),
        (["rename", "1", ""], "give 1 to 150 characters"),
        (["rename", "1", "x" * 151], "give 1 to 150 characters"),
        (["rename", "9", "x"], "no job 9"),
    ],
)
def test_what_is_wrong_is_one_line(run: Cli, client: Client, words: list[str], told: str) -> None:
    client.submit("selftest")
    said = run(*words, code=2)
    assert told in said.err
    assert said.err.count("\n") == 1
    job = client.job(1)
    assert (job.tags, job.note, job.name) == ({}, None, None)


def test_a_note_is_written_and_read(
    run: Cli, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.submit("selftest")
    assert run("note", "1").err == "job 1 has no note\n"
    assert run("note", "1", "too", "high").out == "job 1: note written\n"
    assert run("note", "1").out == "too high\n"
    run("note", "@", "-", "-q", input="two\nlines\x1b[2J\n")
    assert run("note", "1").out == "two\nlines\\x1b[2J\n"
    assert run("note", "1", "--json").json == {"id": 1, "note": "two\nlines\x1b[2J"}
    monkeypatch.setattr("click.edit", lambda text: f"{text} and more\n")
    run("note", "1", "--edit")
    assert client.job(1).note == "two\nlines\x1b[2J and more"
    monkeypatch.setattr("click.edit", lambda _: None)
    assert run("note", "1", "--edit").err == "nothing was changed\n"
    run("note", "1", "--remove")
    assert client.job(1).note is None


def test_a_job_is_renamed(run: Cli, client: Client) -> None:
    client.submit("selftest", name="old")
    assert run("rename", "1", "new").out == "job 1 is called new\n"
    assert run("rename", "@", "newer", "--json").json["name"] == "newer"
    assert run("rename", "1", "--remove").out == "job 1 has no name now\n"
    assert client.job(1).name is None


def test_jobs_and_tags_are_completed(client: Client) -> None:
    client.submit("selftest", tags={"project": "poster"})
    context = click.Context(click.Command("tag"), info_name="tag")
    [argument] = tag.params[:1]

    def typed(text: str) -> list[str]:
        return [item.value for item in argument.shell_complete(context, text)]

    assert typed("") == ["1", "project"]
    assert typed("project=") == ["project=poster"]
