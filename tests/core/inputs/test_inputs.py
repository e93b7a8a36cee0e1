"""Data sets, models and pipelines at submission: found, packed, looked up, or refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, ClassVar

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import func, select

from cvq import Client, Context, InputFile, Kind, LocalContext, Spec, queries
from cvq import tables as t
from cvq.errors import InvalidInputError, SetupError, UsageError
from cvq.inputs.files import Staging
from cvq.inputs.submission import InputCheck, Submission, check_inputs
from cvq.kinds import get_kind, make_spec
from cvq.lifecycle import attempts, claims, jobs
from cvq.records import Outcome
from cvq.views.models import JobModels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four pictures of two classes."""
    for number, name in enumerate(("cat", "cat", "dog", "dog")):
        (tmp_path / "pets" / name).mkdir(parents=True, exist_ok=True)
        pixels = np.full((8, 8, 3), 40 * number, np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pets" / name / f"{number}.png")
    return tmp_path / "pets"


def count(client: Client) -> int:
    """How many jobs there are."""
    with client.db.read() as connection:
        return int(connection.scalar(select(func.count()).select_from(t.jobs)) or 0)


def end(client: Client, job_id: int, state: str, model: bytes | None = None) -> None:
    """Play the worker that ran a job."""
    with client.db.write() as connection:
        job = claims.claim(
            connection, worker="w", host="h", queues=["default"], token=str(job_id), lease=60.0
        )
        assert job is not None
        assert job.id == job_id
    if model is not None:
        path = client.settings.home / "model.safetensors"
        path.write_bytes(model)
        made = client.artifacts.put_artifact(job.attempt_id, path, name=path.name, role="model")
        with client.db.write() as connection:
            attempts.report(connection, job.attempt_id, artifacts=[made])
    with client.db.write() as connection:
        attempts.finish(connection, job.attempt_id, Outcome(state), by="w")


def test_a_folder_is_packed_into_the_store(client: Client, folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    handle = client.submit(
        "fmnist-mlp", data=str(folder), on_pack=lambda done, total: seen.append((done, total))
    )
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    data = handle.job.spec["data"]
    assert data["name"] == "pets"
    assert client.artifacts.fetch_input(data["sha256"], client.settings.home).stat().st_size > 400
    again = client.submit("fmnist-mlp", data=str(folder))
    assert again.job.spec["data"]["sha256"] == data["sha256"]


def test_digits_need_no_file(client: Client) -> None:
    data = client.submit("fmnist-mlp", data="digits").job.spec["data"]
    assert data == {"name": "digits", "sha256": None, "bytes": None}


def test_a_folder_wins_over_a_name(
    client: Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.rename(folder.parent / "digits")
    monkeypatch.chdir(folder.parent)
    assert client.submit("fmnist-mlp", data="digits").job.spec["data"]["sha256"]


def test_data_that_is_not_there_is_refused(client: Client, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "torchvision" / "cifar-10-batches-py").mkdir(parents=True)
    (tmp_path / "torchvision" / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"pickled")
    (tmp_path / "notes.txt").write_text("no pictures")
    for given, said in (
        (str(tmp_path / "nowhere"), "does not exist, and is not a known data set"),
        (str(tmp_path / "empty"), "has no pictures"),
        (str(tmp_path / "torchvision"), "CIFAR as pickles, which could run any code"),
        (str(tmp_path / "notes.txt"), "neither a folder nor a zip"),
    ):
        with pytest.raises(InvalidInputError, match=said):
            client.submit("fmnist-mlp", data=given)
    assert count(client) == 0


def test_a_known_data_set_that_is_not_here_says_what_to_do(client: Client) -> None:
    with pytest.raises(SetupError, match="cvq data fetch mnist"):
        client.check("vae", data="mnist")


def test_a_model_is_that_of_its_job(client: Client) -> None:
    training = client.submit("fmnist-mlp", data="digits")
    end(client, training.id, "succeeded", b"weights")
    with client.db.read() as connection:
        model = queries.model_of(connection, training.id)
    assert model is not None
    for given in (training.id, str(training.id), "@"):
        spec = client.check("classify", images=[_picture(client)], model=given)
        stored = spec.model_dump(mode="json")["model"]
        assert (stored["job"], stored["sha256"]) == (training.id, model.sha256)


def test_a_job_waits_for_the_training_whose_model_it_uses(client: Client) -> None:
    training = client.submit("fmnist-mlp", data="digits")
    using = client.submit("classify", images=[_picture(client)], model=training.id)
    assert using.job.state == "waiting"
    end(client, training.id, "failed")
    with client.db.write() as connection:
        jobs.promote(connection, by="w")
    assert (using.refresh().state, using.refresh().reason) == ("failed", "dependency-failed")


def test_a_model_that_cannot_be_used_is_refused(client: Client) -> None:
    picture = _picture(client)
    with pytest.raises(UsageError, match="99"):
        client.submit("classify", images=[picture], model=99)
    other = client.submit("sum-regressor")
    with pytest.raises(UsageError, match="sum-regressor: a model of fmnist-cnn or fmnist-mlp"):
        client.submit("classify", images=[picture], model=other.id)
    end(client, other.id, "succeeded")
    with pytest.raises(UsageError, match="left no model"):
        client.submit("predict-sum", numbers=[1, 2], model=other.id)
    failed = client.submit("fmnist-mlp", data="digits")
    end(client, failed.id, "failed")
    with pytest.raises(UsageError, match="was failed: it left no model"):
        client.submit("classify", images=[picture], model=failed.id)
    for several in ("1-2", "2-99", "98-99"):  # of which there are two, one and none
        with pytest.raises(UsageError, match=f"model {several}: give one job, not a range"):
            client.submit("classify", images=[picture], model=several)


def test_a_pipeline_is_checked_and_recorded(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"transform": {"__class_fullname__": "HorizontalFlip", "p": 1}}))
    handle = client.submit("fmnist-cnn", data="digits", augment=str(path))
    stored = handle.job.spec["augment"]
    assert stored["name"] == "mine.json"
    kept = client.artifacts.fetch_input(stored["sha256"], client.settings.home)
    assert kept.read_bytes() == path.read_bytes()
    path.write_text(path.read_text().replace("HorizontalFlip", "Sideways"))
    with pytest.raises(InvalidInputError, match="Sideways"):
        client.submit("fmnist-cnn", data="digits", augment=str(path))
    assert count(client) == 1


def _picture(client: Client) -> Path:
    path = client.settings.home / "picture.png"
    Image.new("L", (28, 28), 200).save(path)
    return path


class TextFile(InputFile):
    """An input type of one's own: a text, which its jobs read with a line's end at its end."""

    metavar: ClassVar[str] = "TEXT"

    def check(self, submission: Submission) -> InputCheck:
        if "secret" in self.given_path.read_text():
            raise UsageError(f"{self.name} is not for everybody")
        return InputCheck(self, notes=(f"{self.name} is a text, seed {submission.spec.seed}",))

    def stage(self, staging: Staging) -> dict[str, Any]:
        path = Path(super().stage(staging)["path"])
        ended = path.with_suffix(".txt")
        ended.write_text(path.read_text() + "\n")
        return {"path": str(ended)}


class TextsSpec(Spec):
    texts: Annotated[list[TextFile], "a mark"]


KIND = Kind("texts", TextsSpec, f"{__name__}:read", "Read texts.")


def read(spec: TextsSpec, ctx: Context) -> list[str]:
    return [file.path.read_text() for file in spec.texts if file.path is not None]


def test_an_input_type_of_ones_own_is_asked_at_every_step(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cvq.client.submitting.get_kind", lambda *_: KIND)
    monkeypatch.setitem(sys.modules, __name__, SimpleNamespace(read=read))
    for name in ("a", "b"):
        (tmp_path / name).write_text(f"text {name}")
    given = [tmp_path / "a", tmp_path / "b"]
    with pytest.warns(UserWarning, match="is a text, seed 7"):
        job = client.submit("texts", texts=given, seed=7).job
    assert [file["bytes"] for file in job.spec["texts"]] == [6, 6]
    assert LocalContext(tmp_path / "out").run(KIND, texts=given) == ["text a\n", "text b\n"]
    (tmp_path / "b").write_text("a secret")
    for submit in (client.submit, client.check):
        with pytest.raises(UsageError, match="b is not for everybody"):
            submit("texts", texts=given)
    assert count(client) == 1


def test_checking_changes_no_specification(client: Client, folder: Path) -> None:
    spec = make_spec(get_kind("fmnist-mlp", client.settings), {"data": "digits"})
    checked = check_inputs(spec, client.settings, JobModels(client.settings, lambda: client.db))
    assert [file.path for file in spec.inputs()] == [Path("digits")]
    assert [file.path for file in checked.spec.inputs()] == [None]
