"""`cvq verify` and `cvq rerun --verify`: files and proofs are as they were, or it is said."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import Worker
from cvq import Client, JobHandle
from cvq.proofs import document
from cvq.records import Job

from .conftest import Cli, FakeWorker


@pytest.fixture
def done(client: Client, worker: FakeWorker, pictures: tuple[Path, Path]) -> JobHandle:
    """A job that has left a file."""
    content, style = pictures
    handle = client.submit("style-transfer", content=content, style=[style], size=64)
    job: Job = worker.claim()
    worker.artifact(job, "out.txt", b"a\nb\nc\n")
    worker.finish(job, result={"loss": 0.5})
    return handle.refresh()


def stored(client: Client, handle: JobHandle) -> Path:
    [file] = handle.results
    path = client.artifacts.local_path(file.uri)
    assert path is not None
    return path


def test_stored_files_are_read(run: Cli, client: Client, done: JobHandle) -> None:
    assert run("verify", done.id).out == "job 1: 3 files and inputs are as they were stored\n"
    path = stored(client, done)
    path.write_bytes(b"a\nB\nc\n")
    told = run("verify", "@", code=1)
    assert "job 1: 1 of 3 files and inputs are not as they were:" in told.out
    assert "out.txt: " in told.out
    path.unlink()
    digest = done.spec["style"][0]["sha256"]
    Path(client.artifacts.root, "inputs", digest[:2], digest).write_bytes(b"x")
    wrong = run("verify", done.id, "--json", code=1).json["wrong"]
    assert [line.partition(": ")[0] for line in wrong] == ["out.txt", "input style.png"]
    run("verify", 99, code=2)
    run("verify", done.id, "--run", code=2)


def test_a_proof_is_intact_or_edited(
    run: Cli, client: Client, done: JobHandle, tmp_path: Path
) -> None:
    path = tmp_path / "proof.json"
    document.write(client.proof(done), path)
    told = run("verify", path, code=1)  # this worker has noted no code
    assert "is intact: job 1 (style-transfer), 1 file" in told.out
    assert "code: another here" in told.out
    assert "inputs: 2 of 2 at hand" in told.out
    digest = done.spec["content"]["sha256"]
    gone = Path(client.artifacts.root, "inputs", digest[:2], digest)
    content = gone.read_bytes()
    gone.unlink()
    told = run("verify", path, code=1)
    assert f"missing: {done.spec['content']['name']} ({digest})" in told.out
    (tmp_path / "anything.bin").write_bytes(content)
    told = run("verify", path, "--input", tmp_path / "anything.bin", code=1)
    assert "inputs: 2 of 2 at hand" in told.out
    (tmp_path / "anything.bin").write_bytes(content + b"x")
    told = run("verify", path, "--input", tmp_path / "anything.bin", code=2)
    assert "the proof's job reads no file of this content" in told.err
    proof = json.loads(path.read_text())
    proof["artifacts"][0]["sha256"] = "0" * 64
    path.write_text(json.dumps(proof))
    told = run("verify", path, code=2)
    assert told.err == (
        f"cvq: error: {path} was edited: its content does not have the SHA-256 that it says\n"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is no proof"),
        ("{", "is no proof"),
        ("[]", "is no proof"),
        ('{"a": 1}', "is no proof"),
        ('{"proof": 1}', "was edited"),
        ("[" * 100_000, "is no proof"),
        ("\xff", "is no proof"),
        (json.dumps(document.sealed({"proof": 2})), "of another version"),
        (json.dumps(document.sealed({"proof": 1, "job": []})), "job is missing, or not as"),
    ],
)
def test_what_is_no_proof(run: Cli, tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "p.json"
    path.write_bytes(content.encode("latin-1"))
    told = run("verify", path, code=2)
    assert said in told.err
    assert len(told.err.splitlines()) == 1
    assert "is not a file" in run("verify", tmp_path, code=2).err
    assert "is not a file" in run("verify", tmp_path / "nowhere", code=2).err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"job": {"id": 1, "kind": "selftest", "spec": []}}, "job.spec is missing, or not as"),
        ({"job": {"id": 1, "kind": "selftest", "spec": "x"}}, "job.spec is missing, or not as"),
        ({"artifacts": [{"name": "x"}]}, "artifacts.0.role is missing, or not as"),
        ({"job": {"id": 1, "kind": "selftest", "spec": {
            "content": {"name": "x", "sha256": "../../outside", "bytes": 1}}}}, "job.spec is"),
    ],
)  # fmt: skip
def test_a_strangers_proof_is_held_against_its_shape(
    run: Cli, client: Client, done: JobHandle, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    outside = Path(client.artifacts.root).parent / "outside"
    outside.write_text("mine")
    os.utime(outside, (1, 1))
    path = tmp_path / "p.json"
    proof = {**client.proof(done), **change}
    del proof["sha256"]
    path.write_text(json.dumps(document.sealed(proof)))
    for words in ([], ["--run"], ["--input", outside]):
        told = run("verify", path, *words, code=2)
        assert said in told.err
        assert len(told.err.splitlines()) == 1
    assert outside.stat().st_mtime == 1


def test_verifying_takes_no_other_values(run: Cli, client: Client, done: JobHandle) -> None:
    for words in (["--set", "size=70"], ["--seed", 3], ["--new-seed"], ["--dry-run"],
                  ["--cache"], ["--queue", "x"], ["--tag", "a=b"]):  # fmt: skip
        run("rerun", done.id, "--verify", *words, code=2)
    run("rerun", done.id, "--proof", "x.json", code=2)
    queued = client.submit("selftest")
    assert (
        "is queued: what it made can be compared"
        in run("rerun", queued.id, "--verify", code=2).err
    )
    assert len(client.jobs()) == 2


def test_of_several_jobs_all_can_be_run_again_or_none_is(
    run: Cli, client: Client, worker: FakeWorker, done: JobHandle
) -> None:
    client.submit("selftest")
    worker.finish(worker.claim(), result={})
    digest = done.spec["content"]["sha256"]
    Path(client.artifacts.root, "inputs", digest[:2], digest).unlink()
    assert "is gone" in run("rerun", 2, 1, "--verify", code=2).err
    assert len(client.jobs()) == 2


def test_a_job_is_run_again_and_compared(
    run: Cli, client: Client, start_worker: Callable[..., Worker], tmp_path: Path
) -> None:
    first = client.submit("selftest", steps=2, pause=0)
    start_worker()
    first.wait(60)
    proof = tmp_path / "proof.json"
    told = run("rerun", 1, "--verify", "--proof", proof)
    assert "job 2 gives the same as job 1: 1 file compared" in told.out
    assert run("verify", proof).out.count("the same here") == 1
    assert "job 3 gives the same as" in run("verify", proof, "--run").out
    path = stored(client, first)
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)
    found = run("verify", 1, code=1)
    assert "selftest.txt" in found.out
    told = run("rerun", 1, "--verify", code=1)
    assert "job 4 differs from job 1 in 1 of 1 file" in told.out
    assert "selftest.txt (result): changed in the store: line 1: '3 steps" in told.out
    assert hashlib.sha256(content).hexdigest() in told.out
    assert run("rerun", 2, "--verify", "-q").out == "5\n"
    other = client.submit("selftest", steps=3, pause=0).wait(60)
    compared = client.compare_files(other, 2)
    assert [each.name for each in compared.differences] == ["selftest.txt"]
    assert compared.differences[0].place == "line 1: '3 steps on cpu' and '2 steps on cpu'"
