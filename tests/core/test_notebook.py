"""Jobs as a notebook shows them: escaped, bounded, and never an error."""

from __future__ import annotations

import io
import re
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image
from sqlalchemy import text

from cvq import Client, JobList
from cvq.errors import UsageError
from cvq.lifecycle import attempts, claims
from cvq.notebook.curve import curve
from cvq.records import Job, MetricPoint, Outcome
from cvq.settings import Settings
from cvq.views.compare import Comparison, Line

EVIL = "<script>alert('x')</script>\x1b[2J&\"'"


def png(size: tuple[int, int] = (900, 600)) -> bytes:
    file = io.BytesIO()
    Image.effect_noise(size, 50).convert("RGB").save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def left(client: Client, tmp_path: Path) -> Callable[..., Job]:
    """Run a job that leaves files and a metric."""

    def run(files: dict[str, bytes], role: str = "result", **more: Any) -> Job:
        client.submit("selftest", **more)
        with client.db.write() as connection:
            job = claims.claim(
                connection, worker="w", host="h", queues=["default"], token=uuid.uuid4().hex,
                lease=30,
            )  # fmt: skip
        assert job is not None
        for name, content in files.items():
            (tmp_path / "made").write_bytes(content)
            made = client.artifacts.put_artifact(
                job.attempt_id, tmp_path / "made", name=name, role=role
            )
            with client.db.write() as connection:
                attempts.report(connection, job.attempt_id, artifacts=[made])
        now = datetime.now(UTC)
        points = [MetricPoint("value", step, 1 / step, now) for step in range(1, 5)]
        points += [MetricPoint(EVIL, step, float(step), now) for step in range(3)]
        with client.db.write() as connection:
            attempts.report(connection, job.attempt_id, metrics=points)
        return job

    return run


def parsed(html: str | None) -> ElementTree.Element:
    """The HTML, which is well-formed, asks for nothing outside, and has no script."""
    assert html is not None
    found = ElementTree.fromstring(f"<all>{html}</all>")
    for element in found.iter():
        assert element.tag.rpartition("}")[2] in {
            "all", "div", "b", "span", "table", "thead", "tbody", "tr", "th", "td", "img", "svg",
            "path", "polyline", "text",
        }  # fmt: skip
        assert not {"href", "onload", "onerror", "onclick"} & set(element.attrib)
        assert element.get("src", "data:image/").startswith("data:image/")
    assert not re.search("[\x00-\x08\x0b-\x1f]", html)
    return found


def test_a_job_has_its_picture_and_its_curves(client: Client, left: Callable[..., Job]) -> None:
    job = client.job(left({"a.png": png()}, name=EVIL, tags={"k": EVIL}).id).annotate(EVIL)
    found = parsed(job._repr_html_())
    [image] = found.iter("img")
    assert (image.get("width"), image.get("height")) == ("320", "213")
    assert len(list(found.iter("{http://www.w3.org/2000/svg}polyline"))) == 2
    assert "<script" not in str(job._repr_html_())
    assert len(str(job._repr_html_())) < 200_000


def test_jobs_side_by_side_show_what_differs(client: Client) -> None:
    for steps in (2, 3):
        client.submit("selftest", steps=steps, name=EVIL, tags={"k": f"{EVIL}{steps}"})
    same = client.compare(1, 2)
    found = parsed(same._repr_html_())
    rows = [["".join(cell.itertext()) for cell in row] for row in found.iter("tr")]
    assert rows[0] == ["job", "1", "2"]
    assert ["params.steps", "2", "3"] in rows
    assert {row[0] for row in rows[1:]} == {line.name for line in same.differing}
    none = Comparison(same.jobs, [line for line in same.lines if not line.differs])
    assert "2 jobs that differ in nothing" in "".join(parsed(none._repr_html_()).itertext())


def test_the_best_value_is_bold_and_many_jobs_are_cut_off(client: Client) -> None:
    job = client.submit("selftest").job
    line = Line("metrics.x", [0.123456, *[0.123457] * 29], "min", frozenset({0}), differs=True)
    found = parsed(Comparison([job] * 30, [line])._repr_html_())
    assert [bold.text for bold in found.iter("b")] == ["0.123456"]
    assert len(list(found.iter("td"))) == 21
    assert "and 10 more jobs" in "".join(found.itertext())


def test_a_batch_shows_how_far_it_is_and_its_first_jobs(client: Client, tmp_path: Path) -> None:
    items = [tmp_path / f"{number}.png" for number in range(52)]
    for item in items:
        item.write_bytes(png((8, 8)))
    items[0].write_bytes(b"no picture")
    client.settings = Settings.load(kinds=["batched"])
    batch = client.submit_many("brightness", items, name=EVIL, each=True)
    told = "".join(parsed(batch._repr_html_()).itertext())
    assert "1 of 52 done" in told
    assert "51 queued" in told
    assert "1 failed" in told
    assert "and 2 more jobs" in told


def test_a_sweep_shows_its_ranking_its_best_and_what_matters(client: Client) -> None:
    sweep = client.sweep("selftest", {"steps": [1, 2, 3, 4]}, name=EVIL, minimize=EVIL)
    assert "4 queued" in "".join(parsed(sweep._repr_html_()).itertext())
    for number in range(4):
        with client.db.write() as connection:
            job = claims.claim(
                connection, worker="w", host="h", queues=["default"], token=uuid.uuid4().hex,
                lease=30,
            )  # fmt: skip
            assert job is not None
            point = MetricPoint(EVIL, 1, 10.0 - number, datetime.now(UTC))
            attempts.report(connection, job.attempt_id, metrics=[point])
            attempts.finish(connection, job.attempt_id, Outcome("succeeded"), "w")
    found = parsed(sweep.refresh()._repr_html_())
    rows = [["".join(cell.itertext()) for cell in row] for row in found.iter("tr")]
    ranking = [row for row in rows if len(row) == 7][1:]
    assert [(row[0], row[4], row[5]) for row in ranking] == [
        ("1", "7", "4"), ("2", "8", "3"), ("3", "9", "2"), ("4", "10", "1"),
    ]  # fmt: skip
    told = "".join(found.itertext())
    assert "trial 4 (job 4): steps=4" in told
    assert "of 4 trials" in told
    with client.db.write() as connection:
        connection.execute(text("ALTER TABLE sweeps RENAME TO gone"))
    sweep._sweep = None
    assert sweep._repr_html_() is None


def test_a_list_is_a_table_within_bounds(client: Client, left: Callable[..., Job]) -> None:
    left({"a.png": png()}, name=EVIL)
    jobs = client.jobs()
    assert len(list(parsed(jobs._repr_html_()).iter("img"))) == 1
    many = JobList(client, [*jobs] * 70)
    found = parsed(many._repr_html_())
    assert len(list(found.iter("tr"))) == 51
    assert len(list(found.iter("img"))) == 20
    assert "and 20 more jobs" in "".join(found.itertext())
    parsed(JobList(client)._repr_html_())
    left({"large.png": png((1600, 1600))})  # beyond 4 MB
    assert len(list(parsed(client.jobs()._repr_html_()).iter("img"))) == 1
    assert len(list(parsed(client.job(2)._repr_html_()).iter("img"))) == 1


def test_what_is_damaged_raises_nothing(client: Client, left: Callable[..., Job]) -> None:
    left({"a.png": b"no picture"})
    job = client.job(1)
    assert not list(parsed(job._repr_html_()).iter("img"))
    with client.db.write() as connection:
        connection.execute(text("UPDATE jobs SET spec = '[1]', tags = '7', result = '{'"))
        connection.execute(text("UPDATE artifacts SET uri = 'file:///etc/passwd', bytes = 1"))
    parsed(client.job(1)._repr_html_())
    parsed(client.jobs()._repr_html_())
    with client.db.write() as connection:
        connection.execute(text("DROP TABLE artifacts"))
        connection.execute(text("DROP TABLE metrics"))
    parsed(job._repr_html_())
    with client.db.write() as connection:
        connection.execute(text("ALTER TABLE jobs RENAME TO gone"))
    assert job.client.jobs.__name__ == "jobs"
    job._job = None
    assert job._repr_html_() is None


@pytest.mark.parametrize(
    "points",
    [
        [], [(1, 1.0)], [(1, None), (2, None)], [(1, float("nan")), (2, 1.0)],
    ],
)  # fmt: skip
def test_nothing_is_drawn_of_no_curve(points: Any) -> None:
    assert curve("loss", points) == ""


@pytest.mark.parametrize(
    "points",
    [
        [(1, 1.0), (1, 1.0)], [(1, -1e308), (2, 1e308)], [(-(10**30), 5e-324), (10**30, 0.0)],
        [(n, None if n % 7 == 0 else n / 3) for n in range(100_000)],
    ],
)  # fmt: skip
def test_a_curve_is_drawn_in_its_frame(points: Any) -> None:
    found = parsed(curve(EVIL, points))
    drawn = [line.get("points", "") for line in found.iter("{http://www.w3.org/2000/svg}polyline")]
    places = [tuple(map(float, pair.split(","))) for line in drawn for pair in line.split()]
    assert all(0 <= x <= 320 and 0 <= y <= 120 for x, y in places)
    assert 0 < len(places) <= 402


def test_a_curve_keeps_its_peak_and_its_gap() -> None:
    values: list[float | None] = [0.0] * 100_000
    values[33_333], values[66_666] = 1.0, None
    found = parsed(curve("loss", list(enumerate(values))))
    drawn = [line.get("points", "") for line in found.iter("{http://www.w3.org/2000/svg}polyline")]
    assert len(drawn) == 2, "a gap parts it"
    assert ",18.0" in drawn[0], "up to the frame's upper end"


def test_an_image_is_given_and_shown(
    client: Client, left: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    left({"a.png": png((8, 4)), "b.png": png((3, 3)), "c.txt": b""})
    job = client.job(1)
    assert (job.image().size, job.image("b*").size) == ((8, 4), (3, 3))
    with pytest.raises(UsageError, match=r"^job 1 has no picture like '\*\.txt'$"):
        job.image("*.txt")
    shown: list[Any] = []
    monkeypatch.setattr(Image.Image, "show", lambda image: shown.append(image.size))
    monkeypatch.setitem(sys.modules, "IPython", None)  # type: ignore[arg-type]
    job.show()
    notebook = SimpleNamespace(
        get_ipython=object, display=SimpleNamespace(display=lambda image: shown.append(image))
    )
    monkeypatch.setitem(sys.modules, "IPython", notebook)  # type: ignore[arg-type]
    job.show("b.png")
    assert (shown[0], shown[1].size) == ((8, 4), (3, 3))
    left({"bad.png": b"x"})
    with pytest.raises(UsageError, match=r"^job 2: bad\.png is not a picture"):
        client.job(2).image()


def test_a_job_that_runs_shows_what_it_has_drawn_last(
    client: Client, left: Callable[..., Job]
) -> None:
    left({"p1.png": png((5, 5)), "p2.png": png((6, 6))}, role="preview")
    assert client.job(1).image().size == (6, 6)
    job = client.job(1)
    with client.db.write() as connection:
        attempts.finish(connection, job.attempt_id, Outcome("succeeded"), "w")
    assert client.job(1).image("p1.png").size == (5, 5)
