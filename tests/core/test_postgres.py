"""Connections to Postgres that fall silent, and databases of the wrong encoding."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from proxy import Proxy, proxied
from sqlalchemy import text

from conftest import created
from cvq import Settings, schema
from cvq.db import Database
from cvq.errors import DatabaseAwayError, DatabaseError, SchemaError
from cvq.lifecycle import jobs
from cvq.postgres import patience
from cvq.records import NewJob
from cvq.views import filters
from waiting import eventually


@pytest.fixture
def network(postgres_url: str, home: Path) -> Iterator[tuple[Proxy, Database]]:
    """A database behind a network, and the network."""
    with proxied(postgres_url) as (proxy, url):
        database = Database(Settings.load(database_url=url))
        yield proxy, database
        database.engine.dispose()


def one(database: Database) -> int:
    with database.read() as connection:
        return int(connection.scalar(text("SELECT 1")) or 0)


@pytest.mark.skipif(sys.platform != "linux", reason="TCP_USER_TIMEOUT is Linux's")
def test_a_network_that_swallows_packets_is_noticed(network: tuple[Proxy, Database]) -> None:
    proxy, database = network
    proxy.listen()
    with database.read() as connection:
        raw = connection.connection.driver_connection
        assert raw is not None
        with socket.socket(fileno=os.dup(raw.fileno())) as copy:
            limit = copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            assert limit == 1000 * patience(database.settings.lease)
            assert copy.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert patience(30) < 30 / 2
    assert patience(5) < 5 / 2


def test_postgres_hangs_up_on_who_freezes_inside_a_transaction(
    postgres_url: str, home: Path
) -> None:
    database = Database(Settings.load(database_url=postgres_url))
    with database.read() as connection:
        limit = connection.scalar(text("SHOW idle_in_transaction_session_timeout"))
    database.engine.dispose()
    assert limit == "10s"


def test_the_url_has_the_last_word(postgres_url: str, home: Path) -> None:
    database = Database(Settings.load(database_url=f"{postgres_url}&application_name=mine"))
    with database.read() as connection:
        assert connection.scalar(text("SHOW application_name")) == "mine"
    database.engine.dispose()


def test_a_silent_server_is_hung_up_on(network: tuple[Proxy, Database]) -> None:
    proxy, database = network
    proxy.listen()
    assert one(database) == 1
    errors: list[Exception] = []

    def ask() -> None:
        try:
            with database.read() as connection:
                connection.execute(text("SELECT pg_sleep(100000)"))
        except DatabaseError as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    eventually(lambda: any(call.connection for call in database._calls._under_way.values()))
    database.hang_up(1000)
    assert thread.is_alive()
    while thread.is_alive():
        database.hang_up(0)
        thread.join(0.05)
    assert isinstance(errors[0], DatabaseAwayError)
    assert one(database) == 1


def test_an_idle_connection_that_went_silent_costs_no_error(
    network: tuple[Proxy, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    # However long a statement may take: that a connection is alive is shown at once.
    monkeypatch.setattr("cvq.db.patience", lambda _: 1.0)
    proxy, database = network
    proxy.listen()
    assert one(database) == 1
    (silent,) = database._calls._known
    proxy.stall()
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(one(database)))
    thread.start()
    while thread.is_alive():
        if not silent.closed:  # what is asked anew takes its time on a slow machine
            database.hang_up(1000)
        thread.join(0.05)
    assert found == [1]


def test_what_may_be_back_is_told_from_what_will_not(
    network: tuple[Proxy, Database], postgres_url: str
) -> None:
    proxy, database = network
    with pytest.raises(DatabaseAwayError):
        one(database)  # the port refuses
    proxy.listen()
    assert one(database) == 1
    wrong = Database(Settings.load(database_url=postgres_url.replace("@/t", "@/nobody-has-t")))
    with pytest.raises(DatabaseError) as refused:
        one(wrong)
    assert not isinstance(refused.value, DatabaseAwayError)


def test_a_locked_sqlite_may_be_back(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cvq.db._SQLITE_BUSY_MS", 1)
    with contextlib.ExitStack() as stack:
        first, second = (Database(Settings.load()) for _ in range(2))
        for each in (first, second):
            stack.callback(each.engine.dispose)
        schema.ensure(first)
        with first.write(), pytest.raises(DatabaseAwayError, match="locked"), second.write():
            pass


def test_no_thread_waits_for_anothers_connection(database: Database) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(database.read()).execute(text("SELECT 1"))


# ---------------------------------------------------------------------------- encodings


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_cannot_hold_every_text_is_refused(
    postgres_server: str, home: Path, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = f"ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
    with created(postgres_server, f"template0 {options}") as url:
        database = Database(Settings.load(database_url=url))
        with pytest.raises(DatabaseError, match=f"encoding {encoding}.*createdb -E UTF8"):
            schema.upgrade(database)
        with pytest.raises(SchemaError):
            schema.ensure(database)
        # One of an older cvq can still be read.
        with monkeypatch.context() as patch:
            patch.setattr(schema, "check_encoding", lambda _: None)
            schema.upgrade(database)
        with database.write() as connection:
            jobs.submit(connection, NewJob("selftest", {}, "0", "ann", name="größe"))
        with database.read() as connection:
            assert [job.name for job in filters.find(connection, filters.Filter())] == ["größe"]
        database.engine.dispose()
