"""The SQL in which a history is drawn, for both databases: chance, times and JSON.

Whatever is drawn depends on a job's number alone, so that two histories of a size are equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_PRIME, _SMALL = 2_147_483_647, 65_537
_END = "2026-11-30 12:00:00"  # when the newest job was submitted


def chance(salt: int, below: int, of: str = "d.id") -> str:
    """A whole number from 0 up to `below`, as if by chance."""
    one = f"({of} * 1103515245 + {salt * 7919 + 12345}) % {_PRIME}"
    other = f"({of} * 48271 + {salt * 104729 + 13}) % {_SMALL}"
    return f"((({one}) * ({other})) % {_PRIME} % {below})"


def share(salt: int, of: str = "d.id") -> str:
    """A number from 0 to 1."""
    return f"({chance(salt, 1_000_000, of)} / 1000000.0)"


def pick(salt: int, values: Sequence[object]) -> str:
    """One of some values; the first come more often than the last."""
    number = f"CAST({share(salt)} * {share(salt + 1)} * {len(values)} AS INTEGER)"
    cases = " ".join(f"WHEN {place} THEN {literal(each)}" for place, each in enumerate(values))
    return f"(CASE {number} {cases} ELSE {literal(values[0])} END)"


def literal(value: object) -> str:
    """A value in SQL."""
    return str(value) if isinstance(value, int | float) else f"'{value}'"


def text(value: object) -> str:
    """An expression as text."""
    return f"CAST({value} AS TEXT)"


def object_of(pairs: Sequence[tuple[str, str]]) -> str:
    """An object of JSON as text, of names and expressions that are JSON as text."""
    parts = " || ',' || ".join(f"'\"{name}\":' || {value}" for name, value in pairs)
    return f"('{{' || {parts} || '}}')" if pairs else "'{}'"


def quoted(value: str) -> str:
    """An expression that is a text, as JSON."""
    return f"'\"' || {value} || '\"'"


@dataclass(frozen=True)
class Words:
    """What the two databases call differently."""

    sqlite: bool

    def time(self, seconds: str) -> str:
        """A moment, so many seconds after the newest job was submitted."""
        if self.sqlite:
            offset = f"printf('%+.3f seconds', {seconds})"
            return f"strftime('%Y-%m-%d %H:%M:%f000', '{_END}', {offset})"
        return f"(TIMESTAMPTZ '{_END}+00' + make_interval(secs => {seconds}))"

    def json(self, text: str) -> str:
        """A text as a column of JSON has it."""
        return text if self.sqlite else f"CAST({text} AS jsonb)"

    def sha256(self, of: str, salt: int) -> str:
        """64 hexadecimal digits."""
        if self.sqlite:
            return f"printf('%016x', {of} * 7919 + {salt}) || '{salt:048x}'"
        return f"lpad(to_hex({of} * 7919 + {salt}), 16, '0') || '{salt:048x}'"

    def numbers(self, last: int) -> str:
        """The table `n(id)`, from 1."""
        return (
            "WITH RECURSIVE n(id) AS (SELECT CAST(1 AS BIGINT) UNION ALL "
            f"SELECT id + 1 FROM n WHERE id < {last})"
        )

    def rows(self, name: str, columns: Sequence[str], values: Sequence[Sequence[str]]) -> str:
        """A small table that is written out."""
        selects = [
            "SELECT "
            + ", ".join(f"{value} AS {column}" for column, value in zip(columns, row, strict=True))
            for row in values
        ]
        return f"({' UNION ALL '.join(selects)}) AS {name}"
