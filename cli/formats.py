"""How numbers, times and jobs read in a line of text. Pure functions; nothing is printed here."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cvq import text as plain
from cvq.endings import is_picture
from cvq.figures import headline as headline
from cvq.figures import is_figure, labelled
from cvq.figures import number as number
from cvq.states import State, WorkerState
from cvq.text import clean as clean
from cvq.text import clock as clock
from cvq.text import count as count
from cvq.text import duration as duration
from cvq.text import exactly as exactly
from cvq.text import moment as moment
from cvq.text import size as size

from .widths import cells, ending, middle

if TYPE_CHECKING:
    from cvq.records import Job

STATE_STYLES: defaultdict[str, str] = defaultdict(str)  # no style for a state of somebody's own
STATE_STYLES |= {
    State.WAITING: "yellow",
    State.QUEUED: "yellow",
    State.RUNNING: "cyan",
    State.SUCCEEDED: "green",
    State.FAILED: "red",
    State.CANCELLED: "magenta",
    WorkerState.UP: "green",
    WorkerState.DRAINING: "yellow",
    "silent": "red",
    WorkerState.GONE: "dim",
}
_MOST_NAMES = 4  # of a job without a name
_BARS = "▁▂▃▄▅▆▇█"


def cut(text: str, most: int = 200) -> str:
    """A line without control characters, its end left out where it is very long."""
    line = clean(text)
    return line if len(line) <= most else line[: most - 1] + "…"


def figure(text: str, width: int) -> str:
    """A figure such as `val_accuracy 0.93` in a width: its name gives way, the number stays."""
    name, _, number = text.rpartition(" ")
    if not any(sign.isdigit() for sign in number):  # an answer in words
        return ending(text, width)
    room = width - len(number) - 1
    return f"{middle(name, room)} {number}" if room > 1 else number


def state(text: str, width: int) -> str:
    """`failed (attempts-exhausted)` in a width: the reason gives way, the state stays."""
    word = text.partition(" (")[0].partition(",")[0]
    room = width - len(word) - 3
    if room > 4 and text.endswith(")"):
        return f"{word} ({text[len(word) + 2 : -1][: room - 1]}…)"
    return word


def done(text: str, width: int) -> str:
    """`30/100, 12s left` in a width: without the time that is left; `in 4min` of a start."""
    text = text.partition(",")[0]
    for is_said, instead in ((r"^starts ", ""), (r"(?<=\d) (?=[a-z])", ""), (r" ?left$", "")):
        if cells(text) > width:
            text = re.sub(is_said, instead, text)
    return middle(text, width)


def one_line(text: str) -> str:
    """A text of several lines as one, without control characters."""
    return clean(plain.one_line(text))


def age(time: datetime | None, now: datetime) -> str:
    """How long ago a time was, in one unit: `5s`, `12m`, `3h`, `2d`."""
    if time is None:
        return ""
    seconds = max(0, int((now - time).total_seconds()))
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length or (unit == "d" and seconds >= length):
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def sparkline(
    values: Sequence[float | None],
    width: int = 40,
    limits: tuple[float, float] | None = None,
) -> str:
    """A curve in one line of text; gaps are blanks. `limits` are its own unless given."""
    chosen = (
        [values[i * len(values) // width] for i in range(width)] if width < len(values) else values
    )
    finite = [value for value in chosen if value is not None]
    if not finite:
        return ""
    low, high = limits or (min(finite), max(finite))
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(" " if v is None else _BARS[round((v - low) * scale)] for v in chosen)


def thinned(curve: str, width: int) -> str:
    """A sparkline in fewer cells, drawn from some of its values."""
    return "".join(curve[place * len(curve) // width] for place in range(width))


def inputs(spec: dict[str, Any], kind: str) -> list[str]:
    """The names of the files that a specification reads, in the order of the kind's fields."""
    found: dict[str, list[str]] = {}
    for field, value in spec.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict) and "sha256" in item and "name" in item:
                found.setdefault(field, []).append(str(item["name"]))
    if len(found) > 1 and list(spec) == sorted(spec, key=lambda field: (len(field), field)):
        # So Postgres gives fields back, whatever their order was: the style before the content.
        from cvq.kinds import fields_of  # loads pydantic, which most lists need not

        place = {name: index for index, name in enumerate(fields_of(kind))}
        found = dict(sorted(found.items(), key=lambda item: place.get(item[0], len(place))))
    return [name for names in found.values() for name in names]


def title(job: Job) -> str:
    """What a job is called: its name, else its command, its inputs, or how many these are."""
    if job.name:
        return clean(job.name)
    if job.kind == "command" and isinstance(words := job.spec.get("argv"), list):
        return cut(shlex.join(map(str, words)))
    names = inputs(job.spec, job.kind)
    if len(names) <= _MOST_NAMES:
        return clean(" ".join(names))
    pictures = all(map(is_picture, names))
    count = f"{len(names)} {'pictures' if pictures else 'files'}"
    return clean(f"{count}: {names[0]} … {names[-1]}")


def progress(job: Job) -> str:
    """How far a job is: `30/100 steps, 12s left`."""
    at = job.progress
    if not at or at.get("total") is None:
        return ""
    text = f"{at['done']}/{at['total']}"
    eta = duration(at.get("eta_s")) if job.state == State.RUNNING else ""
    return f"{text}, {eta} left" if eta else text


def result_figures(job: Job, most: int = 3) -> str:
    """The first few numbers of a job's result: `pictures 12  seconds 1.5`.

    What only repeats a value that the job was given, as its model's number, is no figure.
    """
    numbers = [
        labelled(name, value)
        for name, value in (job.result.items() if isinstance(job.result, dict) else ())
        if is_figure(value) and not isinstance(value, str) and name not in job.spec
    ]
    return "  ".join(numbers[:most])


def figures(job: Job, names: Sequence[str], width: int, most: int = 3) -> str:
    """As many headline metrics as a width holds; of the first, the number in any case."""
    for several in range(most, 1, -1):
        text = headline(job, names, most=several)
        if len(text) <= width:
            return text
    return figure(headline(job, names), width)


def outcome(job: Job) -> str:
    """A job's state with what there is to say about it, as in `failed (oom)`."""
    if job.reason:
        return f"{job.state} ({job.reason})"
    if job.warnings:
        return f"{job.state} (warned)"
    if job.cancel_requested and not job.finished:
        return f"{job.state}, to be cancelled"
    return job.state


def states(counts: Mapping[str, int]) -> str:
    """How many jobs are in each state: `2 failed, 4998 succeeded`."""
    return ", ".join(f"{number} {state}" for state, number in sorted(counts.items()))
