"""What can be asked of a job besides its metrics, and the files that it takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Table, delete, select
from steps import claimed, finish, new, opened, submit

from cvq import attributes, schema
from cvq import tables as t
from cvq.attributes import Attribute, Input
from cvq.batch import NewBatch
from cvq.db import Database
from cvq.lifecycle import batches
from cvq.records import EncodedJson, NewJob, Outcome
from cvq.states import State
from cvq_migrations.versions import v0008_history

SHA = "ab" * 32
CAT = {"name": "cat.png", "sha256": SHA, "bytes": 3}
MODEL = {"name": "model of job 1", "sha256": None, "job": 1}
SPEC: dict[str, Any] = {
    "lr": 1e-3, "epochs": 5, "amp": True, "optimizer": "adam", "size": None,
    "augment": {"flip": False, "crop": {"size": 24}}, "layers": [1, 21], "content": CAT,
    "images": [CAT], "many": [CAT, CAT], "model": MODEL, "long": "x" * 501, "huge": 10**400,
    "augment.flip": "stands twice", "seed": 2**32 - 1,
}  # fmt: skip
PARAMS = {
    ("lr", 1e-3, None), ("epochs", 5.0, None), ("amp", 1.0, "true"), ("optimizer", None, "adam"),
    ("augment.crop.size", 24.0, None), ("layers", None, "[1, 21]"), ("content", None, "cat.png"),
    ("images", None, "cat.png"), ("model", 1.0, None), ("augment.flip", None, "stands twice"),
    ("seed", 2.0**32 - 1, None),
}  # fmt: skip
TAGS = {("for", None, "poster"), ("fold", 3.0, "3"), ("x", None, "nan")}
INPUTS = {
    ("content", 0, SHA, None), ("images", 0, SHA, None), ("many", 0, SHA, None),
    ("many", 1, SHA, None), ("model", 0, None, 1),
}  # fmt: skip
WORDS = {"class": "boot", "files": '["a"]', "per.best": "mAP"}
RESULT = {"class": "boot", "score": 0.5, "per": {"best": "mAP"}, "files": ["a"], "text": "x" * 501}


def job(**values: Any) -> NewJob:
    tags = {"for": "poster", "fold": "3", "x": "nan"}
    return new(**{"tags": tags, **values})


def with_spec(wanted: NewJob, spec: dict[str, Any]) -> NewJob:
    return replace(wanted, spec=spec)


def rows(database: Database, table: Table, job_id: int) -> list[tuple[Any, ...]]:
    with database.read() as connection:
        found = connection.execute(select(table).where(table.c.job_id == job_id)).all()
    return sorted((tuple(row)[1:] for row in found), key=repr)


def entered(source: str, given: set[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [(source, *each) for each in given]


def test_each_is_a_row_by_which_a_job_is_found(database: Database) -> None:
    _, job_id = submit(database, new(), with_spec(job(), SPEC))
    expected = sorted([*entered("params", PARAMS), *entered("tags", TAGS)], key=repr)
    assert rows(database, t.attributes, job_id) == expected
    assert rows(database, t.inputs, job_id) == sorted(INPUTS, key=repr)


def test_jobs_of_a_batch_have_the_same_rows_as_one_alone(database: Database) -> None:
    _, alone = submit(database, new(), with_spec(job(), SPEC))
    own = {"lr": 0.1, "many": [CAT]}
    jobs = [with_spec(job(), SPEC), with_spec(job(), SPEC | own), with_spec(job(), SPEC)]
    common = {name: value for name, value in SPEC.items() if name not in own}
    with database.write() as connection:
        batches.submit(connection, NewBatch("selftest", "ann", common, 3), jobs)
    for table in (t.attributes, t.inputs):
        first = rows(database, table, alone)
        assert first == rows(database, table, alone + 1) == rows(database, table, alone + 3)
    second = rows(database, t.attributes, alone + 2)
    assert set(second) - set(rows(database, t.attributes, alone)) == {
        ("params", "lr", 0.1, None),
        ("params", "many", None, "cat.png"),
    }
    assert ("many", 1, SHA, None) not in rows(database, t.inputs, alone + 2)


@pytest.mark.parametrize("result", [RESULT, EncodedJson('{"class": "boot"}', {}, WORDS)])
def test_words_of_a_result_are_entered_when_the_job_ends(database: Database, result: Any) -> None:
    [job_id] = submit(database, new())
    finish(database, claimed(database).attempt_id, Outcome(State.SUCCEEDED, result=result))
    found = [row for row in rows(database, t.attributes, job_id) if row[0] == "result"]
    assert found == sorted(("result", name, None, text) for name, text in WORDS.items())


def test_other_tags_take_the_place_of_those_before(database: Database) -> None:
    [job_id] = submit(database, job())
    with database.write() as connection:
        attributes.change_tags(connection, [job_id], {"fold": "4", "for": None, "x": None})
    tags = [row for row in rows(database, t.attributes, job_id) if row[0] == "tags"]
    assert tags == [("tags", "fold", 4.0, "4")]


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_an_upgrade_makes_them_of_the_whole_history(
    request: pytest.FixtureRequest, home: Any, kind: str
) -> None:
    url = request.getfixturevalue("postgres_url") if kind == "postgres" else f"sqlite:///{home}/c"
    with opened(database_url=url) as database:
        schema.upgrade(database)
        trained, job_id = submit(database, new(), with_spec(job(), SPEC))
        assert claimed(database).id == trained
        finish(database, claimed(database).attempt_id, Outcome(State.SUCCEEDED, result=RESULT))
        before = [rows(database, table, job_id) for table in (t.attributes, t.inputs)]
        with database.write() as connection:
            for table in (t.attributes, t.inputs):
                connection.execute(delete(table))
            v0008_history._fill(connection)
        assert [rows(database, table, job_id) for table in (t.attributes, t.inputs)] == before


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = st.text(max_size=210)
    return st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4)


_PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=600)
_JSON = st.recursive(_PLAIN, _nested, max_leaves=12)


@given(st.dictionaries(st.text(max_size=20), _JSON, max_size=5))
def test_whatever_a_specification_holds_its_rows_fit_the_columns(spec: dict[str, Any]) -> None:
    found = attributes.params_of(spec)
    assert len({each.name for each in found}) == len(found)
    for each in found:
        assert isinstance(each, Attribute)
        assert len(each.name) <= 200
        assert each.text is None or len(each.text) <= 500
        assert each.value is None or abs(each.value) < float("inf")
        assert (each.value, each.text) != (None, None)
    assert all(isinstance(each, Input) for each in attributes.inputs_of(spec))
