"""Jobs that are watched: who runs, who waits, who has ended meanwhile."""

from __future__ import annotations

from steps import DONE, claimed, finish, new, submit

from cvq.db import Database
from cvq.lifecycle import attempts
from cvq.views.filters import Filter
from cvq.views.live import LiveLook, Watched


def look(database: Database, watched: Watched, most: int = 9) -> LiveLook:
    with database.read() as connection:
        return watched.look(connection, most)


def ids(seen: LiveLook) -> list[int]:
    return [live.job.id for live in seen.jobs]


def test_running_ones_come_first_and_ended_ones_stay(database: Database) -> None:
    watched = Watched(Filter(users=["ann"]))
    assert look(database, watched).over
    submit(database, new(), new(), new(), new(user="bob"))
    first = claimed(database)
    with database.write() as connection:
        attempts.report(connection, first.attempt_id, memory=5_000_000)
    others = [each for each in (1, 2, 3) if each != first.id]
    seen = look(database, watched)
    assert ids(seen) == [first.id, *others]
    assert seen.jobs[0].memory == 5_000_000
    assert (seen.running, seen.waiting, seen.over) == (1, 2, False)
    finish(database, first.attempt_id, DONE)
    seen = look(database, watched)
    assert ids(seen) == [*others, first.id], "what was seen stays when it has ended"
    assert (seen.running, seen.waiting) == (0, 2)


def test_of_many_as_many_are_shown_as_fit_and_all_are_counted(database: Database) -> None:
    submit(database, *(new() for _ in range(12)))
    claimed(database)
    seen = look(database, Watched(Filter(users=["ann"])), most=4)
    assert len(seen.jobs) == 4
    assert (seen.running, seen.waiting) == (1, 11)


def test_of_those_that_ended_the_last_are_kept(database: Database) -> None:
    watched = Watched(Filter(users=["ann"]))
    submit(database, *(new() for _ in range(6)))
    ended: list[int] = []
    for _ in range(6):
        look(database, watched, most=3)
        one = claimed(database)
        look(database, watched, most=3)
        finish(database, one.attempt_id, DONE)
        ended.insert(0, one.id)
    assert ids(look(database, watched, most=3)) == ended[:3]
    assert ids(look(database, watched, most=3)) == ended[:3]
    assert len(watched._seen) == 3


def test_named_jobs_are_shown_though_they_had_ended(database: Database) -> None:
    first, second, _ = submit(database, new(), new(), new())
    finish(database, claimed(database).attempt_id, DONE)
    watched = Watched(Filter(ids=[first, second]), keeps_ended=True)
    assert ids(look(database, watched)) == [second, first]
    with database.read() as connection:
        assert watched.states(connection) == {"succeeded", "queued"}
