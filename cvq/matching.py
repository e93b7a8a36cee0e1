"""Which worker can run which job: one rule, whoever asks. Pure functions.

A job needs a kind, fields of that kind's specification, and perhaps a GPU. A slot offers a device,
and what its worker announced when it started. `misfit` compares the two.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from .text import join

if TYPE_CHECKING:
    from .records import Announced, Job, NewJob, Worker


@dataclass(frozen=True)
class Needs:
    """What a job needs of a worker.

    Attributes:
        device: `gpu`, `cpu` (never a GPU, which a worker with one can see to) or None for either.
        kind: the job kind.
        fields: the fields that its specification gives, all of which the kind has to know.
    """

    device: str | None
    kind: str
    fields: frozenset[str]

    @classmethod
    def of(cls, job: Job | NewJob) -> Needs:
        """What this job needs."""
        return cls(job.device, job.kind, frozenset(job.spec))

    @cached_property
    def key(self) -> str:
        """A word that jobs with the same needs share."""
        return _key(self.device, self.kind, self.fields)


@lru_cache(1024)
def _key(device: str | None, kind: str, fields: frozenset[str]) -> str:
    text = json.dumps([device, kind, sorted(fields)])
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


@dataclass
class Offer:
    """What a slot can run, and which needs were found not to fit.

    Attributes:
        device: `cpu`, `mps` or `cuda`, also with a number as in `cuda:1`.
        announced: what its worker announces (see `records.Announced`).
        refused: keys of needs that do not fit; the claim adds to it and passes over them.
    """

    device: str
    announced: Announced
    refused: set[str] = field(default_factory=set)


def offers_of(worker: Worker) -> list[Offer]:
    """What each slot of a worker offers."""
    return [Offer(device, worker.kinds) for device in worker.devices]


class Misfit(NamedTuple):
    """Why a worker cannot run a job, to follow its name; and what to do there."""

    why: str
    advice: str


def misfit(needs: Needs, offer: Offer) -> Misfit | None:
    """Why a slot cannot run a job, or None where it can."""
    if needs.device == "gpu" and offer.device == "cpu":
        return Misfit("has no GPU", "start a worker on a machine with a GPU")
    if needs.device not in (None, "gpu", "cpu"):
        return Misfit(f"has no device '{needs.device}'", "submit it again, with --gpu or --no-gpu")
    return None if offer.announced is None else _kind_misfit(needs, offer.announced)


def misfit_of_all(needs: Needs, offers: Iterable[Offer]) -> Misfit | None:
    """Why none of a worker's slots can run a job, or None where one can."""
    answers = [misfit(needs, offer) for offer in offers]
    return None if None in answers or not answers else answers[0]


@dataclass(frozen=True)
class Candidates:
    """The workers of a job's queue, fewer and fewer of them.

    Attributes:
        known: all that have not left.
        alive: those that were heard of lately.
        taking: those that go on taking jobs.
        able: those that can run this one.
    """

    known: list[Worker]
    alive: list[Worker]
    taking: list[Worker]
    able: list[Worker]

    @classmethod
    def of(cls, job: Job, workers: Sequence[Worker]) -> Candidates:
        """Who of these workers may take a job."""
        needs = Needs.of(job)
        known = [worker for worker in workers if job.queue in worker.queues]
        taking = [worker for worker in known if worker.takes_jobs]
        return cls(
            known=known,
            alive=[worker for worker in known if worker.alive],
            taking=taking,
            able=[worker for worker in taking if misfit_of_all(needs, offers_of(worker)) is None],
        )

    @property
    def free(self) -> list[Worker]:
        """Those that can run the job and have a slot that runs nothing."""
        return [worker for worker in self.able if worker.free_slots]


def _kind_misfit(needs: Needs, announced: Mapping[str, Any]) -> Misfit | None:
    kind = announced.get("kinds", {}).get(needs.kind)
    if kind is None:
        return _unknown_kind(needs.kind, announced.get("broken", {}))
    if kind["missing"]:
        packages = join(list(kind["missing"]))
        return Misfit(
            f"cannot run {needs.kind}, as {packages} is not installed there",
            f"install {packages} there and restart it",
        )
    fields = kind["fields"]
    unknown = sorted(needs.fields - set(needs.fields if fields is None else fields))
    if unknown:
        names = join([f"'{name}'" for name in unknown])
        return Misfit(
            f"has another version of {needs.kind}, which does not know {names}",
            "bring the same version of cvq (or of the plug-in) there and restart it",
        )
    return None


def _unknown_kind(kind: str, broken: Mapping[str, str]) -> Misfit:
    if broken:
        what, error = next(iter(broken.items()))
        return Misfit(
            f"does not know the kind '{kind}', and its {what} could not be loaded ({error})",
            "mend that plug-in there and restart it",
        )
    return Misfit(
        f"does not know the kind '{kind}'",
        "install its plug-in there (or name its module in CVQ_KINDS, or upgrade cvq) "
        "and restart it",
    )
