"""Which submissions do the same: by content and values, and not by names."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from steps import finish

from cvq import Client, JobHandle
from cvq.ids import AttemptId
from cvq.kinds import get_kind
from cvq.kinds.code import code_of
from cvq.lifecycle import attempts, claims, jobs
from cvq.records import Job, Outcome
from cvq.states import State

DONE = Outcome(State.SUCCEEDED, result={"loss": 1.0})


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    Image.effect_noise((80, 60), 50).save(path)
    return path


def run_next(client: Client) -> Job:
    """What a worker does that runs the code that is here."""

    def code(kind: str) -> str | None:
        return code_of(get_kind(kind, client.settings))

    with client.db.write() as connection:
        [job] = claims.claim_batch(
            connection, worker="w", host="h", queues=["default"], token=uuid.uuid4().hex,
            lease=60, code=code,
        )  # fmt: skip
    return job


def test_whose_result_it_would_be_is_told_and_nothing_stored(
    client: Client, picture: Path, tmp_path: Path
) -> None:
    given = {"content": picture, "style": picture}
    assert client.twin("style-transfer", **given) is None
    assert not any(path.is_file() for path in (client.settings.home / "artifacts").rglob("*"))
    first = client.submit("style-transfer", **given)
    assert client.twin("style-transfer", **given) == (first.id, first.id, False)
    assert client.twin("style-transfer", **given, queue="other") is None
    job = run_next(client)
    assert client.twin("style-transfer", **given, queue="other") == (first.id, first.id, False)
    finish(client.db, AttemptId(job.id, job.attempt), DONE)
    copied = tmp_path / "copied.png"
    copied.write_bytes(picture.read_bytes())
    assert client.twin("style-transfer", content=copied, style=picture) == (1, 1, True)
    assert client.twin("style-transfer", **given, size=64) is None
    copied.write_bytes(picture.read_bytes() + b"x")
    assert client.twin("style-transfer", content=copied, style=picture) is None
    assert [job.id for job in client.jobs()] == [first.id]


def train(client: Client, tmp_path: Path, content: str = "weights") -> None:
    job = run_next(client)
    path = tmp_path / "model.safetensors"
    path.write_text(content)
    attempt = AttemptId(job.id, job.attempt)
    left = client.artifacts.put_artifact(attempt, path, name=path.name, role="model")
    with client.db.write() as connection:
        attempts.report(connection, attempt, artifacts=[left])
    finish(client.db, attempt, DONE)
    promote(client)


def promote(client: Client) -> None:
    with client.db.write() as connection:
        jobs.promote(connection, "w")


def of(handle: JobHandle) -> tuple[str, int | None]:
    return handle.refresh().state, handle.twin_of


def test_names_change_nothing_and_one_byte_does(
    client: Client, picture: Path, tmp_path: Path
) -> None:
    def send(content: Path, **values: Any) -> JobHandle:
        return client.submit("style-transfer", content=content, style=[picture], size=64, **values)

    first = send(picture)
    assert of(first) == ("queued", None)
    other = tmp_path / "another name.png"
    other.write_bytes(picture.read_bytes())
    assert of(send(other, name="mine", tags={"a": "b"}, priority=3, retries=5)) == (
        "waiting", first.id,
    )  # fmt: skip
    other.write_bytes(picture.read_bytes() + b"\0")
    assert of(send(other)) == ("queued", None)
    assert of(send(picture, seed=1)) == ("queued", None)
    assert of(send(picture, gpu=False)) == ("queued", None)
    assert of(send(picture, cache=False)) == ("queued", None)
    assert send(picture, cache=False).identity == first.identity
    finish(client.db, run_next(client).attempt_id, DONE)
    assert of(send(picture)) == ("succeeded", first.id)
    assert send(picture).result == {"loss": 1.0}


def test_a_model_is_told_by_its_content_and_before_its_end_by_its_job(
    client: Client, tmp_path: Path
) -> None:
    def predict(model: JobHandle) -> JobHandle:
        return client.submit("predict-sum", numbers=[1, 2], model=model)

    training = client.submit("sum-regressor")
    first = predict(training)
    twin = client.submit("sum-regressor")
    assert of(twin) == ("waiting", training.id)
    second = predict(twin)
    assert of(second) == ("waiting", first.id)
    train(client, tmp_path)
    promote(client)
    assert of(twin) == ("succeeded", training.id)
    assert of(first)[0] == "queued"
    third = predict(client.submit("sum-regressor"))
    assert of(third) == ("waiting", first.id)
    finish(client.db, run_next(client).attempt_id, DONE)
    assert of(predict(training)) == ("succeeded", first.id)
    anew = client.submit("sum-regressor", cache=False)
    train(client, tmp_path, "other weights")
    assert of(anew)[0] == "succeeded"
    assert of(predict(anew)) == ("queued", None)


def test_a_kind_that_does_not_say_so_is_never_shared(client: Client) -> None:
    first, second = client.submit("selftest"), client.submit("selftest")
    assert of(first) == of(second) == ("queued", None)
    assert first.identity is None
    assert first.job.origin is not None
    assert first.job.origin["code"] == code_of(get_kind("selftest", client.settings))
