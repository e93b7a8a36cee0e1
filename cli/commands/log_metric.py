"""`cvq log-metric NAME=VALUE…`: what a program of a `command` job reports, in any language."""

from __future__ import annotations

import click

from cvq.errors import UsageError

from ..options import Parser

_PROGRESS = "progress"


def _progress(text: str) -> tuple[int, int]:
    done, _, total = text.partition("/")
    try:
        return int(done), int(total)
    except ValueError:
        raise UsageError(f"'{text}' is not DONE/TOTAL, as 3/100") from None


@click.command(
    "log-metric",
    epilog="\b\nExamples:\n  cvq log-metric step=3 loss=0.1 accuracy=0.9"
    "\n  cvq log-metric --progress 3/100",
)
@click.argument("words", metavar="[NAME=VALUE]...", nargs=-1)
@click.option(
    "--progress", type=Parser("done/total", _progress), metavar="DONE/TOTAL",
    help="How far the program is.",
)  # fmt: skip
@click.option("--unit", metavar="WORD", help="What is counted.  [default: step]")
def log_metric(words: tuple[str, ...], progress: tuple[int, int] | None, unit: str | None) -> None:
    """Record metrics or progress, from a program that is a job.

    It is for programs that `cvq submit command` runs, and for whatever they start. `step=N` says
    of which step the numbers are; without it they are of the next.
    """
    from cvq.reporting import metric_reports, say

    if not words and progress is None:
        raise UsageError("give NAME=VALUE, as loss=0.1, or --progress DONE/TOTAL")
    if unit is not None and progress is None:
        raise UsageError("--unit is what --progress counts: give both")
    values = _values(words)
    step = values.pop("step", None)
    reports = metric_reports(None if step is None else _whole(step), dict(values))
    if step is not None and not values:
        raise UsageError("step alone is no metric: give NAME=VALUE, as loss=0.1")
    if progress is not None:
        done, total = progress
        reports.append({_PROGRESS: {"done": done, "total": total, "unit": unit or "step"}})
    say(reports)


def _values(words: tuple[str, ...]) -> dict[str, str]:
    values: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"'{word}' is no metric: write NAME=VALUE, as loss=0.1")
        if name in values:
            raise UsageError(f"{name} stands there twice: give it once")
        values[name] = value
    return values


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"step={text}: a step is a whole number") from None
