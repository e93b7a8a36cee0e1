"""What a shell is told while somebody types: what kinds of words complete to, and the scripts.

Click's scripts are too simple for words with `=`, `@` or a comma in them, for bash splits words
there, and let fish sort what comes newest first.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

if TYPE_CHECKING:
    from cvq.completions import Completions, Suggestion

_LONGEST_S = 1.5  # after which nothing is better than an answer
_PARTIAL = "nospace"  # the type of a suggestion after which more is to be typed
_FUNCTIONS = ("best(", "last(", "min(", "max(")
_SOURCES = ("metrics.", "params.", "tags.", "result.")
_WORDS = ("and", "or", "not", "in", "like", "is", "null")
_LAST_WORD = re.compile(r"[\w.]*$")

Source = Callable[["Completions", str], Iterable["Suggestion"]]


class Word(click.ParamType[Any]):
    """A word that the history knows."""

    def __init__(self, name: str, source: Source) -> None:
        self.name = name
        self.source = source

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        """Those that the history has."""
        return suggest(self.source, incomplete)


def suggest(source: Source, incomplete: str, before: str = "") -> list[CompletionItem[str]]:
    """What a source suggests; `before` stands in front of each."""
    from cvq.completions import Completions
    from cvq.errors import CvqError
    from cvq.settings import Settings

    try:
        found = source(Completions(Settings.load()), incomplete)
    except CvqError:  # a setting that cannot be read: the next command says so
        return []
    return [CompletionItem(before + each.word, help=each.help or None) for each in found]


def column(name: str) -> Source:
    """The values of a column of jobs."""
    return lambda history, typed: history.words(name, typed)


def job(ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
    """Jobs: those that can be cancelled where they are to be; the last of a range."""
    unfinished = ctx.info_name == "cancel"
    first, dash, last = incomplete.rpartition("-")
    if incomplete.startswith("@"):
        return [CompletionItem(each) for each in ("@", "@~1") if each.startswith(incomplete)]
    return suggest(
        lambda history, typed: history.jobs(typed, unfinished=unfinished), last, first + dash
    )


def jobs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Jobs, for an argument whose words may be others, too; then files."""
    return job(ctx, incomplete) or [CompletionItem(incomplete, type="file")]


def jobs_and_metrics(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """Jobs, and names of metrics."""
    metrics = suggest(lambda history, typed: history.fields(typed), incomplete)
    return [*job(ctx, incomplete), *metrics]


def jobs_and_tags(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """Jobs, and tags that others have."""
    return [
        *job(ctx, incomplete),
        *suggest(lambda history, typed: history.tags(typed), incomplete),
    ]


def fields(incomplete: str) -> list[CompletionItem[str]]:
    """What can be asked of a job, for the last word of a query, of columns or of an order."""
    from cvq.query.columns import WORDS

    match = _LAST_WORD.search(incomplete)
    assert match is not None
    typed, before = match[0], incomplete[: match.start()]
    known = [*WORDS, *(_WORDS if before.rstrip() != before else ())]
    items = [CompletionItem(before + word) for word in known if word.startswith(typed)]
    items += suggest(lambda history, typed: history.fields(typed), typed, before)
    if not before.endswith("("):
        partial = [*_SOURCES, *_FUNCTIONS]
        items += [
            CompletionItem(before + word, type=_PARTIAL)
            for word in partial
            if word.startswith(typed)
        ]
    return items


class _Whole:
    """Completes whole words, as they were typed: `--sort=-val` and `queued,fa`."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        """What could be typed, each with all that is typed already."""
        before = ""
        if incomplete.startswith("--") and "=" in incomplete:
            option, _, incomplete = incomplete.partition("=")
            args, before = [*args, option], f"{option}="
        if args and args[-1] == "--sort" and incomplete.startswith("-"):
            before, incomplete = f"{before}-", incomplete[1:]
        found: list[CompletionItem[str]] = super().get_completions(args, incomplete)  # type: ignore[misc]
        for item in found:
            if item.type not in ("file", "dir"):
                item.value = before + item.value
        return found


class Bash(_Whole, BashComplete):
    """For bash, which replaces the part of a word that follows a `=`, a `:` or an `@`."""

    source_template = """\
%(complete_func)s() {
    local response type value
    response=$(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD="$COMP_CWORD" \\
        CVQ_TYPED="${COMP_LINE:0:$COMP_POINT}" CVQ_REPLACED="$2" \\
        %(complete_var)s=bash_complete "$1" 2>/dev/null)
    COMPREPLY=()
    while IFS=',' read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            nospace) compopt -o nospace; COMPREPLY+=("$value") ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done <<< "$response"
}

complete -o nosort -F %(complete_func)s %(prog_name)s 2>/dev/null \\
    || complete -F %(complete_func)s %(prog_name)s
"""
    _kept = 0  # characters of the word that bash keeps

    @staticmethod
    def _check_version() -> None:
        """Nothing: an old bash sorts the suggestions, and that is all."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The line as it is typed; without it, the words as bash splits them."""
        typed = os.environ.get("CVQ_TYPED")
        if typed is None:
            return super().get_completion_args()
        words = split_arg_string(typed)[1:]
        incomplete = words.pop() if words and not _ends_word(typed) else ""
        replaced = os.environ.get("CVQ_REPLACED", incomplete)
        if incomplete.endswith(replaced):
            self._kept = len(incomplete) - len(replaced)
        return words, incomplete

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """The type, and what is to stand in the place of the part that bash replaces."""
        return f"{item.type},{item.value[self._kept :]}"


class Zsh(_Whole, ZshComplete):
    """For zsh."""

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """As Click's; its script knows no other type."""
        return super().format_completion(_as_plain(item))


class Fish(_Whole, FishComplete):
    """For fish."""

    source_template = """\
function %(complete_func)s
    set -l response (env %(complete_var)s=fish_complete COMP_WORDS=(commandline -cp) \\
        COMP_CWORD=(commandline -ct) %(prog_name)s 2>/dev/null)

    for completion in $response
        set -l parts (string split -m 1 "," -- $completion)
        switch $parts[1]
            case dir
                __fish_complete_directories $parts[2]
            case file
                __fish_complete_path $parts[2]
            case plain
                echo $parts[2]
        end
    end
end

complete --no-files --keep-order --command %(prog_name)s --arguments "(%(complete_func)s)"
"""

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """As Click's; its script knows no other type."""
        return super().format_completion(_as_plain(item))


SHELLS = {each.name: each for each in (Bash, Zsh, Fish)}


def prepare() -> None:
    """Let Click use these shells, and give up where an answer takes too long."""
    for shell in SHELLS.values():
        add_completion_class(shell)
    signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
    signal.setitimer(signal.ITIMER_REAL, _LONGEST_S)


def _as_plain(item: CompletionItem[Any]) -> CompletionItem[Any]:
    if item.type == _PARTIAL:
        item.type = "plain"
    return item


def _ends_word(typed: str) -> bool:
    """Whether the next character begins a new word."""
    return typed[-1:].isspace() and split_arg_string(typed) == split_arg_string(typed + "x")[:-1]
