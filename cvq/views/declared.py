"""What a job's kind declares of its figures and fields, where the kind is installed here."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import CvqError
from ..kinds import get_kind
from ..kinds.spec import Spec
from ..records import Job
from ..settings import Settings


def left_open(settings: Settings, kind: str) -> Sequence[str]:
    """The fields whose 0 leaves the value to the job; none of a kind that is not known here."""
    spec = _spec_of(settings, kind)
    return spec.left_open if spec else ()


def headline_names(settings: Settings, job: Job) -> Sequence[str]:
    """The figures that a job's kind wants shown first, as the job says itself.

    Of a job of an earlier version its kind is asked, where it is installed.
    """
    if job.headline is not None:
        return job.headline
    spec = _spec_of(settings, job.kind)
    return spec.headline if spec else ()


def _spec_of(settings: Settings, kind: str) -> type[Spec] | None:
    try:
        return get_kind(kind, settings).spec
    except CvqError:
        return None
