"""`cvq db upgrade|current|check`: the database's schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .. import options
from ..display import Form, display, form
from ..output import dump, say

if TYPE_CHECKING:
    from cvq.db import Database


@click.group(epilog="\b\nExamples:\n  cvq db upgrade\n  cvq db check && cvq up -d")
def db() -> None:
    """Create, upgrade or check the database's schema."""


@db.command()
@options.as_json
def upgrade() -> None:
    """Create or upgrade the schema."""
    from cvq import schema

    database = _database()
    before = schema.current(database)
    schema.upgrade(database)
    after = schema.current(database)
    said = f"{database} was upgraded from {before or 'nothing'} to schema {after}"
    if before == after:
        said = f"{database} already has schema {after}"
    _display({"database": str(database), "before": before, "current": after}, said)


@db.command()
@options.as_json
def current() -> None:
    """Print the schema's version in the database."""
    from cvq import schema

    database = _database()
    version = schema.current(database)
    _display({"database": str(database), "current": version}, version or "none")


@db.command()
@options.as_json
def check() -> None:
    """Check the schema.

    Exits with 4 if it is not the one that this version of cvq needs.
    """
    from cvq import schema
    from cvq.tables import SCHEMA_VERSION

    database = _database()
    version = schema.current(database)
    if form() is Form.JSON:
        dump({"database": str(database), "current": version, "needed": SCHEMA_VERSION})
    schema.check(database, version)
    if form() is Form.TEXT:
        say(f"{database} has schema {version}, as needed")


def _display(shape: dict[str, str | None], text: str) -> None:
    display(shape, json=dict, text=lambda _: say(text))


def _database() -> Database:
    """The database as it is: asking must not create it."""
    from cvq.db import Database
    from cvq.settings import Settings

    return Database(Settings.load())
