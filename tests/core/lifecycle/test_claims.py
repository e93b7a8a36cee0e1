"""A claim takes what fits, once, and whatever becomes of its answer."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event, text
from steps import DONE, KINDS, QUEUE, claim, claimed, finish, get, new, submit

from cvq import Settings, schema
from cvq import tables as t
from cvq.db import Database
from cvq.errors import DatabaseError
from cvq.lifecycle import claims
from cvq.matching import Needs, Offer
from cvq.records import NewJob


def test_a_claim_takes_what_fits(database: Database) -> None:
    gpu, unknown, newer, good, other = submit(
        database,
        new(device="gpu", priority=9),
        NewJob("nope", {}, "0", "ann", priority=9),
        NewJob("selftest", {"seed": 1, "news": 1}, "0", "ann", priority=9),
        new(priority=1),
        new(priority=2, device="cpu"),
    )
    offer = Offer("cpu", KINDS)
    assert [claimed(database, offer=offer).id for _ in range(2)] == [other, good]
    assert claim(database, offer=offer) is None
    assert [get(database, job_id).state for job_id in (gpu, unknown, newer)] == ["queued"] * 3
    assert [get(database, job_id).attempt for job_id in (gpu, unknown, newer)] == [0] * 3
    assert claimed(database, offer=Offer("cuda", KINDS)).id == gpu
    assert claimed(database).id == unknown  # of a cvq that announces nothing


def test_jobs_of_an_older_schema_are_matched_when_their_turn_comes(database: Database) -> None:
    gpu, good, later = submit(database, new(device="gpu"), new(), new(device="gpu"))
    with database.write() as connection:
        connection.execute(t.jobs.update().values(needs=""))
    offer = Offer("cpu", KINDS)
    assert claimed(database, offer=offer).id == good
    assert claim(database, offer=offer) is None
    assert get(database, gpu).state == get(database, later).state == "queued"
    assert [claimed(database, offer=Offer("cuda", KINDS)).id for _ in range(2)] == [gpu, later]


def test_what_does_not_fit_is_passed_over_whole(database: Database) -> None:
    submit(database, *[new(device="gpu", priority=9) for _ in range(200)])
    (good,) = submit(database, new())
    offer = Offer("cpu", KINDS)
    sent: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *a: sent.append(a[2]))
    assert claimed(database, offer=offer).id == good
    assert offer.refused == {Needs.of(new(device="gpu")).key}
    assert len(sent) < 25, sent


def test_a_claim_whose_answer_was_lost_is_asked_for_again(database: Database) -> None:
    submit(database, new(), new())
    first = claimed(database, token="same")
    assert claimed(database, token="same").attempt_id == first.attempt_id
    finish(database, first.attempt_id, DONE)
    assert claimed(database, token="same").id != first.id


def test_a_connection_cut_during_a_claim_costs_no_job(postgres_url: str, home: Any) -> None:
    database = Database(Settings.load(database_url=postgres_url))
    schema.upgrade(database)
    [job_id] = submit(database, new())

    def claim_and_be_cut_off() -> None:
        with database.write() as connection:
            claims.claim(connection, worker="w", host="h", queues=[QUEUE], token="t", lease=60)
            pid = connection.scalar(text("SELECT pg_backend_pid()"))
            with database.write() as other:
                other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})

    with pytest.raises(DatabaseError, match=r"^[^\n]+$"):
        claim_and_be_cut_off()
    job = claimed(database, token="t")
    assert (job.id, job.attempt) == (job_id, 1)
    database.engine.dispose()


def test_a_server_that_was_restarted_costs_no_error(postgres_url: str, home: Any) -> None:
    database = Database(Settings.load(database_url=postgres_url))
    schema.upgrade(database)
    submit(database, new())
    killer = Database(Settings.load(database_url=postgres_url))
    with killer.write() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid != pg_backend_pid()"
            )
        )
    assert claim(database) is not None
    database.engine.dispose()
    killer.engine.dispose()
