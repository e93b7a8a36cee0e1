"""`cvq export`: jobs for other tools."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cvq.errors import UsageError
from cvq.text import count

from .. import options
from ..choosing import chosen
from ..output import json_text, note, say
from ..stages import in_stages

if TYPE_CHECKING:
    from cvq.client import Client
    from cvq.export.reading import Exported
    from cvq.parse import Reference

Write = Callable[["Exported"], bool]
"""Writes a job; False where there was nothing new."""


@click.command(
    epilog="\b\nExamples:\n  cvq export --since 7d -o week.jsonl\n"
    "  cvq export --kind vae --tensorboard runs/\n"
    "  cvq export --batch 3 --mlflow http://mlflow.lab:5000\n"
    "  cvq export 12 --logs | jq .curves"
)
@click.argument("references", metavar="[JOB]...", type=options.REFERENCE, nargs=-1)
@options.filters
@click.option(
    "-o", "--output", type=options.FilePath(dir_okay=False, path_type=Path), metavar="FILE",
    help="Write the lines into a file, instead of stdout.",
)  # fmt: skip
@options.flag("--logs", help="With what the jobs have written.")
@click.option(
    "--tensorboard", type=options.FilePath(file_okay=False, path_type=Path), metavar="FOLDER",
    help="Write TensorBoard's event files, a folder for each job: metrics and parameters.",
)  # fmt: skip
@click.option(
    "--mlflow", metavar="URI",
    help="Write to MLflow, a run for each job: http://host:5000, sqlite:///mlflow.db.",
)  # fmt: skip
@click.option(
    "--experiment", metavar="NAME",
    help="The experiment for all jobs.  [default: cvq-KIND]",
)  # fmt: skip
@options.flag("--files", help="With the jobs' results, for MLflow.")
def export(
    references: Sequence[Reference],
    output: Path | None,
    logs: bool,
    tensorboard: Path | None,
    mlflow: str | None,
    experiment: str | None,
    files: bool,
    **filters: Any,
) -> int:
    """Write jobs for other tools: JSON lines, TensorBoard, MLflow.

    JOB and filters choose, as for `cvq ls`; without any, all jobs are meant. By default each job
    is a line of JSON with its files, attempts and curves. What was exported before is brought up
    to date, and never doubled. JOB is an id, a range 3-7, @ (your last) or @~1 (the one before).
    """
    from cvq.client import Client
    from cvq.export import reading
    from cvq.views import filters as views
    from cvq.views.filters import Filter

    _check(output, logs, tensorboard, mlflow, experiment, files)
    client = Client()
    wanted = chosen(client, references, filters, sort="id", trashed=bool(references))
    with client.db.read() as connection:
        ids = views.ids(connection, wanted or Filter(sort="id"))
    writers: list[tuple[str, Any]] = []
    if tensorboard is not None:
        writers.append((str(tensorboard), nullcontext(_to_tensorboard(tensorboard))))
    if mlflow is not None:
        writers.append(("MLflow", nullcontext(_to_mlflow(client, mlflow, experiment, files))))
    if output is not None or not writers:
        writers.append((str(output), _to_lines(client, output, logs)))
    printed = output is None and not (tensorboard or mlflow)
    new = [0] * len(writers)
    with _telling(printed) as tell, ExitStack() as stack:
        writes: list[Write] = [stack.enter_context(writer) for _, writer in writers]
        for done, each in enumerate(reading.each(client.db, ids), 1):
            for nth, write in enumerate(writes):
                new[nth] += write(each)
            tell("exporting", done, len(ids))
    for (where, _), number in zip(writers, new, strict=True):
        if not printed:
            note(_told(where, len(ids), number))
    return 0


def _check(
    output: Path | None,
    logs: bool,
    tensorboard: Path | None,
    mlflow: str | None,
    experiment: str | None,
    files: bool,
) -> None:
    """Refuse options that would have no effect."""
    if mlflow is None and (experiment is not None or files):
        raise UsageError(f"{'--files' if files else '--experiment'} is for --mlflow: give its URI")
    if logs and output is None and (tensorboard or mlflow):
        raise UsageError("--logs is for the lines of JSON: give -o FILE, too")


@contextmanager
def _telling(quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A bar, unless the lines themselves are printed."""
    if quiet:
        yield lambda *_: None
    else:
        with in_stages() as tell:
            yield tell


def _told(where: str, jobs: int, new: int) -> str:
    old = f", {count(jobs - new, 'job')} as before" if jobs > new else ""
    return f"{count(new, 'job')} exported to {where}{old}"


@contextmanager
def _to_lines(client: Client, output: Path | None, logs: bool) -> Iterator[Write]:
    from cvq.export.lines import line
    from cvq.files import atomic

    if output is None:

        def printed(each: Exported) -> bool:
            say(json_text(line(client.db, each, logs=logs)), wrap=False)
            return True

        yield printed
        return
    with atomic(output) as partial, partial.open("w", encoding="utf-8") as file:

        def written(each: Exported) -> bool:
            file.write(f"{json_text(line(client.db, each, logs=logs))}\n")
            return True

        yield written


def _to_tensorboard(folder: Path) -> Write:
    from cvq.export import tensorboard

    def write(each: Exported) -> bool:
        tensorboard.write(each, folder)
        return True

    return write


def _to_mlflow(client: Client, uri: str, experiment: str | None, files: bool) -> Write:
    from cvq.export.mlflow import Mlflow

    return Mlflow(uri, client.db, client.artifacts if files else None, experiment).write
