"""How numbers, times and lists read in a sentence. Pure functions."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from difflib import get_close_matches

# What would move a cursor, change colours, or show text in another order than it has: controls
# below the space but the tab, C1, separators of lines, marks of direction, tags, half pairs.
UNPRINTABLE = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def clean(text: object) -> str:
    """Text of which every character is seen: no job's words may steer the reader's terminal."""
    return UNPRINTABLE.sub(lambda found: _escaped(ord(found[0])), str(text))


def clean_lines(text: str) -> str:
    """The same for a text of several lines."""
    return "\n".join(clean(line) for line in text.split("\n"))


def _escaped(code: int) -> str:
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def duration(seconds: float | None) -> str:
    """A duration: `0.4s`, `12s`, `3m05s`, `2h10m`, `4d03h`; empty for None."""
    if seconds is None or not math.isfinite(seconds):
        return ""
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02}h"


def exactly(seconds: float | None) -> str:
    """A duration as somebody gave it: `0.5s`, `90s`; empty for None."""
    return "" if seconds is None else f"{seconds:g}s"


def about(seconds: float) -> str:
    """A duration that is not known well, in one unit: `0.4s`, `40s`, `3.5m`, `2.5h`, `3d`."""
    return "".join(_roughly(seconds))


def between(low: float, high: float) -> str:
    """Two such durations: `2–5m`, `40s–2m`; `3m` where they read alike."""
    (first, of_first), (last, of_last) = _roughly(low), _roughly(high)
    if (first, of_first) == (last, of_last):
        return f"{last}{of_last}"
    return f"{first}{'' if of_first == of_last else of_first}–{last}{of_last}"


def _roughly(seconds: float) -> tuple[str, str]:
    for unit, length, most in (("s", 1, 90), ("m", 60, 5400), ("h", 3600, 172_800)):
        if seconds < most:
            return _two_digits(seconds / length), unit
    return _two_digits(seconds / 86_400), "d"


def _two_digits(number: float) -> str:
    if number >= 10:
        return str(round(number))
    return f"{math.floor(number * 2 + 0.5) / 2:g}" if number >= 1 else f"{number:.1g}"


def clock(time: datetime | None) -> str:
    """A time of day in the reader's own zone; empty for None."""
    return "" if time is None else f"{time.astimezone():%Y-%m-%d %H:%M:%S}"


def clock_about(time: datetime, now: datetime) -> str:
    """The same as roughly as what is to come is known: `14:20`, `Tue 14:20`, `2026-11-20`."""
    local, today = time.astimezone(), now.astimezone()
    days = (local.date() - today.date()).days
    if days == 0:
        return f"{local:%H:%M}"
    return f"{local:%a %H:%M}" if days < 6 else f"{local:%Y-%m-%d}"


def moment(time: datetime) -> str:
    """A time in the reader's own zone, which it names: `2026-11-01 18:00:00+01:00`."""
    return time.astimezone().isoformat(sep=" ", timespec="seconds")


def size(count: int | None) -> str:
    """A number of bytes: `812 B`, `1.2 MB`; empty for None."""
    if count is None:
        return ""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """`1 worker`, `2 workers`; a plural that takes more than an s is given."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def percent(probability: float) -> str:
    """ "47 %" of a probability from 0 to 1; what is not certain is not rounded to certainty."""
    share = 100 * probability
    return f"{min(share, 99.9):.1f} %" if 99 < share < 100 else f"{share:.0f} %"


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The word that somebody may have meant; None where none is alike enough (0 to 1)."""
    near = get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return near[0] if near else None


def did_you_mean(near: str | None) -> str:
    """The question that follows a word that is not known; empty where none is near."""
    return f"did you mean '{near}'?" if near else ""


def join(items: Sequence[object], most: int = 5, last: str = "and") -> str:
    """`3, 4 and 5`; of more than `most`, the first and how many more there are. Empty for none."""
    named = [str(item) for item in items[:most]]
    if len(items) > most:
        named.append(f"{len(items) - most} more")
    return f" {last} ".join(filter(None, [", ".join(named[:-1]), *named[-1:]]))


def one_line(text: str, most: int = 200) -> str:
    """A text of several lines as one, its end left out where it is very long."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"
