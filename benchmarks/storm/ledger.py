"""The judgement of a storm: the ledger's effects held against what the database says.

Pure functions of plain values, so that tests can show that each fault is found.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .kind import output_line, padding, result_text

FINAL = ("succeeded", "failed", "cancelled")
# The reasons that acts leave, each with the acts. A process that hears no beats kills itself.
_KINDS_OF = {
    "signal:KILL": ("kill-job", "kill-warm", "freeze-worker", "suspend-worker"),
    "freeze": ("freeze-job", "freeze-warm"),
    "preempted": ("drain-worker",),
    "worker-lost": ("kill-worker", "freeze-worker", "suspend-worker", "kill-supervisor"),
}
_AFTERMATH_S = 5.0  # until all leases that ended while a database was held have been noticed
_NEAR_S = 1.0  # an act and what it hits are noted one after the other


@dataclass(frozen=True)
class Effect:
    """A line of the ledger. `place` is its place in the file: the order in which things happened.

    `time` is in seconds since the epoch, `clock` in seconds of the machine's monotonic clock.
    """

    place: int
    time: float
    clock: float
    number: int
    job: int
    attempt: int
    token: str
    pid: int
    act: str
    step: int


@dataclass(frozen=True)
class AttemptRecord:
    """An attempt as the database has it; times in seconds since the epoch.

    `queued_again` is when the job was queued after it.
    """

    number: int
    worker: str
    started: float
    finished: float | None
    outcome: str | None
    reason: str | None
    queued_again: float | None = None


@dataclass(frozen=True)
class JobRecord:
    """A job of the plan as database and store have it at the end.

    Attributes:
        ids: of all jobs with this number; one, if all is well.
        cancel_asked: whether the storm cancelled it.
        output: the stored lines of its last attempt, of standard output.
        metric_steps: the steps of the stored metric of its last attempt.
        results: (attempt, text) of the result files that a user is shown; None for a text that
            cannot be fetched.
    """

    number: int
    steps: int
    ids: tuple[int, ...]
    state: str
    cancel_asked: bool = False
    result: dict[str, Any] | None = None
    attempts: tuple[AttemptRecord, ...] = ()
    output: tuple[str, ...] = ()
    metric_steps: tuple[int, ...] = ()
    results: tuple[tuple[int, str | None], ...] = ()
    trait: str = "plain"


@dataclass(frozen=True)
class Strike:
    """An act as it was done: when, and which attempt or worker it hit. Times as in `Effect`.

    `until` is when a frozen process went on; None where the act was over at once, or never.
    `held_database` is whether it was frozen inside a change of an SQLite database: nobody can
    write to it until then, so that a longer freeze than a lease ends the leases of all.
    """

    kind: str
    time: float
    clock: float
    worker: str | None = None
    job: int | None = None
    attempt: int | None = None
    until: float | None = None
    held_database: bool = False

    def explains(self, job: int, attempt: AttemptRecord) -> bool:
        """Whether this act may have ended that attempt."""
        if self.kind == "kill-forkserver":  # which costs no job anything
            return False
        if self.job is not None:
            return (self.job, self.attempt) == (job, attempt.number)
        if self.worker != attempt.worker and not self._starved(attempt):
            return False
        begun = attempt.started <= (self.until or self.time) + _NEAR_S
        return begun and (attempt.finished is None or attempt.finished >= self.time - _NEAR_S)

    def _starved(self, attempt: AttemptRecord) -> bool:
        """Whether another worker's attempt lost its lease while nobody could write."""
        if not self.held_database or self.until is None or attempt.finished is None:
            return False
        return attempt.reason == "worker-lost" and attempt.finished <= self.until + _AFTERMATH_S


@dataclass
class Verdict:
    """What was found, one line each. Anything in the lists of `FAULTS` is a fault."""

    lost: list[str] = field(default_factory=list)
    two_results: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    log_faults: list[str] = field(default_factory=list)
    broken_records: list[str] = field(default_factory=list)
    # Killed between the last effect and its commit: no queue can know.
    run_again_after_end: list[str] = field(default_factory=list)
    late_effects: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)

    @property
    def faults(self) -> int:
        """How many things are wrong."""
        return sum(len(getattr(self, name)) for name in FAULTS)

    def to_json(self) -> dict[str, list[str]]:
        """All lists by name."""
        return asdict(self)


FAULTS = ("lost", "two_results", "doubled", "log_faults", "broken_records")


def parse_ledger(lines: Iterable[str]) -> list[Effect]:
    """The effects of a ledger in the order in which they happened.

    Raises:
        ValueError: a line is no effect.
    """
    effects = []
    for place, line in enumerate(lines):
        values = json.loads(line)
        values["time"] /= 1e9
        values["clock"] /= 1e9
        effects.append(Effect(place, **values))
    return effects


def judge(
    jobs: Sequence[JobRecord], effects: Sequence[Effect], strikes: Sequence[Strike]
) -> Verdict:
    """Hold the ledger against the records."""
    verdict = Verdict()
    of_number: dict[int, list[Effect]] = {}
    for effect in effects:
        of_number.setdefault(effect.number, []).append(effect)
    for job in jobs:
        own = of_number.pop(job.number, [])
        _judge_lost(job, own, verdict)
        _judge_doubled(job, own, strikes, verdict)
        _judge_log(job, verdict)
        judge_records(job, strikes, verdict)
    verdict.doubled += [f"job {number} of the ledger is nobody's" for number in of_number]
    return verdict


def _judge_lost(job: JobRecord, effects: list[Effect], verdict: Verdict) -> None:
    name = name_of(job)
    if not job.ids:
        verdict.lost.append(f"{name} is not in the database")
    elif job.state == "cancelled" and job.cancel_asked:
        return
    elif job.state != "succeeded":
        verdict.lost.append(f"{name} is {job.state}, reason {last_reason(job)}")
    else:
        winner = _succeeded(job)
        number = winner[0].number if winner else 0
        token = (job.result or {}).get("token")
        done = [(e.act, e.step) for e in effects if (e.attempt, e.token) == (number, token)]
        missing = [effect for effect in _complete(job.steps) if effect not in done]
        if missing:
            verdict.lost.append(
                f"{name} succeeded in attempt {number} without the effects {missing}"
            )
        wanted = {"number": job.number, "token": token, **padding(job.trait)}
        if job.result != wanted:
            verdict.lost.append(f"{name} succeeded with another result than its own")
        expected = result_text(job.number, job.steps, str(token))
        if [text for _, text in job.results] != [expected]:
            verdict.lost.append(f"{name} succeeded without its result file")


def _judge_results(job: JobRecord, verdict: Verdict) -> None:
    name, winners = name_of(job), _succeeded(job)
    if len(job.ids) > 1:
        verdict.two_results.append(f"{name} was entered as {job.ids}")
    if len(winners) > 1:
        numbers = [attempt.number for attempt in winners]
        verdict.two_results.append(f"{name}: attempts {numbers} succeeded")
    if len(job.results) > 1:
        verdict.two_results.append(f"{name} shows {len(job.results)} result files")
    if job.state == "succeeded" and job.results and winners:
        foreign = {attempt for attempt, _ in job.results} - {winners[-1].number}
        if foreign:
            verdict.two_results.append(f"{name} shows the result of attempts {sorted(foreign)}")


def _judge_doubled(
    job: JobRecord, effects: list[Effect], strikes: Sequence[Strike], verdict: Verdict
) -> None:
    name = name_of(job)
    records = {attempt.number: attempt for attempt in job.attempts}
    winners = _succeeded(job)
    for token, own in _by_token(effects).items():
        number = own[0].attempt
        who = f"{name} attempt {number} (process {own[0].pid})"
        others = {e.token for e in effects if e.attempt == number and e.token != token}
        if others and token == min({*others, token}):
            verdict.doubled.append(f"{who} was run by {len(others) + 1} processes")
        if number not in records:
            verdict.doubled.append(f"{who} is not in the database")
            continue
        acts = [(effect.act, effect.step) for effect in own]
        if acts != _complete(job.steps)[: len(acts)]:
            verdict.doubled.append(f"{who} did not do its steps in order, each once: {acts}")
        verdict.doubled += _overlaps(who, own, effects)
        if winners and number > winners[0].number:
            verdict.doubled.append(f"{who} began after attempt {winners[0].number} had succeeded")
        _judge_late(who, own, records[number], winners, verdict)
        if acts[-1][0] == "end" and any(e.attempt > number for e in effects):
            _judge_run_again(job, who, records[number], strikes, verdict)


def _overlaps(who: str, own: list[Effect], effects: list[Effect]) -> Iterator[str]:
    """Effects that came after those of a later attempt had begun: two were alive at once."""
    later = [effect for effect in effects if effect.attempt > own[0].attempt]
    if not later:
        return
    begun = min(later, key=lambda effect: effect.place)
    after = [effect for effect in own if effect.place > begun.place]
    if after:
        late = after[-1].clock - begun.clock
        yield (
            f"{who} had {len(after)} effects after attempt {begun.attempt} had begun, "
            f"the last {late:.3f} s after: {[(e.act, e.step) for e in after]}"
        )


def _judge_late(
    who: str,
    own: list[Effect],
    record: AttemptRecord,
    winners: list[AttemptRecord],
    verdict: Verdict,
) -> None:
    """Effects after the record says that there can be none."""
    for winner in winners:
        ended = winner.finished
        if winner.number != record.number and ended and own[-1].time > ended:
            verdict.doubled.append(f"{who} had effects after attempt {winner.number} succeeded")
    if record.finished is not None and own[-1].time > record.finished:
        late = own[-1].time - record.finished
        verdict.late_effects.append(f"{who} had effects {late:.3f} s after its recorded end")


def _judge_run_again(
    job: JobRecord,
    who: str,
    record: AttemptRecord,
    strikes: Sequence[Strike],
    verdict: Verdict,
) -> None:
    """Whether a job that had done all its work was run again for a reason."""
    struck = [strike.kind for strike in forced_by(job, record, strikes)]
    text = f"{who} had written its end and is recorded as {record.outcome} ({record.reason})"
    if struck:
        verdict.run_again_after_end.append(f"{text}, after {', '.join(struck)}")
    else:
        verdict.doubled.append(f"{text}; the job was run again, and the storm had not struck it")


def forced_by(job: JobRecord, attempt: AttemptRecord, strikes: Sequence[Strike]) -> list[Strike]:
    """The acts that may have ended an attempt, which has ended as if by one."""
    if attempt.outcome not in ("failed", "stopped") or attempt.reason not in _KINDS_OF:
        return []
    return [strike for strike in strikes if strike.explains(job.ids[0], attempt)]


def _judge_log(job: JobRecord, verdict: Verdict) -> None:
    if job.state != "succeeded":
        return
    name = name_of(job)
    steps = range(1, job.steps + 1)
    if list(job.output) != [output_line(job.number, step, job.steps) for step in steps]:
        verdict.log_faults.append(
            f"{name}: the stored output is not each of {job.steps} lines once and in order: "
            f"{list(job.output)}"
        )
    if list(job.metric_steps) != list(steps):
        verdict.log_faults.append(f"{name}: the stored metric has steps {job.metric_steps}")


def judge_records(
    job: JobRecord, strikes: Sequence[Strike], verdict: Verdict, own: str | None = None
) -> None:
    """Look whether a job's history holds together.

    Args:
        job, strikes, verdict: what was found is added to the verdict.
        own: a reason for which an attempt of this job fails by itself.
    """
    _judge_results(job, verdict)
    name, attempts, winners = name_of(job), job.attempts, _succeeded(job)
    broken: Callable[[str], None] = verdict.broken_records.append
    if [attempt.number for attempt in attempts] != list(range(1, len(attempts) + 1)):
        broken(f"{name}: attempts are numbered {[attempt.number for attempt in attempts]}")
    for attempt in attempts:
        who = f"{name} attempt {attempt.number}"
        if attempt.finished is None:
            broken(f"{who} has no end")
        elif attempt.outcome in ("failed", "stopped"):
            ending = f"{who} {attempt.outcome} ({attempt.reason})"
            if not attempt.reason:
                broken(f"{ending} has no reason")
            struck = any(strike.explains(job.ids[0], attempt) for strike in strikes)
            if not struck and attempt.reason != own:
                verdict.unexplained.append(f"{ending} and the storm had not struck it")
    if job.state == "succeeded" and (not winners or winners != [attempts[-1]]):
        broken(f"{name} succeeded, but not by its last attempt alone")
    if job.state != "succeeded" and winners:
        broken(f"{name} is {job.state} although an attempt succeeded")


@dataclass(frozen=True)
class Recovery:
    """How long acts of one kind have kept jobs from going on, in seconds.

    `queued` is from the act until the job was queued again, `begun` until its next first effect;
    both hold the pause before a retry where the reason is one that has it.
    """

    act: str
    reason: str

    count: int
    queued_median: float | None
    queued_worst: float | None
    begun_median: float
    begun_worst: float


def recoveries(
    jobs: Sequence[JobRecord], effects: Sequence[Effect], strikes: Sequence[Strike]
) -> list[Recovery]:
    """How long the jobs took that an act ended an attempt of, by act and recorded reason."""
    begins: dict[int, list[Effect]] = {}
    for effect in effects:
        if effect.act == "begin":
            begins.setdefault(effect.job, []).append(effect)
    times: dict[tuple[str, str], list[tuple[float | None, float]]] = {}
    for job in jobs:
        for attempt in job.attempts:
            if attempt.outcome not in ("failed", "stopped"):
                continue
            struck = [s for s in strikes if s.explains(job.ids[0], attempt)]
            again = [e for e in begins.get(job.ids[0], ()) if e.attempt > attempt.number]
            if not struck or not again:
                continue
            # Of those, the last that leaves this reason: what it survived did not end it.
            fitting = [s for s in struck if s.kind in _KINDS_OF.get(attempt.reason or "", ())]
            strike = max(fitting or struck, key=lambda strike: strike.clock)
            queued = attempt.queued_again
            times.setdefault((strike.kind, attempt.reason or "none"), []).append(
                (queued and queued - strike.time, again[0].clock - strike.clock)
            )
    return [_recovery(*key, found) for key, found in sorted(times.items())]


def _recovery(act: str, reason: str, times: list[tuple[float | None, float]]) -> Recovery:
    queued = [time for time, _ in times if time is not None]
    begun = [time for _, time in times]
    return Recovery(
        act,
        reason,
        len(times),
        statistics.median(queued) if queued else None,
        max(queued) if queued else None,
        statistics.median(begun),
        max(begun),
    )


def _complete(steps: int) -> list[tuple[str, int]]:
    return [("begin", 0), *(("step", step) for step in range(1, steps + 1)), ("end", 0)]


def _by_token(effects: list[Effect]) -> dict[str, list[Effect]]:
    found: dict[str, list[Effect]] = {}
    for effect in effects:
        found.setdefault(effect.token, []).append(effect)
    return found


def _succeeded(job: JobRecord) -> list[AttemptRecord]:
    return [attempt for attempt in job.attempts if attempt.outcome == "succeeded"]


def last_reason(job: JobRecord) -> str | None:
    """Why its last attempt has ended."""
    return job.attempts[-1].reason if job.attempts else None


def name_of(job: JobRecord) -> str:
    """How a job is called in a line."""
    return f"job {job.ids[0]} (number {job.number})" if job.ids else f"job number {job.number}"
