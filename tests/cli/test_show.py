"""`cvq show`: what it tells besides the row, and the commands that do a job again."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import update

from cvq import Client, queries
from cvq import tables as t
from cvq.proofs.document import proof_of
from cvq.records import MetricPoint
from cvq_cli import again

from .conftest import Cli, FakeWorker


def submission(client: Client, job_id: int) -> list[str] | None:
    with client.db.read() as connection:
        return again.submission(client.settings, queries.get_job(connection, job_id))


def test_a_command_has_what_differs_from_the_defaults_and_the_seed(
    run: Cli, client: Client, pictures: tuple[Path, Path]
) -> None:
    content, style = pictures
    typed = [
        "style-transfer", content, style, style, "--size", 64, "--preserve-colors",
        "--style-layers", "conv1_1,conv2_1", "--tv-weight", 0.25, "--seed", 7, "--name", "it's",
        "--tag", "for=a poster", "--priority", 7, "--time-limit", "90s", "--no-gpu",
    ]  # fmt: skip
    run("submit", *typed)
    words = submission(client, 1)
    assert words is not None
    assert words[:6] == ["cvq", "submit", "style-transfer", *(["content.png"] + ["style.png"] * 2)]
    assert shlex.join(words) in run("show", 1).out
    given = {"content.png": str(content), "style.png": str(style)}
    run(*(given.get(word, word) for word in words[1:]))
    first, second = (client.job(number).job for number in (1, 2))
    for name in ("spec", "name", "tags", "priority", "time_limit", "device", "queue"):
        assert getattr(first, name) == getattr(second, name), name
    for usual in ("steps", "content-weight", "format", "queue"):
        assert f"--{usual}" not in words


def test_the_command_that_does_it_again_names_data_as_it_was_given(
    run: Cli, client: Client, tmp_path: Path
) -> None:
    data = tmp_path / "shapes"
    for number in range(8):
        path = data / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (28, 28), number).save(path)
    client.submit("fmnist-mlp", data=str(data))
    words = submission(client, 1)
    assert words is not None
    assert words[words.index("--data") + 1] == str(data)
    # Where it lay is nobody's business where the history goes elsewhere.
    with client.db.read() as connection:
        told = [json.dumps(proof_of(connection, client.job(1).job)), run("export", 1).out]
    assert not [each for each in told if str(tmp_path) in each]


def test_a_command_of_a_kind_that_is_not_known_is_left_out(run: Cli, client: Client) -> None:
    client.submit("selftest", steps=3)
    assert submission(client, 1) == ["cvq", "submit", "selftest", "--steps", "3", "--seed", "0"]
    with client.db.write() as connection:
        connection.execute(update(t.jobs).values(kind="of-somebody"))
    assert submission(client, 1) is None
    assert "cvq submit" not in run("show", 1).out


def test_the_environment_and_what_belongs_to_a_job(
    run: Cli, client: Client, worker: FakeWorker
) -> None:
    for _ in range(3):
        client.submit("selftest", seed=4)
    worker.finish(worker.claim())
    git = {"revision": "3f2a91c0d4e5" * 4, "branch": "main", "dirty": True}
    with client.db.write() as connection:
        jobs = t.jobs
        connection.execute(
            update(jobs)
            .where(jobs.c.id == 1)
            .values(
                note="looks fine\nsecond line",
                origin={"cvq": "1.2", "python": "3.12", "host": "lab", "git": git},
            )
        )
        connection.execute(update(jobs).where(jobs.c.id == 2).values(twin_of=1))
        connection.execute(update(jobs).where(jobs.c.id == 3).values(made_from=1))
        connection.execute(update(t.attempts).values(versions={"torch": "2.9", "code": "abc"}))
    out = run("show", 1).out
    lines = [" ".join(line.split()) for line in out.splitlines()]
    for line in (
        "note looks fine", "second line", "shared by job 2", "made again as job 3", "seed 4",
        "versions torch 2.9", "submitted on lab, cvq 1.2, python 3.12",
        "git 3f2a91c0d4e5 (main), with changes that were not committed",
    ):  # fmt: skip
        assert line in lines, line
    assert "shares with job 1" in " ".join(run("show", 2).out.split())
    found = run("show", 1, "--json").json
    assert found["links"]["twins"] == [2]
    assert found["origin"]["git"] == git
    assert found["attempts"][0]["versions"]["torch"] == "2.9"
    told = [moment["what"] for moment in found["timeline"] if moment["what"] != "waited"]
    assert told == ["submitted", "attempt 1 succeeded"]


def test_json_has_every_point(run: Cli, client: Client, worker: FakeWorker) -> None:
    client.submit("selftest")
    job = worker.claim()
    now = datetime.now(UTC)
    points = [MetricPoint("loss", step, 1 / step, now) for step in range(1, 301)]
    worker.report(job, metrics=points)
    curve = run("show", 1, "--json").json["curves"]["loss"]
    assert curve["points"] == [[step, 1 / step] for step in range(1, 301)]
    assert (curve["min"], curve["best"], curve["best_step"]) == (1 / 300, 1 / 300, 300)
    row = next(line for line in run("show", 1).out.splitlines() if line.startswith("loss"))
    assert row.split()[-1] == "300"


@pytest.mark.parametrize("column", ["origin", "spec", "tags", "progress", "result"])
def test_a_damaged_row_is_shown(run: Cli, client: Client, column: str) -> None:
    client.submit("selftest")
    with client.db.write() as connection:
        connection.execute(update(t.jobs).values({column: ["nonsense", {"a": 1}]}))
    assert run("show", 1).out.startswith("job 1  selftest  queued")
    assert run("show", 1, "--json").json["id"] == 1


def test_the_command_of_a_program_is_typed_as_it_was(
    run: Cli, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for name in ("photos/a.txt", "t.csv"):
        (tmp_path / name).write_text(name)
    typed = [
        "submit", "command", "--workdir", "none", "--data", "photos", "--data", "q=t.csv",
        "--env", "A=1,2", "--env", "HOME", "--keep", "a,b", "--keep", "c/**", "--values", "lr=0.1",
        "--seed", "0",
    ]  # fmt: skip
    program = ["python", "t.py", "--lr", "{lr}", "--seed", "3", "a b"]
    run(*typed, *program)
    assert submission(client, 1) == ["cvq", *typed, "--", *program]
    assert client.job(1).spec["argv"] == program
    assert "python t.py --lr '{lr}' --seed 3 'a b'" in run("ls").out
