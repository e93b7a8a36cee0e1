"""`cvq kinds`: what can be submitted, and with which values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .. import options
from ..display import Form, Listing, display, display_list
from ..help import Formatter
from ..output import Column, heading, on_terminal, say, say_each, show_csv, show_md, show_table

if TYPE_CHECKING:
    from cvq.kinds.kind import Kind


@click.command(epilog="\b\nExamples:\n  cvq kinds\n  cvq kinds style-transfer --json")
@click.argument("name", metavar="[KIND]", type=options.KIND, required=False)
@options.form("--json", form=Form.JSON, help="Print JSON, with each kind's JSON schema.")
@options.as_csv
@options.as_md
@options.form("-q", "--quiet", form=Form.QUIET, help="Print names only.")
def kinds(name: str | None) -> None:
    """List job kinds, or one kind's fields."""
    from cvq.kinds import all_kinds, get_kind
    from cvq.settings import Settings
    from cvq.views import shapes

    settings = Settings.load()
    if name is None:
        display_list(_listing(), list(all_kinds(settings).values()))
    else:
        display(
            get_kind(name, settings),
            json=shapes.kind,
            csv=lambda kind: show_csv(_field_columns(kind), list(kind.spec.model_fields)),
            md=lambda kind: show_md(_field_columns(kind), list(kind.spec.model_fields)),
            quiet=lambda kind: say_each(kind.spec.model_fields),
            text=_show,
        )


def _listing() -> Listing[Kind]:
    from cvq.views import shapes

    return Listing(
        columns=_columns, shape=lambda kinds: map(shapes.kind, kinds), quiet=lambda kind: kind.name
    )


def _columns() -> list[Column[Kind]]:
    return [
        Column("kind", lambda kind: kind.name),
        Column("extra", lambda kind: kind.extra or "", rank=1),
        Column("summary", lambda kind: kind.summary, wrap=True),
    ]


def _given(kind: Kind, name: str) -> str:
    """How a value of a field is typed."""
    from ..from_spec import shape_of_field

    shape = shape_of_field(kind.spec.model_fields[name])
    if shape.flag:
        return "yes|no"
    return shape.metavar + (",..." if shape.many and not shape.again else "")


def _field_columns(kind: Kind) -> list[Column[str]]:
    from cvq.complaints import bounds_of

    from ..from_spec import default_of

    fields = kind.spec.model_fields
    return [
        Column("field", lambda name: name),
        Column("value", lambda name: _given(kind, name)),
        Column("default", lambda name: default_of(fields[name]) or ""),
        Column("bounds", lambda name: bounds_of(fields[name])),
        Column("meaning", lambda name: fields[name].description or "", wrap=True),
    ]


def _show(kind: Kind) -> None:
    from ..from_spec import help_of, shape_of_field

    fields = kind.spec.model_fields
    say(f"{kind.name}: {kind.summary}")
    if not on_terminal():
        heading("Fields")
        show_table(_field_columns(kind), list(fields))
        return
    # A table of these would not fit: one entry for each field, its meaning wrapped.
    formatter = Formatter(max_width=100)
    with formatter.section("\nFields"):
        formatter.write_dl(
            [
                (f"{name} {_given(kind, name)}", help_of(field, shape_of_field(field)))
                for name, field in fields.items()
            ]
        )
    say(formatter.getvalue().rstrip(), wrap=False, lines=True)
