"""What the reason of a failed attempt means, and what helps. Pure functions."""

from __future__ import annotations

from collections.abc import Callable

from ..lifecycle import endings
from ..records import Attempt, Job
from ..states import Reason, State
from ..text import duration, join, one_line, size
from .diagnosis import Diagnosis

# Fields of a specification that decide how much memory a job takes.
_BIG_FIELDS = ("batch_size", "batch", "size", "image_size", "resolution", "crop")
_BY_CHANCE = (Reason.WORKER_LOST, Reason.FREEZE, "signal:")
_CRASHES = ("SEGV", "ABRT", "BUS", "ILL", "FPE", "SYS", "TRAP")


def cause(job: Job, attempts: list[Attempt]) -> Diagnosis:
    """Why a job failed, from its reason and its attempts.

    A job whose attempts are used up failed for the last one's own reason. A job that failed
    because of its parents is the business of `ended`.
    """
    if not attempts:
        return _unknown(job, None, job.reason or "")
    last = attempts[-1]
    sentences, advice = _cause_of(job, last)
    failed = [attempt for attempt in attempts if attempt.outcome == State.FAILED]
    if len(failed) > 1:
        reasons = join([attempt.reason or "?" for attempt in failed])
        several = f"{len(failed)} attempts failed ({reasons}), the last as follows."
        sentences = [several, *sentences]
    if job.max_attempts == 1 and (last.reason or "").startswith(_BY_CHANCE):
        again = "It had one attempt only: with --retries 2 it would be tried again."
        advice = [*advice, again]
    return Diagnosis(sentences, advice)


def ended_with(attempt: Attempt) -> str:
    """How an attempt ended, in a few words: `attempt 1 ended with oom`."""
    if attempt.reason == Reason.PREEMPTED:
        return f"attempt {attempt.number} was stopped, as its worker left"
    return f"attempt {attempt.number} ended with {attempt.reason or attempt.outcome}"


def log_advice(job: Job, stream: str = "") -> str:
    """Where the last lines are."""
    only = f" --stream {stream}" if stream else ""
    return f"`cvq logs {job.id}{only} --tail 50` shows its last lines."


def _cause_of(job: Job, attempt: Attempt) -> Diagnosis:
    word, _, detail = (attempt.reason or "").partition(":")
    return _EXPLAINED.get(word, _unknown)(job, attempt, detail)


def _error(job: Job, attempt: Attempt, _detail: str) -> Diagnosis:
    said = [f"Attempt {attempt.number} ended with an error{_quoted(attempt)}."]
    advice = []
    if attempt.traceback:
        advice.append(f"`cvq show {job.id} --traceback` shows where.")
    if job.attempt < job.max_attempts:
        said.append("It was not tried again, as the same values would fail in the same way.")
    return Diagnosis(said, [*advice, log_advice(job)])


def _oom(job: Job, attempt: Attempt, _detail: str) -> Diagnosis:
    said = [f"The memory of {attempt.host} was used up{_in_brackets(attempt)}."]
    if attempt.peak_memory:
        said.append(f"The job's process took up to {size(attempt.peak_memory)} of it.")
    fewer = "Fewer jobs at a time leave each more memory: `cvq worker --slots 1` there."
    return Diagnosis(said, [_smaller(job), fewer])


def _cuda_oom(job: Job, attempt: Attempt, _detail: str) -> Diagnosis:
    where = f"{attempt.device} of {attempt.host}" if attempt.device else f"the GPU, {attempt.host}"
    return Diagnosis(
        [f"The memory of {where} was too small for the job{_in_brackets(attempt)}."],
        [
            _smaller(job),
            f"`nvidia-smi` on {attempt.host} shows whether somebody else uses the GPU, too.",
            "With --no-gpu it computes in the machine's own memory, slowly.",
        ],
    )


def _signal(job: Job, attempt: Attempt, name: str) -> Diagnosis:
    stderr = log_advice(job, "stderr")
    if name in _CRASHES:
        return Diagnosis(
            [f"Its process crashed with signal {name}, in compiled code and not in Python's."],
            [stderr, "If it crashes again with the same values, a library there has a bug."],
        )
    said = f"Its process was killed by signal {name}, and not by cvq."
    if name != "KILL":
        sender = f"Somebody on {attempt.host} sent it, or the job itself."
        return Diagnosis([said], [sender, stderr])
    memory = f"`dmesg` on {attempt.host} shows whether the kernel did it, for lack of memory."
    return Diagnosis([said], [memory, stderr])


def _exit(job: Job, _attempt: Attempt, code: str) -> Diagnosis:
    said = f"Its process left with exit code {code} before it had given a result."
    return Diagnosis([said], [log_advice(job, "stderr")])


def _timeout(job: Job, attempt: Attempt, _detail: str) -> Diagnosis:
    soft = endings.is_soft_timeout(job, attempt)
    limit, option = (
        (job.soft_time_limit, "--soft-time-limit") if soft else (job.time_limit, "--time-limit")
    )
    how = "was asked to stop at its soft time limit" if soft else "was killed at its time limit"
    said = [f"Attempt {attempt.number} {how} of {duration(limit) or '?'}."]
    progress = job.progress or {}
    if done := progress.get("done"):
        unit, total = progress.get("unit") or "step", progress.get("total")
        whole = attempt.seconds(attempt.started_at) * (total or 0) / done
        # An attempt that resumed did not do all of these steps.
        needs = f", so that it needs about {duration(whole)}" if total and job.attempt == 1 else ""
        said.append(f"It was at {unit} {done} of {total or '?'}{needs}.")
    return Diagnosis(said, [f"Submit it again with a longer {option}, or with less to do."])


def _disk_full(_job: Job, attempt: Attempt, _detail: str) -> Diagnosis:
    return Diagnosis(
        [f"A disk on {attempt.host} had no room left{_in_brackets(attempt)}."],
        [f"Free some space there, or let {attempt.host}'s CVQ_HOME be on a larger disk."],
    )


def _freeze(job: Job, attempt: Attempt, _detail: str) -> Diagnosis:
    return Diagnosis(
        [f"Its process was there, but answered nothing any more{_in_brackets(attempt)}."],
        [
            f"Was it paused on {attempt.host}, or does compiled code keep Python from running?",
            log_advice(job),
        ],
    )


def _worker_lost(_job: Job, attempt: Attempt, _detail: str) -> Diagnosis:
    silent = endings.is_silence(attempt)
    how = "fell silent during the attempt" if silent else f"lost it{_in_brackets(attempt)}"
    return Diagnosis(
        [f"Its worker {attempt.worker} on {attempt.host} {how}."],
        [
            f"Was {attempt.host} switched off, cut off or out of memory? "
            "`cvq workers` lists who is there.",
            f"The worker's own log is in the folder logs of its CVQ_HOME on {attempt.host}.",
        ],
    )


def _unknown(job: Job, attempt: Attempt | None, _detail: str) -> Diagnosis:
    reason = (attempt.reason if attempt else job.reason) or "no reason given"
    said = f"It failed: {reason}{_quoted(attempt or job)}."
    return Diagnosis([said], [f"`cvq show {job.id}` tells all that is known.", log_advice(job)])


_EXPLAINED: dict[str, Callable[[Job, Attempt, str], Diagnosis]] = {
    Reason.ERROR: _error,
    Reason.OOM: _oom,
    Reason.CUDA_OOM: _cuda_oom,
    "signal": _signal,
    "exit": _exit,
    Reason.TIMEOUT: _timeout,
    Reason.DISK_FULL: _disk_full,
    Reason.FREEZE: _freeze,
    Reason.WORKER_LOST: _worker_lost,
}


def _quoted(ended: Attempt | Job) -> str:
    return f": {one_line(ended.error).rstrip('.')}" if ended.error else ""


def _in_brackets(attempt: Attempt) -> str:
    return f" ({one_line(attempt.error).rstrip('.')})" if attempt.error else ""


def _smaller(job: Job) -> str:
    """What to make smaller, by the names that this kind's options have."""
    options = [
        f"--{name.replace('_', '-')}{f' (it was {value})' if value else ''}"
        for name in _BIG_FIELDS
        if isinstance(value := job.spec.get(name), int)
    ]
    return f"Submit it again with a smaller {' or '.join(options) or 'picture or batch'}."
