"""`cvq note JOB [TEXT]`: what somebody has to say of a job."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from cvq.errors import UsageError

from .. import options, resolving
from ..display import Form, display
from ..output import note as tell
from ..output import say

if TYPE_CHECKING:
    from cvq.handle import JobHandle
    from cvq.parse import Reference

_STDIN = "-"
_LONGEST = 20_001  # characters that are read: one more than a note may have


@click.command(
    epilog="\b\nExamples:\n  cvq note 12 the learning rate was too high\n  cvq note @ --edit"
    "\n  git log -1 | cvq note 12 -\n  cvq note 12"
)
@options.job
@click.argument("words", metavar="[TEXT|-]...", nargs=-1)
@options.flag("-e", "--edit", help="Write it in your editor.")
@options.flag("--remove", help="Take the note away.")
@options.as_json
@options.form("-q", "--quiet", form=Form.QUIET, help="Print nothing.")
def note(reference: Reference, words: Sequence[str], edit: bool, remove: bool) -> None:
    """Write a note on a job, or print it.

    It takes the place of the one before. - reads it from stdin. JOB is an id, @ (your last) or
    @~1 (the one before).
    """
    from cvq.client import Client

    if (len(words) > 0) + edit + remove > 1:
        raise UsageError("give TEXT, --edit or --remove")
    client = Client()
    handle = client.job(resolving.resolve_one(client, reference))
    if not words and not edit and not remove:
        _print(handle)
        return
    if not remove and (text := _text(handle, words)) is None:
        tell("nothing was changed")
        return
    client.annotate(handle, None if remove else text)
    display(
        handle.refresh(),
        json=client.to_json,
        quiet=lambda _: None,
        text=lambda job: say(f"job {job.id}: note {'taken away' if remove else 'written'}"),
    )


def _text(handle: JobHandle, words: Sequence[str]) -> str | None:
    """The new note; None where the editor was left without one."""
    if not words:
        return (click.edit(handle.note or "") or "").strip() or None
    text = sys.stdin.read(_LONGEST) if tuple(words) == (_STDIN,) else " ".join(words)
    if not text.strip():
        raise UsageError("the note is empty: --remove takes it away")
    return text.strip()


def _print(handle: JobHandle) -> None:
    display(
        handle.note,
        json=lambda text: {"id": handle.id, "note": text},
        text=lambda text: say(text, lines=True) if text else tell(f"job {handle.id} has no note"),
    )
