"""What a check found: as data, so that a terminal, a program and a page show the same."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    NOTE = "note"  # all works, and something costs time, room or safety
    PROBLEM = "problem"  # work is prevented
    FIXED = "fixed"  # it was a problem or a note until just now


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        check: what was looked at: `redis`, `database`, …
        level: how much it matters.
        text: what there is, or what is wrong; nothing secret is in it.
        fault: a word for what is wrong, always the same for the same; None where all is well.
        fix: what to do about it, a command to type where there is one.
        remedy: what `remedies.REMEDIES` does about it, by its name.
    """

    check: str
    level: Level
    text: str
    fault: str | None = None
    fix: str | None = None
    remedy: str | None = None


def ok(check: str, text: str) -> Finding:
    """All is well."""
    return Finding(check, Level.OK, text)


def note(check: str, fault: str, text: str, fix: str, remedy: str | None = None) -> Finding:
    """Something costs time, room or safety."""
    return Finding(check, Level.NOTE, text, fault, fix, remedy)


def problem(check: str, fault: str, text: str, fix: str, remedy: str | None = None) -> Finding:
    """Something prevents work."""
    return Finding(check, Level.PROBLEM, text, fault, fix, remedy)
