"""Many jobs at once: all good items are queued, no bad one stops them, or nothing is queued."""

from __future__ import annotations

import math
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as trying
from hypothesis import strategies as st
from PIL import Image

from cvq import Client, JobHandle, Settings, bulk, making
from cvq.errors import (
    BrokerError,
    InvalidInputError,
    JobCancelledError,
    JobFailedError,
    SpecError,
    StoreError,
    UnknownBatchError,
    UsageError,
    WaitTimeoutError,
)
from cvq.in_order import AHEAD
from cvq.inputs import shards
from cvq.inputs.items import Item, label
from cvq.lifecycle import attempts, claims
from cvq.records import Job, Outcome
from waiting import HANG_S


@pytest.fixture
def client(client: Client, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.syspath_prepend(Path(__file__).parent.parent)
    client.settings = Settings.load(kinds=["batched"])
    return client


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for number, path in enumerate(paths):
        Image.new("L", (4, 4), 40 * number).save(path)
    return paths


def claim(client: Client) -> Job:
    with client.db.write() as connection:
        job = claims.claim(
            connection, worker="w", host="h", queues=["default"], token=uuid.uuid4().hex, lease=30
        )  # fmt: skip
    assert job is not None
    return job


def end(client: Client, job: Job, outcome: Outcome) -> None:
    with client.db.write() as connection:
        attempts.finish(connection, job.attempt_id, outcome, "w")


def test_each_item_becomes_a_job(client: Client, pictures: list[Path]) -> None:
    told: list[tuple[int, int | None]] = []
    handle = client.submit_many(
        "brightness", [pictures[0], str(pictures[1]), pictures[0]], scale=2, name="three",
        tags={"a": "b"}, on_item=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    jobs = list(handle.jobs)
    assert [job.name for job in jobs] == [str(pictures[n]) for n in (0, 1, 0)]
    assert [job.spec["images"][0]["name"] for job in jobs] == ["0.png", "1.png", "0.png"]
    assert {job.spec["scale"] for job in jobs} == {2}
    assert {job.tags["a"] for job in jobs} == {"b"}
    assert len({job.batch_key for job in jobs}) == 1
    assert jobs[0].batch_key
    for job, path in zip(jobs[:2], pictures[:2], strict=True):
        stored = client.artifacts.fetch_input(job.spec["images"][0]["sha256"], Path())
        assert stored.read_bytes() == path.read_bytes()
    assert {job.id for job in client.jobs(batch=handle.id)} == {job.id for job in jobs}
    assert client.jobs(batch=[77]) == []
    assert handle.batch.name == "three"
    assert handle.batch.spec == {"seed": 0, "scale": 2, "model": None}
    assert handle.states == {"queued": 3}
    assert client.broker.lengths(["default"]) == {"default": 3}
    assert told[-1] == (3, 3)


def test_a_folder_is_a_source(client: Client, pictures: list[Path], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.warns(UserWarning, match=r"left out: 1 file .*notes\.txt"):
        handle = client.submit_many("brightness", tmp_path)
    assert [job.name for job in handle.jobs] == list(map(str, pictures))


def test_a_list_of_values_is_a_source(client: Client, tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_text("1 2\n3, 4\n")
    handle = client.submit_many("add", f"@{tmp_path}/pairs.txt")
    assert [job.spec["numbers"] for job in handle.jobs] == [[1, 2], [3, 4]]


def test_whoever_is_told_may_end_the_listing(
    client: Client, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(prefix: str) -> list[str]:
        assert left.wait(HANG_S)
        return []

    def stop(done: int, total: int | None) -> None:
        assert (done, total) == (0, None)
        raise KeyboardInterrupt

    left = threading.Event()
    monkeypatch.setattr(fsspec.get_filesystem_class("memory"), "find", lambda *_: endless(""))
    with pytest.raises(KeyboardInterrupt):
        client.submit_many("brightness", "memory://photos/", on_item=stop)
    left.set()


def test_a_batch_is_the_same_job_as_one_by_itself(client: Client, pictures: list[Path]) -> None:
    single = client.submit("brightness", images=pictures[0])
    [job] = client.submit_many("brightness", pictures[:1]).jobs
    assert (job.spec, job.spec_hash) == (single.spec, single.spec_hash)
    assert single.batch_key is None


def test_a_bad_item_fails_alone(client: Client, pictures: list[Path], tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    items = [tmp_path / "nowhere.png", pictures[0], tmp_path / "text.png", pictures[1]]
    handle = client.submit_many("brightness", items)
    found = [(job.state, job.error) for job in handle.jobs]
    assert [state for state, _ in found] == ["failed", "queued", "failed", "queued"]
    assert found[0][1] == f"{items[0]} does not exist"
    assert "text.png is not a picture" in str(found[2][1])


def test_strict_refuses_all(client: Client, pictures: list[Path]) -> None:
    items = [*pictures, "nowhere.png", "neither.png"]
    told = r"^nothing was queued, as 2 of 5 items cannot be used: nowhere.png .*\(and 1 more\)$"
    with pytest.raises(UsageError, match=told):
        client.submit_many("brightness", items, strict=True)
    assert client.jobs() == []


@pytest.mark.parametrize(
    ("items", "values", "error"),
    [
        ([], {}, "brightness: there are no items"),
        (["nowhere.png"], {}, "the item cannot be used: nowhere.png does not exist"),
        (["no.png", "so.png"], {}, "none of 2 items can be used: no.png does not exist$"),
        (["x.png"], {"images": "y.png"}, "the images of a batch are its items"),
        (["x.png"], {"scale": -1}, "scale"),
        (["x.png"], {"max_fails": 0}, "max_fails 0"),
        (["x.png"], {"priority": 10}, "priority 10"),
        (["x.png"], {"model": 99}, "no job 99"),
    ],
)
def test_what_is_wrong_for_all_queues_nothing(
    client: Client, items: list[str], values: dict[str, Any], error: str
) -> None:
    with pytest.raises(UsageError, match=error):
        client.submit_many("brightness", items, **values)
    assert client.jobs() == []


def test_a_kind_without_items_takes_no_batch(client: Client) -> None:
    with pytest.raises(UsageError, match="selftest takes no batch"):
        client.submit_many("selftest", [1])


def test_values_are_items_too(client: Client) -> None:
    handle = client.submit_many("add", ["x", (1, 2), [3, 4], (5,)])
    found = [(job.name, job.state, job.spec["numbers"]) for job in handle.jobs]
    assert found == [
        ("x", "failed", []), ("1 2", "queued", [1.0, 2.0]), ("3 4", "queued", [3.0, 4.0]),
        ("5", "failed", []),
    ]  # fmt: skip
    with pytest.raises(SpecError):
        client.submit_many("add", ["x", "y"])


def test_a_value_that_no_database_holds_fails_alone(client: Client) -> None:
    handle = client.submit_many("say", ["a\0b", "\ud800", object(), {"sha256": 5}])
    rows = list(handle.results())
    assert [row["state"] for row in rows] == ["failed"] * 3 + ["queued"]
    assert [row["name"] for row in rows[:2]] == ["a\\x00b", "\\xed\\xa0\\x80"]
    unstorable = "the word contains NUL or an unpaired surrogate"
    assert [row["error"] for row in rows[:2]] == [unstorable] * 2
    assert rows[2]["error"].startswith("the word cannot be written as JSON: ")


def test_an_item_may_be_one_value(client: Client) -> None:
    handle = client.submit_many("repeat", range(3))
    assert [job.spec["number"] for job in handle.jobs] == [0, 1, 2]
    handle = client.submit_many("repeat", [["7"], ["x"]])
    assert [job.error for job in handle.jobs] == [
        None, "repeat: number 'x': give a whole number",
    ]  # fmt: skip


def test_a_job_that_is_awaited(client: Client, pictures: list[Path]) -> None:
    first = client.submit("selftest")
    handle = client.submit_many("brightness", pictures, after=first)
    assert handle.states == {"waiting": 3}


def test_what_is_brought_is_gone_afterwards(client: Client, pictures: list[Path]) -> None:
    places: list[Path] = []

    def bring(target: Path) -> None:
        places.append(target)
        target.write_bytes(pictures[1].read_bytes())

    def nothing(target: Path) -> None:
        places.append(target)
        target.touch()

    items = [Item("zip/a.png", "a.png", bring=bring), Item("zip/b.png", "b.png", bring=nothing)]
    handle = client.submit_many("brightness", [*items, Item("c", "", error="c is cut off")])
    good, empty, cut = handle.jobs
    assert (good.name, good.spec["images"][0]["name"]) == ("zip/a.png", "a.png")
    assert (empty.name, empty.error) == ("zip/b.png", "zip/b.png is empty (0 bytes)")
    assert cut.error == "c is cut off"
    assert len(places) == 2
    assert not any(path.parent.exists() for path in places)


def test_a_file_that_changes_meanwhile_fails_alone(
    client: Client, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    put = client.artifacts.put_input

    def put_input(path: Path) -> tuple[str, int]:
        if path == pictures[1]:
            path.unlink()
            raise StoreError(f"{path} changed while it was stored")
        return put(path)

    monkeypatch.setattr(client.artifacts, "put_input", put_input)
    handle = client.submit_many("brightness", pictures)
    assert [job.state for job in handle.jobs] == ["queued", "failed", "queued"]
    assert [job.error for job in handle.jobs][
        1
    ] == f"{pictures[1]} was changed while it was stored"


def test_a_full_store_ends_it_all(
    client: Client, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> tuple[str, int]:
        raise StoreError("the disk is full")

    monkeypatch.setattr(client.artifacts, "put_input", full)
    with pytest.raises(StoreError, match="the disk is full"):
        client.submit_many("brightness", pictures)
    assert client.jobs() == []


def test_an_endless_source_is_ended_by_whoever_is_told(
    client: Client, pictures: list[Path]
) -> None:
    given: list[int] = []

    def endless() -> Iterator[Path]:
        while True:
            given.append(1)
            yield pictures[0]

    def stop(done: int, total: int | None) -> None:
        assert total is None
        if done >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.submit_many("brightness", endless(), on_item=stop, each=True)
    assert len(given) <= AHEAD + 3
    assert client.jobs() == []
    assert not [t for t in threading.enumerate() if t.name.startswith("cvq-store")]


def test_whoever_waits_for_a_slow_item_may_end_it(client: Client) -> None:
    going = threading.Event()

    def bring(_: Path) -> None:
        assert going.wait(HANG_S)

    def stop(done: int, total: int | None) -> None:
        going.set()
        raise KeyboardInterrupt

    slow = Item("slow", "slow.png", bring=bring)
    with pytest.raises(KeyboardInterrupt):
        client.submit_many("brightness", [slow], on_item=stop)
    assert client.jobs() == []


def test_a_dead_redis_leaves_no_batch(client: Client, pictures: list[Path]) -> None:
    client.settings = Settings.load(kinds=["batched"], broker_url="redis://127.0.0.1:1/0")
    with pytest.raises(BrokerError):
        client.submit_many("brightness", pictures)
    assert client.jobs() == []


def test_waiting_tells_how_it_ended(client: Client, pictures: list[Path]) -> None:
    handle = client.submit_many("brightness", pictures)
    with pytest.raises(WaitTimeoutError, match=r"^batch 1 has 0 of 3 jobs done after 0s"):
        handle.wait(0)
    end(client, claim(client), Outcome("succeeded", result={"brightness": 1.5}))
    end(client, claim(client), Outcome("failed", "error", "no"))
    assert handle.cancel() == 1
    looks: list[int] = []
    with pytest.raises(JobFailedError, match=r"^batch 1: 1 of 3 jobs failed"):
        handle.wait(on_look=lambda batch: looks.append(batch.done))
    assert looks == [3]
    assert handle.retry() == 1
    end(client, claim(client), Outcome("succeeded", result={"brightness": 2.5}))
    with pytest.raises(JobCancelledError, match=r"^batch 1: 1 of 3 jobs were cancelled"):
        handle.wait()
    assert handle.retry(cancelled=True) == 1
    end(client, claim(client), Outcome("succeeded", result={"brightness": 3.5}))
    assert handle.wait().batch.finished
    assert [row["brightness"] for row in handle.results()] == [1.5, 2.5, 3.5]
    assert client.batch(handle.id).states == {"succeeded": 3}
    with pytest.raises(UnknownBatchError):
        client.batch(99)


def test_rows_have_the_names_of_the_kind_and_ours(client: Client, pictures: list[Path]) -> None:
    handle = client.submit_many("brightness", [pictures[0], "nowhere.png", pictures[1]])
    end(client, claim(client), Outcome("succeeded", result={"brightness": 1, "state": "odd"}))
    assert list(handle.results()) == [
        {"name": str(pictures[0]), "job": 1, "state": "succeeded", "brightness": 1,
         "state_": "odd", "error": None},
        {"name": "nowhere.png", "job": 2, "state": "failed",
         "error": "nowhere.png does not exist"},
        {"name": str(pictures[1]), "job": 3, "state": "queued", "error": None},
    ]  # fmt: skip


# --- Shards -------------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "MOST_EACH", 4)
    monkeypatch.setattr(making, "SHARD", 2)


def members(client: Client, job: JobHandle) -> list[tuple[str, bytes | str]]:
    """What is in a job's shard: names with contents, or what is wrong."""
    path = client.artifacts.fetch_input(job.spec["images"][0]["sha256"], Path())
    return [(each.name, each.problem or each.read()) for each in shards.members(path)]


@pytest.mark.usefixtures("small")
def test_very_many_items_go_into_shards(
    client: Client, pictures: list[Path], tmp_path: Path
) -> None:
    def bring(target: Path) -> None:
        target.write_bytes(b"brought")

    def damaged(target: Path) -> None:
        raise InvalidInputError("x.zip/b.png is damaged: Bad CRC")

    items = [
        *pictures[:2], tmp_path / "nowhere.png", Item("x.zip/a.png", "a.png", bring=bring),
        Item("x.zip/b.png", "b.png", bring=damaged), pictures[2],
    ]  # fmt: skip
    told: list[int] = []
    handle = client.submit_many(
        "brightness", items, on_item=lambda done, _: told.append(done), max_fails=9
    )
    assert (handle.batch.jobs, handle.batch.items) == (3, 6)
    first, second, third = handle.jobs
    assert first.spec["images"][0]["name"] == "shard-00001.tar"
    assert first.name == label(f"2 items: {pictures[0]} … {pictures[1]}")
    assert len({job.batch_key for job in handle.jobs}) == 1
    assert members(client, first) == [(str(p), p.read_bytes()) for p in pictures[:2]]
    assert members(client, second) == [
        (str(items[2]), "does not exist"), ("x.zip/a.png", b"brought"),
    ]  # fmt: skip
    assert members(client, third) == [
        ("x.zip/b.png", "is damaged: Bad CRC"), (str(pictures[2]), pictures[2].read_bytes()),
    ]  # fmt: skip
    assert told[-1] == 6


@pytest.mark.usefixtures("small")
def test_a_shard_of_which_nothing_can_be_used_is_refused(
    client: Client, pictures: list[Path]
) -> None:
    handle = client.submit_many("brightness", ["a.png", "b.png", *pictures])
    assert handle.states == {"failed": 1, "queued": 2}
    told = "a.png does not exist (and so on: none of 2 can be used)"
    assert next(handle.jobs).error == told
    rows = list(handle.results())
    assert [row["name"] for row in rows] == ["a.png", "b.png", *map(str, pictures)]
    assert [row["error"] for row in rows[:3]] == [
        "a.png does not exist", "b.png does not exist", None,
    ]  # fmt: skip
    with pytest.raises(UsageError, match=r"none of 6 items can be used: a\.png does not exist"):
        client.submit_many("brightness", ["a.png", "b.png"] * 3)


@pytest.mark.usefixtures("small")
def test_who_wants_shards_or_none_says_so(client: Client, pictures: list[Path]) -> None:
    assert client.submit_many("brightness", pictures, single=True).batch.jobs == 2
    many = pictures * 2
    assert client.submit_many("brightness", many).batch.jobs == 3
    assert client.submit_many("brightness", many, each=True).batch.jobs == 6
    assert client.submit_many("add", [(1, 2)] * 6).batch.jobs == 6
    with pytest.raises(UsageError, match="add has no shards of pictures"):
        client.submit_many("add", [(1, 2)], single=True)
    with pytest.raises(UsageError, match="single and each cannot be combined"):
        client.submit_many("brightness", pictures, single=True, each=True)
    with pytest.raises(UsageError, match=r"^nothing was queued: nowhere\.png does not exist$"):
        client.submit_many("brightness", [*many, "nowhere.png"], strict=True)


@pytest.mark.usefixtures("small")
def test_rows_of_shards(client: Client, pictures: list[Path], tmp_path: Path) -> None:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    handle = client.submit_many("brightness", [*pictures, *pictures], max_fails=3)
    done = claim(client)
    table = {
        "name": ["0.png", "1.png"], "brightness": [1.5, None], "score": [math.nan, None],
        "shown": [b"png", None], "notes": [None, None], "error": [None, "is no picture"],
    }  # fmt: skip
    parquet.write_table(arrow.table(table), tmp_path / "rows.parquet")
    made = client.artifacts.put_artifact(
        done.attempt_id, tmp_path / "rows.parquet", name="rows.parquet", role="result"
    )
    with client.db.write() as connection:
        attempts.report(connection, done.attempt_id, artifacts=[made])
    end(client, done, Outcome("succeeded", result={"items": 2, "failed": 1}))
    end(client, claim(client), Outcome("failed", "error", "the model is gone"))
    answer = {"brightness": 1.5, "score": None}  # as a job of one picture would have it
    assert list(handle.results()) == [
        {"name": "0.png", "job": 1, "state": "succeeded", **answer, "error": None},
        {"name": "1.png", "job": 1, "state": "failed", "error": "is no picture"},
        *({"name": str(pictures[n]), "job": 2, "state": "failed", "error": "the model is gone"}
          for n in (2, 0)),
        *({"name": str(pictures[n]), "job": 3, "state": "queued", "error": None}
          for n in (1, 2)),
    ]  # fmt: skip
    end(client, claim(client), Outcome("succeeded", result={"items": 2, "failed": 1}))
    assert handle.refresh().states == {"succeeded": 2, "failed": 1}


@pytest.mark.usefixtures("small")
def test_rows_of_a_job_that_had_no_answer_have_their_own_reasons(
    client: Client, pictures: list[Path], tmp_path: Path
) -> None:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    handle = client.submit_many("brightness", pictures[:2], single=True)
    done = claim(client)
    path = tmp_path / "rows.parquet"
    parquet.write_table(
        arrow.table({"name": ["0", "1"], "error": ["is empty", "is a text"]}), path
    )
    made = client.artifacts.put_artifact(done.attempt_id, path, name=path.name, role="result")
    with client.db.write() as connection:
        attempts.report(connection, done.attempt_id, artifacts=[made])
    end(client, done, Outcome("failed", "error", "none of 2 items has an answer"))
    assert [(row["state"], row["error"]) for row in handle.results()] == [
        ("failed", "is empty"), ("failed", "is a text"),
    ]  # fmt: skip


@pytest.mark.usefixtures("small")
def test_items_that_fail_within_jobs_count(client: Client, pictures: list[Path]) -> None:
    handle = client.submit_many("brightness", pictures * 2, max_fails=2)
    end(client, claim(client), Outcome("succeeded", result={"items": 2, "failed": 1}))
    assert handle.refresh().states == {"succeeded": 1, "queued": 2}
    end(client, claim(client), Outcome("succeeded", result={"items": 2, "failed": 1}))
    assert handle.refresh().states == {"succeeded": 2, "cancelled": 1}


@trying(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(numbers=st.lists(st.sampled_from(["1 2", "3 4", "x", "5", ""]), max_size=40))
def test_every_item_appears_once_and_in_order(client: Client, numbers: list[str]) -> None:
    items = [["0", "0"], *(text.split() for text in numbers)]
    rows = list(client.submit_many("add", items).results())
    assert [row["name"] for row in rows] == ["0 0", *numbers]
    bad = [row["error"] is not None for row in rows]
    assert bad == [False, *(len(text.split()) != 2 for text in numbers)]
    assert [row["job"] for row in rows] == sorted({row["job"] for row in rows})


def test_names_can_be_stored() -> None:
    assert label(b"caf\xe9.png".decode(errors="surrogateescape")) == "caf\\xe9.png"
    long = "folder/" * 50 + "x.png"
    assert len(label(long)) == 200
    assert label(long).endswith("folder/x.png")
    assert Item.of("https://ann:secret@host/a.png?key=1").name == "https://host/a.png"
