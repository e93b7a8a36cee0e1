"""Signals are raised where whoever waits looks, and nowhere else."""

from __future__ import annotations

import signal
import threading
import weakref

import pytest

from cvq import Client
from cvq_cli.holdups import Holdups
from cvq_cli.interrupts import Interrupts, Terminated

from .conftest import Cli


class Thing:
    """Something that may be referred to weakly."""


def raise_where_it_is_swallowed(number: int) -> None:
    """Send a signal to this process while it is in the callback of a weak reference."""
    thing = Thing()
    reference = weakref.ref(thing, lambda _: signal.raise_signal(number))
    del thing
    assert reference() is None


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, None), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_waits_for_the_next_look(number: int, code: int | None) -> None:
    with Interrupts() as interrupts:
        interrupts.check()
        raise_where_it_is_swallowed(number)
        with pytest.raises(Terminated if code else KeyboardInterrupt) as caught:
            interrupts.check()
        interrupts.check()  # told once
    assert getattr(caught.value, "code", None) == code


def test_a_second_signal_does_not_wait() -> None:
    with Interrupts() as interrupts:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(Terminated):
            interrupts.check()


def test_a_signal_after_the_last_look_is_not_lost() -> None:
    with pytest.raises(Terminated), Interrupts():
        signal.raise_signal(signal.SIGTERM)


def test_an_error_is_told_and_not_the_signal_that_came_with_it() -> None:
    def fail() -> None:
        with Interrupts():
            signal.raise_signal(signal.SIGINT)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()


def test_a_sleeper_hears_of_a_signal_soon() -> None:
    with Interrupts() as interrupts:
        timer = threading.Timer(0.1, signal.raise_signal, [signal.SIGTERM])
        timer.start()
        with pytest.raises(Terminated):
            interrupts.sleep(3600.0)
        timer.join()


def test_what_was_ignored_stays_ignored_and_what_was_there_comes_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    hangup = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with Interrupts() as interrupts:
            signal.raise_signal(signal.SIGHUP)
            interrupts.check()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, hangup)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_thread_leaves_signals_alone() -> None:
    said: list[object] = []

    def wait() -> None:
        with Interrupts() as interrupts:
            said.append(signal.getsignal(signal.SIGTERM))
            interrupts.check()

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=wait)
    thread.start()
    thread.join()
    assert said == [before]


@pytest.mark.parametrize(
    "words",
    [
        ["submit", "selftest", "--wait"],
        ["submit", "selftest", "--wait", "--quiet"],
        ["watch", "1"],
        ["watch", "1", "--json"],
    ],
)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_commands_that_wait_lose_no_signal(
    run: Cli, client: Client, monkeypatch: pytest.MonkeyPatch, words: list[str],
    number: int, code: int,
) -> None:  # fmt: skip
    client.submit("selftest")
    looked = Holdups.__call__

    def look(*arguments: object) -> None:
        looked(*arguments)
        raise_where_it_is_swallowed(number)

    monkeypatch.setattr(Holdups, "__call__", look)
    run(*words, code=code)
    assert {job.state for job in client.jobs()} == {"queued"}


def test_run_cancels_its_job_where_a_signal_would_be_swallowed(
    run: Cli, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cvq_cli.commands.run._Worker.look", lambda *_: True)
    monkeypatch.setattr(
        Holdups, "__call__", lambda *_: raise_where_it_is_swallowed(signal.SIGTERM)
    )
    run("run", "selftest", code=143)
    assert client.job(1).state == "cancelled"
