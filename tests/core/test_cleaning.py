"""The past from Python: pruned, trashed, exported."""

from __future__ import annotations

from pathlib import Path

import pytest
from past import Past

from cvq import Client
from cvq.errors import PrunedJobError, UsageError


@pytest.fixture
def past(client: Client, tmp_path: Path) -> Past:
    past = Past(client.db, tmp_path)
    past.store = client.artifacts
    return past


def test_a_client_prunes(client: Client, past: Past) -> None:
    tagged, plain = past.job(tags={"best": "1"}), past.job(files={"a.png": "one"})
    would = client.prune(older_than="30d", keep_tagged=True, dry_run=True)
    assert (would.jobs, would.bytes) == (1, 3)
    assert client.prune(plain, files=["results"]).files == 1
    assert client.prune(older_than="30d", keep_tagged="best").jobs == 1
    with pytest.raises(PrunedJobError):
        client.job(plain)
    assert client.prune([]).jobs == 0, "of no job"
    assert client.prune().jobs == 0, "of nothing but the trash"
    assert client.prune(kind="selftest", keep_last=1).jobs == 0
    assert client.prune(tagged).jobs == 1


def test_a_client_refuses_what_it_does_not_know(client: Client, past: Past) -> None:
    with pytest.raises(UsageError, match=r"files 'logs': give checkpoints, samples or results"):
        client.prune(older_than="30d", files=["logs"])
    past.job()
    for more in ({"limit": 1}, {"sort": "id"}):
        with pytest.raises(UsageError, match="limit and sort do not choose what goes"):
            client.prune(kind="selftest", **more)
    with pytest.raises(UsageError, match="no job of kind 'selftset'"):
        client.prune(kind="selftset")
    with pytest.raises(UsageError, match="no job of kind 'selftset'"):
        list(client.export(kind="selftset"))
    with pytest.raises(UsageError, match="keep_last -1: give 0 or more"):
        client.prune(older_than="30d", keep_last=-1)


def test_a_client_lays_jobs_in_the_trash(client: Client, past: Past) -> None:
    first, second = past.job(), past.job()
    running = past.job(state="running")
    assert client.trash([first, second]) == [first, second]
    assert [job.id for job in client.jobs(state="succeeded")] == []
    assert client.restore(client.jobs(state="succeeded", trashed=True)) == [first, second]
    with pytest.raises(UsageError, match=f"job {running} is running"):
        client.trash(running)


def test_a_client_exports(client: Client, past: Past, tmp_path: Path) -> None:
    first, second = past.job(), past.job(files={"a.png": "one"})
    assert [each["id"] for each in client.export()] == [first, second]
    [line] = client.export(second, logs=True)
    assert (line["artifacts"][0]["name"], len(line["logs"])) == ("a.png", 2)
    files = client.export_to_tensorboard(tmp_path / "tb", kind="selftest")
    assert [path.parent.name for path in files] == [f"{first}-selftest", f"{second}-selftest"]


def test_a_client_tells_where_jobs_come_from(client: Client, past: Past) -> None:
    model = past.job()
    user = past.job(inputs={"model": past.model(model)})
    assert [branch.node.job for branch in client.graph(model).uses] == [user]
