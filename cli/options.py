"""Options and arguments that several commands share; what they mean, `resolving` finds out.

The types here only parse; what a value may be is the specification's or the client's business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from cvq import parse
from cvq.errors import UsageError
from cvq.query.place import QueryError
from cvq.states import State

from . import completing
from .completing import Word, column
from .display import FieldsOption, Form, FormOption

F = TypeVar("F", bound=Callable[..., Any])

_USUAL = 20  # lines of a list


class Parser(click.ParamType[Any]):
    """A value read by one of `cvq.parse`'s functions."""

    def __init__(self, name: str, function: Callable[[str], Any]) -> None:
        self.name = name
        self.function = function

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse; what cannot be parsed is the user's error."""
        if not isinstance(value, str):
            return value
        try:
            return self.function(value)
        except QueryError:  # it shows the place
            raise
        except UsageError as error:
            self.fail(str(error), param, ctx)


class Reference(Parser):
    """A job, as `cvq.parse.reference` reads it."""

    def __init__(self) -> None:
        super().__init__("job", parse.reference)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        """The newest jobs."""
        return completing.job(ctx, incomplete)


class Numbered(Parser):
    """A batch or a sweep, as `cvq.parse.reference` reads it."""

    def __init__(self, name: str, source: completing.Source) -> None:
        super().__init__(name, lambda text: parse.reference(text, name))
        self.source = source

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        """The newest."""
        return completing.suggest(self.source, incomplete)


class Tag(Parser):
    """A tag, or its key where no value is needed."""

    def __init__(self, name: str, *, value_needed: bool) -> None:
        super().__init__(name, lambda text: parse.tag(text, value_needed=value_needed))

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        """Keys, and the values of one that is typed."""
        return completing.suggest(lambda history, typed: history.tags(typed), incomplete)


class Query(click.ParamType[Any]):
    """Words of the language of `cvq.query`, as they stand: who reads them points into them."""

    def __init__(self, name: str) -> None:
        self.name = name

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        """What can be asked of a job."""
        return completing.fields(incomplete)


class CommaList(click.ParamType[Any]):
    """Values separated by commas; each is converted by another type."""

    def __init__(
        self,
        item: click.ParamType[Any] = click.STRING,
        metavar: str | None = None,
        *,
        empty: bool = False,
    ) -> None:
        self.item = item
        self.empty = empty
        self.name = metavar or f"{item.name},..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Split and convert; nothing at all is refused, unless an `empty` list has a meaning."""
        if not isinstance(value, str):
            return value
        words = [word for word in map(str.strip, value.split(",")) if word]
        if not words and not self.empty:  # as of a shell's variable that is not set
            self.fail(f"'{value}' names nothing", param, ctx)
        return [self.item.convert(word, param, ctx) for word in words]

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        """Complete the last of the values."""
        before, comma, last = incomplete.rpartition(",")
        found = self.item.shell_complete(ctx, param, last)
        if not comma:
            return found
        for item in found:
            item.value = f"{before},{item.value}"
        return [item for item in found if item.type not in ("file", "dir")]


class Pattern(Word):
    """A name, or a pattern of names: it may have commas; an empty one has no meaning."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse nothing at all, as of a shell's variable that is not set."""
        if isinstance(value, str) and not value.strip():
            self.fail(f"'{value}' names nothing", param, ctx)
        return value


class FilePath(click.Path):
    """A path; an empty one, which Python takes for the folder one stands in, is refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Check and convert."""
        if value == "":
            self.fail("'' is not a path", param, ctx)
        return super().convert(value, param, ctx)


MOST = 2**31 - 1  # rows, lines and attempts, as every database counts them
MOST_SLOTS = 256  # jobs at a time on one machine


def count(least: int = 0, most: int = MOST) -> click.IntRange:
    """A whole number that no database and no machine stumbles over."""
    return click.IntRange(least, most)


DURATION = Parser("duration", parse.duration)
AGO = Parser("time", lambda text: parse.moment(text, ago=True))
AHEAD = Parser("time", lambda text: parse.moment(text, ago=False))
TAG = Tag("key=value", value_needed=True)
TAG_OR_KEY = Tag("key[=value]", value_needed=False)
REFERENCE = Reference()
BATCH = Numbered("batch", lambda history, typed: history.batches(typed))
SWEEP = Numbered("sweep", lambda history, typed: history.sweeps(typed))
KIND = Word("kind", lambda history, typed: history.kinds(typed))
WORKER = Word("worker", lambda history, typed: history.workers(typed))
FIELDS = CommaList(Query("field"))


def together(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Several options as one decorator, shown in the order given."""

    def apply(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


def flag(*names: str, help: str) -> Callable[[F], F]:
    """An option without a value."""
    return click.option(*names, is_flag=True, help=help)


def form(*names: str, form: Form, help: str) -> Callable[[F], F]:
    """A flag for a form of the answer, which `display` prints."""
    return click.option(*names, cls=FormOption, form=form, help=help)


as_json = form("--json", form=Form.JSON, help="Print JSON.")
as_json_fields = click.option(
    "--json", cls=FieldsOption, form=Form.JSON, type=FIELDS, metavar="[FIELD,...]",
    help="Print JSON: all of it, or these fields alone.",
)  # fmt: skip
as_csv = form("--csv", form=Form.CSV, help="Print CSV.")
as_md = form("--md", form=Form.MD, help="Print a table of Markdown.")
quiet = form("-q", "--quiet", form=Form.QUIET, help="Print ids only.")
yes = flag("-y", "--yes", help="Do not ask for confirmation.")
watching = flag("-w", "--watch", help="Keep refreshing until Ctrl-C.")
timeout = click.option(
    "--timeout", type=DURATION, metavar="DURATION", help="Wait at most this long: 90s, 5m, 1h."
)
job = click.argument("reference", metavar="JOB", type=REFERENCE)
batch = click.argument("reference", metavar="BATCH", type=BATCH)
jobs = click.argument("references", metavar="JOB...", type=REFERENCE, nargs=-1, required=True)


def _several(*names: str, type: click.ParamType[Any], metavar: str, help: str) -> Callable[[F], F]:
    """An option that takes several values: separated by commas, or given again."""
    return click.option(
        *names, type=CommaList(type), multiple=True, metavar=f"{metavar},...", help=help
    )


def users(what: str) -> Callable[[F], F]:
    """The option that asks for what is of some users."""
    return _several(
        "--user", type=click.STRING, metavar="USER", help=f"Only {what} of these users."
    )


def limited(what: str = "") -> Callable[[F], F]:
    """The options that say how much is shown: `limit`, and `everything`."""
    shown = f"{what} to show" if what else "to show"
    return together(
        click.option(
            "-n", "-L", "--limit", type=count(1), default=_USUAL, metavar="N",
            help=f"How many {shown}.  [default: {_USUAL}]",
        ),
        flag("--all", "everything", help="Show all."),
    )  # fmt: skip


filters_of_any_state = together(
    _several(
        "--reason", type=Word("reason", column("reason")), metavar="REASON",
        help="Only jobs that are in their state for such a reason: oom, timeout, signal:SEGV.",
    ),
    _several(
        "--kind", type=KIND, metavar="KIND",
        help="Only jobs of these kinds.",
    ),
    _several(
        "--user", type=Word("user", column("user")), metavar="USER",
        help="Only jobs of these users.",
    ),
    click.option(
        "--name", type=Pattern("name", column("name")), multiple=True, metavar="PATTERN",
        help="Only jobs that are called so: * stands for any characters, ? for one; may be "
        "repeated.",
    ),
    _several(
        "--worker", type=WORKER, metavar="WORKER",
        help="Only jobs whose last attempt ran there.",
    ),
    _several(
        "--queue", type=Word("queue", column("queue")), metavar="QUEUE",
        help="Only jobs of these queues.",
    ),
    _several(
        "--batch", type=BATCH, metavar="BATCH",
        help="Only jobs of these batches: an id, or @ for your last.",
    ),
    _several(
        "--sweep", type=SWEEP, metavar="SWEEP",
        help="Only jobs of these sweeps: an id, or @ for your last.",
    ),
    click.option(
        "--tag", type=TAG_OR_KEY, multiple=True, metavar="KEY[=VALUE]",
        help="Only jobs with this tag; may be repeated.",
    ),
    click.option(
        "--since", type=AGO, metavar="TIME",
        help="Only jobs submitted since then: 5m, 2d, today, 2026-11-01.",
    ),
    click.option("--until", type=AGO, metavar="TIME", help="Only jobs submitted before then."),
    click.option(
        "--where", type=Query("query"), multiple=True, metavar="QUERY",
        help="Only jobs of which this holds: 'val_accuracy > 0.9 and params.lr in (0.1, 0.01)', "
        "'best(loss) < 0.1 or duration > 2h', 'not tags.project is null'; of several all do.",
    ),
)  # fmt: skip
filters = together(
    _several(
        "--state", "--status", "state", type=click.Choice(list(map(str, State))),
        metavar="STATE", help=f"Only jobs in these states: {', '.join(State)}.",
    ),
    filters_of_any_state,
)  # fmt: skip
trashed = flag("--trashed", help="Also jobs in the trash.")
