"""`cvq kinds`: what can be submitted, and with which values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .. import options
from ..help import Formatter
from ..output import Column, dump, heading, on_terminal, say, show_list, show_table

if TYPE_CHECKING:
    from cvq.kinds.spec import Kind


@click.command(epilog="\b\nExamples:\n  cvq kinds\n  cvq kinds style-transfer --json")
@click.argument("name", metavar="[KIND]", required=False)
@options.form("--json", "as_json", help="Print JSON, with a kind's JSON schema.")
@options.as_csv
@options.form("-q", "--quiet", help="Print names only.")
def kinds(name: str | None, as_json: bool, as_csv: bool, quiet: bool) -> None:
    """List the job kinds, or one kind's fields."""
    from cvq.kinds import all_kinds, get_kind
    from cvq.settings import Settings
    from cvq.views import shapes

    settings = Settings.load()
    if name is not None:
        kind = get_kind(name, settings)
        dump(shapes.kind(kind)) if as_json else _show(kind, as_csv=as_csv)
        return
    found = list(all_kinds(settings).values())
    if as_json:
        dump([shapes.kind(kind) for kind in found])
    elif quiet:
        for kind in found:
            say(kind.name)
    else:
        show_list(_columns(), found, as_csv=as_csv)


def _columns() -> list[Column[Kind]]:
    return [
        Column("kind", lambda kind: kind.name),
        Column("extra", lambda kind: kind.extra or "", rank=1),
        Column("summary", lambda kind: kind.summary, wrap=True),
    ]


def _show(kind: Kind, *, as_csv: bool) -> None:
    from cvq.complaints import bounds_of

    from ..from_spec import default_of, help_of, shape_of

    def given(name: str) -> str:
        shape = shape_of(kind.spec.model_fields[name].annotation)
        if shape.flag:
            return "yes|no"
        return shape.metavar + (",..." if shape.many else "")

    fields = kind.spec.model_fields
    columns = [
        Column[str]("field", lambda name: name),
        Column[str]("value", given),
        Column[str]("default", lambda name: default_of(fields[name]) or ""),
        Column[str]("bounds", lambda name: bounds_of(fields[name])),
        Column[str]("meaning", lambda name: fields[name].description or "", wrap=True),
    ]
    if as_csv:
        show_list(columns, list(fields), as_csv=True)
        return
    say(f"{kind.name}: {kind.summary}")
    if not on_terminal():
        heading("Fields")
        show_table(columns, list(fields))
        return
    # A table of these would not fit: one entry for each field, its meaning wrapped.
    formatter = Formatter(max_width=100)
    with formatter.section("\nFields"):
        formatter.write_dl(
            [
                (f"{name} {given(name)}", help_of(field, shape_of(field.annotation)))
                for name, field in fields.items()
            ]
        )
    say(formatter.getvalue().rstrip(), wrap=False)
