"""`cvq rerun`: new jobs from old ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from cvq import Client
from cvq.kinds import get_kind
from cvq.kinds.code import code_of
from cvq.lifecycle import claims
from cvq.states import State

from .conftest import Cli, FakeWorker


@pytest.fixture
def painted(client: Client, pictures: tuple[Path, Path]) -> int:
    """A job whose pictures are gone."""
    content, style = pictures
    job = client.submit(
        "style-transfer", content=content, style=[style], size=64, seed=5, name="mine",
        tags={"for": "poster"}, priority=3, retries=4, time_limit=900,
    )  # fmt: skip
    content.unlink()
    style.unlink()
    return job.id


def test_an_old_job_with_another_value(run: Cli, client: Client, painted: int) -> None:
    said = run("rerun", painted, "--set", "style-weight=2e5", "--set", "size=72")
    assert f"job {painted + 1} queued: style-transfer mine (made from job {painted})" in said.out
    old, new = client.job(painted), client.job(painted + 1)
    changed = {name for name in new.spec if new.spec[name] != old.spec[name]}
    assert changed == {"style_weight", "size"}
    assert new.made_from == painted
    for name in ("name", "tags", "priority", "time_limit", "max_attempts", "queue", "kind"):
        assert getattr(new, name) == getattr(old, name), name


def test_seeds(run: Cli, client: Client, painted: int) -> None:
    def seed(*words: object) -> int:
        return client.job(int(run("rerun", painted, "-q", *words).out)).spec["seed"]

    assert seed() == 5
    assert seed("--seed", 9) == 9
    assert seed("--new-seed") != 5
    run("rerun", painted, "--seed", 9, "--new-seed", code=2)


def test_the_same_again_is_computed_and_a_known_change_is_not(
    run: Cli, client: Client, painted: int
) -> None:
    assert client.job(int(run("rerun", painted, "-q").out)).twin_of is None
    assert client.job(int(run("rerun", painted, "-q", "--cache").out)).twin_of == painted
    first = int(run("rerun", painted, "-q", "--set", "size=72").out)
    assert client.job(int(run("rerun", painted, "-q", "--set", "size=72").out)).twin_of == first
    again = int(run("rerun", painted, "-q", "--set", "size=72", "--no-cache").out)
    assert client.job(again).twin_of is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set", "siez=3"], "there is no 'siez', did you mean 'size'?"),
        (["--set", "size=3"], "size 3: give "),
        (["--set", "size=abc"], "size 'abc': give a whole number"),
        (["--set", "size"], "'size': give NAME=VALUE"),
        (["--set", "size=70", "--set", "size=71"], "size is given twice"),
        (["--set", "size.x=3"], "size has no values within it"),
        (["--set", "content.name=x"], "content has no values within it"),
        (["--set", "content=nowhere.png"], "nowhere.png"),
        (["--seed", "-1"], "seed -1: give 0 to"),
        (["--priority", "11"], "priority 11"),
    ],
)
def test_refusals_are_those_of_submit(
    run: Cli, client: Client, painted: int, words: list[str], said: str
) -> None:
    told = run("rerun", painted, *words, code=2)
    assert said in told.err
    assert len(client.jobs()) == 1


def test_an_input_that_is_gone_is_told_in_a_line(run: Cli, client: Client, painted: int) -> None:
    digest = client.job(painted).spec["content"]["sha256"]
    Path(client.artifacts.root, "inputs", digest[:2], digest).unlink()
    told = run("rerun", painted, code=2)
    assert "the input content.png is gone: input " in told.err
    assert len(told.err.strip().splitlines()) == 1
    run("rerun", 99, code=2)
    assert len(client.jobs()) == 1


def test_a_dry_run_and_several(run: Cli, client: Client, painted: int) -> None:
    dry = run("rerun", painted, "--set", "size=80", "--dry-run").json
    assert dry["size"] == 80
    other = client.submit("selftest").id
    assert len(client.jobs()) == 2
    run("rerun", painted, other, "--set", "size=80", code=2)  # which a selftest has not
    assert len(client.jobs()) == 2
    made = run("rerun", painted, other, "--set", "seed=3", "--json").json
    assert [job["made_from"] for job in made] == [painted, other]


def test_following(run: Cli, client: Client, worker: FakeWorker) -> None:
    first = client.submit("selftest", steps=1)
    worker.arrive("default")
    worker.finish(worker.claim())
    told = run("rerun", first.id, "--wait", "--timeout", "0.01s", code=124)
    assert "job 2 queued: selftest" in told.err
    worker.finish(worker.claim(), State.FAILED, reason="error", error="no")
    assert run("rerun", 1, 2, "-q").out.split() == ["3", "4"]


def test_jobs_of_batches(run: Cli, batched: Client, folder: Path) -> None:
    (folder / "notes.txt").unlink()
    (folder / "bad.png").write_text("no picture")
    batch = batched.submit_many("brightness", "photos")
    jobs = sorted(batched.jobs(batch=batch.id), key=lambda job: job.id)
    refused = next(job for job in jobs if job.state == State.FAILED)
    assert "was refused when it was submitted" in run("rerun", refused.id, code=2).err
    good = next(job for job in jobs if job.state == State.QUEUED)
    new = batched.job(int(run("rerun", good.id, "--set", "scale=2", "-q").out))
    assert (new.batch, new.name) == (None, good.name)
    assert new.spec == {**good.spec, "scale": 2.0}


def test_a_submission_that_is_answered_at_once_says_so(
    run: Cli, client: Client, worker: FakeWorker, pictures: tuple[Path, Path]
) -> None:
    content, style = pictures
    words = ["submit", "style-transfer", content, style, "--size", 64]
    run(*words)
    assert "job 2 waiting: the same as job 1, whose result it will share" in run(*words).out
    assert "It does the same as job 1 (queued)" in run("why", 2).out
    assert "job 3 queued" in run(*words, "--no-cache").out
    kind = get_kind("style-transfer", client.settings)
    with client.db.write() as connection:
        [job] = claims.claim_batch(
            connection, worker="w", host="h", queues=["default"], token="t", lease=60,
            code=lambda _: code_of(kind),
        )  # fmt: skip
    worker.artifact(job, "out.png", b"picture")
    worker.finish(job, result={"loss": 0.5})
    told = run(*words)
    assert told.out.startswith("job 4 succeeded: the same as job 1\n")
    waited = run(*words, "--wait")
    assert "job 5 succeeded: the same as job 1" in waited.err
    assert waited.out.endswith("out.png\n")
    assert run(*words, "--json").json["twin_of"] == 1
    assert "does the same as job 1" in run("why", 4).out
