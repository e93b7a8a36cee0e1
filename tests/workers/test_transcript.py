"""What a warm process prints belongs to all that it answers at the time, within bounds."""

from __future__ import annotations

from steps import claimed, get, new, submit

from cvq import queries
from cvq.db import Database
from cvq.ids import AttemptId
from cvq.lifecycle.lines import add_lines
from cvq_workers.warm.transcript import Transcript

FIRST, SECOND, THIRD = (AttemptId(job, 1) for job in (7, 8, 9))


def texts(transcript: Transcript, attempt: AttemptId) -> list[str]:
    return [line.text for line in transcript.waiting([attempt]).get(attempt, [])]


def test_what_is_said_is_in_the_log_of_each() -> None:
    transcript = Transcript()
    transcript.write("stdout", b"nobody is answered")
    transcript.begin([FIRST, SECOND])
    transcript.write("stdout", b"1%\r2%\r")
    transcript.write("stderr", b"n\0l")
    transcript.begin([SECOND])
    transcript.write("stdout", b"alone")
    assert texts(transcript, FIRST) == ["2%", "n\ufffdl"]
    assert texts(transcript, SECOND) == ["2%", "n\ufffdl", "alone"]
    assert [line.seq for line in transcript.waiting([SECOND])[SECOND]] == [1, 2, 3]


def test_the_first_has_much_and_the_others_a_little_and_each_says_what_it_lacks() -> None:
    transcript = Transcript()
    transcript.begin([FIRST, SECOND, THIRD])
    for number in range(20_000):
        transcript.write("stdout", b"%d" % number)
    transcript.close([THIRD])
    transcript.write("stdout", b"the last")
    transcript.close([FIRST, SECOND])
    first, second, third = (texts(transcript, each) for each in (FIRST, SECOND, THIRD))
    assert (first[0], len(first)) == ("0", 10_001)
    assert first[-1] == "WARNING cvq.worker: 10001 lines left out here"
    assert second[:-1] == [str(number) for number in range(10)]
    assert second[-1] == (
        "WARNING cvq.worker: 19991 lines left out here: job 7, answered with it, may have more"
    )
    assert "19990 lines" in third[-1]


def test_who_is_answered_anew_and_alone_has_room_again() -> None:
    transcript = Transcript()
    transcript.begin([FIRST, SECOND])
    for number in range(12):
        transcript.write("stdout", b"%d" % number)
    transcript.begin([SECOND])
    transcript.write("stdout", b"alone")
    transcript.close([SECOND])
    assert texts(transcript, SECOND)[10:] == [
        "alone",
        "WARNING cvq.worker: 2 lines left out here",
    ]


def test_lines_are_written_once_and_only_of_attempts_that_run(database: Database) -> None:
    submit(database, new(), new())
    first, second = (claimed(database).attempt_id for _ in range(2))
    stranger = AttemptId(second.job_id, 5)
    transcript = Transcript()
    transcript.begin([first, stranger])
    transcript.write("stdout", b"one")
    with database.write() as connection:
        add_lines(connection, transcript.waiting([first, stranger]))
    transcript.write("stdout", b"two")  # the answer was lost: all are written again
    for _ in range(2):
        with database.write() as connection:
            add_lines(connection, transcript.waiting([first]))
    transcript.written(transcript.waiting([first]))
    assert transcript.waiting([first]) == {}
    with database.read() as connection:
        told = {each.job_id: queries.logs_of(connection, each.job_id) for each in (first, second)}
    assert [line.text for line in told[first.job_id]] == ["one", "two"]
    assert told[second.job_id] == []
    assert get(database, first.job_id).state == "running"
