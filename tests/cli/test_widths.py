"""Every command at every width of a terminal: nothing is wider, no word is cut, what counts stays.

The commands run in a pseudo-terminal, one after the other in forks of one process that has loaded
what they need. What is written for a person must be the same text at each width, but for the
places where its lines end.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pexpect
import pytest
from PIL import Image
from rich.cells import cell_len

from cvq import Client
from cvq.batch import NewBatch
from cvq.kinds import all_kinds
from cvq.lifecycle import batches
from cvq.records import NewJob
from cvq_cli.colours import styled
from cvq_cli.formats import done
from cvq_cli.main import COMMANDS
from cvq_cli.widths import ending, items, middle, name, plain_blanks, whole, wrap
from waiting import HANG_S

from .conftest import FakeWorker

WIDTHS = (40, 60, 80, 120, 200)
MARK = "=-=-="

# Runs each command of its argument in a fork; a mark and the command stand before what it says.
RUNNER = f"""
import importlib, json, os, sys
import rich.cells, rich.console, rich.progress, sqlalchemy.dialects.sqlite
import cvq.client, cvq.explain.explanation, cvq.kinds
from cvq_cli.main import COMMANDS, cvq as command

cvq.kinds.all_kinds(cvq.Settings.load())
for entry in COMMANDS.values():
    importlib.import_module("cvq_cli.commands." + entry.module)
for words in json.loads(sys.argv[1]):
    print("{MARK}" + " ".join(words), flush=True)
    if (child := os.fork()) == 0:
        try:
            command.main(words, prog_name="cvq")
        finally:
            sys.stdout.flush()
            os._exit(0)
    os.waitpid(child, 0)
"""

# Text for people, the same at each width.
TEXTS = [
    ["why", "1"], ["why", "2"], ["why", "4"], ["why", "5"], ["logs", "1"],
    ["logs", "2"], ["data", "list"], ["data", "check", "garments"], ["data", "check", "nowhere"],
    ["samples", "."],
    ["db", "check"], ["db", "current"], ["wait", "1", "2", "5"], ["drain", "nobody"],
    ["cancel", "1", "2", "-y"], ["cancel", "99"], ["get", "1", "-d", "here", "--force"],
    ["get", "4"], ["retry", "--batch", "1"], ["preview", "1"], ["open", "1"], ["open", "4"],
    ["submit", "selftest", "--queue", "nowhere", "--name", "日本語 の 名前 " * 5],
    ["submit", "selftest", "--steps", "0"], ["submit", "fmnist-cnnn"], ["lss"],
    ["kinds", "fmnist-cnn"], ["--help"], *([command, "--help"] for command in COMMANDS),
    *([verb, kind, "--help"] for verb in ("submit", "run") for kind in ("selftest", "vae")),
]  # fmt: skip
# Tables and what is drawn: fewer words where there is less room. The words of a job that runs
# change with time.
TABLES = [
    ["ls"], ["show", "1"], ["show", "2"], ["show", "3"], ["show", "4"], ["why", "3"],
    ["metrics", "1"],
    ["metrics", "1", "2"], ["artifacts", "1"], ["status"], ["workers"], ["kinds"], ["config"],
    ["doctor"], ["cancel", "1-5", "--dry-run"], ["batches"], ["results", "1"],
    ["watch", "1"], ["watch", "2"],
]  # fmt: skip


def screens(commands: Sequence[list[str]], width: int, folder: Path) -> dict[str, list[str]]:
    """The lines that each command shows on a terminal so wide, without colours."""
    import json

    child = pexpect.spawn(
        sys.executable, ["-c", RUNNER, json.dumps(commands)],
        dimensions=(50, width), timeout=HANG_S, encoding="utf-8", cwd=str(folder),
    )  # fmt: skip
    child.logfile_read = io.StringIO()
    child.expect(pexpect.EOF)
    child.close()
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", child.logfile_read.getvalue())
    found: dict[str, list[str]] = {}
    for part in text.split(MARK)[1:]:
        command, *lines = re.split(r"[\r\n]+", part)
        found[command] = lines
    return found


@pytest.fixture
def history(home: Path, client: Client, worker: FakeWorker, tmp_path: Path) -> Path:
    """Jobs in every state with long names, and a folder with data."""
    for label in ("boot", "shirt"):
        (tmp_path / "garments" / label).mkdir(parents=True)
        for number in range(3):
            Image.new("L", (28, 28), 40 * number).save(tmp_path / f"garments/{label}/{number}.png")
    Image.new("RGB", (64, 64)).save(tmp_path / "content.jpg")
    worker.name = "a-host-with-a-long-name.example.org-4242"
    queues = ("default", "gpu", "host.a-host-with-a-long-name.example.org")
    worker.arrive(*queues, lease=1e6)
    name = "a name of many words, far too long for a line"
    client.submit("fmnist-cnn", data=tmp_path / "garments", name=name)
    training = worker.claim()
    worker.log(training, "a line of the log that is long enough to be broken at any width " * 4,
               "  indented", "~" * 300)  # fmt: skip
    worker.metric(training, "val_accuracy", 0.5, 0.9, 0.93)
    worker.metric(training, "a_metric_with_a_name_of_many_words", 1e-7, 12345.678)
    worker.artifact(training, "report-of-every-class-and-every-threshold.json", b"{}", "result")
    worker.artifact(training, "loss.png", b"x", "plot")
    worker.artifact(training, "model.safetensors", b"x", "model")
    said = {"sentence": "many words " * 20, "warnings": ["it ended at chance, or near it " * 5]}
    worker.finish(training, result={"test_accuracy": 0.93, **said})
    client.submit("selftest", name="写真の名前はもっと長い 👩‍👩‍👧 e\u0301e\u0301 " * 3, retries=0)
    failing = worker.claim()
    worker.metric(failing, "value", 0.5)
    trace = '  File "/a/b.py", line 1, in f\n    call(of, something) ' * 9
    error = "ValueError: what went wrong " * 9
    worker.finish(failing, "failed", reason="error", error=error, traceback=trace)
    client.submit("selftest", name="grey-photograph-of-a-harbour.jpg", tags={"for": "a poster"})
    running = worker.claim()
    worker.progress(running, 30, 100)
    worker.metric(running, "value", 0.25)
    client.submit("selftest", queue="a-queue-that-nobody-serves", name="waits")
    with pytest.warns(UserWarning, match="job 1's training gave a warning: it ended"):
        client.submit("classify", images=tmp_path / "content.jpg", model=1)
    client.cancel(5)
    good = NewJob("selftest", {}, "0", "ann", "a-queue-that-nobody-serves", name=f"{name}.png")
    bad = replace(good, error=f"photos/{name}.png is not a picture that cvq reads")
    with client.db.write() as connection:
        batches.submit(connection, NewBatch("selftest", "ann", {}, 2, name=name), [good, bad])
    return tmp_path


def is_unbroken(line: str) -> bool:
    """Whether a line has nowhere to be broken: one word, a command to copy, or an example."""
    units = re.findall(r"(?:`[^`]*`|\S)+", line)
    return len(units) <= 1 or bool(re.match(r" *(cvq|eval) ", line))


def told(lines: Sequence[str]) -> str:
    """The words, whatever lines they are on; figures move from one look to the next."""
    return re.sub(r"(\d[\d.]*[smhd]?)+", "0", " ".join(" ".join(lines).split()))


@pytest.mark.slow
def test_every_command(history: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS")
    monkeypatch.setenv("TERM", "xterm-256color")
    texts: dict[str, dict[str, str]] = {}
    for width in WIDTHS:
        shown = screens([*TEXTS, *TABLES], width, history)
        too_wide = [
            (command, line)
            for command, lines in shown.items()
            for line in lines
            if cell_len(line) > width and not is_unbroken(line)
        ]
        assert not too_wide, width
        check_tables(shown)
        for words in TEXTS:
            texts.setdefault(" ".join(words), {})[told(shown[" ".join(words)])] = str(width)
    for command, several in texts.items():
        assert len(several) == 1, (command, list(several))
        assert all(several), command


def check_tables(shown: dict[str, list[str]]) -> None:
    """Id, state and figure of each row are there."""
    rows = {line.split()[0]: line for line in shown["ls"][1:] if line.strip()}
    for number, state, figure in (
        ("1", "succeeded", "0.93"), ("2", "failed", "0.5"), ("3", "running", "0.25"),
        ("4", "queued", ""), ("5", "cancelled", ""),
    ):  # fmt: skip
        assert re.search(rf"^ *{number} +{state}.*{figure}", rows[number]), rows[number]
    assert re.search(r"report-of.*\.json +result", "\n".join(shown["artifacts 1"]))
    assert re.search(r"val_accuracy +0\.93", "\n".join(shown["metrics 1"]))
    assert re.search(r"^a-host.*4242 +up +", "\n".join(shown["workers"]), re.MULTILINE)
    assert set(all_kinds(Client().settings)) <= set(told(shown["kinds"]).split())
    for command in ("watch 1", "watch 2"):
        assert any(re.search(r"job \d (succeeded|failed)", line) for line in shown[command])


def test_lines_are_broken_at_spaces() -> None:
    assert wrap("one two three", 9) == "one two\n  three"
    assert wrap("one two three", 13) == "one two three"
    assert wrap("  one two three", 9, hang=4) == "  one two\n    three"
    assert wrap("a\nb c", 2) == "a\nb\n c"


def test_what_is_copied_is_not_broken() -> None:
    assert wrap("see `cvq show 12` now", 12) == "see\n`cvq show 12`\n  now"
    assert wrap("in /a/path/of/many/parts, 3 GB", 12) == "in\n/a/path/of/many/parts,\n  3 GB"
    assert plain_blanks(wrap(f"in {whole('/a b/c d')} it", 9)) == "in\n /a b/c d\n  it"


def test_colours_take_no_room() -> None:
    one, two = styled("one", "bold"), styled("one two", "bold")
    assert wrap(f"{one} two", 7) == f"{one} two"
    assert wrap(two, 6) == two.replace(" ", "\n  ")


def test_deep_indents_are_made_smaller_where_little_room_is_left() -> None:
    text = "label" + " " * 15 + "some words that go on and on"
    assert wrap(text, 44, hang=20).split("\n")[1] == " " * 20 + "and on"
    assert wrap(text, 30, hang=20).split("\n")[1].startswith("    that")


def test_wide_characters_are_measured_and_never_halved() -> None:
    assert wrap("日本 日本 日本", 9) == "日本 日本\n  日本"
    assert ending("日本語の名前", 7) == "日本語…"
    assert middle("日本語の名前", 7) == "日…前"
    assert [middle("abc", width) for width in (0, 1, 2, 3)] == ["", "…", "a…", "abc"]
    assert middle("a_long_name.png", 9) == "a_lo….png"
    accents = "e\u0301" * 9
    assert middle(accents, 4) == "e\u0301e\u0301…e\u0301"
    family = "👩\u200d👩\u200d👧"
    for width in range(12):
        for cut in (ending, middle, name, items):
            shown = cut(f"{family}{family},{accents}.png", width)
            assert cell_len(shown) <= width
            assert "\u0301" not in shown.replace("e\u0301", "")
            assert family in shown or not set(family) & set(shown)


def test_progress_loses_what_tells_least() -> None:
    for said, short in (
        ("30/100, 12s left", "30/100"), ("starts in 14 min", "in 14 min"),
        ("45 s left", "45 s left"), ("starts in 4.5 min", "in 4.5min"),
        ("14.5 min left", "14.5min"), ("as job 3", "as job 3"),
    ):  # fmt: skip
        assert done(said, 9) == short


def test_names_lose_what_tells_least() -> None:
    assert name("lr=0.1 width=16", 9) == "lr=0…h=16"
    assert name("grey.jpg model of job 7", 15) == "grey.jpg model…"
    assert name("a name that is long", 14) == "a name that…"
    assert name("report-of-every-class.json", 16) == "report-of-….json"
    assert name("report.json", 16) == "report.json"
    assert ending("style-transfer", 10) == "style-tra…"
    assert items("default,gpu,host.vm", 14) == "default,gpu,…"
    assert items("default,gpu", 6) == "def…pu"
