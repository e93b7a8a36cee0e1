"""What is found by a query, and in which order: held against plain Python, on both databases."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cmp_to_key
from typing import Any

import pytest
import steps
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from plans import sqlite_plans
from sqlalchemy import insert, update

from cvq import attributes
from cvq import tables as t
from cvq.db import Database
from cvq.errors import UsageError
from cvq.query import search
from cvq.query.keys import parse_order
from cvq.query.meaning import fields_of
from cvq.query.parser import parse, parse_field
from cvq.query.tree import (
    All,
    Among,
    Comparison,
    Condition,
    Field,
    Like,
    Literal,
    Missing,
    Not,
    Some,
)
from cvq.views import filters
from cvq.views.filters import Filter
from cvq.views.values import values_of

START = datetime(2026, 11, 1, 12, tzinfo=UTC)
KINDS, USERS = ("cnn", "vae", "style"), ("ann", "bob")
NAMES = (None, "exp-1", "exp-2", "exp", "other")
NUMBERS = (None, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5)


@dataclass
class Past:
    """A job of a made history."""

    kind: str
    user: str
    name: str | None
    priority: int
    took: int | None
    trashed: bool
    metrics: dict[str, float | None] = field(default_factory=dict)
    results: dict[str, float | str] = field(default_factory=dict)
    params: dict[str, float | str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    twin_of: int | None = None
    id: int = 0


def maybe(values: st.SearchStrategy[Any], *names: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(names), values, max_size=len(names))


pasts = st.builds(
    Past,
    kind=st.sampled_from(KINDS),
    user=st.sampled_from(USERS),
    name=st.sampled_from(NAMES),
    priority=st.integers(1, 3),
    took=st.sampled_from([None, 1, 60, 7200]),
    trashed=st.sampled_from([False] * 9 + [True]),
    twin_of=st.sampled_from([None, None, 1, 2]),
    metrics=maybe(st.sampled_from(NUMBERS), "loss", "acc"),
    results=maybe(st.sampled_from([0.5, 1.0, "cpu", "gpu"]), "acc", "where"),
    params=maybe(st.sampled_from([0.1, 1.0, "adam", "sgd"]), "lr", "opt"),
    tags=maybe(st.sampled_from(["1", "2", "poster"]), "run", "for"),
)


def written(database: Database, history: Sequence[Past]) -> None:
    """Enter them, as a life would have."""
    with database.write() as connection:
        connection.execute(t.jobs.delete())
    ids = steps.submit(database, *[steps.new(user=each.user) for each in history])
    with database.write() as connection:
        for number, (job_id, each) in enumerate(zip(ids, history, strict=True)):
            each.id = job_id
            begun = START + timedelta(hours=number)
            connection.execute(
                update(t.jobs).where(t.jobs.c.id == job_id).values(
                    kind=each.kind, name=each.name, priority=each.priority, started_at=begun,
                    finished_at=begun + timedelta(seconds=each.took) if each.took else None,
                    trashed_at=begun if each.trashed else None, created_at=begun,
                    twin_of=each.twin_of, made_from=each.twin_of,
                )
            )  # fmt: skip
            figures = [("metrics", *item) for item in each.metrics.items()]
            numbers = {n: v for n, v in each.results.items() if isinstance(v, float)}
            for name, value in numbers.items():  # what the result says of a metric, counts
                if name in each.metrics:
                    each.metrics[name] = value
                    figures = [(s, n, value if n == name else v) for s, n, v in figures]
            figures += [("result", *item) for item in numbers.items()]
            for source, name, value in figures:
                whole = None if source == "result" and name in each.metrics else value
                connection.execute(insert(t.summaries).values(
                    job_id=job_id, name=name, source=source, value=value, last=whole, min=whole,
                    max=whole, best=whole, attempt=1,
                ))  # fmt: skip
            words = {n: v for n, v in each.results.items() if isinstance(v, str)}
            attributes.add(connection, job_id, attributes.params_of(each.params))
            attributes.add(connection, job_id, attributes.tags_of(each.tags))
            attributes.add_words(connection, [(job_id, words)])


# ------------------------------------------------------------------------- in plain Python


def values(job: Past, asked: Field) -> tuple[float | None, str | None]:
    """The number and the text that a field is of a job."""
    column = asked.source is None and not asked.quoted
    if column and asked.name in ("id", "priority"):
        return float(getattr(job, asked.name)), None
    if column and asked.name in ("twin_of", "made_from"):
        return (None if job.twin_of is None else float(job.twin_of)), None
    if column and asked.name == "trashed":  # in the order of ids
        return (float(job.id) if job.trashed else None), None
    if column and asked.name == "duration":
        return (None if job.took is None else float(job.took)), None
    if column and asked.name in ("kind", "user", "name"):
        return None, getattr(job, asked.name)
    if asked.source == "params":
        found: Any = job.params.get(asked.name)
    elif asked.source == "tags":
        text = job.tags.get(asked.name)
        return (float(text) if text in ("1", "2") else None), text
    else:
        figure = job.metrics.get(asked.name) if asked.source != "result" else None
        of_result = job.results.get(asked.name) if asked.source != "metrics" else None
        number = of_result if isinstance(of_result, float) else None
        word = of_result if isinstance(of_result, str) else None
        return (figure if figure is not None else number), word
    return (found, None) if isinstance(found, float) else (None, found)


def truth(job: Past, asked: Condition) -> bool | None:
    """Whether a condition holds; None where that is not known, as something is missing."""
    if isinstance(asked, Not):
        inner = truth(job, asked.part)
        return None if inner is None else not inner
    if isinstance(asked, All | Some):
        parts = [truth(job, part) for part in asked.parts]
        decided = isinstance(asked, Some)
        if decided in parts:
            return decided
        return None if None in parts else not decided
    number, text = values(job, asked.field)
    if isinstance(asked, Missing):
        return number is None and text is None
    if isinstance(asked, Like):
        prefix = asked.pattern.text.rstrip("%")
        if text is None:
            return None
        return text.startswith(prefix) if asked.pattern.text.endswith("%") else text == prefix
    if isinstance(asked, Among):
        each = [truth(job, Comparison(asked.field, "=", value)) for value in asked.values]
        return None if set(each) == {None} else True in each
    literal = asked.value
    as_text = literal.quoted or literal.number is None
    has: Any = text if as_text else number
    if has is None:
        return None
    wanted: Any = literal.text if as_text else literal.number
    return {
        "=": has == wanted, "!=": has != wanted, "<": has < wanted, "<=": has <= wanted,
        ">": has > wanted, ">=": has >= wanted,
    }[asked.sign]  # fmt: skip


def ordered(jobs: list[Past], sort: str | None) -> list[Past]:
    """Sorted, numbers before texts, what has neither last."""
    keys = parse_order(sort) if sort else ()

    def compare(one: Past, other: Past) -> int:
        for key in keys:
            for a, b in zip(values(one, key.field), values(other, key.field), strict=True):
                if a is not None or b is not None:
                    break
            if a == b:
                continue
            if a is None or b is None:
                return 1 if a is None else -1
            return (1 if a > b else -1) * (-1 if key.falling else 1)  # type: ignore[operator]
        falling = keys[0].falling if keys else True
        return (1 if one.id > other.id else -1) * (-1 if falling else 1)

    return sorted(jobs, key=cmp_to_key(compare))


# --------------------------------------------------------------------------------- queries

FIGURES = (Field("loss"), Field("acc"), Field("acc", "metrics"), Field("acc", "result"))
WHOLE = (Field("priority"), Field("id"), Field("duration"), Field("twin_of"), Field("made_from"))
TEXTS = (Field("kind"), Field("user"), Field("name"), Field("where", "result"))
MIXED = (Field("lr", "params"), Field("opt", "params"), Field("run", "tags"), Field("for", "tags"))
numbers = st.sampled_from([0.0, 0.1, 0.5, 1.0, 2.0, 60.0, math.inf]).map(
    lambda n: Literal(str(n), n)
)
words = st.sampled_from(["cnn", "vae", "exp-1", "exp", "adam", "poster", "1", "cpu"]).map(
    lambda word: Literal(word, quoted=True)
)
patterns = st.sampled_from(["exp%", "c%", "exp", "%"]).map(lambda p: Literal(p, quoted=True))
signs = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
several = st.lists(numbers, min_size=1, max_size=3).map(tuple)
leaves = st.one_of(
    st.builds(Comparison, st.sampled_from((*FIGURES, *WHOLE, *MIXED[2:])), signs, numbers),
    st.builds(Comparison, st.sampled_from(MIXED[:1]), signs, numbers),
    st.builds(Comparison, st.sampled_from(TEXTS + MIXED[1:]), st.sampled_from(["=", "!="]), words),
    st.builds(Among, st.sampled_from(FIGURES + WHOLE + MIXED[2:]), several),
    st.builds(Among, st.sampled_from(TEXTS), st.lists(words, min_size=1, max_size=3).map(tuple)),
    st.builds(Like, st.sampled_from(TEXTS + MIXED[1:]), patterns),
    st.builds(Missing, st.sampled_from((*FIGURES, *TEXTS, *MIXED, *WHOLE[2:], Field("trashed")))),
)  # fmt: skip
conditions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(All, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(Some, st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)
sorts = st.sampled_from([
    None, "id", "-id", "kind", "-name", "name", "priority", "-priority", "duration", "-duration",
    "acc", "-acc", "result.acc", "-loss", "params.lr", "-params.opt", "tags.run", "-tags.run",
    "result.where", "-created", "kind,-acc", "-priority,tags.run", "unknown", "-note", "worker",
    "twin_of", "-made_from", "trashed", "-trashed", "-twin_of,kind",
])  # fmt: skip


@pytest.fixture
def ask(database: Database, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Holds a query against plain Python, page by page, at whatever size ways are changed."""

    def check(
        history: list[Past], wanted: Filter, size: int, bounds: tuple[int, int, int]
    ) -> None:
        names = ("_FEW", "_SEVERAL", "_STRETCH", "_STRETCH_DEAR", "_TRIED")
        for name, value in zip(names, (*bounds, 1, 1), strict=True):
            monkeypatch.setattr(search, name, value)
        asks = "trashed" in [field.name for field in fields_of(wanted.where)]
        meant = [job for job in history if wanted.trashed or asks or not job.trashed]
        if wanted.where is not None:
            meant = [job for job in meant if truth(job, wanted.where) is True]
        if wanted.kinds:
            meant = [job for job in meant if job.kind in wanted.kinds]
        expected = [job.id for job in ordered(meant, wanted.sort)]
        with database.read() as connection:
            found = [
                [job.id for job in page]
                for page in filters.pages(lambda: nullcontext(connection), wanted, size)
            ]
            assert [job_id for page in found for job_id in page] == expected
            assert all(len(page) == size for page in found[:-1])
            for nth, job_id in list(enumerate(expected, start=1))[:: size + 1]:
                place = filters.place_of(connection, wanted, job_id)
                limited = replace(wanted, limit=size)
                rest = [job.id for job in filters.find(connection, limited, place)]
                assert rest == expected[nth : nth + size]
            assert filters.count(connection, wanted) == len(expected)
            assert filters.count(connection, wanted, 2) == min(2, len(expected))
            assert [job.id for job in filters.find(connection, wanted)] == expected

    return check


def test_what_lies_between_those_that_are_asked_for_is_passed(
    database: Database, ask: Callable[..., None]
) -> None:
    kinds = ["cnn"] * 4 + ["style"] * 4 + ["vae"] * 4
    history = [Past(kind, "ann", None, 1, 60, trashed=False) for kind in kinds]
    written(database, history)
    for sort in ("kind", "-kind"):
        ask(history, Filter(sort=sort, kinds=("cnn", "vae")), 2, (0, 100, 2))


def test_what_lies_far_back_is_gathered_and_the_first_of_it_tried(
    database: Database, ask: Callable[..., None]
) -> None:
    history = [Past("cnn", "ann", None, nth % 2, 7200, trashed=nth == 3) for nth in range(8)]
    for nth, old in enumerate(history):
        old.params, old.metrics = {"lr": 1.0}, {"acc": 1.0}
        old.tags = {"run": "1"} if nth > 5 else {}
    recent = [Past("cnn", "ann", None, 1, 1, trashed=False) for _ in range(12)]
    written(database, history + recent)
    for text in ("duration > 3600", "params.lr > 0.5", "acc > 0.5", "params.lr = 1 or acc = 1"):
        for further in ("", " and priority = 1", " and tags.run is null", " and priority > 5"):
            where = parse(f"({text}){further}")
            ask(history + recent, Filter(where=where), 2, (0, 100, 2))


@pytest.mark.parametrize(
    ("asked", "index"),
    [
        ("finished < 2026-10-02", "ix_jobs_finished_at"),
        ("duration > 1h", "ix_jobs_duration"),
        ("params.lr > 0.5", "ix_attributes_value"),
    ],
)
def test_what_is_gathered_is_read_from_its_index_alone(
    database: Database, monkeypatch: pytest.MonkeyPatch, asked: str, index: str
) -> None:
    if not database.is_sqlite:
        pytest.skip("Postgres plans by how many rows there are")
    written(database, [Past("cnn", "ann", None, 1, 60, trashed=False) for _ in range(9)])
    for name, value in {"_FEW": 0, "_STRETCH": 2, "_STRETCH_DEAR": 2}.items():
        monkeypatch.setattr(search, name, value)
    with database.read() as connection:
        plans = sqlite_plans(
            database,
            lambda: filters.find(connection, Filter(where=parse(asked), limit=2)) and None,
        )
    [gathered] = {step.partition(": ")[2] for step in plans if "LIMIT 30" in step}
    found = [step for step in plans if step.endswith(gathered)]
    assert any(f" INDEX {index}" in step for step in found)
    assert not [step for step in found if step.startswith("SCAN jobs")]


@settings(
    max_examples=10, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(
    history=st.lists(pasts, min_size=1, max_size=14),
    asked=st.lists(
        st.tuples(
            st.one_of(st.none(), conditions),
            sorts,
            st.sampled_from([(), (), ("cnn",), ("cnn", "vae")]),
            st.booleans(),
            st.integers(1, 5),
            st.sampled_from([(0, 0, 1), (3, 3, 3), (0, 5, 2), (0, 100, 2), (100, 100, 100)]),
        ),
        min_size=8,
        max_size=8,
    ),
)
def test_a_query_finds_what_python_finds(
    database: Database, ask: Callable[..., None], history: list[Past], asked: list[Any]
) -> None:
    written(database, history)
    for where, sort, kinds, trashed, size, bounds in asked:
        wanted = Filter(where=where, sort=sort, kinds=kinds, trashed=trashed)
        ask(history, wanted, size, bounds)


def test_a_place_is_of_one_order(database: Database) -> None:
    steps.submit(database, *[steps.new()] * 3)
    with database.read() as connection:
        page = filters.page(connection, Filter(sort="-priority", limit=2))
        assert page.after is not None
        rest = filters.page(connection, Filter(sort="-priority", limit=2), page.after)
        assert [len(page.jobs), len(rest.jobs), rest.after] == [2, 1, None]
        for wrong in (
            "",
            "[]",
            "[null, 3]",
            '["-priority", 5, true]',
            "x",
            '["-priority", {}, 1]',
        ):
            with pytest.raises(UsageError, match="no place in a list"):
                filters.find(connection, Filter(sort="-priority"), wrong)


def test_what_is_asked_never_reaches_the_database_as_sql(database: Database) -> None:
    [job] = steps.submit(database, steps.new(tags={"a'b": "x'); DROP TABLE jobs; --"}))
    evil = "x'); DROP TABLE jobs; --"
    texts = [
        f'tags."a\'b" = "{evil}"',
        f'name != "{evil}" or id > 0',
        f'name like "{evil}%" or id>0',
    ]
    with database.read() as connection:
        for text in texts:
            wanted = Filter(where=parse(text), sort=f'-tags."{evil}"')
            assert [each.id for each in filters.find(connection, wanted)] == [job]


def test_as_many_values_as_a_condition_may_have(database: Database) -> None:
    one = Past("cnn", "ann", None, 1, 60, trashed=False, metrics={"acc": 700.0})
    written(database, [one])
    few = ",".join(map(str, range(1001, 1201)))
    with database.read() as connection:
        for asked in ("id not in", "acc not in", "duration not in", "name is null or acc in"):
            where = parse(f"{asked} ({few})")
            assert [job.id for job in filters.find(connection, Filter(where=where))] == [one.id]
        patterns = [f"exp-{nth}*" for nth in range(200)]
        assert filters.find(connection, Filter(names=patterns)) == []
        with pytest.raises(UsageError, match="201 conditions"):
            filters.find(connection, Filter(names=[*patterns, "x*"]))
    with pytest.raises(UsageError, match="more than 200 values"):
        parse(f"id in (1, {few})")


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("params.lr = '0.1'", [0]), ("params.lr = 0.1", [0]),
        ("params.lr in ('0.1', '1e0')", [0, 1]),
        ("params.lr > '0.5'", [1]), ("params.opt = '007'", [0]), ("params.opt != '007'", [1]),
        ("tags.run = '1'", [0]), ("tags.run = '1.0'", []), ("tags.run = 1.0", [0]),
        ("result.acc is not null and params.lr = 'nan'", []), ("duration >= '60'", [0]),
    ],
)  # fmt: skip
def test_a_number_in_quotes(database: Database, asked: str, found: list[int]) -> None:
    one = Past("cnn", "ann", None, 1, 60, trashed=False, params={"lr": 0.1, "opt": "007"})
    other = Past("vae", "bob", None, 2, 1, trashed=False, params={"lr": 1.0, "opt": "b"})
    one.tags = {"run": "1"}
    written(database, [one, other])
    ids = [one.id, other.id]
    with database.read() as connection:
        jobs = filters.find(connection, Filter(where=parse(asked), sort="id"))
    assert [ids.index(job.id) for job in jobs] == found


def test_the_values_of_any_field(database: Database) -> None:
    took = {"metrics": {"acc": 0.5}, "results": {"acc": 0.75, "where": "cpu"}}
    one = Past("cnn", "ann", "exp", 1, 60, trashed=False, params={"lr": 0.1}, **took)
    other = Past("vae", "bob", None, 2, None, trashed=False, tags={"run": "1"})
    written(database, [one, other])
    names = ["kind", "name", "duration", "acc", "best(acc)", "where", "params.lr", "run", "zzz"]
    with database.read() as connection:
        fields = [parse_field(name) for name in names]
        found = values_of(connection, [one.id, other.id], fields)
    assert [found[job.id] for job in (one, other)] == [
        ["cnn", "exp", 60.0, 0.75, 0.75, "cpu", 0.1, None, None],
        ["vae", None, None, None, None, None, None, "1", None],
    ]


@pytest.mark.parametrize(
    ("sort", "index"),
    [
        ("-acc", "ix_summaries_name_value"),
        ("best(acc)", "ix_summaries_name_best"),
        ("-params.lr", "ix_attributes_value"),
        ("tags.run", "ix_attributes_text"),
        ("-duration", "ix_jobs_duration"),
        ("wait", "ix_jobs_wait"),
        ("name", "ix_jobs_name_id"),
        ("-priority", "ix_jobs_priority_id"),
        ("worker", "ix_attempts_worker_job_id"),
    ],
)
def test_an_order_follows_its_index_whatever_else_is_asked(
    database: Database, monkeypatch: pytest.MonkeyPatch, sort: str, index: str
) -> None:
    if not database.is_sqlite:
        pytest.skip("Postgres plans by how many rows there are")
    for name in ("_FEW", "_SEVERAL"):
        monkeypatch.setattr(search, name, 0)
    where = parse("kind = cnn and metrics.loss > 0.5 or params.opt = adam and not tags.for = a")
    with database.read() as connection:
        plans = sqlite_plans(
            database,
            lambda: filters.find(connection, Filter(where=where, sort=sort, limit=5)) and None,
        )
    steps_of_it = [step for step in plans if "json_each" not in step]
    assert any(f"USING INDEX {index}" in s or f"COVERING INDEX {index}" in s for s in steps_of_it)
    assert not [step for step in steps_of_it if step.startswith("USE TEMP B-TREE")]
    tested = [
        step for step in steps_of_it if step.startswith("SEARCH summaries") and "EXISTS" in step
    ]
    assert any("(job_id=? AND name=? AND source=?)" in step for step in tested)
