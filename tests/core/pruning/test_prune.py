"""What prune removes, what it leaves, and what is left when it is killed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from past import Past
from plans import sqlite_plans
from sqlalchemy import func, insert, select, update
from steps import get, new, submit

from cvq import queries
from cvq import tables as t
from cvq.artifacts import ArtifactStore
from cvq.batch import NewBatch
from cvq.db import Database
from cvq.errors import (
    PrunedBatchError,
    PrunedJobError,
    PrunedSweepError,
    UnknownBatchError,
    UnknownJobError,
    UsageError,
)
from cvq.lifecycle import batches, describing, jobs
from cvq.lifecycle.prune import OF_JOBS, ranges_of
from cvq.manifests import Entry, Writer
from cvq.parse import reference
from cvq.pruning import Choice, Report, estimate, files, prune
from cvq.states import State
from cvq.sweep import Stage
from cvq.sweeps.reading import get_sweep
from cvq.views import references
from cvq.views.filters import Filter

ALL = Choice(Filter())


@pytest.fixture
def past(database: Database, tmp_path: Path) -> Past:
    return Past(database, tmp_path)


def pruned(past: Past, choice: Choice = ALL, **more: Any) -> Report:
    """Prune, after a look at what it would do, which must be what it does."""
    would = estimate(past.database, lambda: past.store, choice)
    report = prune(past.database, lambda: past.store, choice, "ann", **more)
    told = ("jobs", "batches", "files", "bytes", "stays")
    if not report.later:
        assert {n: getattr(would, n) for n in told} == {n: getattr(report, n) for n in told}
        assert would.rows == report.rows
    return report


def left(past: Past) -> list[int]:
    with past.database.read() as connection:
        return list(connection.scalars(select(t.jobs.c.id).order_by(t.jobs.c.id)))


def rows(past: Past, table: Any) -> int:
    with past.database.read() as connection:
        return connection.scalar(select(func.count()).select_from(table)) or 0


def test_a_job_goes_with_its_rows_and_files(past: Past) -> None:
    first = past.job(files={"a.png": "one", "plots/b.png": "three"}, tags={"x": "y"})
    stays = past.job(files={"a.png": "one"}, ended_s=10)
    report = pruned(past, replace(ALL, ended_before=_days_ago(30)))
    assert left(past) == [stays]
    assert (report.jobs, report.files, report.bytes) == (1, 2, 8)
    assert past.files() == [f"{stays}/1/a.png"]
    assert not (Path(past.store.root) / "jobs" / str(first)).exists()
    for table in OF_JOBS:
        with past.database.read() as connection:
            assert set(connection.scalars(select(table.c.job_id))) <= {stays}
    assert rows(past, t.leftovers) == 0


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING, State.WAITING])
def test_what_has_not_ended_stays(past: Past, state: str) -> None:
    job = past.job(state=state)
    assert pruned(past).jobs == 0
    assert left(past) == [job]


def test_a_model_stays_as_long_as_a_job_that_uses_it(past: Past) -> None:
    model = past.job(files={"model:model.safetensors": "w"})
    user = past.job(inputs={"model": past.model(model)}, ended_s=10)
    old = replace(ALL, ended_before=_days_ago(30))
    report = pruned(past, old)
    assert left(past) == [model, user]
    assert report.stays == {"in use by jobs that stay": 1}
    assert past.files() == [f"{model}/1/model.safetensors"]
    pruned(past)
    assert left(past) == []
    assert past.files() == []


def test_what_a_job_waits_for_stays(past: Past) -> None:
    parent = past.job()
    [child] = submit(past.database, new(after=(parent,)))
    pruned(past)
    assert left(past) == [parent, child]
    past.end(child, ended_s=10)
    pruned(past, replace(ALL, ended_before=_days_ago(30)))
    assert left(past) == [child], "it has ended, and needs nothing of it"


def test_a_twin_keeps_the_job_whose_files_it_has(past: Past) -> None:
    first = past.job(files={"a.png": "one"})
    twin = past.job(twin_of=first)
    _share(past, first, twin)
    assert pruned(past, Choice(Filter(ids=[first]))).jobs == 0
    report = pruned(past, Choice(Filter(ids=[twin])))
    assert (report.jobs, report.files) == (1, 0)
    assert past.files() == [f"{first}/1/a.png"]
    pruned(past)
    assert past.files() == []


def test_twins_that_go_together_free_their_file_once(past: Past) -> None:
    first = past.job(files={"a.png": "one"})
    _share(past, first, past.job(twin_of=first))
    report = pruned(past)
    assert (report.jobs, report.files, report.bytes) == (2, 1, 3)


def _share(past: Past, first: int, twin: int) -> None:
    with past.database.write() as connection:
        row = connection.execute(select(t.artifacts).where(t.artifacts.c.job_id == first)).one()
        values = {**row._mapping, "job_id": twin}
        del values["id"]
        connection.execute(t.artifacts.insert().values(values))


def test_an_input_goes_with_the_last_job_that_takes_it(past: Past) -> None:
    shared = past.input("shared")
    old = past.job(inputs={"content": shared, "style": past.input("own")})
    late = past.job(inputs={"content": shared}, ended_s=10)
    report = pruned(past, Choice(Filter(ids=[old])))
    assert (report.files, report.bytes) == (1, 3)
    assert past.files() == ["input"]
    assert pruned(past).files == 1
    assert late not in left(past)
    assert past.files() == []


def test_an_input_that_was_just_used_goes_later(
    past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    past.job(inputs={"content": past.input("new", used_s=0)})
    report = pruned(past)
    assert (report.jobs, report.files, report.later) == (1, 0, 1)
    assert past.files() == ["input"]
    monkeypatch.setattr(type(past.store).remove_input, "__defaults__", (0.0,))
    assert prune(past.database, lambda: past.store, Choice(), "ann").files == 1
    assert past.files() == []


def test_a_submission_that_finds_an_input_of_a_pruned_job_keeps_it(
    past: Past, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    past.job(inputs={"content": past.input("again")})
    again = tmp_path / "again.png"
    again.write_text("again")
    remove = type(past.store).remove_input
    digest = ""

    def submitted_meanwhile(store: Any, key: str) -> int | None:
        nonlocal digest
        digest, _ = past.store.put_input(again)  # its job is not entered yet
        return remove(store, key)

    monkeypatch.setattr(type(past.store), "remove_input", submitted_meanwhile)
    report = prune(past.database, lambda: past.store, ALL, "ann")
    assert (report.files, report.later) == (0, 1)
    assert past.store.fetch_input(digest, tmp_path).read_text() == "again"


def test_filters_tags_and_the_newest_keep_jobs(past: Past) -> None:
    tagged = past.job(tags={"keep": "x" * 600})
    named = past.job(tags={"other": "1"})
    plain = past.job()
    newest = past.job()
    pruned(past, replace(ALL, keep_tagged="keep", keep_last=1))
    assert left(past) == [tagged, newest]
    pruned(past, replace(ALL, keep_tagged=""))
    assert left(past) == [tagged]
    assert {named, plain}.isdisjoint(left(past))


def test_what_was_pruned_is_said_so(past: Past) -> None:
    first, second, third = past.job(), past.job(), past.job()
    pruned(past, Choice(Filter(ids=[first, second])))
    with past.database.read() as connection:
        for look in (
            lambda: queries.get_job(connection, first),
            lambda: references.resolve_one(connection, "ann", reference(str(first))),
        ):
            with pytest.raises(PrunedJobError, match=rf"^job {first} was pruned on 20.* by ann$"):
                look()
        with pytest.raises(PrunedJobError, match=f"^jobs {first}-{second} were pruned on"):
            references.resolve(connection, "ann", [reference(f"{first}-{second}")])
        with pytest.raises(UnknownJobError, match="no job 99"):
            queries.get_job(connection, 99)
        assert queries.get_job(connection, third).id == third
    with past.database.write() as connection:
        for lean in (new(after=(first,)), new(made_from=first), new(twin_of=first)):
            with pytest.raises(PrunedJobError):
                jobs.submit(connection, lean)


def test_ids_are_ranges() -> None:
    assert ranges_of([5, 1, 2, 3, 9, 8]) == [(1, 3), (5, 5), (8, 9)]


def test_ranges_grow_together(past: Past) -> None:
    ids = [past.job() for _ in range(5)]
    for some in (ids[3:], ids[1:3]):
        pruned(past, Choice(Filter(ids=some)))
    with past.database.read() as connection:
        found = connection.execute(select(t.pruned.c.first, t.pruned.c.last)).all()
    assert [tuple(row) for row in found] == [(ids[1], ids[4])]


# ------------------------------------------------------------------------------------- batches


def batch(past: Past, *wanted: Any, answered: dict[int, int] | None = None, **more: Any) -> int:
    """A batch that has ended; `answered` are items of its, by jobs of earlier ones."""
    path = past._folder / "manifest"
    path.unlink(missing_ok=True)
    writer = Writer(path)
    for nth in range(len(wanted)):
        writer.add(Entry(nth, f"own {nth}", None, None, None), nth, None)
    for nth, job in (answered or {}).items():
        writer.add(Entry(100 + nth, f"known {nth}", None, None, None), None, None, job)
    writer.finish()
    writer.close()
    known = len(answered or {})
    value = NewBatch(
        "selftest", "ann", {"seed": 7}, len(wanted) + known, cache_key="k", known=known,
        manifest=past.input(path.read_bytes().hex())["sha256"],
    )  # fmt: skip
    # A manifest is kept as it is; here the store has it under another's digest.
    digest, _ = past.store.put_input(path)
    with past.database.write() as connection:
        number = batches.submit(connection, replace(value, manifest=digest), wanted, **more)
        ids = queries.ids_of_batch(connection, number)
    for job in ids:
        past.end(job)
    return number


def members(past: Past, number: int) -> list[int]:
    with past.database.read() as connection:
        return queries.ids_of_batch(connection, number)


def test_a_batch_goes_as_a_whole(past: Past) -> None:
    number = batch(past, new(), new(), new())
    some = members(past, number)
    report = pruned(past, Choice(Filter(ids=some[:2])))
    assert report.stays == {"of a batch of which others stay": 2}
    assert members(past, number) == some
    assert pruned(past).batches == 1
    assert rows(past, t.batches) == 0


def test_a_batch_or_sweep_that_was_pruned_is_said_so(past: Past) -> None:
    number, trial = batch(past, new(), new()), past.job()
    with past.database.write() as connection:
        made = insert(t.sweeps).values(
            id=3, kind="fmnist-mlp", user="ann", stage=Stage.OPEN, spec={}, space={},
            method="grid", options={}, seed=0, trials=1, created_at=t.now(),
        )  # fmt: skip
        connection.execute(made)
        connection.execute(update(t.jobs).where(t.jobs.c.id == trial).values(sweep=3))
    assert pruned(past, Choice(Filter(batches=[number]))).batches == 1
    report = pruned(past, Choice(Filter(ids=[trial])))
    assert (report.jobs, report.stays) == (0, {"of a sweep that goes on": 1})
    with past.database.write() as connection:  # as a grid is from the start: it is never driven
        connection.execute(update(t.sweeps).values(stage=Stage.COMPLETE))
    assert pruned(past, Choice(Filter(ids=[trial]))).jobs == 1
    with past.database.read() as connection:
        with pytest.raises(PrunedBatchError, match=rf"^batch {number} was pruned on 20.* by ann$"):
            queries.get_batch(connection, number)
        with pytest.raises(PrunedSweepError, match=r"^sweep 3 was pruned on 20.* by ann$"):
            get_sweep(connection, 3)
        with pytest.raises(UnknownBatchError, match=f"no batch {number + 1}"):
            queries.get_batch(connection, number + 1)


def test_a_job_that_has_not_ended_is_said_to_stay(past: Past) -> None:
    ended, [queued] = past.job(), submit(past.database, new())
    report = pruned(past, Choice(Filter(ids=[ended, queued])))
    assert (report.jobs, report.stays) == (1, {"not ended yet": 1})


def test_a_batch_stays_while_a_later_one_has_its_answers(past: Past) -> None:
    first = batch(past, new(), new())
    [job, _] = members(past, first)
    second = batch(past, new(), answered={0: job}, answered_by=[first])
    report = pruned(past, Choice(Filter(batches=[first])))
    assert report.stays == {"with answers for a later batch": 2}
    assert pruned(past, Choice(Filter(batches=[first, second]))).batches == 2


def test_a_batch_without_jobs_goes_too(past: Past) -> None:
    first = batch(past, new())
    batch(past, answered={0: members(past, first)[0]}, answered_by=[first])
    assert pruned(past, replace(ALL, ended_before=_days_ago(-1))).batches == 2
    assert rows(past, t.batches) == 0


def test_no_batch_takes_answers_of_one_that_is_pruned(past: Past) -> None:
    first = batch(past, new())
    job = members(past, first)[0]
    pruned(past)
    with pytest.raises(UsageError, match=f"batch {first}, .* was pruned meanwhile"):
        batch(past, new(), answered={0: job}, answered_by=[first])


def test_a_batch_that_came_meanwhile_keeps_what_answers_it(past: Past) -> None:
    first = batch(past, new())
    job = members(past, first)[0]

    def comes(what: str, done: int, total: int) -> None:
        if what == "looking for jobs" and rows(past, t.batches) == 1:
            batch(past, new(), answered={0: job}, answered_by=[first])

    prune(past.database, lambda: past.store, ALL, "ann", comes)
    assert job in left(past)


# --------------------------------------------------------------------------------- interruptions


class Killed(BaseException):
    pass


def killed_at(number: int) -> Callable[[str, int, int], None]:
    count = 0

    def tick(*_: Any) -> None:
        nonlocal count
        count += 1
        if count == number:
            raise Killed

    return tick


@pytest.mark.parametrize("after", [1, 3, 5, 7])
def test_a_prune_that_is_killed_is_done_by_the_next(
    past: Past, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cvq.pruning.removal._JOBS_AT_ONCE", 1)
    monkeypatch.setattr("cvq.pruning.files._AT_ONCE", 1)
    model = past.job(files={"model:m": "w"}, inputs={"content": past.input("a")})
    past.job(inputs={"model": past.model(model)}, files={"a.png": "one"})
    batch(past, new(), new())
    try:
        prune(past.database, lambda: past.store, ALL, "ann", killed_at(after))
    except Killed:
        assert model in left(past) or rows(past, t.leftovers), "it was not killed early"
    prune(past.database, lambda: past.store, ALL, "ann")
    assert left(past) == []
    assert [name for name in past.files() if name != "input"] == []
    assert (rows(past, t.batches), rows(past, t.artifacts)) == (0, 0)


def test_a_job_that_somebody_uses_meanwhile_stays(past: Past) -> None:
    model = past.job()

    def comes(what: str, *_: int) -> None:
        if what == "looking for jobs" and len(left(past)) == 1:
            past.job(inputs={"model": past.model(model)}, ended_s=10)

    prune(past.database, lambda: past.store, Choice(Filter(ids=[model])), "ann", comes)
    assert model in left(past)


def test_a_model_that_is_just_being_used_stays(past: Past) -> None:
    if past.database.is_sqlite:
        pytest.skip("it has one writer at a time")
    model, other = past.job(), past.job()
    user = replace(new(), spec={"model": past.model(model)})
    with past.database.write() as connection:
        jobs.submit(connection, user)  # and not committed yet
        prune(past.database, lambda: past.store, Choice(Filter(ids=[model, other])), "ann")
    assert model in left(past)
    assert other not in left(past)


@pytest.mark.slow
def test_files_in_a_bucket_go(past: Past, s3: str) -> None:
    local, past.store = past.store, ArtifactStore(f"s3://{s3}/cvq")
    past.store.fs.mkdir(s3)
    kept = past.job(files={"a.png": "one"}, ended_s=10)
    past.job(files={"a.png": "one", "b/c.png": "two"})
    report = pruned(past, replace(ALL, ended_before=_days_ago(30)))
    assert (report.files, report.bytes, report.failed) == (2, 6, 0)
    past.store.fs.invalidate_cache()
    found = past.store.fs.find(past.store.root)
    assert [key.removeprefix(past.store.root) for key in found] == [f"/jobs/{kept}/1/a.png"]
    past.store = local


def test_long_logs_go_piece_by_piece(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cvq.pruning.removal._ROWS_AT_ONCE", 10)
    jobs = [past.job(lines=lines) for lines in (35, 4, 4, 4)]
    assert len(jobs) == 4
    assert prune(past.database, lambda: past.store, ALL, "ann").jobs == 4
    assert rows(past, t.logs) == 0


def test_what_is_used_meanwhile_keeps_its_long_log(
    past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cvq.pruning.removal._ROWS_AT_ONCE", 10)
    model, other = past.job(lines=35), past.job()

    def comes(what: str, *_: int) -> None:
        if what == "looking for jobs" and len(left(past)) == 2:
            past.job(inputs={"model": past.model(model)}, ended_s=10, lines=0)

    chosen = Choice(Filter(ids=[model, other]))
    assert prune(past.database, lambda: past.store, chosen, "ann", comes).jobs == 1
    assert rows(past, t.logs) == 35


def test_files_of_what_is_meant_no_more_stay(past: Past) -> None:
    job = past.job(files={"r": "333"})

    def tagged(what: str, *_: int) -> None:
        if what == "looking for jobs":
            with past.database.write() as connection:
                describing.tag(connection, [job], {"keep": "1"}, "ann")

    past.job(tags={"keep": "1"}, ended_s=10)
    chosen = replace(ALL, groups=["results"], keep_tagged="keep", ended_before=_days_ago(30))
    assert prune(past.database, lambda: past.store, chosen, "ann", tagged).files == 0


def test_files_that_cannot_be_removed_are_told_and_tried_again(
    past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = past.job(files={"a.png": "one", "b.png": "two"})
    outside = past.store.url.replace("/store", "/elsewhere") + "/jobs/1/1/a.png"
    with past.database.write() as connection:
        named = update(t.artifacts).where(t.artifacts.c.name == "a.png")
        connection.execute(named.values(uri=outside))
    report = prune(past.database, lambda: past.store, ALL, "ann")
    assert (report.jobs, report.files, report.failed) == (1, 1, 1)
    assert "is not in the artifact store" in (report.trouble or "")
    assert rows(past, t.leftovers) == 1
    assert job not in left(past)
    # A store that was used before is nothing that keeps later files from being removed.
    past.job(files={"c.png": "three"})
    monkeypatch.setattr(files, "_AT_ONCE", 1)
    report = prune(past.database, lambda: past.store, ALL, "ann")
    assert (report.jobs, report.files, report.failed) == (1, 1, 1)


# ----------------------------------------------------------------------------------------- files


def test_files_alone_are_pruned(past: Past) -> None:
    job = past.job(
        files={"cvq-checkpoint:c": "1", "sample:s": "22", "result:r": "333", "model:m": "4444"}
    )
    report = pruned(past, replace(ALL, groups=["checkpoints", "samples"]))
    assert (report.jobs, report.files, report.bytes, report.rows) == (1, 2, 3, 2)
    assert past.files() == [f"{job}/1/m", f"{job}/1/r"]
    assert left(past) == [job]
    with past.database.read() as connection:
        told = [event.what for event in queries.events_of(connection, job)]
    assert told[-2:] == ["checkpoints pruned", "samples pruned"]
    past.job(inputs={"model": past.model(job)}, ended_s=10)
    assert pruned(past, Choice(Filter(ids=[job]), groups=["results"])).files == 0, "it is used"


def test_a_job_without_its_results_answers_no_other(past: Past) -> None:
    job = past.job(files={"r": "333"}, identity="same")
    pruned(past, replace(ALL, groups=["results"]))
    assert get(past.database, job).identity is None


def test_files_that_no_row_names_go_where_it_is_asked_for(past: Past) -> None:
    first = past.job(files={"a.png": "one", "b.png": "two"}, inputs={"content": past.input("x")})
    running = past.job(state="running", files={"c.png": "three"})
    past.input("of a submission that was killed")
    past.input("of one that goes on", used_s=0)
    _share(past, past.job(files={"d.png": "four"}), past.job(twin_of=first + 2))
    with past.database.write() as connection:
        a = t.artifacts.c
        connection.execute(t.artifacts.delete().where(a.name.in_(["b.png", "c.png"])))
    for path in (Path(past.store.root) / "jobs").rglob("*.png"):
        os.utime(path, (0, 0))
    before = past.files()
    would = estimate(past.database, lambda: past.store, Choice(), strays=True)
    assert past.files() == before
    report = prune(past.database, lambda: past.store, Choice(), "ann", strays=True)
    assert (report.files, report.bytes) == (would.files, would.bytes) == (2, 34)
    assert set(before) - set(past.files()) == {f"{first}/1/b.png"}
    assert past.files().count("input") == 2
    assert f"{running}/1/c.png" in past.files()


# ------------------------------------------------------------------------------------ databases


def test_a_database_of_our_own_gives_its_room_back(home: Path, past: Past) -> None:
    if not past.database.is_sqlite:
        pytest.skip("a server looks after its files itself")
    for _ in range(3):
        past.job(lines=3_000)
    file = home / "cvq.db"
    with past.database.outside() as connection:
        connection.executescript("PRAGMA wal_checkpoint(TRUNCATE)")
    before = file.stat().st_size
    report = prune(past.database, lambda: past.store, ALL, "ann")
    assert report.freed > 0
    assert report.free == 0
    assert file.stat().st_size < before


def test_nothing_is_looked_at_row_by_row(past: Past) -> None:
    if not past.database.is_sqlite:
        pytest.skip("plans are SQLite's")
    model = past.job()
    past.job(inputs={"model": past.model(model), "content": past.input("a")}, files={"a": "b"})
    steps = sqlite_plans(
        past.database, lambda: void(prune(past.database, lambda: past.store, ALL, "ann"))
    )
    small = ("leftovers", "batches", "json_each", "pruned", "CONSTANT")
    scans = [
        step
        for step in steps
        if step.startswith("SCAN") and step.split()[1].rstrip(":") not in small
    ]
    assert scans == []


def void(_: object) -> None:
    return None


def _days_ago(days: float) -> Any:
    from datetime import UTC, datetime, timedelta

    return datetime.now(UTC) - timedelta(days=days)
