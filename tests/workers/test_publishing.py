"""Real workers: what a job publishes is kept whole, whatever it is called and whoever reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import Worker, eventually
from cvq import Client, JobHandle, Settings
from cvq.states import Role


@pytest.fixture
def publish(
    client: Client, start_worker: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., JobHandle]:
    """Submits a job that leaves files."""
    monkeypatch.setattr(client, "settings", Settings.load(kinds=["publish"]))
    start_worker(CVQ_KINDS="publish")

    def submit(*files: dict[str, Any], **values: Any) -> JobHandle:
        return client.submit("publish", files=list(files), retries=0, **values)

    return submit


def left(handle: JobHandle) -> dict[str, str]:
    return {artifact.name: artifact.role for artifact in handle.artifacts}


def test_names_that_meet_lose_no_file(publish: Callable[..., JobHandle], tmp_path: Path) -> None:
    names = [
        "./a.png",
        "a.png",
        "b//c",
        "b/c",
        "d",
        "d/e",
        "D",
        "x" * 290,
        "\x1b]0;p\x07\n",
        "f\\g",
    ]
    handle = publish(*({"name": name, "text": str(n)} for n, name in enumerate(names)))
    handle.wait()
    saved = handle.save(tmp_path / "out")
    contents = {path.relative_to(tmp_path / "out").as_posix(): path.read_text() for path in saved}
    long = next(name for name in contents if name.startswith("xx"))
    assert contents == {
        "a.png": "1", "b/c": "3", "d": "4", "d-2/e": "5", "D-3": "6", long: "7", "_]0;p__": "8",
        "f_g": "9",
    }  # fmt: skip


def test_what_a_job_calls_a_checkpoint_is_its_own(
    publish: Callable[..., JobHandle], client: Client
) -> None:
    handle = publish({"name": "checkpoint-00000001.safetensors", "role": "checkpoint"})
    assert handle.wait().state == "succeeded"
    assert left(handle) == {"checkpoint-00000001.safetensors": "checkpoint"}
    assert handle.save(client.settings.home / "copies", role="checkpoint")
    reserved = publish({"name": "a", "role": Role.CHECKPOINT})
    job = reserved.wait(check=False)
    assert (job.state, job.error) == (
        "failed", "artifact a: the role cvq-checkpoint is cvq's own, give another word",
    )  # fmt: skip


@pytest.mark.parametrize(
    "refused", [{"name": "p", "link": True}, {"name": "p", "text": None}, {"name": "../p"}]
)
def test_a_refused_preview_costs_the_preview_and_a_refused_result_the_job(
    publish: Callable[..., JobHandle], refused: dict[str, Any]
) -> None:
    handle = publish(refused | {"role": "preview"}, {"name": "result.txt"})
    assert handle.wait().state == "succeeded"
    assert left(handle) == {"result.txt": "result"}
    assert "preview is not kept, the job goes on: " in "\n".join(handle.logs())
    job = publish(refused, {"name": "result.txt"}).wait(check=False)
    assert (job.state, job.reason) == ("failed", "error")


def test_a_preview_is_whole_however_often_it_is_replaced(
    publish: Callable[..., JobHandle], client: Client, tmp_path: Path
) -> None:
    done = tmp_path / "done"
    handle = publish({"name": "result.txt"}, previews=200, until=str(done))
    found: list[Any] = eventually(lambda: [a for a in handle.artifacts if a.role == "preview"])
    seen = set()
    while len(seen) < 10:  # the one of the first look is fetched again, too
        newest = next(a for a in handle.artifacts if a.role == "preview")
        for artifact in (found[0], newest):
            text = client.artifacts.fetch(artifact, tmp_path / "copy.txt").read_text()
            assert text == text[: text.index(" ") + 1] * 1000
            seen.add(text)
    first = client.artifacts.local_path(found[0].uri)
    done.touch()
    handle.wait()
    assert first is not None
    eventually(lambda: not first.exists())
    folder = first.parent
    assert sorted(path.name for path in folder.iterdir()) == ["preview-200.txt", "result.txt"]
    assert client.fetch(handle.id, found[0], tmp_path / "late.txt").read_text() == "199 " * 1000
