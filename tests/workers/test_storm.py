"""A short storm of kills loses and doubles nothing, and its judge would see it if it did."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.storm.answers import judge_items
from benchmarks.storm.cluster import holds_sqlite
from benchmarks.storm.items import HEALTHY, POISONS, digest, expected
from benchmarks.storm.kind import output_line, result_text
from benchmarks.storm.ledger import (
    AttemptRecord,
    Effect,
    JobRecord,
    Strike,
    Verdict,
    judge,
    parse_ledger,
    recoveries,
)
from benchmarks.storm.plan import BAG, POSTGRES_BAG, StormOptions, make_plan
from benchmarks.storm.run import run_storm
from waiting import HANG_S

pytestmark = pytest.mark.slow

SHORT = StormOptions(jobs=25, items=60, minutes=0.2, every=0.7, workers=2, lease=2, settle=HANG_S)


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def test_a_short_storm_loses_and_doubles_nothing(database: str) -> None:
    options = dataclasses.replace(SHORT, database=database)
    report = run_storm(options)
    told = "\n".join(report.lines())
    assert report.good, told
    assert report.states.keys() <= {"succeeded", "cancelled"}, told
    assert sum(report.states.values()) == SHORT.jobs, told
    assert sum(report.items.values()) == SHORT.items, told
    assert report.items["succeeded"] == SHORT.items - 3, told  # a poison in each batch
    # Each act was tried; what it found to hit is up to the machine's pace.
    tried = sum(report.acts.values()) + sum(report.missed.values())
    assert tried == len(make_plan(options).acts), told
    assert report.attempts >= SHORT.jobs, told


# ---------------------------------------------------------------------------- the plan


def test_the_plan_is_a_function_of_its_seed() -> None:
    options = StormOptions(jobs=200, minutes=2)
    assert make_plan(options) == make_plan(options)
    assert make_plan(options).digest == make_plan(options).digest
    assert make_plan(options).digest != make_plan(dataclasses.replace(options, seed=2)).digest


@pytest.mark.parametrize("seed", range(5))
def test_a_plan_has_every_kind_of_job_and_act(seed: int) -> None:
    options = StormOptions(jobs=300, minutes=5, database="postgres", seed=seed)
    plan = make_plan(options)
    assert {act.kind for act in plan.acts} == {*BAG, *POSTGRES_BAG}
    assert [act.at for act in plan.acts] == sorted(act.at for act in plan.acts)
    frozen = [act.thaw_after for act in plan.acts if act.kind == "freeze-job"]
    assert None in frozen
    assert any(frozen)
    assert len({job.priority for job in plan.jobs}) == 3
    assert any(job.cancel_at for job in plan.jobs)
    cancelled = {job.number for job in plan.jobs if job.cancel_at}
    parents = {number for job in plan.jobs for number in job.after}
    assert parents
    assert not parents & cancelled
    assert all(number < job.number for job in plan.jobs for number in job.after)
    assert {item.temper for item in plan.items} == {*HEALTHY, *POISONS}
    assert [item.number for item in plan.items] == list(range(options.items))


# ---------------------------------------------------------------------------- the judge
#
# Job 7 takes two steps. Attempt 1 began at second 10 on worker A, which was killed at 11 and found
# out at 13; attempt 2 began at 14 on worker B and succeeded at 16.

STEPS = 2


def effect(place: int, at: float, attempt: int, act: str, step: int = 0, **other: Any) -> Effect:
    token = other.pop("token", f"token{attempt}")
    return Effect(place, at, at, 0, 7, attempt, token, 100 + attempt, act, step, **other)


FIRST = [effect(0, 10.1, 1, "begin"), effect(1, 10.5, 1, "step", 1)]
SECOND = [
    effect(2, 14.1, 2, "begin"),
    effect(3, 14.5, 2, "step", 1),
    effect(4, 15.0, 2, "step", 2),
    effect(5, 15.1, 2, "end"),
]
KILL = Strike("kill-worker", 11.0, 11.0, worker="A")
LOST_WORKER = AttemptRecord(1, "A", 10.0, 13.0, "failed", "worker-lost", queued_again=13.5)
SUCCEEDED = AttemptRecord(2, "B", 14.0, 16.0, "succeeded", None)
JOB = JobRecord(
    number=0,
    steps=STEPS,
    ids=(7,),
    state="succeeded",
    result={"number": 0, "token": "token2"},
    attempts=(LOST_WORKER, SUCCEEDED),
    output=tuple(output_line(0, step, STEPS) for step in (1, 2)),
    metric_steps=(1, 2),
    results=((2, result_text(0, STEPS, "token2")),),
)


def judged(job: JobRecord = JOB, effects: list[Effect] | None = None, *strikes: Strike) -> Verdict:
    return judge([job], FIRST + SECOND if effects is None else effects, strikes or (KILL,))


def changed(**values: Any) -> JobRecord:
    return dataclasses.replace(JOB, **values)


def only(verdict: Verdict, *names: str) -> bool:
    """Whether these lists have something to say, and no other has."""
    return {name for name, lines in verdict.to_json().items() if lines} == set(names)


def test_a_job_that_was_run_again_after_a_kill_is_well() -> None:
    assert only(judged())
    assert judged().faults == 0


def test_a_job_that_was_cancelled_on_purpose_is_well() -> None:
    cancelled = dataclasses.replace(SUCCEEDED, outcome="cancelled")
    job = changed(state="cancelled", attempts=(LOST_WORKER, cancelled), results=(), result=None)
    assert only(judged(dataclasses.replace(job, cancel_asked=True), [*FIRST, *SECOND[:2]]))
    assert only(judged(job, [*FIRST, *SECOND[:2]]), "lost")


@pytest.mark.parametrize(
    ("job", "effects"),
    [
        (changed(ids=(), attempts=(), state="missing"), []),
        (changed(state="failed", attempts=(LOST_WORKER,)), FIRST),
        (changed(state="queued", attempts=(LOST_WORKER,)), FIRST),
        (JOB, FIRST + SECOND[:-1]),
        (JOB, [*FIRST, SECOND[0], *SECOND[2:]]),
        (JOB, FIRST),
        (changed(result=None), None),
        (changed(result={"number": -1, "token": "token2"}), None),
        (changed(trait="large"), None),
        (changed(results=()), None),
        (changed(results=((2, None),)), None),
        (changed(results=((2, result_text(0, STEPS, "token1")),)), None),
    ],
    ids=[
        "not there", "failed", "never final", "no end", "a step missing", "no effect", "no result",
        "a child's result", "a large result cut off",
        "no file", "a damaged file", "another's file",
    ],
)  # fmt: skip
def test_a_lost_job_is_seen(job: JobRecord, effects: list[Effect] | None) -> None:
    assert judged(job, effects).lost


def test_two_results_are_seen() -> None:
    both = (dataclasses.replace(LOST_WORKER, outcome="succeeded"), SUCCEEDED)
    assert judged(changed(attempts=both)).two_results
    shown = JOB.results[0]
    assert judged(changed(results=(shown, (1, shown[1])))).two_results
    assert judged(changed(results=((1, shown[1]),))).two_results
    assert judged(changed(ids=(7, 8))).two_results


def test_two_attempts_alive_at_once_are_seen_by_the_order_of_their_effects() -> None:
    late = effect(3, 14.2, 1, "step", 2)
    moved = [dataclasses.replace(e, place=e.place + 1) for e in SECOND[1:]]
    found = judged(JOB, [*FIRST, SECOND[0], late, *moved]).doubled
    assert len(found) == 1
    assert "after attempt 2 had begun" in found[0]


def test_an_effect_after_another_attempt_succeeded_is_seen() -> None:
    late = effect(6, 17.0, 1, "step", 2)
    found = judged(JOB, [*FIRST, *SECOND, late]).doubled
    assert any("after attempt 2 succeeded" in line for line in found)


@pytest.mark.parametrize(
    "effects",
    [
        [*FIRST, SECOND[0], SECOND[1], SECOND[1], *SECOND[2:]],
        [*FIRST, *SECOND, effect(6, 15.2, 2, "end")],
        [*FIRST, *SECOND, effect(6, 15.2, 2, "begin", token="other")],
        [*FIRST, *SECOND, effect(6, 18.0, 3, "begin")],
        [*FIRST, *SECOND, dataclasses.replace(effect(6, 18.0, 1, "begin"), number=99, job=99)],
    ],
    ids=["a step twice", "an end twice", "two processes", "begun after success", "nobody's"],
)
def test_a_doubled_effect_is_seen(effects: list[Effect]) -> None:
    assert judged(JOB, effects).doubled


def test_a_job_begun_again_after_success_is_seen() -> None:
    again = AttemptRecord(3, "B", 17.0, 19.0, "cancelled", None)
    job = changed(attempts=(LOST_WORKER, SUCCEEDED, again))
    verdict = judged(job, [*FIRST, *SECOND, effect(6, 17.5, 3, "begin")])
    assert verdict.doubled
    assert verdict.broken_records


def test_a_job_killed_before_its_commit_is_told_apart_from_a_doubled_one() -> None:
    whole = [*FIRST, effect(2, 10.7, 1, "step", 2), effect(3, 10.8, 1, "end")]
    whole += [dataclasses.replace(e, place=e.place + 2) for e in SECOND]
    assert only(judged(JOB, whole), "run_again_after_end")
    elsewhere = dataclasses.replace(KILL, worker="C")
    assert only(judged(JOB, whole, elsewhere), "doubled", "unexplained")
    error = dataclasses.replace(LOST_WORKER, reason="error")
    assert judged(changed(attempts=(error, SUCCEEDED)), whole).doubled


@pytest.mark.parametrize(
    "output",
    [JOB.output[:1], JOB.output[::-1], (*JOB.output, JOB.output[1]), ()],
    ids=["missing", "out of order", "twice", "none"],
)
def test_a_fault_in_the_stored_log_is_seen(output: tuple[str, ...]) -> None:
    assert only(judged(changed(output=output)), "log_faults")


def test_a_fault_in_the_stored_metric_is_seen() -> None:
    assert only(judged(changed(metric_steps=(1, 1, 2))), "log_faults")


@pytest.mark.parametrize(
    "attempts",
    [
        (SUCCEEDED,),
        (dataclasses.replace(LOST_WORKER, finished=None, outcome=None, reason=None), SUCCEEDED),
        (dataclasses.replace(LOST_WORKER, reason=None), SUCCEEDED),
    ],
    ids=["a number missing", "no end", "no reason"],
)
def test_a_broken_record_is_seen(attempts: tuple[AttemptRecord, ...]) -> None:
    assert judged(changed(attempts=attempts)).broken_records


def test_an_attempt_that_ended_by_itself_is_told() -> None:
    before = dataclasses.replace(KILL, time=5.0, clock=5.0, worker="B")
    assert only(judged(JOB, None, before), "unexplained")


def test_recovery_is_counted_from_the_act_to_the_next_first_effect() -> None:
    found = recoveries([JOB], FIRST + SECOND, [KILL])
    assert [(time.act, time.reason) for time in found] == [("kill-worker", "worker-lost")]
    assert found[0].queued_worst == pytest.approx(2.5)
    assert found[0].begun_worst == pytest.approx(3.1)


def test_recovery_is_put_down_to_the_act_that_leaves_this_reason() -> None:
    survived = Strike("freeze-job", 12.0, 12.0, job=7, attempt=1, until=12.5)
    found = recoveries([JOB], FIRST + SECOND, [KILL, survived])
    assert [time.act for time in found] == ["kill-worker"]


def test_a_thawed_worker_explains_what_it_lost() -> None:
    frozen = Strike("freeze-worker", 8.0, 8.0, worker="A", until=12.0)
    assert frozen.explains(7, LOST_WORKER)
    assert not frozen.explains(7, SUCCEEDED)
    assert not Strike("kill-redis", 11.0, 11.0).explains(7, LOST_WORKER)


def test_a_writer_frozen_inside_its_change_explains_what_others_lost() -> None:
    elsewhere = Strike("freeze-worker", 8.0, 8.0, worker="C", until=12.0)
    held = dataclasses.replace(elsewhere, held_database=True)
    assert not elsewhere.explains(7, LOST_WORKER)
    assert held.explains(7, LOST_WORKER)
    assert not held.explains(7, dataclasses.replace(LOST_WORKER, reason="freeze"))
    assert not held.explains(7, dataclasses.replace(LOST_WORKER, finished=30.0))


# ---------------------------------------------------------------------------- the items

ITEM = JobRecord(
    number=3,
    steps=0,
    ids=(9,),
    state="succeeded",
    trait="file",
    result=expected(3, "file"),
    attempts=(LOST_WORKER, SUCCEEDED),
    results=((2, digest(3)),),
)


def poison(temper: str, reason: str, **values: Any) -> JobRecord:
    end = AttemptRecord(1, "A", 10.0, 10.5, "failed", reason)
    given = {"state": "failed", "result": None, "results": (), "attempts": (end,)} | values
    return dataclasses.replace(ITEM, trait=temper, **given)


def judged_item(item: JobRecord) -> Verdict:
    verdict = Verdict()
    judge_items([item], [KILL], verdict)
    return verdict


@pytest.mark.parametrize(
    "item",
    [
        ITEM,
        poison("faulty", "error"),
        poison("crash", "signal:SEGV"),
        poison("hang", "timeout"),
        poison("crash", "worker-lost", attempts=(LOST_WORKER,)),
        poison("stuck", "", state="cancelled", attempts=()),
    ],
    ids=["healthy", "faulty", "crash", "hang", "a poison that was struck", "cancelled"],
)
def test_an_item_with_its_own_end_is_well(item: JobRecord) -> None:
    assert only(judged_item(item))


@pytest.mark.parametrize(
    "item",
    [
        dataclasses.replace(ITEM, ids=(), attempts=(), state="missing"),
        dataclasses.replace(ITEM, result=expected(4, "file")),
        dataclasses.replace(ITEM, results=()),
        dataclasses.replace(ITEM, results=((2, digest(4)),)),
        dataclasses.replace(ITEM, trait="plain"),
        poison("plain", "timeout"),
        poison("crash", "timeout"),
        dataclasses.replace(ITEM, trait="crash"),
        dataclasses.replace(ITEM, trait="stuck"),
    ],
    ids=[
        "not there", "another's answer", "no file", "another's file", "a file too many",
        "a healthy one failed", "another's cause", "a poison answered", "never cancelled",
    ],
)  # fmt: skip
def test_an_item_with_another_end_is_seen(item: JobRecord) -> None:
    assert judged_item(item).lost


def test_an_item_that_pays_for_another_is_seen() -> None:
    paid = AttemptRecord(1, "A", 10.0, 13.0, "failed", "signal:SEGV")
    item = dataclasses.replace(ITEM, attempts=(paid, SUCCEEDED))
    assert only(judged_item(item), "broken_records")
    twice = dataclasses.replace(ITEM, results=(*ITEM.results, *ITEM.results))
    assert judged_item(twice).two_results


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="this system lists no locks")
def test_the_writer_of_sqlite_is_known_from_its_lock(tmp_path: Path) -> None:
    database = tmp_path / "cvq.db"
    code = (
        "import sqlite3, sys\n"
        "held = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "held.execute('PRAGMA journal_mode=WAL')\n"
        "held.execute('CREATE TABLE first (x)')\n"
        "print('open', flush=True); sys.stdin.readline()\n"
        "held.execute('BEGIN IMMEDIATE')\n"
        "print('held', flush=True); sys.stdin.readline()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        assert not holds_sqlite(database, writer.pid)
        print(file=writer.stdin, flush=True)
        assert writer.stdout.readline() == "held\n"
        assert holds_sqlite(database, writer.pid)
        print(file=writer.stdin, flush=True)


def test_a_ledger_is_read_in_the_order_of_its_lines() -> None:
    line = {
        "time": 2_000_000_000, "clock": 1_500_000_000, "number": 0, "job": 7, "attempt": 1,
        "token": "t", "pid": 5, "act": "begin", "step": 0,
    }  # fmt: skip
    effects = parse_ledger([json.dumps(line), json.dumps(line | {"act": "step", "step": 1})])
    assert [(e.place, e.act, e.time, e.clock) for e in effects] == [
        (0, "begin", 2.0, 1.5),
        (1, "step", 2.0, 1.5),
    ]
    with pytest.raises(ValueError, match="Expecting"):
        parse_ledger(["{half a li"])
