"""Jobs as a table of pandas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .attributes import params_of
from .errors import SetupError
from .text import one_line

if TYPE_CHECKING:
    import pandas

    from .records import Job

_COLUMNS = (
    "kind", "state", "reason", "user", "name", "note", "queue", "priority", "batch", "sweep",
    "twin_of", "made_from", "attempt", "created_at", "started_at", "finished_at",
)  # fmt: skip
_TIMES = ("created_at", "started_at", "finished_at")


def frame(jobs: Iterable[Job]) -> pandas.DataFrame:
    """A row for each job, by its id.

    Columns are those of the job, `seconds` (its run time), and, called as in a query, `params.lr`,
    `tags.for`, `metrics.val_loss` and `result.class`: what stands for itself in a specification or
    a result, nested ones as `a.b`. Times are aware, in UTC; what a job has not is missing.

    Raises:
        SetupError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise SetupError(
            f"to_pandas() needs pandas, which cannot be imported ({one_line(str(error))}): "
            "pip install pandas"
        ) from None
    rows = [_row(job) for job in jobs]
    names = dict.fromkeys(["id", *_COLUMNS, "seconds"])
    names.update(dict.fromkeys(sorted({name for row in rows for name in row} - set(names))))
    table = pandas.DataFrame.from_records(rows, columns=list(names)).set_index("id")
    for name in _TIMES:
        table[name] = pandas.to_datetime(table[name], utc=True)
    return table


def _row(job: Job) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(job, name) for name in ("id", *_COLUMNS)}
    seconds = job.finished_at and job.seconds(job.finished_at)
    row["seconds"] = seconds
    row |= {f"params.{name}": value for name, value in _leaves(job.spec)}
    row |= {f"tags.{name}": value for name, value in job.tags.items()}
    row |= {f"metrics.{name}": value for name, value in job.metrics.items()}
    result = job.result if isinstance(job.result, dict) else {}
    return row | {f"result.{name}": value for name, value in _leaves(result)}


def _leaves(record: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    for each in params_of(record):
        if each.value is None:
            yield each.name, each.text
        else:
            yield each.name, each.value == 1.0 if each.text in ("true", "false") else each.value
