"""What a job says is given out in pieces that hold nobody up."""

from __future__ import annotations

from cvq_workers.attempt.reports import Reports
from cvq_workers.protocol import Metrics, Progress


def test_a_line_is_kept_as_a_terminal_shows_it_and_a_database_takes_it() -> None:
    reports = Reports()
    add = reports.log_to("stdout")
    for line in (b"1%\r50%\r100%\r", b"a\x00b", b"\xff", b""):
        add(line)
    lines = reports.take().logs
    assert [line.text for line in lines] == ["100%", "a\ufffdb", "\ufffd", ""]
    assert [line.seq for line in lines] == [1, 2, 3, 4]


def test_lines_of_both_streams_are_counted_together() -> None:
    reports = Reports()
    reports.log_to("stdout")(b"first")
    reports.log_to("stderr")(b"second")
    lines = reports.take().logs
    assert [(line.seq, line.stream) for line in lines] == [(1, "stdout"), (2, "stderr")]


def test_a_flood_is_given_out_in_pieces_and_in_order() -> None:
    reports = Reports()
    add = reports.log_to("stdout")
    for number in range(5000):
        add(b"%d" % number)
    texts: list[str] = []
    sizes = []
    while not (report := reports.take()).empty:
        sizes.append(len(report.logs))
        texts += [line.text for line in report.logs]
        assert report.more is (len(texts) < 5000)
    assert texts == [str(number) for number in range(5000)]
    assert max(sizes) <= 2000


def test_a_piece_is_no_longer_than_others_can_wait_for() -> None:
    reports = Reports()
    for _ in range(60):
        reports.log_to("stdout")(b"x" * 16_000)
    assert sum(len(line.text) for line in reports.take().logs) <= 400_000
    reports = Reports()
    reports.log_to("stdout")(b"x" * 1_000_000)
    assert len(reports.take().logs) == 1  # one at least, or nothing would ever go out


def test_a_job_waits_while_too_much_of_it_is_to_be_stored() -> None:
    reports = Reports()
    while not reports.full:
        reports.log_to("stdout")(b"x" * 100_000)
    while reports.take().more:
        pass
    assert not reports.full


def test_progress_is_given_out_once() -> None:
    reports = Reports()
    assert reports.take().empty
    reports.add_progress(Progress(7, 1, 1, 4, "step", None))
    reports.add_progress(Progress(7, 1, 2, 4, "step", None))
    progress = reports.take().progress
    assert progress is not None
    assert (progress["done"], progress["total"], progress["unit"]) == (2, 4, "step")
    assert reports.take().empty


def test_a_metric_is_a_point_for_each_of_its_names() -> None:
    reports = Reports()
    reports.add_metrics(Metrics(7, 1, 3, {"loss": 0.5, "accuracy": 1}, 1e9))
    points = reports.take().metrics
    assert [(point.name, point.step, point.value) for point in points] == [
        ("loss", 3, 0.5),
        ("accuracy", 3, 1),
    ]
    assert points[0].time.timestamp() == 1e9
