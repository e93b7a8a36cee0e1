"""`cvq submit --dry-run` of a batch: what would be queued, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from . import estimates, formats
from .output import dump, note

if TYPE_CHECKING:
    from cvq.batch import NewBatch
    from cvq.bulk import OnItem
    from cvq.client import Client
    from cvq.kinds.kind import Kind
    from cvq.prepared import Prepared


class Given(NamedTuple):
    """The items of a batch, the other values of its jobs, and what to call while they are read."""

    items: Iterable[Any]
    values: Mapping[str, Any]
    look: OnItem


def look_at(
    kind: Kind,
    client: Client,
    given: Given,
    common: Mapping[str, Any],
    more: Mapping[str, Any],
) -> tuple[NewBatch, Prepared]:
    """Look at all items as a submission does, store none, and queue nothing.

    Raises:
        UsageError: nothing of it could be queued.
    """
    from cvq.bulk import Bulk, prepare
    from cvq.checks import JobOptions

    asked = {name: common[name] for name in ("strict", "max_fails", "single", "each")}
    options = JobOptions(**{name: value for name, value in more.items() if name != "cache"})
    cache = more.get("cache", True)
    wanted = Bulk(kind, given.values, options, **asked, cache=cache, dry=True)
    return prepare(client, wanted, given.items, given.look)


def tell(
    client: Client,
    found: tuple[NewBatch, Prepared],
    more: Mapping[str, Any],
    common: Mapping[str, Any],
) -> None:
    """Print what the batch would be as JSON; for people, too, what that means."""
    batch, prepared = found
    runnable = [job for job in prepared.jobs if job.error is None]
    estimate = estimates.jobs_estimate(client, runnable)
    dump(
        {
            "kind": batch.kind,
            "name": batch.name,
            "spec": batch.spec,
            "jobs": len(prepared.jobs),
            "items": batch.items,
            "known": batch.known,
            "shards": batch.items - batch.known > len(prepared.jobs),
            "max_fails": batch.max_fails,
            "bad": prepared.bad,
            "errors": prepared.errors,
            "estimate": None if estimate is None else estimate.to_json(),
        }
    )
    if not (common["quiet"] or common["as_json"]):
        note(_sentence(batch, prepared))
        estimates.tell(estimate)
    if at := more.get("at"):
        note(f"it would not start before {formats.moment(at)}")


def _sentence(batch: NewBatch, prepared: Prepared) -> str:
    refused = sum(job.error is not None for job in prepared.jobs)
    new = batch.items - batch.known
    said = f"it would be a batch of {formats.count(len(prepared.jobs) - refused, 'job')}"
    said += f" with {formats.count(new, 'item')}" if new > len(prepared.jobs) else ""
    said += f"; {formats.count(batch.known, 'item')} known already" if batch.known else ""
    if not prepared.bad:
        return said
    first = formats.cut(prepared.errors[0], 120)
    more = " and so on" if prepared.bad > 1 else ""
    return f"{said}; {formats.count(prepared.bad, 'item')} cannot be used: {first}{more}"
