"""Whatever a job or a user is called, no command lets it steer a terminal or a spreadsheet."""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

import cvq_cli
from cvq import Client, Settings
from cvq.batch import NewBatch
from cvq.lifecycle import batches
from cvq.records import Job, NewJob
from cvq.text import UNPRINTABLE, clean
from cvq_cli import output
from cvq_cli.main import cvq
from cvq_cli.output import console
from cvq_cli.table import Column

from .conftest import Cli, FakeWorker

EVIL = "\x1b]0;pwn\x07\x1b[31mred\x9bm\x7f\u202etxt\u2028\u2066end\nFORGED: 1 failed"
FORMULA = '=HYPERLINK("http://evil")'
COMMANDS = [
    "ls", "ls --csv", "ls --json", "show 1", "show 1 --traceback", "show 1 --json", "why 1",
    "why 2", "logs 1", "logs 1 --json", "watch 1", "watch 1 --json", "wait 1", "wait 1 --json",
    "artifacts 1", "artifacts 1 -q", "artifacts 1 --csv", "artifacts 1 --json", "metrics 1",
    "metrics 1 --csv", "metrics 1 --json", "status", "status --json", "workers", "workers --csv",
    "workers --json", "cancel 2", "ls --kind \x1b]0;x\x07", "get 1 \x1b[31m", "submit \x1b[31m",
    "data check \x1b[31m", "show \x1b[31m", "batches", "batches --csv", "batches --json",
    "results 1", "results 1 --csv", "results 1 --jsonl", "ls --batch 1", "retry --batch 1",
    "wait --batch 1", "ls --md", "results 1 --md", "batches --md", "metrics 1 --md", "compare 1 2",
    "compare 1 2 --md", "stats --by user,reason", "tag", "tag 1", "tag 1 --md", "graph 1",
    "graph 1 --dot", "preview 1", "preview 1 -q", "open 1", "verify 1", "note 1", "retry 1",
    "rerun 1 --dry-run", "trash 2 --dry-run", "prune 2 --dry-run", "sweep ls", "sweep show 1",
    "cancel 9\n9", "artifacts 1 --md", "show 1 \nFORGED:", "drain \nFORGED:", "doctor", "rename 1",
    "export 1", "ls --columns +tags.tag,+user", "watch --batch 1", "get --batch 1", "trash 1",
]  # fmt: skip


@pytest.fixture
def hostile(home: Path, client: Client, worker: FakeWorker) -> Job:
    """A failed job all of whose words are hostile, and a queued one."""
    client.settings = Settings.load(user=EVIL)
    worker.host = worker.name = EVIL
    worker.arrive()
    client.submit("selftest", name=EVIL, tags={"tag": EVIL}, retries=0)
    job = worker.claim()
    worker.log(job, EVIL, f"{EVIL}\n{EVIL}")
    worker.metric(job, EVIL, 1.0, 2.0)
    worker.artifact(job, f"{EVIL}.png", b"pixels")
    worker.finish(job, "failed", reason=EVIL[:50], error=EVIL, traceback=EVIL, result={EVIL: EVIL})
    client.submit("selftest", name=FORMULA, tags={"tag": "-1+1"})
    batch = NewBatch(EVIL, EVIL, {EVIL: EVIL}, 1, name=EVIL)
    bad = NewJob("selftest", {EVIL: EVIL}, "0", EVIL, name=EVIL, error=EVIL)
    with client.db.write() as connection:
        batches.submit(connection, batch, [bad])
    return job


@pytest.mark.parametrize("line", COMMANDS)
def test_no_command_lets_it_through(
    run: Cli, hostile: Job, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = run(*line.split(" "), code=None)
    assert said.code != 70
    for text in (said.out, said.err):
        check(text, whole=bool(re.match("show 1|.*--csv", line)))


@pytest.mark.parametrize("line", [line for line in COMMANDS if "--json" not in line])
def test_nor_does_one_on_a_terminal(
    hostile: Job, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True)
    for width in ("200", "40"):
        monkeypatch.setenv("COLUMNS", width)
        said = CliRunner().invoke(cvq, line.split(" "), color=True)
        assert said.exit_code != 70
        assert "\x1b[31mred" not in said.output
        check(
            re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", said.output),
            whole=line.startswith("show 1"),
        )


def check(text: str, *, whole: bool) -> None:
    """Nothing steers a terminal, and no line begins as another's words do.

    Errors and cells of CSV stay `whole`, in as many lines as they have.
    """
    assert UNPRINTABLE.search(text.replace("\n", "")) is None, repr(text)
    assert whole or not re.search(r"^FORGED", text, re.MULTILINE), text


def test_a_copy_has_a_name_that_is_text(run: Cli, hostile: Job, tmp_path: Path) -> None:
    [path] = run("get", "1", tmp_path / "out").out.splitlines()
    assert Path(path).read_bytes() == b"pixels"
    assert Path(path).name == "_]0;pwn__[31mred_m__txt__end_FORGED: 1 failed.png"


def test_json_gives_back_what_it_was(run: Cli, hostile: Job) -> None:
    job = run("show", "1", "--json").json
    assert (job["name"], job["error"], job["result"]) == (EVIL, EVIL, {EVIL: EVIL})
    assert UNPRINTABLE.search(run("logs", "1", "--json").out.replace("\n", "")) is None


def test_no_cell_is_a_formula_and_numbers_stay_numbers(
    run: Cli, client: Client, worker: FakeWorker
) -> None:
    for name in (FORMULA, "+1+1", "-2", "@SUM(1)", "plain"):
        client.submit("selftest", name=name)
    rows = list(csv.DictReader(io.StringIO(run("ls", "--csv").out)))
    names = [row["name"] for row in reversed(rows)]
    assert names == [f"'{FORMULA}", "'+1+1", "-2", "'@SUM(1)", "plain"]
    job = worker.claim()
    worker.metric(job, "loss", -1.5)
    [point] = csv.DictReader(io.StringIO(run("metrics", "1", "--csv").out))
    assert float(point["value"]) == -1.5


def test_a_heading_is_no_formula_and_a_cell_of_markdown_no_markup(
    capsys: pytest.CaptureFixture[str],
) -> None:
    columns = [Column(FORMULA, str)]
    output.show_csv(columns, ["x"])
    assert next(csv.reader(io.StringIO(capsys.readouterr().out))) == [f"'{FORMULA}"]
    output.show_md([Column("n", str)], ["![](http://x/a.png)", "[a](b)", "`c`", r"d|\e", "<f>"])
    assert capsys.readouterr().out.splitlines()[2:] == [
        r"| !\[\](http://x/a.png) |", r"| \[a\](b) |", r"| \`c\` |", r"| d\|\\e |", "| &lt;f> |",
    ]  # fmt: skip


def test_names_may_have_commas(run: Cli, client: Client) -> None:
    for name in ("a, b", "a", "b"):
        client.submit("selftest", name=name)
    assert run("ls", "-q", "--name", "a, b").out == "1\n"
    assert run("ls", "-q", "--name", "a", "--name", "b").out == "3\n2\n"


def test_everything_that_is_printed_goes_through_output() -> None:
    folder = Path(cvq_cli.__file__).parent
    found = [
        f"{path.name}:{node.lineno}"
        for path in sorted(folder.rglob("*.py"))
        if path.name != "output.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and _prints(node.func)
    ]
    assert found == [], "print with cvq_cli.output.say"


def _prints(function: ast.expr) -> bool:
    if isinstance(function, ast.Name):
        return function.id in ("print", "Console")
    if not isinstance(function, ast.Attribute):
        return False
    owner = ast.unparse(function.value)
    return (owner == "click" and function.attr in ("echo", "secho")) or (
        owner in ("sys.stdout", "sys.stderr") and function.attr == "write"
    )


def test_a_screen_shows_marks_in_their_place(capsys: pytest.CaptureFixture[str]) -> None:
    console().print(EVIL, markup=False, soft_wrap=True)
    shown = capsys.readouterr().out
    assert "pwn" in shown
    assert UNPRINTABLE.search(shown.replace("\n", "")) is None


def test_what_is_not_seen_is_written_out() -> None:
    assert clean("a\x1b\x9b\u202e\ud800\U000e0041\tb") == (
        "a\\x1b\\x9b\\u202e\\ud800\\U000e0041\tb"
    )
    assert clean("日本 é 👩‍🚀") == "日本 é 👩‍🚀"
    assert json.loads(json.dumps(EVIL)) == EVIL
