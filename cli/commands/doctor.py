"""`cvq doctor`: is everything there that a job needs, and what is to be done?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import click

from cvq.errors import CvqError
from cvq.text import count, join

from .. import formats, options
from ..choosing import someone_is_there
from ..display import Form, form
from ..interrupts import Interrupts
from ..output import dump, note, paint, say

if TYPE_CHECKING:
    from cvq.doctor import Finding, Remedy, Setup

_STYLES = {"ok": "green", "note": "yellow", "problem": "red", "fixed": "cyan"}
_LEVEL, _CHECK = 8, 9  # cells of their columns


@click.command(
    epilog="\b\nExamples:\n  cvq doctor\n  cvq doctor --fix\n  cvq doctor --json"
    "\n\nExits with 4 if a problem prevents work, with 0 if there are notes at most."
)
@options.flag("--fix", help="Mend what can be mended here; what is not quite safe, after asking.")
@options.yes
@options.as_json
def doctor(fix: bool, yes: bool) -> int:
    """Check everything that a job needs.

    A note is something that costs time, room or safety; a problem prevents work. Each says what to
    do. Nothing is changed without --fix.
    """
    found = _examined()
    if fix:
        found = _mended(found, yes=yes)
    if form() is Form.JSON:
        dump([asdict(finding) for finding in found])
    else:
        _conclude(found, fix=fix)
    return 4 if any(finding.level == "problem" for finding in found) else 0


def _examined() -> list[Finding]:
    """What there is, printed as it is found."""
    from cvq.doctor import examine

    found: list[Finding] = []
    with Interrupts() as interrupts:
        for finding in examine():
            found.append(finding)
            _print(finding)  # at once: the lines themselves tell how far it is
            interrupts.check()
    return found


def _print(finding: Finding) -> None:
    if form() is Form.JSON:
        return
    level = paint(f"{finding.level:<{_LEVEL}}", _STYLES[finding.level])
    hang = _LEVEL + _CHECK + 2
    say(f"{level} {finding.check:<{_CHECK}} {formats.clean(finding.text)}", hang=hang)
    if finding.fix and finding.level != "fixed":
        say(f"{'':<{hang - 1}} fix: {formats.clean(finding.fix)}", hang=hang + 5)


def _conclude(found: Sequence[Finding], *, fix: bool) -> None:
    """A last line for people, where something is wrong."""
    wrong = [finding for finding in found if finding.level in ("note", "problem")]
    if not wrong:
        return
    levels = [finding.level.value for finding in wrong]
    told = [count(levels.count(level), level) for level in ("problem", "note") if level in levels]
    here = sum(finding.remedy is not None for finding in wrong)
    more = f"; `cvq doctor --fix` can mend {here} of them" if here and not fix else ""
    note(f"{join(told)}{more}")


# ------------------------------------------------------------ mending


def _mended(found: Sequence[Finding], *, yes: bool) -> list[Finding]:
    """Do what can be done, and look again at what was wrong."""
    from cvq.doctor import Setup, check
    from cvq.settings import Settings

    if not any(finding.remedy for finding in found):
        return list(found)
    setup = Setup(Settings.load())
    setup.failed |= {finding.check for finding in found if finding.level == "problem"}
    try:
        fixed = list(_fixed(found, setup, yes=yes))
        again = {finding.check for finding in fixed}
        stays = [finding for finding in found if finding.check not in again]
        for name in again:
            for finding in check(name, setup):
                stays.append(finding)
                _print(finding)
    finally:
        setup.close()
    return stays + fixed


def _fixed(found: Sequence[Finding], setup: Setup, *, yes: bool) -> Iterator[Finding]:
    """Mend what can be mended, and yield what has been done."""
    from cvq.doctor import REMEDIES, Level

    for finding in found:
        remedy = REMEDIES.get(finding.remedy or "")
        done = _do(remedy, setup, yes=yes) if remedy else None
        if done is not None:
            fixed = replace(finding, level=Level.FIXED, text=done)
            _print(fixed)
            yield fixed


def _do(remedy: Remedy, setup: Setup, *, yes: bool) -> str | None:
    """Do it, if it may be done; return what was done."""
    if not remedy.safe(setup) and not yes:
        if not someone_is_there():
            note(f"not done without being asked: {remedy.would} (--yes does it)")
            return None
        if not click.confirm(f"{remedy.would[0].upper()}{remedy.would[1:]}?", err=True):
            return None
    try:
        return remedy.act(setup)
    except (CvqError, OSError) as error:
        note(f"cvq: error: cannot {remedy.would}: {formats.clean(error)}")
        return None
