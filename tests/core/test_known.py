"""A re-run computes what is new and nothing else, and its results are those of a fresh run."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import sqlite3
import tarfile
import time
import uuid
import zipfile
from collections.abc import Collection
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as trying
from hypothesis import strategies as st
from PIL import Image

from cvq import Client, Settings, bulk, known, making, manifests, packing
from cvq.batch_handle import BatchHandle
from cvq.db import Database
from cvq.errors import StoreError, UnknownJobError, UsageError
from cvq.inputs import contents, shards
from cvq.lifecycle import attempts, claims, jobs
from cvq.manifests import Manifest, Stamp
from cvq.records import Job, Outcome
from cvq.views import batch_rows

SHAPES = {"each": {"each": True}, "shards": {"single": True}}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent.parent)
    monkeypatch.setattr(making, "SHARD", 3)


@pytest.fixture
def client(client: Client) -> Client:
    client.settings = Settings.load(kinds=["batched"])
    return client


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are looked at ten seconds after they were written."""
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 10_000_000_000)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are read to be looked up or packed."""
    read, real = [], contents.read_file

    def read_file(path: Any) -> Any:
        read.append(Path(path).name)
        return real(path)

    for module in ("items", "shards"):
        monkeypatch.setattr(f"cvq.inputs.{module}.read_file", read_file)
    return read


def picture(colour: int) -> bytes:
    """Of the same size in bytes whatever the colour."""
    file = BytesIO()
    Image.new("L", (1, 1), colour).save(file, format="BMP")
    return file.getvalue()


def put(path: Path, colour: int) -> Path:
    """A file that takes the place of another, if there is one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_bytes(picture(colour))
    return new.replace(path)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def claim(client: Client) -> Job | None:
    with client.db.write() as connection:
        return claims.claim(
            connection, worker="w", host="h", queues=["default"], token=uuid.uuid4().hex, lease=30
        )


def work(client: Client, failing: Collection[str] = ()) -> int:
    """Answer all that is queued, but for some by name; how many items that were."""
    answered = 0
    while (job := claim(client)) is not None:
        given = job.spec["images"][0]
        path = client.artifacts.fetch_input(given["sha256"], Path())
        if given["name"].endswith(".tar"):
            answered += _answer_shard(client, job, path, failing)
            continue
        answered += 1
        bad = Path(job.name or "").name in failing
        result = None if bad else {"seen": digest(path.read_bytes())}
        outcome = Outcome("failed" if bad else "succeeded", error="no" if bad else None,
                          reason="error" if bad else None, result=result)  # fmt: skip
        end(client, job, outcome)
    return answered


def _answer_shard(client: Client, job: Job, path: Path, failing: Collection[str]) -> int:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    rows: list[dict[str, Any]] = []
    for member in shards.members(path):
        bad = member.problem or ("no" if Path(member.name).name in failing else None)
        seen = None if bad else digest(member.read())
        rows.append({"name": member.name, "seen": seen, "notes": None, "error": bad})
    table = client.settings.home / "rows.parquet"
    parquet.write_table(arrow.Table.from_pylist(rows), table)
    made = client.artifacts.put_artifact(job.attempt_id, table, name="rows.parquet", role="result")
    with client.db.write() as connection:
        attempts.report(connection, job.attempt_id, artifacts=[made])
    failed = sum(row["error"] is not None for row in rows)
    if failed == len(rows):
        end(client, job, Outcome("failed", "error", "none has an answer"))
    else:
        end(client, job, Outcome("succeeded", result={"items": len(rows), "failed": failed}))
    return len(rows)


def end(client: Client, job: Job, outcome: Outcome) -> None:
    with client.db.write() as connection:
        attempts.finish(connection, job.attempt_id, outcome, "w")


def told(handle: BatchHandle) -> list[tuple[str, str | None]]:
    """The last part of the name and the answer of each row."""
    return [(Path(row["name"]).name, row.get("seen")) for row in handle.results()]


def expected(*paths: Path) -> list[tuple[str, str | None]]:
    return [(path.name, digest(path.read_bytes())) for path in paths]


# --- Whatever happens to the files ---------------------------------------------------------------

NAMES = [f"{letter}{place}.bmp" for letter in "ab" for place in "123"]
STEPS = st.lists(
    st.tuples(
        st.dictionaries(
            st.sampled_from(NAMES), st.one_of(st.none(), st.integers(0, 3)), max_size=4
        ),
        st.one_of(st.none(), st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES))),
        st.sets(st.sampled_from(NAMES), max_size=3),
        st.sampled_from(["each", "shards"]),
        st.booleans(),
    ),
    min_size=2, max_size=4,
)  # fmt: skip


@pytest.mark.usefixtures("later")
@trying(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_a_re_run_is_a_fresh_run_that_starts_less(
    client: Client, tmp_path: Path, steps: list[Any]
) -> None:
    folder = tmp_path / uuid.uuid4().hex
    values = {"scale": random.Random(folder.name).uniform(1, 2)}  # each history has its own key
    answered: set[bytes] = set()
    for number, (changes, renamed, failing, shape, cache) in enumerate(steps):
        put(folder / "always.bmp", 0)
        for name, colour in changes.items():
            if colour is None:
                (folder / name).unlink(missing_ok=True)
            else:
                put(folder / name, colour)
        if renamed is not None and (folder / renamed[0]).exists():
            (folder / renamed[0]).rename(folder / renamed[1])
        paths = sorted(folder.iterdir())
        held = {path.name: path.read_bytes() for path in paths}
        new = [name for name, content in held.items() if not (cache and content in answered)]
        handle = client.submit_many("brightness", folder, cache=cache, **SHAPES[shape], **values)
        assert handle.batch.items == len(paths)
        assert handle.batch.known == len(paths) - len(new)
        if number % 2:  # what is unfinished is no answer
            handle.cancel()
            new = []
        assert work(client, failing) == len(new)
        done = {name for name in new if name not in failing}
        usable = answered if cache else set()
        assert told(handle) == [
            (name, digest(content) if content in usable or name in done else None)
            for name, content in held.items()
        ]
        answered |= {held[name] for name in done}


# --- What is looked at ---------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for colour, name in enumerate(NAMES):
        put(tmp_path / "photos" / name, colour)
    return tmp_path / "photos"


def lines(client: Client, handle: BatchHandle, columns: str) -> list[Any]:
    """Columns of a batch's manifest, in the order of its items."""
    assert handle.batch.manifest is not None
    path = client.artifacts.fetch_input(handle.batch.manifest, Path())
    with sqlite3.connect(path) as file:
        found = file.execute(f"SELECT {columns} FROM items ORDER BY nth").fetchall()
    file.close()
    return found


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("shape", SHAPES)
def test_what_has_not_changed_is_not_read(
    client: Client, folder: Path, reads: list[str], shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_rows, "_LINES", 2)
    first = client.submit_many("brightness", folder, **SHAPES[shape])
    assert work(client) == len(NAMES)
    reads.clear()
    again = client.submit_many("brightness", folder, **SHAPES[shape])
    assert reads == []
    assert (again.batch.known, again.batch.jobs, again.known_from) == (len(NAMES), 0, [first.id])
    paths = [folder / name for name in NAMES]
    assert told(again) == told(first) == expected(*paths)
    assert [row["job"] for row in again.results()] == [row["job"] for row in first.results()]
    assert next(again.results())["name"] == str(paths[0])  # and no more is asked for
    third = client.submit_many("brightness", folder)  # by way of a batch that knew
    assert (third.batch.jobs, third.known_from) == (0, [again.id])
    assert told(third) == expected(*paths)


@pytest.mark.usefixtures("later")
def test_a_change_shows_though_size_and_time_are_the_same(client: Client, folder: Path) -> None:
    client.submit_many("brightness", folder, single=True)
    work(client)
    path = folder / NAMES[2]
    before = path.stat()
    path.write_bytes(picture(99))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    again = client.submit_many("brightness", folder, single=True)
    assert again.batch.known == len(NAMES) - 1
    assert work(client) == 1
    assert told(again) == expected(*(folder / name for name in NAMES))


def test_a_file_just_written_is_read_again(
    client: Client, folder: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    written = (folder / NAMES[0]).stat().st_ctime_ns
    monkeypatch.setattr(time, "time_ns", lambda: written + 1_000_000_000)
    handle = client.submit_many("brightness", folder, single=True)
    assert lines(client, handle, "mtime, ctime") == [(None, None)] * len(NAMES)
    work(client)
    reads.clear()
    assert client.submit_many("brightness", folder, single=True).batch.jobs == 0
    assert sorted(reads) == NAMES
    found, now = folder.stat(), time.time_ns() + 10_000_000_000
    assert Stamp.of(found, now) is None  # of a folder nothing can be told
    found = (folder / NAMES[0]).stat()
    assert Stamp.of(found, now) == (
        found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino,
    )  # fmt: skip
    assert Stamp.of(found, found.st_ctime_ns + 1_000_000_000) is None


@pytest.mark.usefixtures("later")
def test_the_manifest_says_what_each_item_is(client: Client, folder: Path) -> None:
    odd = folder / os.fsdecode(b"caf\xe9.bmp")
    put(folder / NAMES[0], 7).rename(odd)
    items = [odd, folder / "nowhere.bmp", folder / NAMES[1]]
    handle = client.submit_many("brightness", items, single=True)
    place = "name, place, sha256, job, row, earlier, error"
    assert lines(client, handle, place) == [
        (f"{folder}/caf\\xe9.bmp", os.fsencode(odd), bytes.fromhex(digest(picture(7))),
         0, 0, None, None),
        (f"{folder}/nowhere.bmp", os.fsencode(items[1]), None, 0, 1, None, "does not exist"),
        (f"{folder}/{NAMES[1]}", os.fsencode(items[2]), bytes.fromhex(digest(picture(1))),
         0, 2, None, None),
    ]  # fmt: skip
    work(client)
    again = client.submit_many("brightness", items)
    assert [line[3:] for line in lines(client, again, place)] == [
        (None, 0, 1, None), (0, None, None, f"{items[1]} does not exist"), (None, 2, 1, None),
    ]  # fmt: skip
    rows = list(again.results())
    assert [row["state"] for row in rows] == ["succeeded", "failed", "succeeded"]
    assert [row["error"] for row in rows] == [None, f"{items[1]} does not exist", None]


# --- What is another computation -----------------------------------------------------------------


@pytest.mark.parametrize("values", [{"scale": 2.0}, {"seed": 1}, {"cache": False}])
def test_other_parameters_compute_all(
    client: Client, folder: Path, values: dict[str, Any]
) -> None:
    client.submit_many("brightness", folder)
    work(client)
    handle = client.submit_many("brightness", folder, **values)
    assert (handle.batch.known, handle.batch.jobs) == (0, len(NAMES))
    assert client.submit_many("brightness", folder).batch.jobs == 0


def test_a_model_that_was_still_training_is_the_same_model(client: Client, folder: Path) -> None:
    training, other = (client.submit("selftest").id for _ in range(2))
    first = client.submit_many("brightness", folder, model=training)
    for _ in (training, other):
        job = claim(client)
        assert job is not None
        file = client.settings.home / "model"
        file.write_text(f"the model of job {job.id}")
        made = client.artifacts.put_artifact(job.attempt_id, file, name="model", role="model")
        with client.db.write() as connection:
            attempts.report(connection, job.attempt_id, artifacts=[made])
        end(client, job, Outcome("succeeded"))
    with client.db.write() as connection:
        jobs.promote(connection, "reaper")
    assert work(client) == len(NAMES)
    assert first.refresh().states == {"succeeded": len(NAMES)}
    assert client.submit_many("brightness", folder, model=training).batch.jobs == 0
    assert client.submit_many("brightness", folder, model=other).batch.known == 0


# --- Items that are no files of a folder ---------------------------------------------------------


def test_values_are_known_too(client: Client) -> None:
    first = client.submit_many("add", [(1, 2), (3, 4), "x"])
    while (job := claim(client)) is not None:
        end(client, job, Outcome("succeeded", result={"sum": sum(job.spec["numbers"])}))
    again = client.submit_many("add", [(3, 4), (5, 6), ("1", "2.0"), "x"])
    assert (again.batch.known, again.batch.items) == (2, 4)
    assert [job.name for job in again.jobs] == ["5 6", "x"]
    rows = [(row["name"], row["state"], row.get("sum")) for row in again.results()]
    assert rows == [
        ("3 4", "succeeded", 7.0), ("5 6", "queued", None), ("1 2.0", "succeeded", 3.0),
        ("x", "failed", None),
    ]  # fmt: skip
    assert first.batch.known == 0


def test_whatever_an_answer_calls_its_fields_it_is_one(client: Client) -> None:
    found = {"failed": 2, "rows": [{"name": "a"}, {"name": "b"}]}
    client.submit_many("add", [(1, 2), (3, 4)])
    several = {**found, "rows_in": "rows.json"}  # of a job of several items
    for result in (found, several):
        job = claim(client)
        assert job is not None
        end(client, job, Outcome("succeeded", result=result))
    again = client.submit_many("add", [(1, 2), (3, 4)])
    assert (again.batch.known, [job.name for job in again.jobs]) == (1, ["3 4"])
    assert [row.get("rows") for row in again.results()] == [found["rows"], None]
    assert [row["name"] for row in client.batch(1).results()] == ["1 2", "a", "b"]


def test_values_that_look_alike_are_not_the_same(client: Client) -> None:
    alike = [1, 1.0, True, "1", "e\u0301", "\u00e9", {"a": 1, "b": 2}, {"a": 1, "b": 2.0}]
    alike += [{"sha256": "ab" * 32, "name": name} for name in "ab"]  # as a file is written down
    client.submit_many("say", alike[::2])
    while (job := claim(client)) is not None:
        end(client, job, Outcome("succeeded", result={"said": job.spec["word"]}))
    again = client.submit_many("say", [*alike, {"b": 2, "a": 1}])
    assert again.batch.known == len(alike) / 2 + 1
    assert [job.spec["word"] for job in again.jobs] == alike[1::2]
    assert list(map(type, (job.spec["word"] for job in again.jobs))) == [
        type(each) for each in alike[1::2]
    ]


def test_a_value_that_a_file_is_called_as_is_no_file(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("1").write_text("of another matter")
    handle = client.submit_many("say", ["1", "./1", Path("1")])
    assert [job.spec["word"] for job in handle.jobs] == ["1", "./1", "1"]
    assert [place for (place,) in lines(client, handle, "place")] == [None] * 3
    assert len({sha256 for (sha256,) in lines(client, handle, "sha256")}) == 2


@pytest.mark.usefixtures("later")
def test_a_file_that_is_another_once_it_is_stored_is_known_by_what_was_stored(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, current = tmp_path / "first", tmp_path / "second", tmp_path / "current"
    put(first / "a.bmp", 1)
    put(second / "a.bmp", 2)
    current.symlink_to(first)
    store = client.artifacts.put_input

    def switch(to: Path) -> None:
        current.unlink()
        current.symlink_to(to)

    def put_input(path: Path) -> tuple[str, int]:
        if path.suffix == ".bmp":
            switch(second)
        return store(path)

    with monkeypatch.context() as patch:
        patch.setattr(client.artifacts, "put_input", put_input)
        handle = client.submit_many("brightness", [current / "a.bmp"])
    work(client)
    assert told(handle) == expected(second / "a.bmp")
    switch(first)
    again = client.submit_many("brightness", [current / "a.bmp"])
    work(client)
    assert told(again) == expected(first / "a.bmp")


def test_an_endless_list_of_what_is_known_ends(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.submit_many("add", [(1, 2)])
    job = claim(client)
    assert job is not None
    end(client, job, Outcome("succeeded", result={"sum": 3.0}))
    monkeypatch.setattr(bulk, "MOST_JOBS", 3)
    assert client.submit_many("add", [(1, 2)] * 5).batch.known == 5  # which are no jobs
    monkeypatch.setattr(bulk, "MOST_ITEMS", 5)
    assert client.submit_many("add", [(1, 2)] * 5).batch.known == 5
    with pytest.raises(UsageError, match="a batch has 5 items at most"):
        client.submit_many("add", itertools.repeat((1, 2)))


def pack(path: Path, colours: Collection[int]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for colour in colours:
                archive.writestr(f"in/{colour:03}.bmp", picture(colour))
    else:
        with tarfile.open(path, "w") as tar:
            for colour in colours:
                info = tarfile.TarInfo(f"in/{colour:03}.bmp")
                info.size = len(picture(colour))
                tar.addfile(info, BytesIO(picture(colour)))
    return path


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["x.tar", "x.zip"])
def test_an_archive_that_has_not_changed_is_not_read(
    client: Client, tmp_path: Path, name: str, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack(tmp_path / name, range(5))
    client.submit_many("brightness", path, **SHAPES[shape])
    assert work(client) == 5

    def never(*_: object) -> bytes:
        raise AssertionError("a member was read")

    with monkeypatch.context() as patch:
        patch.setattr(shards.Member, "read", never)
        patch.setattr(zipfile.ZipFile, "open", never)
        assert client.submit_many("brightness", path, **SHAPES[shape]).batch.jobs == 0
    grown = pack(tmp_path / name, range(1, 7))
    again = client.submit_many("brightness", grown, **SHAPES[shape])
    assert again.batch.known == 4
    assert work(client) == 2
    assert told(again) == [(f"{n:03}.bmp", digest(picture(n))) for n in range(1, 7)]


@pytest.mark.parametrize("shape", SHAPES)
def test_what_has_to_be_fetched_is_known_by_what_it_holds(
    client: Client, shape: str, tmp_path: Path
) -> None:
    import fsspec

    system, root = fsspec.filesystem("memory"), f"memory://{tmp_path.name}"
    for colour in range(4):
        system.pipe_file(f"{root}/{colour}.bmp", picture(colour))
    client.submit_many("brightness", f"{root}/", **SHAPES[shape])
    assert work(client) == 4
    assert client.submit_many("brightness", f"{root}/", **SHAPES[shape]).batch.jobs == 0
    system.pipe_file(f"{root}/1.bmp", picture(9))
    again = client.submit_many("brightness", f"{root}/", **SHAPES[shape])
    assert again.batch.known == 3
    assert work(client) == 1
    assert [seen for _, seen in told(again)] == [digest(picture(n)) for n in (0, 9, 2, 3)]


# --- Batches without jobs; jobs and manifests that are gone --------------------------------------


def test_a_batch_may_need_no_job(client: Client, folder: Path) -> None:
    client.submit_many("brightness", folder)
    work(client)
    handle = client.submit_many("brightness", folder, strict=True, max_fails=1, name="again")
    assert (handle.batch.state, handle.batch.finished, handle.states) == ("succeeded", True, {})
    assert handle.wait(0).batch.name == "again"
    assert (handle.cancel(), handle.retry(cancelled=True), list(handle.jobs)) == (0, 0, [])
    assert client.batch(handle.id).batch.known == len(NAMES)
    with pytest.raises(UnknownJobError):
        client.submit_many("brightness", folder, after=99)
    items = [*(folder / name for name in NAMES), "nowhere.bmp"]
    assert client.submit_many("brightness", items).states == {"failed": 1}
    with pytest.raises(UsageError, match=r"1 of 7 items cannot be used: nowhere\.bmp does not"):
        client.submit_many("brightness", items, strict=True)


def test_jobs_that_are_gone_answer_nothing(client: Client, folder: Path) -> None:
    from sqlalchemy import text

    client.submit_many("brightness", folder)
    work(client)
    again = client.submit_many("brightness", folder)
    with client.db.write() as connection:
        connection.execute(text("DELETE FROM jobs WHERE id = 2"))
    rows = list(again.results())
    assert [row["state"] for row in rows] == ["succeeded", "failed", *["succeeded"] * 4]
    assert rows[1]["error"] == "the job that has answered it is gone: submit it again"
    with pytest.warns(UserWarning, match=r"batch 1 has answered .*some of its jobs are gone"):
        third = client.submit_many("brightness", folder)
    assert third.batch.known == len(NAMES) - 1
    assert work(client) == 1
    assert told(third) == expected(*(folder / name for name in NAMES))


@pytest.mark.parametrize("what", ["damaged", "missing", "another version", "none"])
def test_without_a_manifest_all_is_computed(client: Client, folder: Path, what: str) -> None:
    from sqlalchemy import text

    first = client.submit_many("brightness", folder, single=True)
    assert work(client) == len(NAMES)
    known_of = client.submit_many("brightness", folder)
    assert first.batch.manifest is not None
    path = client.artifacts.fetch_input(first.batch.manifest, Path())
    with client.db.write() as connection:
        connection.execute(text(f"UPDATE batches SET cache_key = '' WHERE id = {known_of.id}"))
    if what == "damaged":
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    elif what == "missing":
        path.unlink()
    elif what == "another version":
        with sqlite3.connect(path) as file:
            file.execute("PRAGMA user_version = 99")
        file.close()
        other, _ = client.artifacts.put_input(path)
        with client.db.write() as connection:
            connection.execute(text(f"UPDATE batches SET manifest = '{other}' WHERE id = 1"))
    else:
        with client.db.write() as connection:
            connection.execute(text("UPDATE batches SET manifest = NULL WHERE id = 1"))
    if what == "none":
        again = client.submit_many("brightness", folder)
    else:
        with pytest.warns(UserWarning, match="what batch 1 has answered is computed anew: "):
            again = client.submit_many("brightness", folder)
    assert again.batch.known == 0
    assert work(client) == len(NAMES)
    assert told(again) == told(first)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("settled", [True, False])  # looked for by place, or by content
def test_a_manifest_that_cannot_be_read_any_more_answers_nothing(
    client: Client, folder: Path, settled: bool, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy import text

    now = (folder / NAMES[0]).stat().st_ctime_ns + (10_000_000_000 if settled else 0)
    monkeypatch.setattr(time, "time_ns", lambda: now)

    first = client.submit_many("brightness", folder, single=True)
    assert work(client) == len(NAMES)
    assert first.batch.manifest is not None
    path = client.artifacts.fetch_input(first.batch.manifest, Path())
    with sqlite3.connect(path) as file:
        file.execute("DROP INDEX by_place")
        file.execute("DROP INDEX by_content")
        file.execute("ALTER TABLE items RENAME COLUMN row TO other")
    file.close()
    other, _ = client.artifacts.put_input(path)
    with client.db.write() as connection:
        connection.execute(text(f"UPDATE batches SET manifest = '{other}' WHERE id = 1"))
    with pytest.warns(
        UserWarning, match="batch 1 has answered is computed anew: .*no such"
    ) as all_:
        again = client.submit_many("brightness", folder, **SHAPES[shape])
    assert len([each for each in all_ if "computed anew" in str(each.message)]) == 1
    assert again.batch.known == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_where_nothing_is_known_nothing_is_read_to_be_looked_up(
    client: Client, folder: Path, reads: list[str], shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "_TRIED", 0)
    once = NAMES if shape == "shards" else []  # a job's file is stored, and not read here
    client.submit_many("brightness", folder, **SHAPES[shape])
    assert sorted(reads) == once
    work(client)
    reads.clear()
    client.submit_many("brightness", folder, cache=False, **SHAPES[shape])
    assert sorted(reads) == once


def test_a_job_whose_failures_cannot_be_told_is_no_answer(client: Client, folder: Path) -> None:
    client.submit_many("brightness", folder, single=True)
    assert work(client, [NAMES[0], NAMES[4]]) == len(NAMES)
    [table] = client.artifacts_of(1)
    path = client.artifacts.local_path(table.uri)
    assert path is not None
    path.write_bytes(b"damaged")
    with pytest.warns(UserWarning, match=r"what job 1 has answered is computed anew: .*damaged"):
        again = client.submit_many("brightness", folder, single=True)
    assert again.batch.known == 2  # of the other job
    assert work(client) == 4
    assert told(again) == expected(*(folder / name for name in NAMES))


def test_results_need_the_manifest_of_what_was_known(client: Client, folder: Path) -> None:
    client.submit_many("brightness", folder)
    work(client)
    again = client.submit_many("brightness", folder)
    assert again.batch.manifest is not None
    path = client.artifacts.fetch_input(again.batch.manifest, Path())
    path.write_bytes(b"no manifest")
    with pytest.raises(StoreError, match="is damaged"):
        list(again.results())
    path.unlink()
    made, _ = client.artifacts.put_input(put(folder / "x", 1))
    with client.db.write() as connection:
        from sqlalchemy import text

        connection.execute(text(f"UPDATE batches SET manifest = '{made}' WHERE id = {again.id}"))
    with pytest.raises(StoreError, match=rf"the manifest of batch {again.id} cannot be read"):
        list(again.refresh().results())


def test_a_batch_looks_back_so_far_and_no_further(
    client: Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "MOST_BATCHES", 2)
    client.submit_many("brightness", folder)
    work(client)
    for colour in (100, 101):
        client.submit_many("brightness", [put(folder / "other.bmp", colour)])
        work(client)
    assert client.submit_many("brightness", [folder / NAMES[0]]).batch.known == 0


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("shape", SHAPES)
def test_on_both_databases(database: Database, folder: Path, shape: str) -> None:
    client = Client(Settings.load(kinds=["batched"]))
    client.__dict__["db"] = database
    client.submit_many("brightness", folder, **SHAPES[shape])
    assert work(client, [NAMES[1]]) == len(NAMES)
    handle = client.submit_many("brightness", folder, **SHAPES[shape])
    assert (handle.batch.known, handle.batch.items) == (len(NAMES) - 1, len(NAMES))
    assert work(client) == 1
    third = client.submit_many("brightness", folder, **SHAPES[shape])
    assert (third.batch.jobs, third.known_from) == (0, [handle.id])
    assert told(third) == expected(*(folder / name for name in NAMES))
    client.close()


def test_a_manifest_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    path = tmp_path / "a b%?#"
    path.write_bytes(b"SQLite format 3\0" + bytes(2000))
    with pytest.raises(manifests.ManifestError, match="cannot be read: "):
        Manifest(path)
    with pytest.raises(StoreError, match="cannot be written"):
        manifests.Writer(tmp_path / "nowhere" / "manifest")
