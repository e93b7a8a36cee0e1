"""`cvq config`: each setting, its value, and where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

from cvq.errors import CvqError, UsageError
from cvq.text import did_you_mean, nearest

from .. import options
from ..display import Form, Listing, display_list
from ..output import Column, note

if TYPE_CHECKING:
    from cvq.settings import Settings


@dataclass(frozen=True)
class SettingRow:
    """A setting: its value with secrets masked, and its source."""

    setting: str
    value: str
    source: str
    meaning: str
    unit: str | None = None

    @property
    def with_unit(self) -> str:
        """The value as people read it."""
        return f"{self.value} {self.unit}" if self.unit and self.value else self.value


@click.command(epilog="\b\nExamples:\n  cvq config\n  cvq config home -q\n  cvq config --json")
@click.argument("names", metavar="[SETTING]...", nargs=-1)
@options.as_json
@options.as_csv
@options.as_md
@options.form("-q", "--quiet", form=Form.QUIET, help="Print values only.")
def config(names: Sequence[str]) -> None:
    """Show each setting, its value, and where it comes from.

    A CVQ_… variable overrides ./cvq.toml, which overrides the user's cvq.toml, which overrides
    the default. Passwords are never shown.
    """
    from cvq.settings import Settings, unknown_variables

    names = [  # as in the environment, and as in cvq.toml
        name.removeprefix("CVQ_").lower() if name.startswith("CVQ_") else name for name in names
    ]
    settings = Settings.load()
    found = [row for row in settings_of(settings) if not names or row.setting in names]
    _check(names)
    display_list(_LISTING, found)
    for variable, near in unknown_variables().items():
        note(f"{variable} is not a setting" + (f": did you mean {near}?" if near else ""))


def settings_of(settings: Settings) -> list[SettingRow]:
    """Every setting as it is in use."""
    from cvq.settings import known_settings, sources

    source = sources()
    return [
        SettingRow(name, _value(settings, name), source[name], about.description, about.unit)
        for name, about in known_settings().items()
    ]


def _value(settings: Settings, name: str) -> str:
    from cvq.settings import masked

    if name in ("database_url", "broker_url"):
        return _service(settings, name)
    if name == "store_url":
        return masked(settings.store)
    value = getattr(settings, name)
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _service(settings: Settings, name: str) -> str:
    """The database or Redis as other commands name it, asked nothing."""
    from cvq.broker.queue import Broker
    from cvq.db import Database
    from cvq.settings import masked

    try:
        return str(Database(settings) if name == "database_url" else Broker(settings))
    except CvqError:  # an URL of no known kind: whoever uses it says so
        return masked(str(getattr(settings, name)))


def _check(names: Sequence[str]) -> None:
    from cvq.settings import known_settings

    for name in names:
        if name not in known_settings():
            near = nearest(name, known_settings())
            hint = did_you_mean(near) or "`cvq config` lists them"
            raise UsageError(f"there is no setting '{name}': {hint}")


_LISTING = Listing[SettingRow](
    columns=lambda: [
        Column("setting", lambda row: row.setting),
        Column("source", lambda row: row.source, rank=1, least=12),
        Column("value", lambda row: row.with_unit, lambda row: row.value, below=True),
        Column("meaning", lambda row: row.meaning, wrap=True),
    ],
    shape=lambda rows: map(asdict, rows),
    quiet=lambda row: row.value,
)
