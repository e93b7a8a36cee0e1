"""`cvq get --batch`: the files of a batch, named after its items."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from cvq import Client, making
from cvq.records import Artifact, Job
from cvq_cli.batch_files import _without_ending

from .conftest import Cli, FakeWorker

pytestmark = pytest.mark.usefixtures("batched")


def painted(worker: FakeWorker, number: int) -> None:
    for _ in range(number):
        job = worker.claim()
        worker.artifact(job, "coloured.png", f"of {job.name}".encode())
        worker.artifact(job, "early.png", b"", role="preview")
        worker.finish(job)


@pytest.fixture
def coloured(run: Cli, batched: Client, folder: Path, worker: FakeWorker) -> None:
    """A batch of three, the last of which still waits."""
    run("submit", "brightness", folder)
    painted(worker, 2)


def copies(folder: str) -> dict[str, str]:
    found = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in found}


@pytest.mark.usefixtures("coloured")
def test_files_are_named_after_their_items(run: Cli, worker: FakeWorker) -> None:
    said = run("get", "--batch", "@", "out")
    assert said.out == "out/photos/1-coloured.png\nout/photos/2-coloured.png\n"
    assert said.err == "1 job of batch 1 has not ended yet\n"
    painted(worker, 1)
    assert run("get", "--batch", "1", "out").err == "2 of 3 were there already\n"
    assert copies("out") == {
        "photos/1-coloured.png": "of photos/1.png",
        "photos/2-coloured.png": "of photos/2.png",
        "photos/b/3-coloured.png": "of photos/b/3.png",
    }
    assert run("get", "--batch", "1", "-q").out == ""
    assert copies("batch-1") == copies("out")


@pytest.mark.usefixtures("coloured")
def test_files_are_chosen_as_those_of_a_job(run: Cli) -> None:
    rows = run("get", "--batch", "1", "a", "--role", "preview", "--json").json
    assert [(row["item"], row["job"], row["path"]) for row in rows] == [
        ("photos/1.png", 1, "a/photos/1-early.png"), ("photos/2.png", 2, "a/photos/2-early.png"),
    ]  # fmt: skip
    assert len(run("get", "--batch", "1", "b", "--name", "col*").out.splitlines()) == 2
    said = run("get", "--batch", "1", "--name", "*.gif", code=2).err
    assert "batch 1 has no files like '*.gif' yet" in said


@pytest.mark.usefixtures("coloured")
def test_nothing_is_overwritten_unasked(run: Cli) -> None:
    target = Path("out/photos/2-coloured.png")
    target.parent.mkdir(parents=True)
    target.write_text("mine")
    assert "exists with other content" in run("get", "--batch", "1", "out", code=2).err
    assert copies("out") == {"photos/2-coloured.png": "mine"}
    run("get", "--batch", "1", "out", "--force")
    assert target.read_text() == "of photos/2.png"


def test_items_of_one_name_and_known_ones_have_files_too(
    run: Cli, folder: Path, worker: FakeWorker
) -> None:
    picture = folder / "1.png"
    run("submit", "brightness", picture, "--each")
    painted(worker, 1)
    run("submit", "brightness", picture, picture, "--each")
    run("get", "--batch", "2", "out")
    assert copies("out") == {
        "photos/1-coloured.png": "of photos/1.png", "photos/1-coloured-2.png": "of photos/1.png",
    }  # fmt: skip


def test_a_table_of_a_shard_is_copied_once(
    run: Cli, folder: Path, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow
    import pyarrow.parquet as parquet

    monkeypatch.setattr(making, "SHARD", 3)
    run("submit", "brightness", folder, "--single")
    rows = [
        {"name": f"photos/{name}.png", "coloured.png": content, "error": None}
        for name, content in (("1", b"one"), ("2", None), ("b/3", b"three"))
    ]
    schema = pyarrow.schema(
        [
            ("name", pyarrow.string()),
            ("coloured.png", pyarrow.binary()),
            ("error", pyarrow.string()),
        ]
    )
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), "made.parquet")
    job = worker.claim()
    worker.artifact(job, "rows.parquet", Path("made.parquet").read_bytes())
    worker.finish(job)
    said = run("get", "--batch", "1")
    assert said.out == "batch-1/job-1-rows.parquet\n"
    assert said.err == "1 table of shards, a row for each item, with 2 files beside\n"
    table = Path("batch-1/job-1-rows.parquet")
    table.unlink()
    pictures = {"photos/1-coloured.png": "one", "photos/b/3-coloured.png": "three"}
    assert copies("batch-1") == pictures
    Path("batch-1/photos/1-coloured.png").write_text("mine")
    assert "exists with other content" in run("get", "--batch", "1", code=2).err
    run("get", "--batch", "1", "--force", "-q")
    table.unlink()
    assert copies("batch-1") == pictures


@pytest.mark.usefixtures("coloured")
def test_ctrl_c_leaves_whole_files_and_the_same_command_goes_on(
    run: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch: Callable[[Client, Job, Artifact, Path], Path] = Client.fetch

    def interrupted(client: Client, job: Job, artifact: Artifact, target: Path) -> Path:
        signal.raise_signal(signal.SIGINT)
        return fetch(client, job, artifact, target)

    with monkeypatch.context() as patched:
        patched.setattr(Client, "fetch", interrupted)
        said = run("get", "--batch", "1", "out", code=130)
    assert "interrupted: 1 of 2 files copied; the same command goes on" in said.err
    assert copies("out") == {"photos/1-coloured.png": "of photos/1.png"}
    assert run("get", "--batch", "1", "out").err.startswith("1 of 2 was there already\n")


@pytest.mark.parametrize(
    ("item", "path"),
    [
        ("photos/1.png", "photos/1"), ("/data/./a/../b.png", "data/a/b"), ("../..", ""),
        ("7", "7"),
        ("s3://bucket/x.jpg", "s3:/bucket/x"), ("a" * 400 + ".png", "a" * 250),
        (f"{'d' * 200}/{'e' * 100}/f.png", f"{'e' * 100}/f"),
    ],
)  # fmt: skip
def test_an_item_leads_nowhere_else(item: str, path: str) -> None:
    assert _without_ending(item) == path


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "what? Give JOB, or --batch BATCH"),
        (["x"], "'x' is not a job: write an id"),
        (["1", "a", "b"], "one name or folder is needed, and a and b were given"),
        (["--batch", "1", "a", "b"], "one folder is needed, and a and b were given"),
        (["--batch", "9"], "no batch 9: `cvq batches` lists batches"),
        (["--batch", "1"], "batch 1 has no files yet: `cvq results 1` prints what came out"),
    ],
)
def test_what_is_wrong_is_one_line(run: Cli, words: list[str], told: str) -> None:
    run("submit", "add", "--list", "-", input="1 2\n")
    said = run("get", *words, code=2)
    assert told in said.err
    assert said.out == ""
