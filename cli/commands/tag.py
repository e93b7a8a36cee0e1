"""`cvq tag JOB… KEY=VALUE…`: words to find jobs by, given afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from cvq import parse
from cvq.errors import UsageError
from cvq.text import join

from .. import completing, options, resolving
from ..choosing import agreed_on, show_jobs
from ..display import Form, Listing, display, display_list, form
from ..formats import clean, count
from ..output import Column, note, say, say_each

if TYPE_CHECKING:
    from cvq.client import Client

_TOLD = 5  # tags in a line
_FEW = 10_000  # jobs that take less than a second


@click.command(
    epilog="\b\nExamples:\n  cvq tag 12 for=paper\n  cvq tag 3-7 @ for=paper fold=2"
    "\n  cvq tag --where 'val_accuracy>0.9' --kind vae for=paper\n  cvq tag 12 --remove for"
    "\n  cvq tag"
)
@click.argument(
    "words", metavar="[JOB]... [KEY=VALUE]...", nargs=-1, shell_complete=completing.jobs_and_tags
)
@click.option("--remove", multiple=True, metavar="KEY", help="Take this tag away.")
@options.filters
@options.flag("--dry-run", help="Only list the jobs that are meant.")
@options.yes
@options.as_json
@options.as_csv
@options.as_md
@options.quiet
def tag(
    words: Sequence[str], remove: Sequence[str], dry_run: bool, yes: bool, **filters: Any
) -> None:
    """Tag jobs, or list the tags in use.

    Filters choose among the jobs given, or among all. A tag takes the place of one of the same
    key; what a job does, and whether its work is found again, stays as it is. JOB alone lists its
    tags. JOB is an id, a range 3-7, @ (your last) or @~1 (the one before).
    """
    from cvq.client import Client

    client = Client()
    given = dict(parse.tag(word, value_needed=True) for word in words if "=" in word)
    references = [word for word in words if "=" not in word]
    if not given and not remove:
        if dry_run:
            raise UsageError("which tags? Give KEY=VALUE, or --remove KEY")
        _list(client, references, filters)
        return
    if form() in (Form.CSV, Form.MD) and not dry_run:
        raise UsageError("a list of tags has --csv and --md: give JOB alone, or neither of them")
    if both := sorted(set(given) & set(remove)):
        raise UsageError(f"'{both[0]}' is given and removed: give one of them")
    ids = _chosen(client, references, filters)
    if dry_run:
        show_jobs(client, ids)
        return
    if len(ids) > 1 and any(filters.values()) and not agreed_on(client, ids, "Tag", yes=yes):
        note("nothing was tagged")
        return
    changed = _tag(client, ids, {**given, **dict.fromkeys(remove)})
    display(
        changed,
        json=lambda changed: {"jobs": ids, "changed": changed},
        quiet=lambda changed: say_each(changed, wrap=False),
        text=lambda changed: _tell(len(ids), len(changed), given, remove),
    )


def _tag(client: Client, ids: Sequence[int], tags: dict[str, str | None]) -> list[int]:
    """Tag many jobs in parts, with a bar; Ctrl-C ends it after one of them."""
    from ..bars import counting
    from ..interrupts import Interrupts

    with Interrupts() as interrupts, counting("tagging", len(ids), least=_FEW) as advance:

        def look(done: int, of: int) -> None:
            advance(done)
            if done < of:
                interrupts.check()

        return client.tag(ids, tags, on_part=look)


def _chosen(client: Client, references: Sequence[str], filters: dict[str, Any]) -> list[int]:
    """The ids of the jobs that are meant."""
    from cvq.views import filters as views

    if not references and not any(filters.values()):
        raise UsageError("which jobs? Give JOB, or a filter such as --where 'val_accuracy>0.9'")
    ids = resolving.resolve(client, [_reference(word) for word in references])
    if not any(filters.values()):
        return ids
    wanted = resolving.make_filter(client, **filters, ids=ids)
    for remark in client.check_filter(wanted):
        note(remark)
    with client.db.read() as connection:
        return views.ids(connection, wanted)


def _reference(word: str) -> parse.Reference:
    try:
        return parse.reference(word)
    except UsageError as error:
        raise UsageError(f"{error}; a tag is KEY=VALUE") from None


def _tell(number: int, changed: int, given: dict[str, str | None], removed: Sequence[str]) -> None:
    if not number:
        note("no such jobs")
        return
    words = [f"{key}={value}" for key, value in given.items()]
    told = [f"tagged {join(words, most=_TOLD)}"] if given else []
    told += [f"untagged {join(removed, most=_TOLD)}"] if removed else []
    say(clean(f"{count(changed, 'job')} {join(told)}"))
    if number > changed:
        same = number - changed
        note(f"{same} of {number} {'was' if same == 1 else 'were'} so already")


def _list(client: Client, references: Sequence[str], filters: dict[str, Any]) -> None:
    """The tags of some jobs, or those in use."""
    if not references and not any(filters.values()):
        _list_all(client)
        return
    from cvq.queries import jobs_in_order

    ids = _chosen(client, references, filters)
    with client.db.read() as connection:
        jobs = jobs_in_order(connection, ids)
    rows = [(job.id, key, value) for job in jobs for key, value in sorted(job.tags.items())]
    columns: list[Column[tuple[int, str, str]]] = [
        Column("id", lambda row: str(row[0]), raw=lambda row: row[0], right=True),
        Column("key", lambda row: row[1], least=8),
        Column("value", lambda row: row[2], least=8),
    ]
    display_list(
        Listing(
            columns=lambda: columns,
            shape=lambda rows: [{"id": n, "key": key, "value": word} for n, key, word in rows],
            quiet=lambda row: clean(f"{row[1]}={row[2]}"),
            empty="no tags: `cvq tag JOB KEY=VALUE` gives one",
        ),
        rows,
    )


def _list_all(client: Client) -> None:
    columns: list[Column[tuple[str, str, int]]] = [
        Column("key", lambda row: row[0], least=8),
        Column("value", lambda row: row[1], least=8),
        Column("jobs", lambda row: str(row[2]), raw=lambda row: row[2], right=True),
    ]
    display_list(
        Listing(
            columns=lambda: columns,
            shape=lambda rows: [{"key": key, "value": word, "jobs": n} for key, word, n in rows],
            quiet=lambda row: clean(f"{row[0]}={row[1]}"),
            empty="no job has a tag: `cvq tag JOB KEY=VALUE` gives it one",
        ),
        client.tags(),
    )
