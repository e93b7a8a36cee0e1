"""Tags, notes and names that jobs are given afterwards."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, text, update
from steps import new, submit

from cvq import queries
from cvq import tables as t
from cvq.batch import NewBatch
from cvq.db import Database
from cvq.errors import UnknownJobError, UsageError
from cvq.lifecycle import batches, describing
from cvq.records import Job


def do(database: Database, function: Any, *words: Any) -> Any:
    with database.write() as connection:
        return function(connection, *words, "ada")


def job(database: Database, job_id: int) -> Job:
    with database.read() as connection:
        return queries.get_job(connection, job_id)


def events(database: Database, job_id: int) -> list[tuple[str, str]]:
    with database.read() as connection:
        found = connection.execute(
            select(t.events.c.what, t.events.c.by)
            .where(t.events.c.job_id == job_id)
            .order_by(t.events.c.id)
        )
        return [tuple(row) for row in found][1:]  # type: ignore[misc] # after its submission


def asked(database: Database, job_id: int) -> set[tuple[str, float | None, str]]:
    a = t.attributes.c
    query = select(a.name, a.value, a.text).where(a.job_id == job_id, a.source == "tags")
    with database.read() as connection:
        return {tuple(row) for row in connection.execute(query)}  # type: ignore[misc]


def test_tags_take_the_place_of_those_of_the_same_key(database: Database) -> None:
    first, second = submit(database, new(tags={"for": "talk", "fold": "1"}), new())
    changed = do(database, describing.tag, [second, first], {"for": 'a "poster"', "fold": None})
    assert changed == [first, second]
    for job_id in (first, second):
        assert job(database, job_id).tags == {"for": 'a "poster"'}
        assert asked(database, job_id) == {("for", None, 'a "poster"')}
    assert events(database, first) == [('tagged for=a "poster"', "ada"), ("untagged fold", "ada")]


def test_a_number_can_be_asked_for_as_a_number(database: Database) -> None:
    [job_id] = submit(database, new())
    do(database, describing.tag, [job_id], {"fold": "3", "x": "y"})
    assert asked(database, job_id) == {("fold", 3.0, "3"), ("x", None, "y")}


def test_what_is_so_already_is_left_as_it_is(database: Database) -> None:
    first, second = submit(database, new(tags={"for": "talk"}), new())
    assert do(database, describing.tag, [first, second], {"for": "talk"}) == [second]
    assert do(database, describing.tag, [first], {"none": None}) == []
    assert do(database, describing.annotate, [first], None) == []
    assert events(database, first) == []


def test_a_job_that_there_is_not_changes_nothing(database: Database) -> None:
    [job_id] = submit(database, new())
    for function, value in ((describing.tag, {"a": "b"}), (describing.annotate, "x")):
        with pytest.raises(UnknownJobError):
            do(database, function, [job_id, 99], value)
    with pytest.raises(UnknownJobError):
        do(database, describing.rename, 99, "x")
    found = job(database, job_id)
    assert (found.tags, found.note, events(database, job_id)) == ({}, None, [])
    assert asked(database, job_id) == set()


@pytest.mark.parametrize("damaged", ["[1]", "{nothing"])
def test_tags_that_cannot_be_read_make_room(database: Database, damaged: str) -> None:
    [job_id] = submit(database, new())
    kept = "CAST(:tags AS jsonb)" if database.engine.dialect.name == "postgresql" else ":tags"
    if kept != ":tags":  # Postgres keeps nothing but JSON
        damaged = damaged.replace("{nothing", '"text"')
    with database.write() as connection:
        connection.execute(text(f"UPDATE jobs SET tags = {kept}").bindparams(tags=damaged))
    assert do(database, describing.tag, [job_id], {"a": "b"}) == [job_id]
    assert job(database, job_id).tags == {"a": "b"}


def test_a_note_is_kept_and_told_in_short(database: Database) -> None:
    [job_id] = submit(database, new())
    note = "the first line\nand " + "more " * 40
    assert do(database, describing.annotate, [job_id], note) == [job_id]
    assert job(database, job_id).note == note
    [(what, by)] = events(database, job_id)
    assert what.startswith("noted: the first line and more")
    assert (len(what) < 80, by) == (True, "ada")
    do(database, describing.annotate, [job_id], None)
    assert job(database, job_id).note is None
    assert events(database, job_id)[-1][0] == "note taken away"


def test_a_name_changes_neither_the_specification_nor_its_hash(database: Database) -> None:
    [job_id] = submit(database, new(name="old"))
    before = job(database, job_id)
    assert do(database, describing.rename, job_id, "new") == [job_id]
    after = job(database, job_id)
    assert after.name == "new"
    assert (after.spec, after.spec_hash, after.identity) == (
        before.spec, before.spec_hash, before.identity
    )  # fmt: skip
    assert do(database, describing.rename, job_id, "new") == []
    do(database, describing.rename, job_id, None)
    assert [what for what, _ in events(database, job_id)] == ["renamed new", "name taken away"]


def test_a_job_of_a_batch_is_called_after_its_item(database: Database) -> None:
    with database.write() as connection:
        batch = batches.submit(connection, NewBatch("selftest", "ada", {}, 1), [new(name="a.png")])
    with pytest.raises(UsageError, match=f"called after its item of batch {batch}: that stays"):
        do(database, describing.rename, 1, "other")
    assert job(database, 1).name == "a.png"


def test_only_those_that_change_are_told_of(database: Database) -> None:
    ids = submit(database, *[new() for _ in range(3)])
    with database.write() as connection:
        connection.execute(update(t.jobs).where(t.jobs.c.id == ids[1]).values(tags={"a": "b"}))
    assert do(database, describing.tag, ids, {"a": "b"}) == [ids[0], ids[2]]
    with database.read() as connection:
        assert describing.tags_in_use(connection, 9) == [("a", "b", 2)]
