"""A worker's hold on a process: what it says goes to the attempt that it is about."""

from __future__ import annotations

import os
import socket
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cvq.ids import AttemptId
from cvq_workers.launch.launcher import JobEnds, Launcher
from cvq_workers.process.job_process import JobProcess
from cvq_workers.protocol import (
    PULSE_OF_WORKER,
    Abandoned,
    Beat,
    Begun,
    Ended,
    Event,
    Message,
    Progress,
    Result,
    Started,
    Stop,
    decode,
    encode,
)
from waiting import eventually

FIRST, SECOND, STRANGER = AttemptId(7, 1), AttemptId(8, 3), AttemptId(8, 2)


class Puppet(Launcher):
    """Starts no process: the test speaks in its place."""

    def __init__(self) -> None:
        super().__init__("spawn")
        self.sockets: dict[str, socket.socket] = {}

    def start(self, job_file: Path, ends: JobEnds) -> None:
        for name in ("events", "pulse", "leash"):
            self.sockets[name] = socket.socket(fileno=os.dup(getattr(ends, name)))

    def say(self, name: str, *messages: Message) -> None:
        self.sockets[name].sendall(b"".join(map(encode, messages)))


class Hearing:
    """A process, and what each attempt and the log have heard of it."""

    def __init__(self) -> None:
        self.puppet = Puppet()
        self.heard: defaultdict[AttemptId, list[Event | Begun]] = defaultdict(list)
        self.log: list[bytes] = []
        self.process = JobProcess(self.puppet, output=lambda _: self.log.append)
        for attempt in (FIRST, SECOND):
            self.process.register(attempt, self.heard[attempt].append)
        self.process.launch(Path("job.json"))

    def read_until(self, look: Callable[[], object]) -> None:
        def read() -> object:
            self.process.read(0.01, paused=False)
            return look()

        eventually(read)


@pytest.fixture
def hearing() -> Iterator[Hearing]:
    made = Hearing()
    yield made
    for owned in made.puppet.sockets.values():
        owned.close()
    made.process.close()


def test_one_process_serves_several_attempts(hearing: Hearing) -> None:
    first = Progress(*FIRST, 1, 2, "step", None)
    second = [Progress(*SECOND, 2, 2, "step", 1.0), Result(*SECOND, "done")]
    hearing.puppet.say("events", second[0], first, second[1])
    hearing.read_until(lambda: len(hearing.heard[SECOND]) == 2)
    assert hearing.heard == {FIRST: [first], SECOND: second}
    assert hearing.log == []


def test_what_is_about_another_attempt_is_no_report(hearing: Hearing) -> None:
    hearing.puppet.say("events", Result(*STRANGER, "mine"), Result(*FIRST, "done"))
    hearing.puppet.sockets["events"].sendall(b"nonsense\n")
    hearing.read_until(lambda: len(hearing.log) == 2)
    assert hearing.heard == {FIRST: [Result(*FIRST, "done")], SECOND: []}
    assert b"the job sent what is no report: {" in hearing.log[0]
    assert hearing.log[1].endswith(b"no report: nonsense")


def test_each_attempt_has_beats_of_its_own_once_the_process_runs(hearing: Hearing) -> None:
    process, pulse = hearing.process, hearing.puppet.sockets["pulse"]
    process.beat(FIRST, 1.0)  # nobody is there to hear it
    hearing.puppet.say("pulse", Begun(*STRANGER), Begun(*FIRST))
    hearing.read_until(lambda: hearing.heard[FIRST])
    assert hearing.heard == {FIRST: [Begun(*FIRST)], SECOND: []}
    process.beat(FIRST, 2.0)
    process.tell(Stop(*SECOND))
    process.beat(SECOND, 3.0)
    lines = pulse.recv(1 << 16).splitlines()
    told = [decode(line, PULSE_OF_WORKER) for line in lines]
    assert told == [Beat(*FIRST, 2.0), Stop(*SECOND), Beat(*SECOND, 3.0)]


def test_what_is_no_answer_on_the_pulse_ends_nothing(hearing: Hearing) -> None:
    hearing.puppet.sockets["pulse"].sendall(b"nonsense\n\xff\n")
    hearing.puppet.say("pulse", Begun(*FIRST))
    hearing.read_until(lambda: hearing.heard[FIRST])
    assert not hearing.process.gone


def test_a_process_that_never_ran_has_no_end(hearing: Hearing) -> None:
    assert hearing.process.end is None
    hearing.puppet.say("pulse", Abandoned("the lease ended"))
    hearing.puppet.say("leash", Started(os.getpid(), os.getpid()), Ended(1, None, 4096))
    hearing.read_until(lambda: hearing.process.gone)
    end = hearing.process.end
    assert end is not None
    assert (end.report, end.abandoned) == (Ended(1, None, 4096), "the lease ended")
