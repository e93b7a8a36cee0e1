"""`cvq drain`: who is asked to leave, what is said, and how long it is waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import update

from cvq import Client, queries, tables
from cvq.lifecycle.workers import deregister
from waiting import HANG_S, eventually

from .conftest import Cli, FakeWorker

LAB = ("lab.1.aa", "lab.22.bb")


@pytest.fixture
def workers(client: Client) -> dict[str, FakeWorker]:
    """Two on the host `lab`, one on `attic`; one of `lab` has left already."""
    made = {}
    for name in (*LAB, "attic.1.cc", "lab.3.gone"):
        made[name] = FakeWorker(client, name=name, host=name.partition(".")[0])
        made[name].arrive("default")
    left(client, "lab.3.gone")
    return made


def left(client: Client, name: str) -> None:
    with client.db.write() as connection:
        deregister(connection, name)


def orders(client: Client) -> dict[str, str | None]:
    """What each worker is asked to do."""
    with client.db.read() as connection:
        return {row.id: row.drain for row in queries.workers(connection, also_gone=True)}


def asked(client: Client) -> set[str]:
    return {name for name, order in orders(client).items() if order}


@pytest.mark.usefixtures("workers")
class TestWhoIsMeant:
    @pytest.mark.parametrize(
        ("words", "names"),
        [
            (["lab.1.aa"], {"lab.1.aa"}),
            (["lab.2"], {"lab.22.bb"}),
            (["a"], {"attic.1.cc"}),
            (["lab"], set(LAB)),
            (["attic", "lab.1", "lab.1.aa"], {"attic.1.cc", "lab.1.aa"}),
        ],
    )
    def test_an_id_its_beginning_or_a_host(
        self, run: Cli, client: Client, words: list[str], names: set[str]
    ) -> None:
        said = run("drain", *words)
        assert asked(client) == names
        assert said.out.splitlines() == [f"worker {name} leaves" for name in sorted(names)]

    @pytest.mark.parametrize(
        ("word", "message"),
        [
            ("nobody", "no worker or host 'nobody': `cvq workers` lists the workers"),
            ("", "no worker or host ''"),
            ("la", "'la' is the beginning of workers lab.1.aa, lab.22.bb: give more of the id"),
            ("lab.3.gone", "worker lab.3.gone left already"),
            ("lab.3", "worker lab.3.gone left already"),
        ],
    )
    def test_a_wrong_word_changes_nothing_for_the_others(
        self, run: Cli, client: Client, word: str, message: str
    ) -> None:
        said = run("drain", "lab.1.aa", word, "attic", "--wait", code=2)
        assert message in said.err
        assert said.err.count("\n") == 1
        assert said.out == ""
        assert asked(client) == set()

    def test_a_host_whose_workers_have_all_left(self, run: Cli, client: Client) -> None:
        left(client, "attic.1.cc")
        assert "worker attic.1.cc left already" in run("drain", "attic", code=2).err


def test_what_becomes_of_the_jobs_is_said(
    run: Cli, client: Client, workers: dict[str, FakeWorker]
) -> None:
    for _ in range(3):
        client.submit("selftest")
    for name in ("lab.1.aa", "lab.1.aa", "attic.1.cc"):
        workers[name].claim()
    assert run("drain", "lab").out.splitlines() == [
        "worker lab.1.aa leaves; jobs 1 and 2 go back to the queue",
        "worker lab.22.bb leaves",
    ]
    assert orders(client)["lab.1.aa"] == "stop"
    assert run("drain", "attic", "--finish").out == (
        "worker attic.1.cc leaves when job 3 has ended\n"
    )
    assert orders(client)["attic.1.cc"] == "finish"
    assert [job.state for job in client.jobs()] == ["running"] * 3


def test_json(run: Cli, client: Client, workers: dict[str, FakeWorker]) -> None:
    client.submit("selftest")
    workers["lab.22.bb"].claim()
    first, second = run("drain", "lab", "--finish", "--json").json
    assert (first["id"], first["state"], first["drain"]) == ("lab.1.aa", "up", "finish")
    assert second["running"] == [1]
    assert run("workers", "--json").json[0]["drain"] == "finish"


def test_a_silent_worker_is_told_and_not_waited_for(
    run: Cli, client: Client, workers: dict[str, FakeWorker]
) -> None:
    with client.db.write() as connection:
        connection.execute(
            update(tables.workers)
            .where(tables.workers.c.id == "attic.1.cc")
            .values(seen_at=tables.now(-3600))
        )
    said = run("drain", "attic", "--wait")
    assert said.out == (
        "worker attic.1.cc is silent: it leaves as soon as it is heard from again\n"
    )
    assert "1 worker is silent: dead or cut off" in said.err
    assert asked(client) == {"attic.1.cc"}


@pytest.fixture
def obey(client: Client) -> Iterator[Callable[..., None]]:
    """Plays workers that leave when they are asked to."""
    threads = []

    def start(*names: str) -> None:
        def work() -> None:
            eventually(lambda: asked(client) >= set(names))
            for name in names:
                left(client, name)

        threads.append(threading.Thread(target=work))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join()


@pytest.mark.usefixtures("workers")
class TestWaiting:
    def test_until_all_have_left(self, run: Cli, obey: Callable[..., None]) -> None:
        obey(*LAB)
        said = run("drain", "lab", "--wait", "--timeout", f"{HANG_S}s")
        assert said.out.endswith("2 workers have left\n")

    def test_json_tells_the_end(self, run: Cli, obey: Callable[..., None]) -> None:
        obey("attic.1.cc")
        assert [row["state"] for row in run("drain", "at", "--wait", "--json").json] == ["gone"]

    def test_time_is_up(self, run: Cli, client: Client) -> None:
        said = run("drain", "lab", "--timeout", "0", code=124)
        assert said.err.endswith(
            "cvq: error: workers lab.1.aa, lab.22.bb have not left after 0s: "
            "draining continues; `cvq workers` shows its progress\n"
        )
        assert asked(client) == set(LAB)
        found = run("drain", "lab.1", "--timeout", "0", "--json", code=124)
        assert [row["state"] for row in found.json] == ["up"]
