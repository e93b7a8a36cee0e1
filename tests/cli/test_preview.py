"""Pictures in the terminal, and in the system's viewer."""

from __future__ import annotations

import io
import re
import sys
from base64 import b64decode
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from cvq import Client, Settings
from cvq.errors import MissingExtraError
from cvq.records import Job
from cvq_cli import previewing, viewers
from cvq_cli.colours import bare, shown
from cvq_cli.drawing import grid, terminals
from cvq_cli.drawing.blocks import Depth, drawn, fitted
from waiting import HANG_S

from .conftest import Cli, FakeWorker

CODE = re.compile("\x1b\\[[0-9;]*m")
RED, BLUE = "38;2;255;0;0", "48;2;0;0;255"


def png(colour: object = "red", size: tuple[int, int] = (8, 4)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")  # type: ignore[arg-type]
    return file.getvalue()


@pytest.fixture(autouse=True)
def _plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TMUX", "STY", "ZELLIJ", "KITTY_WINDOW_ID", "KONSOLE_VERSION", "TERM_PROGRAM",
                 "COLORFGBG", "DISPLAY", "WAYLAND_DISPLAY"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def painted(client: Client, worker: FakeWorker) -> Job:
    """A job with two pictures, a table, a text and a file of no use here."""
    client.submit("selftest")
    job = worker.claim()
    worker.artifact(job, "a.png", png())
    worker.artifact(job, "b.png", png("blue", (4, 8)))
    worker.artifact(job, "t.csv", b"name,p\nx,0.5\ny,\n")
    worker.artifact(job, "notes.txt", b"one\ntwo\x1b[31m\n")
    worker.artifact(job, "model.bin", b"\0" * 10)
    worker.artifact(job, "early.png", png(), role="preview")
    worker.finish(job)
    return job


@pytest.mark.parametrize(
    ("size", "columns", "rows", "expected"),
    [
        ((640, 480), 80, 100, (80, 60)),  # as wide as there is room, its sides as they were
        ((640, 480), 80, 10, (27, 20)),
        ((28, 28), 80, 24, (28, 28)),  # not enlarged
        ((10_000, 1), 40, 24, (40, 1)),
        ((1, 10_000), 40, 24, (1, 48)),
    ],
)
def test_a_picture_keeps_its_sides(
    size: tuple[int, int], columns: int, rows: int, expected: tuple[int, int]
) -> None:
    assert fitted(size, columns, rows) == expected


def test_two_pixels_stand_in_a_cell() -> None:
    image = Image.new("RGB", (3, 2), "red")
    image.paste((0, 0, 255), (0, 1, 3, 2))
    assert [*map(shown, drawn(image, 80, 24, Depth.TRUE))] == [f"\x1b[{RED};{BLUE}m▀▀▀\x1b[0m"]
    assert [*map(shown, drawn(image, 80, 24, Depth.MANY))] == ["\x1b[38;5;196;48;5;21m▀▀▀\x1b[0m"]


def test_what_is_transparent_is_the_ground() -> None:
    image = Image.new("RGBA", (2, 2), (0, 0, 0, 0))
    image.putpixel((0, 0), (255, 0, 0, 255))
    [line] = drawn(image, 80, 24, Depth.TRUE)
    assert shown(line) == f"\x1b[0m\x1b[{RED}m▀\x1b[0m \x1b[0m"
    image.putpixel((0, 1), (255, 0, 0, 255))
    image.putpixel((0, 0), (0, 0, 0, 0))
    assert shown(drawn(image, 80, 24, Depth.TRUE)[0]).startswith(f"\x1b[0m\x1b[{RED}m▄")


def test_without_colours_light_is_a_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.linear_gradient("L").rotate(90).convert("RGB")
    [*_, line] = drawn(image, 10, 20, Depth.SIGNS)
    assert (line[0], line[-1]) == (" ", "@")
    monkeypatch.setenv("COLORFGBG", "0;15")
    assert drawn(image, 10, 20, Depth.SIGNS)[-1] == line[::-1]


@pytest.mark.parametrize("columns", [1, 7, 40, 80, 200])
@pytest.mark.parametrize("number", [1, 2, 5, 12])
def test_a_grid_fits_the_terminal(columns: int, number: int) -> None:
    pictures = [
        grid.Titled(f"日本語 {n} picture.png", Image.new("RGB", (30, 90))) for n in range(number)
    ]
    for line in grid.lines(pictures, columns, 20, Depth.TRUE):
        assert grid.cells(bare(line)) <= columns


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"TERM": "screen", "TERM_PROGRAM": "iTerm.app"}, None),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "vscode"}, "sixel"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/x,1,0"}, None),
        ({"TERM": "tmux-256color", "KITTY_WINDOW_ID": "1"}, None),
        ({"TERM": "xterm-256color"}, None),
        ({"TERM": "dumb", "TERM_PROGRAM": "vscode"}, None),
    ],
)
def test_pixels_are_for_terminals_that_say_so(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], expected: str | None
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert terminals.announced() == expected


def test_iterm2_gets_the_picture_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminals, "find_spec", lambda _: None)
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=20)
    console.print(terminals.pixels(terminals.How.ITERM)(Image.new("RGB", (30, 9), "red"), width=7))
    told, _, rest = file.getvalue().partition(":")
    data, _, after = rest.partition("\a")
    assert told.startswith("\x1b]1337;File=inline=1;")
    assert "width=7;" in told
    assert Image.open(io.BytesIO(b64decode(data))).getpixel((0, 0)) == (255, 0, 0)
    assert after == "\n"


def test_a_page_and_an_svg_are_not_opened(tmp_path: Path) -> None:
    for name in ("a.html", "a.svg", "a.SVG"):
        assert "may be a program" in (viewers.opened(tmp_path / name) or "")


def test_a_csv_of_one_long_field_is_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x" * 200_000 + "\nb,c")
    heading, rows, more = previewing.first_rows(tmp_path / "a.csv", "a.csv", 4)
    assert (len(heading[0]), rows, more) == (200_000, [["b,c"]], False)


def test_the_library_asks_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "__stdout__", terminal)
    for name in [name for name in sys.modules if name.startswith("textual_image")]:
        monkeypatch.delitem(sys.modules, name)
    names = {
        terminals.pixels(how).__module__ for how in (terminals.How.KITTY, terminals.How.SIXEL)
    }
    assert names == {"textual_image.renderable.tgp", "textual_image.renderable.sixel"}
    assert (terminal.getvalue(), sys.__stdout__) == ("", terminal)


def test_without_the_library_blocks_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminals, "find_spec", lambda _: None)
    monkeypatch.setenv("TERM", "xterm-kitty")
    monkeypatch.setenv("COLORTERM", "truecolor")
    assert terminals.best() in (terminals.How.BLOCKS, terminals.How.SIGNS)
    assert terminals.is_extra_missing()
    with pytest.raises(MissingExtraError, match=r"picture as kitty needs more packages.*preview"):
        terminals.pixels(terminals.How.KITTY)


def test_in_a_pipe_each_file_is_a_line(run: Cli, painted: Job, home: Path) -> None:
    lines = [line.split("  ") for line in run("preview", "1").out.splitlines()]
    found = [[word.strip() for word in line if word] for line in lines]
    assert found[0] == ["JOB", "NAME", "PIXELS", "SIZE", "PATH"]
    assert found[1] == ["1", "a.png", "8x4", found[1][3], f"{home}/store/jobs/1/1/a.png"]
    assert [line[1] for line in found[1:]] == ["a.png", "b.png", "t.csv", "notes.txt", "model.bin"]
    [shape] = run("preview", "1", "b*", "--json").json
    assert (shape["width"], shape["height"], shape["trouble"]) == (4, 8, None)


def test_signs_are_drawn_in_a_pipe_too(run: Cli, painted: Job) -> None:
    out = run("preview", "1", "a.png", "--as", "ascii", "--width", "40").out
    assert out.splitlines()[-1] == "1 a.png 8x4"
    assert "\x1b" not in out
    for how in ("blocks", "kitty", "sixel"):
        assert "needs a terminal" in run("preview", "1", "--as", how, code=2).err


def test_tables_and_texts_are_shown_as_text(run: Cli, painted: Job) -> None:
    out = run("preview", "1", "t.csv", "--as", "ascii").out
    assert [line.split() for line in out.splitlines()] == [["NAME", "P"], ["x", "0.5"], ["y"]]
    assert run("preview", "1", "notes.txt", "--as", "ascii").out == "one\ntwo\\x1b[31m\n"
    assert run("preview", "1", "model.bin", "--as", "ascii").out.startswith(
        "model.bin: result, 10"
    )


def test_a_table_of_a_shard_is_shown(run: Cli, client: Client, worker: FakeWorker) -> None:
    import pyarrow
    import pyarrow.parquet

    file = io.BytesIO()
    table = {"name": ["a", "b"], "score": [0.25, None], "picture": [b"\0", None]}
    pyarrow.parquet.write_table(pyarrow.table(table), file)
    client.submit("selftest")
    job = worker.claim()
    worker.artifact(job, "t.parquet", file.getvalue())
    worker.artifact(job, "bad.parquet", b"PAR1")
    out = run("preview", "1", "t.parquet", "--as", "ascii").out
    assert [line.split() for line in out.splitlines()] == [["NAME", "SCORE"], ["a", "0.25"], ["b"]]
    said = run("preview", "1", "bad.parquet", "--as", "ascii", code=None)
    assert "is no table in Parquet" in said.err
    assert said.err.count("\n") == 1


def test_a_damaged_picture_is_told_and_the_others_shown(
    run: Cli, client: Client, worker: FakeWorker, painted: Job
) -> None:
    client.submit("selftest")
    job = worker.claim()
    worker.artifact(job, "bad.png", b"nothing")
    worker.artifact(job, "cut.png", png(size=(300, 300))[:60])
    worker.artifact(job, "good.png", png())
    for words in ([], ["--as", "ascii"]):
        said = run("preview", "2", *words)
        assert "bad.png: is not a picture that cvq reads" in said.err
        assert "good.png" in said.out
    Path(client.job(2).artifacts[2].uri.removeprefix("file://")).write_bytes(b"other")
    assert "is damaged" in run("preview", "2", "good.png").err
    assert "has no file like 'x'" in run("preview", "2", "x", code=2).err


def test_a_picture_that_is_too_large_is_told(
    run: Cli, painted: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CVQ_MAX_PIXELS", "31")
    said = run("preview", "1", "*.png", "--as", "ascii")
    assert said.err.count("has 8 x 4 pixels; the limit is") == 1
    assert "1 a.png 8x4" not in said.out


def test_a_running_job_shows_what_it_has_drawn_last(
    run: Cli, client: Client, worker: FakeWorker
) -> None:
    client.submit("selftest")
    job = worker.claim()
    for n in (1, 2):
        worker.artifact(job, f"preview-{n}.png", png(), role="preview")
    assert [shape["name"] for shape in run("preview", "1", "--json").json] == ["preview-2.png"]


def test_of_many_pictures_some_are_shown(run: Cli, client: Client, worker: FakeWorker) -> None:
    client.submit("selftest")
    job = worker.claim()
    for n in range(30):
        worker.artifact(job, f"{n:02}.png", png())
    said = run("preview", "1", "--json")
    assert [shape["name"] for shape in said.json][:3] == ["00.png", "02.png", "05.png"]
    assert "12 of 30 pictures: give a NAME to see others" in said.err


@pytest.fixture
def viewer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A display, and a viewer that writes down what it is given."""
    program = tmp_path / "bin" / ("open" if sys.platform == "darwin" else "xdg-open")
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/opened\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("cvq_cli.viewers._PATIENCE_S", HANG_S)
    return program


def test_open_hands_the_first_picture_to_the_viewer(
    run: Cli, painted: Job, viewer: Path, tmp_path: Path, home: Path
) -> None:
    path = f"{home}/store/jobs/1/1/a.png"
    said = run("open", "1")
    assert said.out == f"{path}\n"
    assert "a.png of 5 files: `cvq open 1 NAME` opens another (b.png" in said.err
    assert (tmp_path / "opened").read_text() == f"{path}\n"
    assert [one["opened"] for one in run("open", "1", "*.png", "--json").json] == [True, True]


def test_a_copy_of_a_remote_file_is_opened(
    run: Cli, client: Client, worker: FakeWorker, viewer: Path, monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.setenv("CVQ_STORE_URL", "memory://preview")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    worker.client.settings = Settings.load()
    client.submit("selftest")
    worker.artifact(worker.claim(), "a.png", png())
    path = Path(run("open", "1").out.strip())
    assert (path.parent.parent, path.read_bytes()) == (tmp_path, png())
    assert "memory://" in run("preview", "1").out
    assert "1 a.png 8x4" in run("preview", "1", "--as", "ascii").out
    assert [each.name for each in tmp_path.glob("cvq-*")] == [path.parent.name]


def test_open_says_why_it_cannot(
    run: Cli, painted: Job, viewer: Path, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    said = run("open", "1", "model.bin")
    assert said.err == "not opened: a file called .bin may be a program\n"
    assert said.out == f"{home}/store/jobs/1/1/model.bin\n"
    viewer.write_text("#!/bin/sh\nexit 3\n")
    assert "knows no viewer for it (it exited with 3)" in run("open", "1", "a.png").err
    viewer.unlink()
    monkeypatch.setenv("PATH", str(viewer.parent))
    assert run("open", "1", "a.png").err.startswith(f"not opened: there is no {viewer.name}")
    if sys.platform != "darwin":
        monkeypatch.delenv("DISPLAY")
        assert run("open", "1", "a.png").err == "not opened: there is no display here\n"


@pytest.mark.slow
def test_a_terminal_of_40_columns_shows_blocks(
    painted: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pexpect

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)
    words = ["-m", "cvq_cli", "preview", "1"]
    child = pexpect.spawn(
        sys.executable, words, dimensions=(40, 40), timeout=HANG_S, encoding="utf-8"
    )
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert f"\x1b[{RED};48;2;255;0;0m▀▀▀▀▀▀▀▀\x1b[0m" in child.before
    lines = CODE.sub("", child.before).replace("\r", "").splitlines()
    assert max(map(len, lines)) <= 40
    assert "1 a.png 8x4" in lines
