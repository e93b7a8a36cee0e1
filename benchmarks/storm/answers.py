"""The judgement of a storm's items: each has got exactly one end, and it is its own.

Pure functions of plain values, as those of `ledger`.
"""

from __future__ import annotations

from collections.abc import Sequence

from .items import CAUSES, STUCK, digest, expected
from .ledger import (
    FINAL,
    JobRecord,
    Strike,
    Verdict,
    forced_by,
    judge_records,
    last_reason,
    name_of,
)


def judge_items(items: Sequence[JobRecord], strikes: Sequence[Strike], verdict: Verdict) -> None:
    """Hold the items' ends against their tempers, which their records have as `trait`."""
    for item in items:
        _judge_end(item, strikes, verdict)
        judge_records(item, strikes, verdict, own=CAUSES.get(item.trait))
        for attempt in item.attempts:
            if attempt.reason in CAUSES.values() and attempt.reason != CAUSES.get(item.trait):
                who = f"{name_of(item)} attempt {attempt.number}"
                verdict.broken_records.append(f"{who} ended as another's: {attempt.reason}")


def _judge_end(item: JobRecord, strikes: Sequence[Strike], verdict: Verdict) -> None:
    name = name_of(item)
    if not item.ids:
        verdict.lost.append(f"{name} is not in the database")
    elif item.state not in FINAL:
        return  # told as one that hangs
    elif item.trait == STUCK:
        if item.state != "cancelled":
            verdict.lost.append(f"{name} was to be cancelled, and is {item.state}")
    elif item.trait in CAUSES:
        _judge_poison(item, strikes, verdict)
    elif item.state != "succeeded":
        verdict.lost.append(f"{name} is {item.state}, reason {last_reason(item)}")
    else:
        _judge_answer(item, verdict)


def _judge_poison(item: JobRecord, strikes: Sequence[Strike], verdict: Verdict) -> None:
    last = item.attempts[-1] if item.attempts and item.state == "failed" else None
    if last is not None and (last.reason == CAUSES[item.trait] or forced_by(item, last, strikes)):
        return
    verdict.lost.append(
        f"{name_of(item)} is a {item.trait} item, and {item.state}, reason {last_reason(item)}"
    )


def _judge_answer(item: JobRecord, verdict: Verdict) -> None:
    if item.result != expected(item.number, item.trait):
        verdict.lost.append(f"{name_of(item)} succeeded with another answer than its own")
    wanted = [digest(item.number)] if item.trait == "file" else []
    if [text for _, text in item.results] != wanted:
        verdict.lost.append(f"{name_of(item)} succeeded with other files than its own")
