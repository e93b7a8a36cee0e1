"""How it is said whether a job gives the same again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .formats import clean, count
from .output import say

if TYPE_CHECKING:
    from cvq.proofs.comparison import Comparison

DIFFERENT = 1  # the exit code


def tell(found: Comparison, before: str, after: str) -> None:
    """Say which files are the same and which are not, and what else differs.

    Args:
        found: how two makings compare.
        before, after: what they are called.
    """
    total = len(found.equal) + len(found.differences)
    compared = "by SHA-256, whatever their role; checkpoints are gone once a job has succeeded"
    if found.is_equal:
        say(f"{after} gives the same as {before}: {count(total, 'file')} compared ({compared})")
    elif not total:
        say(f"{after} and {before} have left no files: there is nothing to compare")
    else:
        say(f"{after} differs from {before} in {len(found.differences)} of "
            f"{count(total, 'file')} ({compared}):")  # fmt: skip
    for each in found.differences:
        place = f": {clean(each.place)}" if each.place else ""
        say(f"  {clean(each.name)} ({clean(each.role)}){place}")
        say(f"    before {each.before or 'nothing'}")
        say(f"    after  {each.after or 'nothing'}")
    if found.environment:
        say("What is not the same of the environment:" if not found.is_equal else
            "although not all of the environment is the same:")  # fmt: skip
    for name, (one, other) in found.environment.items():
        say(f"  {clean(name)}: {clean(one)} and {clean(other)}")


def tell_all(lines: Sequence[str]) -> None:
    """Say some lines, indented."""
    for line in lines:
        say(f"  {clean(line)}")
