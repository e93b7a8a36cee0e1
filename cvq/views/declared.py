"""What a job's kind declares of its figures and fields, where the kind is installed here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import CvqError
from ..records import Job
from ..settings import Settings

if TYPE_CHECKING:
    from ..kinds.kind import Kind


def left_open(settings: Settings, kind: str) -> Sequence[str]:
    """The fields whose 0 leaves the value to the job; none of a kind that is not known here."""
    found = _found(settings, kind)
    return found.spec.open_fields() if found else ()


def headline_names(settings: Settings, job: Job) -> Sequence[str]:
    """The figures that a job's kind wants shown first, as the job says itself.

    Of a job of an earlier version its kind is asked, where it is installed.
    """
    if job.headline is not None:
        return job.headline
    if not job.metrics and not job.result:
        return ()  # it has none of them yet
    found = _found(settings, job.kind)
    return found.headline if found else ()


def _found(settings: Settings, kind: str) -> Kind | None:
    from ..kinds import get_kind  # which loads pydantic; most jobs say themselves what is asked

    try:
        return get_kind(kind, settings)
    except CvqError:
        return None
