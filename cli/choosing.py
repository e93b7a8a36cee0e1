"""The jobs that references and filters of one command mean together."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from . import resolving
from .output import note, on_terminal, show_table

if TYPE_CHECKING:
    from cvq.client import Client
    from cvq.history import History
    from cvq.parse import Reference
    from cvq.views.filters import Filter

_SHOWN = 20  # jobs before a question


def chosen(
    client: History, references: Sequence[Reference], filters: Mapping[str, Any], **more: Any
) -> Filter | None:
    """The filter that references and options mean; None where nothing was given.

    Raises:
        UsageError: a name is misspelt.
        UnknownJobError: a reference means no job.
    """
    if not references and not any(filters.values()):
        return None
    wanted = resolving.make_filter(
        client, **filters, ids=resolving.resolve(client, references), **more
    )
    for remark in client.check_filter(wanted):
        note(remark)
    return wanted


def someone_is_there() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty() and on_terminal()


def agreed_on(client: Client, ids: Sequence[int], verb: str, *, yes: bool) -> bool:
    """The same of some jobs, of which the first are shown: "Cancel these 3 jobs?"."""
    from cvq.queries import jobs_in_order

    from .job_table import listing

    if yes or not someone_is_there():
        return True
    with client.db.read() as connection:
        jobs = jobs_in_order(connection, ids[:_SHOWN])
    show_table(listing(client).columns(), jobs)
    if len(ids) > _SHOWN:
        note(f"… and {len(ids) - _SHOWN} more")
    return agreed(f"{verb} these {len(ids)} jobs?", yes=yes)


def show_jobs(client: Client, ids: Sequence[int]) -> None:
    """List jobs in the form that was asked for."""
    from cvq.queries import jobs_in_order

    from .display import display_list
    from .job_table import listing

    with client.db.read() as connection:
        jobs = jobs_in_order(connection, ids)
    display_list(listing(client), jobs)


def agreed(question: str, *, yes: bool) -> bool:
    """Ask a person, where there is one and `--yes` was not given."""
    return yes or not someone_is_there() or click.confirm(question, err=True)
