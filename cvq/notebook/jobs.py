"""A job, and a list of jobs, as a notebook shows them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ..figures import headline
from ..results import looked_at
from ..text import duration
from . import cells
from .curve import curve
from .thumbnail import thumbnail

if TYPE_CHECKING:
    from ..handle import JobHandle
    from ..records import Job

_MOST_PICTURES = 20  # of a list
_SMALL, _LARGE = 64, 320  # pixels
_MOST_SMALL, _MOST_LARGE = 4 << 20, 32 << 20  # bytes of the file of a picture
_MOST_CURVES = 2


def job_html(handle: JobHandle) -> str:
    """A job with its picture and curves."""
    job = handle.job
    rows = [
        ("name", cells.cell(job.name)),
        (
            "tags",
            cells.cell(", ".join(f"{key}={value}" for key, value in sorted(job.tags.items()))),
        ),
        ("note", cells.cell(job.note, 400)),
        ("headline", cells.cell(headline(job, job.headline or (), most=3))),
        ("run time", cells.cell(_seconds(job))),
        ("error", cells.cell(_last_line(job.error), 200)),
    ]
    title = f"<b>Job {job.id}</b> {cells.cell(job.kind)} {cells.state(job.state, job.reason)}"
    drawn = "".join(
        f"<div>{each}</div>" for each in [_picture(handle, _LARGE, _MOST_LARGE), *_curves(handle)]
    )
    return f"<div><div>{title}</div>{cells.pairs(rows)}{drawn}</div>"


def jobs_html(handles: Sequence[JobHandle], total: int | None = None) -> str:
    """A list of jobs: a row for each of the first, with its picture.

    Args:
        handles: the jobs, or the first of them.
        total: how many there are; default: these.
    """
    heading = ["id", "kind", "state", "name", "tags", "run time", "headline", "picture"]
    shown = handles[: cells.MOST_ROWS]
    rows = [_row(handle, nth < _MOST_PICTURES) for nth, handle in enumerate(shown)]
    left = (len(handles) if total is None else total) - len(rows)
    return cells.table(heading, rows) + cells.more(left, "job")


def _row(handle: JobHandle, pictured: bool) -> list[str]:
    job = handle.job
    return [
        str(job.id),
        cells.cell(job.kind),
        cells.state(job.state, job.reason),
        cells.cell(job.name, 40),
        cells.cell(" ".join(f"{key}={value}" for key, value in sorted(job.tags.items())), 40),
        cells.cell(_seconds(job)),
        cells.cell(headline(job, job.headline or ()), 40),
        _picture(handle, _SMALL, _MOST_SMALL) if pictured else "",
    ]


def _seconds(job: Job) -> str:
    return duration(job.seconds(datetime.now(UTC)))


def _last_line(text: str | None) -> str:
    return next(iter((text or "").strip().splitlines()[::-1]), "")


def _picture(handle: JobHandle, side: int, most: int) -> str:
    """The first picture of the results, or the last on the way; "" where none can be shown."""
    with suppress(Exception), TemporaryDirectory(prefix="cvq-") as folder:
        file = next(iter(looked_at(handle.artifacts)), None)
        if file is not None and file.bytes <= most:
            path = handle.client.readable(handle, file, Path(folder))
            return thumbnail(path, side, handle.client.settings.max_pixels)
    return ""


def _curves(handle: JobHandle) -> list[str]:
    """The curves of the headline metrics, or of the first."""
    job = handle.job
    names = [name for name in job.headline or () if name in job.metrics]
    names += [name for name in sorted(job.metrics) if name not in names]
    found = []
    with suppress(Exception):
        for name in names[: 2 * _MOST_CURVES]:
            if drawn := curve(name, handle.curve(name)):
                found.append(drawn)
    return found[:_MOST_CURVES]
