"""Real workers train the course's models: killed and resumed, used by the next job, refused."""

from __future__ import annotations

import gzip
import os
import signal
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from conftest import Worker
from cvq import Client, JobHandle, queries
from cvq.errors import InvalidInputError
from waiting import HANG_S, eventually


def digit(path: Path, number: int) -> Path:
    """One of scikit-learn's digits as a picture."""
    pixels = (load_digits().images[number] * (255 / 16)).astype(np.uint8)
    Image.fromarray(pixels).resize((28, 28), Image.Resampling.BICUBIC).save(path)
    return path


def model_of(handle: JobHandle) -> str:
    with handle.client.db.read() as connection:
        model = queries.model_of(connection, handle.id)
    assert model is not None
    return model.sha256


def train(client: Client, **values: object) -> JobHandle:
    """A training of some seconds, with all that has a state: momentum, average, augmentation."""
    given = {
        "data": "digits",
        "epochs": 15,
        "batch_size": 32,
        "hidden": 16,
        "shift_x": 1,
        "seed": 3,
        "cache": False,
    }
    return client.submit("fmnist-rnn", **{**given, **values})


def test_a_training_that_was_killed_leaves_the_same_model(
    client: Client, start_worker: Callable[..., Worker], tmp_path: Path
) -> None:
    start_worker(CVQ_CHECKPOINT_EVERY="0")
    disturbed = train(client)
    # Queued while its model is still being made.
    using = client.submit(
        "classify", images=[digit(tmp_path / "six.png", 6)], model=disturbed.id, top=2
    )
    assert using.job.state == "waiting"
    for attempt in (1, 2):

        def begun(number: int = attempt) -> int | None:
            with client.db.read() as connection:
                rows = queries.attempts_of(connection, disturbed.id)
                saved = queries.checkpoints_of(connection, disturbed.id)
            mine = any(artifact.attempt == number for artifact in saved)
            return next((row.pid for row in rows if row.number == number and mine), None)

        os.kill(eventually(begun, what=f"a checkpoint of attempt {attempt}"), signal.SIGKILL)
    job = disturbed.wait(HANG_S)
    assert job.attempt == 3
    assert "resumed after step" in "\n".join(disturbed.logs())
    undisturbed = train(client)
    assert undisturbed.wait(HANG_S).attempt == 1
    assert model_of(disturbed) == model_of(undisturbed)
    curve = disturbed.curve("val_accuracy")
    assert curve == undisturbed.curve("val_accuracy")
    result = using.wait(HANG_S).result
    assert result is not None
    [prediction] = result["predictions"]
    assert prediction["class"] == "6"


def test_who_uses_a_model_that_was_warned_of_is_told(
    client: Client, start_worker: Callable[..., Worker], tmp_path: Path
) -> None:
    # Where matplotlib keeps its list of fonts, which it makes anew, and tells.
    start_worker(MPLCONFIGDIR=str(tmp_path / "fonts"))
    training = client.submit("fmnist-mlp", data="digits", epochs=1, learning_rate=1e-9)
    sentences = training.wait(HANG_S).warnings
    assert sentences
    assert not [line for line in training.logs() if "matplotlib" in line]
    assert list((tmp_path / "fonts").iterdir())
    six = digit(tmp_path / "six.png", 6)
    with pytest.warns(UserWarning, match="training gave a warning"):
        using = client.submit("classify", images=[six], model=training.id)
    told = [f"the model of job {training.id} was warned: {each}" for each in sentences]
    assert using.wait(HANG_S).warnings == told
    for sentence in told:
        assert any(sentence in line for line in using.logs())
    assert training.result is not None
    assert training.result["batch_size"] == 128


def idx(path: Path, array: np.ndarray) -> None:
    head = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    with gzip.open(path, "wb") as file:
        file.write(head + array.astype(np.uint8).tobytes())


def numbered(folder: Path, labels: np.ndarray) -> Path:
    """90 pictures of noise with these labels, as IDX."""
    folder.mkdir()
    pictures = np.random.default_rng(0).integers(0, 256, (90, 28, 28))
    for part in ("train", "t10k"):
        idx(folder / f"{part}-images-idx3-ubyte.gz", pictures)
        idx(folder / f"{part}-labels-idx1-ubyte.gz", labels)
    return folder


@pytest.mark.parametrize(
    ("labels", "said"),
    [(np.arange(91) % 3, "90 pictures, .* 91 labels"), (np.zeros(90), "nothing to tell apart")],
    ids=["too many labels", "one class"],
)
def test_data_that_cannot_be_learnt_is_refused_before_it_is_queued(
    client: Client, tmp_path: Path, labels: np.ndarray, said: str
) -> None:
    folder = numbered(tmp_path / "numbers", labels)
    with pytest.raises(InvalidInputError, match=said):
        client.submit("fmnist-mlp", data=str(folder))
    assert client.jobs() == []


def test_a_training_that_cannot_be_says_why_and_leaves_no_model(
    client: Client, start_worker: Callable[..., Worker], tmp_path: Path
) -> None:
    folder = numbered(tmp_path / "numbers", np.arange(90) % 3)
    start_worker()
    handle = client.submit(
        "fmnist-mlp", data=str(folder), clip=0, batch_size=16, learning_rate=100.0,
        optimizer="sgd",
    )  # fmt: skip
    job = handle.wait(HANG_S, check=False)
    assert (job.state, job.reason, job.attempt) == ("failed", "error", 1), job
    assert "\n" not in (job.error or "")
    with client.db.read() as connection:
        assert queries.model_of(connection, handle.id) is None
