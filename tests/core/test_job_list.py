"""Lists of jobs, and waiting for them: in threads, beside an event loop, in several at once."""

from __future__ import annotations

import asyncio
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cvq import Client, JobList
from cvq.errors import JobFailedError, SetupError, UnknownJobError, WaitTimeoutError
from cvq.lifecycle import attempts, claims
from cvq.once import once
from cvq.records import Job, Outcome
from waiting import HANG_S


def end(client: Client, outcome: Outcome) -> None:
    with client.db.write() as connection:
        job = claims.claim(
            connection, worker="w", host="h", queues=["default"], token="t", lease=30
        )  # fmt: skip
        assert job is not None
        attempts.finish(connection, job.attempt_id, outcome, "w")


def some(client: Client, number: int) -> JobList:
    return JobList(client, [client.submit("selftest") for _ in range(number)])


def test_a_part_of_a_list_is_one(client: Client) -> None:
    jobs = some(client, 3)
    assert isinstance(jobs[:2], JobList)
    assert jobs[:2].client is client
    assert jobs[0] == jobs[:1][0]
    assert client.jobs() == jobs[::-1]


def test_what_waits_has_a_twin_beside_an_event_loop(client: Client) -> None:
    [job] = some(client, 1)

    async def verified() -> None:
        end(client, Outcome("succeeded"))
        waiting = asyncio.create_task(client.verify_async(job, timeout=HANG_S))
        while client.count_jobs() < 2:
            await asyncio.sleep(0.01)
        end(client, Outcome("succeeded"))
        assert not (await waiting).differences
        again = await client.rerun_async(job, steps=3)
        assert (again.made_from, again.spec["steps"]) == (job.id, 3)

    async def swept() -> None:
        sweep = await client.sweep_async("selftest", {"steps": [2, 4]}, maximize="value")
        waiting = asyncio.create_task(sweep.wait_async())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(WaitTimeoutError):
            await sweep.wait_async(0)
        assert [trial.state for trial in sweep.trials] == ["queued", "queued"]

    asyncio.run(verified())
    asyncio.run(swept())


def test_a_page_leads_to_the_next(client: Client) -> None:
    jobs = some(client, 5)
    first = client.jobs(sort="id", limit=2)
    assert (first, first.has_more) == (jobs[:2], True)
    some(client, 1)
    jobs[1].cancel()
    assert first.next() == jobs[2:4], "whatever has come or changed meanwhile"
    assert [job.id for page in first.pages() for job in page] == [1, 2, 3, 4, 5, 6]
    assert client.jobs(sort="id", after=jobs[3]) == client.jobs(sort="id")[4:]
    last = client.jobs("state = cancelled")
    assert (last.has_more, last.next()) == (False, [])
    with pytest.raises(UnknownJobError):
        client.jobs(after=99)


def test_all_are_waited_for_and_each_look_is_told(client: Client) -> None:
    jobs = some(client, 2)
    looks: list[list[str]] = []

    def look(rows: list[Job]) -> None:
        looks.append([row.state for row in rows])
        if len(looks) <= 2:
            end(client, Outcome("succeeded", result={"n": len(looks)}))

    assert jobs.wait(HANG_S, on_look=look) is jobs
    assert looks == [["queued", "queued"], ["succeeded", "queued"], ["succeeded", "succeeded"]]
    assert [job.result for job in jobs] == [{"n": 1}, {"n": 2}]


def test_what_a_look_raises_ends_the_waiting(client: Client) -> None:
    def stop(_: list[Job]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.wait_all(some(client, 1), on_look=stop)
    assert client.job(1).state == "queued"


def test_who_waits_in_vain_is_told(client: Client) -> None:
    jobs = some(client, 2)
    end(client, Outcome("failed", reason="error", error="it broke"))
    with pytest.raises(WaitTimeoutError, match="job 2 is still queued after 0s"):
        jobs.wait(0)
    end(client, Outcome("succeeded"))
    with pytest.raises(JobFailedError, match="it broke"):
        jobs.wait(HANG_S)
    assert jobs.wait(HANG_S, check=False)[1].state == "succeeded"
    with pytest.raises(UnknownJobError, match="no job 99"):
        client.wait_all([1, 99])
    assert client.wait_all([]) == []


def test_a_list_is_cancelled_and_tagged(client: Client) -> None:
    jobs = some(client, 2)
    assert {tuple(job.tags) for job in jobs.tag("for=paper")} == {("for",)}
    assert [job.tags for job in jobs.untag("for")] == [{}, {}]
    assert [job.state for job in jobs.cancel()] == ["cancelled", "cancelled"]


def test_a_loop_goes_on_while_jobs_are_waited_for(client: Client) -> None:
    async def work() -> tuple[Any, ...]:
        first = await client.submit_async("selftest", name="first")
        second = await client.submit_async("selftest")
        waiting = asyncio.create_task(client.wait_all_async([first, second], HANG_S))
        one = asyncio.create_task(first.wait_async(HANG_S))
        for _ in range(2):
            await asyncio.to_thread(end, client, Outcome("succeeded"))
        return await one, await waiting

    one, both = asyncio.run(work())
    assert (one.name, one.state) == ("first", "succeeded")
    assert [job.state for job in both] == ["succeeded", "succeeded"]


def test_a_wait_that_is_cancelled_leaves_the_job_alone(client: Client) -> None:
    [job] = some(client, 1)
    looked = threading.Event()

    async def work() -> None:
        task = asyncio.create_task(
            JobList(client, [job]).wait_async(on_look=lambda _: looked.set())
        )
        while not looked.is_set():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(WaitTimeoutError):
            await job.wait_async(0)

    asyncio.run(work())
    assert job.refresh().state == "queued"


def test_several_threads_use_one_client(client: Client) -> None:
    with Client(client.settings) as other, ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(lambda n: other.submit("selftest", name=str(n)), range(16)))
        assert {job.name for job in other.jobs()} == set(map(str, range(16)))
        found = list(pool.map(lambda job: other.wait_all(job, check=False) and job.state,
                              [job.cancel() for job in jobs]))  # fmt: skip
    assert set(found) == {"cancelled"}
    assert not {"db", "broker", "artifacts"} & set(vars(other))


def test_what_is_made_once_is_made_once() -> None:
    made: list[int] = []
    both = threading.Barrier(4)

    class Thing:
        @once
        def part(self) -> int:
            made.append(1)
            return len(made)

    thing = Thing()

    def ask() -> int:
        both.wait(HANG_S)
        return thing.part

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask) for _ in range(4)]
    assert [each.result() for each in asked] == [1, 1, 1, 1]
    del vars(thing)["part"]
    assert thing.part == 2


def test_jobs_are_a_table_of_pandas(client: Client) -> None:
    client.submit("selftest", steps=3, name="a", tags={"for": "paper"})
    client.submit("selftest", steps=5)
    end(client, Outcome("succeeded", result={"value": 0.5, "word": "boot", "of": {"x": 1}}))
    table = client.jobs(sort="id").to_pandas()
    assert list(table.index) == [1, 2]
    assert list(table["params.steps"]) == [3.0, 5.0]
    assert table.loc[1, ["tags.for", "result.word", "state"]].to_list() == [
        "paper", "boot", "succeeded"
    ]  # fmt: skip
    assert table.loc[1, ["result.value", "result.of.x"]].to_list() == [0.5, 1.0]
    assert table["seconds"].isna().to_list() == [False, True]
    assert str(table["created_at"].dt.tz) == "UTC"
    assert table.loc[2, "finished_at"] is not None
    assert table["finished_at"].isna().to_list() == [False, True]


def test_no_jobs_are_an_empty_table(client: Client) -> None:
    table = client.jobs().to_pandas()
    assert (len(table), table.index.name, "state" in table) == (0, "id", True)


def test_without_pandas_it_is_said(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(SetupError, match=r"^to_pandas\(\) needs pandas.*: pip install pandas$"):
        client.jobs().to_pandas()
