"""The jobs that references and filters of one command mean together."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from . import options
from .output import note, on_terminal

if TYPE_CHECKING:
    from cvq.history import History
    from cvq.parse import Reference
    from cvq.views.filters import Filter


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
    wanted = options.make_filter(
        client, **filters, ids=options.resolve(client, references), **more
    )
    for remark in client.check_filter(wanted):
        note(remark)
    return wanted


def someone_is_there() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty() and on_terminal()


def agreed(question: str, *, yes: bool) -> bool:
    """Ask a person, where there is one and `--yes` was not given."""
    return yes or not someone_is_there() or click.confirm(question, err=True)
