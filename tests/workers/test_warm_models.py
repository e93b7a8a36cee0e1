"""A model that cannot be used fails each job of its batch, in a sentence, and no process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from steps import claimed, ended, finish

from conftest import Worker
from cvq import Client, LocalContext
from cvq.ids import AttemptId
from cvq.lifecycle import attempts as lifecycle
from cvq.lifecycle import jobs as submission
from cvq.records import NewJob, Outcome
from cvq.states import State
from untrained import untrained


@pytest.fixture
def trained(client: Client, tmp_path: Path) -> Callable[..., tuple[int, Path]]:
    """A job that has left a model, and where that lies; what is left may be given."""

    def train(content: bytes | None = None) -> tuple[int, Path]:
        new = NewJob(kind="sum-regressor", spec={}, spec_hash="0" * 64, user="ann")
        with client.db.write() as connection:
            submission.submit(connection, new)
        job = claimed(client.db)
        path = untrained("sum-regressor", LocalContext(tmp_path / str(job.id))).local_path
        if content is not None:
            path.write_bytes(content)
        attempt = AttemptId(job.id, job.attempt)
        left = client.artifacts.put_artifact(attempt, path, name=path.name, role="model")
        with client.db.write() as connection:
            lifecycle.report(connection, attempt, artifacts=[left])
        finish(client.db, attempt, Outcome(State.SUCCEEDED, result={}))
        stored = client.artifacts.local_path(left.uri)
        assert stored is not None
        return job.id, stored

    return train


def test_each_job_is_told_and_others_are_answered(
    client: Client,
    trained: Callable[..., tuple[int, Path]],
    start_worker: Callable[..., Worker],
) -> None:
    good, _ = trained()
    junk, _ = trained(b"no model")
    cut, path = trained()
    gone, removed = trained()
    pairs = [(number, 1) for number in range(20)]
    batches = {
        model: client.submit_many("predict-sum", pairs, model=model, retries=0)
        for model in (junk, cut, gone, good)
    }
    path.write_bytes(path.read_bytes()[:-20])
    removed.unlink()
    start_worker("--slots", "1")
    told = {
        model: {(job.state, (job.error or "")[-70:]) for job in ended(client, batch)}
        for model, batch in batches.items()
    }
    assert told[good] == {("succeeded", "")}
    for model, said in ((junk, "damaged"), (cut, "what was stored"), (gone, "artifact store")):
        [(state, error)] = told[model]
        assert state == "failed"
        assert said in error
