"""`cvq graph JOB`: where a job comes from, and what has come of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from .. import options, resolving
from ..colours import shown
from ..display import Form, display, form
from ..formats import clean
from ..output import console, on_terminal, paint, say, say_each

if TYPE_CHECKING:
    from rich.tree import Tree

    from cvq.parse import Reference
    from cvq.views.graph import Branch, Graph, Node


@click.command(
    epilog="\b\nExamples:\n  cvq graph 12\n  cvq graph @ --depth 1\n"
    "  cvq graph 12 --dot | dot -Tsvg -o graph.svg"
)
@options.job
@click.option(
    "--depth", type=options.count(1, 100), default=4, metavar="N", show_default=True,
    help="How many steps to go in each direction.",
)  # fmt: skip
@options.form("--dot", form=Form.DOT, help="Print it in the language of Graphviz.")
@options.as_json
def graph(reference: Reference, depth: int) -> int:
    """Show what a job was made from, and what was made from it.

    Data, models and jobs hang together by what jobs take and leave, by what they waited for, and
    by what they are reruns of. What is many is counted. JOB is an id, @ (your last) or @~1 (the
    one before).
    """
    from cvq.history import History
    from cvq.views import graph as view

    client = History()
    job = resolving.resolve_one(client, reference)
    with client.db.read() as connection:
        found = view.graph(connection, job, depth)
    if form() is Form.DOT:
        say_each(_dot(found), wrap=False)
        return 0
    display(found, json=_shape, text=_tell)
    return 0


def _shape(graph: Graph) -> dict[str, Any]:
    return {
        "job": graph.root.job,
        "nodes": [
            {name: value for name, value in vars(node).items() if value not in ("", None)}
            for node in graph.nodes()
        ],
        "links": [{"from": a, "to": b, "how": how} for a, b, how in graph.links()],
    }


def _dot(graph: Graph) -> Iterator[str]:
    """Graphviz: nodes by their ids, all words in quotes."""
    shapes = {"input": "cylinder", "sweep": "folder", "more": "plaintext"}
    yield "digraph cvq {"
    yield "  rankdir=LR;"
    for node in graph.nodes():
        bold = ", style=bold" if node is graph.root else ""
        shape = shapes.get(node.type, "box")
        label = "\\n".join(_quoted(part) for part in _words(node))
        yield f'  "{_quoted(node.id)}" [label="{label}", shape={shape}{bold}];'
    for before, after, how in graph.links():
        yield f'  "{_quoted(before)}" -> "{_quoted(after)}" [label="{_quoted(how)}"];'
    yield "}"


def _quoted(text: str) -> str:
    return clean(text).replace("\\", "\\\\").replace('"', '\\"')


def _words(node: Node) -> list[str]:
    """What is to be said of a node, part by part."""
    state = f"({node.state})" if node.state else ""
    first = "" if node.type == "more" else node.id
    return [part for part in (first, node.kind, node.name, state) if part]


def _tell(graph: Graph) -> None:
    sides = [("made from", graph.sources), ("used by", graph.uses)]
    sides = [(title, branches) for title, branches in sides if branches]
    if not on_terminal():
        say(_line(graph.root))
        for title, branches in sides:
            say(f"  {title}")
            _indented(branches, 2)
    else:
        from rich.text import Text
        from rich.tree import Tree

        tree = Tree(Text(_line(graph.root), style="bold"), guide_style="dim")
        for title, branches in sides:
            _grow(tree.add(Text(title, style="dim")), branches)
        console().print(tree)
    if not sides:
        say("nothing was used for it, and nothing uses it")


def _indented(branches: Sequence[Branch], depth: int) -> None:
    for branch in branches:
        say("  " * depth + _line(branch.node, branch))
        _indented(branch.branches, depth + 1)


def _grow(tree: Tree, branches: Sequence[Branch]) -> None:
    from rich.text import Text

    for branch in branches:
        _grow(tree.add(Text.from_ansi(shown(_line(branch.node, branch)))), branch.branches)


def _line(node: Node, branch: Branch | None = None) -> str:
    """A node in one line, and how it hangs together with the one before it."""
    words = " ".join(map(clean, _words(node)))
    if branch is None:
        return words
    how = f"{clean(branch.how)}: " if branch.how else ""
    tail = ", see above" if branch.again else ", …" if branch.more else ""
    return f"{paint(how, 'cyan')}{words}{tail}"
