"""What a job came to: its answer, its figures and its warnings, wherever a job is told of."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from cvq import Client
from cvq.kinds.kind import Kind
from cvq.kinds.spec import Spec
from cvq.records import Job

from .conftest import Cli, FakeWorker

WARNING = "the network is no better than chance"


def trained(client: Client, worker: FakeWorker, **result: Any) -> Job:
    """A classifier's training that has ended."""
    handle = client.submit("fmnist-cnn", data="digits")
    job = worker.claim()
    worker.artifact(job, "model.safetensors", b"weights", role="model")
    worker.finish(job, "succeeded", result=result)
    return handle.refresh()


@pytest.fixture
def asked(client: Client, worker: FakeWorker, tmp_path: Any) -> Job:
    """A job that was asked something, and has answered."""
    path = tmp_path / "boot.png"
    Image.new("L", (28, 28)).save(path)
    model = trained(client, worker).id
    handle = client.submit("classify", images=[path], model=model)
    worker.finish(worker.claim(), "succeeded", result={"model": model, "answer": "boot 47 %"})
    return handle.refresh()


def test_the_answer_is_what_a_job_came_to(run: Cli, asked: Job) -> None:
    line = next(line for line in run("ls").out.splitlines() if "classify" in line)
    assert line.endswith(" boot 47 %")
    assert run("watch", asked.id).err.endswith(": boot 47 %\n")


def test_a_value_that_was_given_is_no_figure(run: Cli, client: Client, worker: FakeWorker) -> None:
    client.submit("selftest", steps=3)
    worker.finish(worker.claim(), "succeeded", result={"steps": 3, "found": 4})
    assert run("watch", 1).err.endswith(": found 4\n")


def test_warnings_are_told_at_the_end_and_marked(
    run: Cli, client: Client, worker: FakeWorker
) -> None:
    job = trained(client, worker, warnings=[WARNING])
    told = f"cvq: warning: job {job.id}: {WARNING}\n"
    assert run("watch", job.id).err.endswith(told)
    assert run("wait", job.id).err == told
    assert run("wait", job.id, "--quiet").err == ""
    assert "succeeded (warned)" in run("ls").out
    assert run("ls", "--csv").out.splitlines()[1].split(",")[1] == "succeeded"


def test_who_uses_a_model_is_told_of_its_training(
    shell: Cli, client: Client, worker: FakeWorker, tmp_path: Any
) -> None:
    job = trained(client, worker, warnings=[WARNING])
    Image.new("L", (28, 28)).save(tmp_path / "x.png")
    said = shell("submit", "classify", tmp_path / "x.png", "--model", job.id)
    assert f"cvq: warning: job {job.id}'s training gave a warning: {WARNING}\n" in said.err
    with pytest.warns(UserWarning, match="training gave a warning"):
        client.submit("classify", images=[tmp_path / "x.png"], model=job.id)


class TunedSpec(Spec):
    """A kind of a third party's."""

    headline = ("tuned",)


def test_any_reader_sees_the_headline_that_was_submitted(
    run: Cli, client: Client, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = Kind("tuned", TunedSpec, "nowhere:run", "Tune.")
    with monkeypatch.context() as here:
        here.setattr("cvq.client.submitting.get_kind", lambda name, settings: kind)
        client.submit("tuned")
    job = worker.claim()
    for name in ("abc", "tuned"):
        worker.metric(job, name, 5.0)
    assert run("ls").out.splitlines()[1].endswith(" tuned 5")


def test_a_job_of_an_earlier_version_asks_its_kind(
    run: Cli, client: Client, worker: FakeWorker
) -> None:
    client.submit("selftest")
    with client.db.write() as connection:
        connection.exec_driver_sql("UPDATE jobs SET goals = NULL")
    job = worker.claim()
    for name in ("abc", "value"):
        worker.metric(job, name, 5.0)
    assert run("ls").out.splitlines()[1].endswith(" value 5")
