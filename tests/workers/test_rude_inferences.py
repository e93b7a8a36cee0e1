"""An inference that does what it should not harms its own job, and no other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from steps import ended

from conftest import TESTS, Worker
from cvq import Client, Settings, queries
from cvq.batch_handle import BatchHandle


@pytest.fixture
def submit(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., BatchHandle]:
    """Submit a job for each word, as one batch; none is tried again."""
    monkeypatch.syspath_prepend(TESTS)
    monkeypatch.setattr(client, "settings", Settings.load(kinds=["rude_kinds"]))

    def start(*words: str, **given: Any) -> BatchHandle:
        values = {"log": str(tmp_path / "told"), "retries": 0, "cache": False, **given}
        return client.submit_many("rude", [[word] for word in words], **values)

    return start


@pytest.fixture
def start(start_worker: Callable[..., Worker], submit: Callable[..., BatchHandle]) -> Any:
    return lambda *words, **more: start_worker(
        "--slots", "1", *words, **{"CVQ_KINDS": "rude_kinds", **more}
    )


# What each word leaves: a field of the result and its value, or words of the error.
LEFT: dict[str, Any] = {
    "too few": "infer gave 0 answers for 1 item",
    "too many": "infer gave 2 answers for 1 item",
    "no dicts": "infer gave int: an Answer or a dict is needed",
    "nothing": "NoneType",
    "sys.exit": "no licence",
    "exit in decode": "not this one",
    "interrupt": "exit",
    "os._exit": "exit",
    "close": "closed its connection",
    "uncountable": "nobody can count these",
    "no file": "TypeError",
    "fork": ("said", "well"),
    "threads": ("said", "well"),
    "flood": ("said", "well"),
    "odd": ("nan", None),
    "files": ("large", "x" * 100_000),
}


def test_each_harms_itself_alone(
    client: Client, start: Any, submit: Callable[..., BatchHandle]
) -> None:
    start()
    *jobs, neighbour = ended(client, submit(*LEFT, "well"))
    assert neighbour.result == {"said": "well"}, neighbour.error
    for (word, left), job in zip(LEFT.items(), jobs, strict=True):
        assert job.attempt == 1, word
        if isinstance(left, str):
            assert job.state == "failed", word
            assert left in (job.error or ""), word
        else:
            assert (job.result or {}).get(left[0]) == left[1], (word, job.error)
    odd = jobs[list(LEFT).index("odd")].result
    assert odd == {"nan": None, "nul": "a\ufffdb", "half": "?", "1": 2**100}
    files = client.artifacts_of(jobs[list(LEFT).index("files")].id)
    assert sorted((file.name, file.bytes) for file in files) == [
        ("a/b", 5), ("a_b", 6), ("figures.json", 2), ("result.json", 2),
    ]  # fmt: skip


@pytest.mark.parametrize(("load", "reason"), [("crash", "signal:SEGV"), ("hang", "timeout")])
def test_a_model_that_ends_the_process_is_no_items_fault(
    client: Client, start: Any, submit: Callable[..., BatchHandle], tmp_path: Path,
    load: str, reason: str,
) -> None:  # fmt: skip
    batch = submit(*["well"] * 32, load=load, time_limit=1.0)
    start()
    assert {job.reason for job in ended(client, batch)} == {reason}
    assert (tmp_path / "told").read_text().count("load") <= 3
    assert ended(client, submit("well"))[0].result == {"said": "well"}


def test_jobs_that_wait_for_their_turn_keep_their_leases(
    client: Client, start: Any, submit: Callable[..., BatchHandle], monkeypatch: Any
) -> None:
    """A worker whose kind has no inference takes them one after the other."""
    batch = submit(*["well"] * 8)
    start("--lease", "1", CVQ_KINDS="old_kinds")
    jobs = ended(client, batch)
    assert [(job.state, job.attempt) for job in jobs] == [("succeeded", 1)] * 8
    assert jobs[0].result == {"alone": ["well"]}


def test_what_is_printed_is_in_the_log_of_each_that_was_answered(
    client: Client, start: Any, submit: Callable[..., BatchHandle]
) -> None:
    batch = submit("shout", "well")
    start()
    for job in ended(client, batch):
        with client.db.read() as connection:
            told = {line.text for line in queries.logs_of(connection, job.id)}
        assert told == {"from C", "and no end of it", "WARNING rude: a warning"}
    first, second = ended(client, submit("flood", "well"))
    with client.db.read() as connection:
        much, little = (queries.logs_of(connection, job.id) for job in (first, second))
    assert 5_000 < len(much) < 20_000
    assert [line.text for line in little[:-1]] == [f"line {number}" for number in range(10)]
    assert f"job {first.id}, answered with it" in little[-1].text


def test_what_an_inference_changes_in_its_process_no_other_kind_meets(
    client: Client, start: Any, submit: Callable[..., BatchHandle], tmp_path: Path
) -> None:
    start()

    def calm(word: str) -> dict[str, Any]:
        batch = client.submit_many("calm", [[word]], log=str(tmp_path / "told"), retries=0)
        return ended(client, batch)[0].result or {}

    first, second = calm("1"), calm("2")
    assert first == second  # the same process, and the same random number
    for _ in range(2):
        assert ended(client, submit("dtype"))[0].result == {"said": "well"}
    assert (tmp_path / "told").read_text() == "load\n"  # its own meets it
    after = calm("3")
    assert (after["dtype"], after["random"]) == (first["dtype"], first["random"])
    assert after["pid"] != first["pid"]
