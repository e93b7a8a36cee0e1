"""Programs without a worker: what they are given, what they report, and what is kept of them."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from cvq import LocalContext, reporting
from cvq.errors import (
    InvalidInputError,
    PermanentError,
    ProgramError,
    SetupError,
    SpecError,
    UsageError,
)
from cvq.kinds.builtin.command import CommandSpec
from cvq_workers.failures import describe
from cvq_workers.program import files
from cvq_workers.program.reports import Lines


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a program, in which one stands."""
    folder = tmp_path / "program"
    folder.mkdir()
    (folder / "notes.txt").write_text("as they were")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def ctx(tmp_path: Path) -> LocalContext:
    return LocalContext(tmp_path / "left")


def shell(ctx: LocalContext, script: str, **values: Any) -> Any:
    return ctx.run("command", argv=["sh", "-ec", script], **values)


@pytest.mark.usefixtures("folder")
def test_a_program_runs_with_its_files_in_a_folder_of_its_own(
    ctx: LocalContext, folder: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    result = shell(
        ctx,
        "cat notes.txt; echo changed > notes.txt; mkdir -p out/deep; echo 1 > out/deep/a.txt; "
        "ln -s /etc/passwd out/link; mkfifo out/pipe; echo 2 > b.txt; printf '\\377'; echo e >&2",
        keep=["out/**", "notes.txt"],
    )
    assert result == {"exit_code": 0, "files_kept": 2}
    assert sorted(ctx.artifacts) == ["notes.txt", "out/deep/a.txt"]
    assert ctx.artifacts["out/deep/a.txt"].path.read_text() == "1\n"
    assert (folder / "notes.txt").read_text() == "as they were"
    said = capfdbinary.readouterr()
    assert said.out.endswith(b"as they were\xff")
    assert b"e\n" in said.err


def test_what_a_program_is_given(
    ctx: LocalContext, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN_OF_TEST", "hidden")
    script = (
        "import json, os, sys; json.dump([sys.executable, sys.argv[1:], dict(os.environ)], "
        "open('given.json', 'w'))"
    )
    ctx.run(
        "command", argv=["python", "-c", script, "--lr", "{lr}", "{other}", "a b", ""],
        values={"lr": 0.1}, env={"A": "1=2", "TOKEN_OF_TEST": None}, keep="given.json", seed=7,
    )  # fmt: skip
    python, words, environment = json.loads(ctx.artifacts["given.json"].path.read_text())
    assert Path(python).parent == Path(sys.executable).parent
    assert words == ["--lr", "0.1", "{other}", "a b", ""]
    assert (environment["A"], environment["TOKEN_OF_TEST"]) == ("1=2", "hidden")
    assert (environment["CVQ_SEED"], environment["CVQ_ATTEMPT"]) == ("7", "1")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("argv", "env", "words"),
    [
        (["nosuch"], {}, "there is no program 'nosuch' on the PATH of this worker"),
        (["notes.txt"], {}, "on the PATH of this worker: write ./notes.txt"),
        (["python train.py"], {}, "on the PATH of this worker: give its words one by one"),
        (["./nosuch"], {}, "there is no program './nosuch' in the job's folder"),
        (["./notes.txt"], {}, "may not be run: make it executable"),
        (["true"], {"NO_SUCH_VARIABLE": None}, "the worker passes no NO_SUCH_VARIABLE on"),
    ],
)
def test_a_program_that_cannot_be_run_fails_for_good_in_a_line(
    ctx: LocalContext, argv: list[str], env: dict[str, str | None], words: str
) -> None:
    with pytest.raises(PermanentError) as caught:
        ctx.run("command", argv=argv, env=env)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("script", "reason", "retry"),
    [
        ("exit 3", "exit:3", False),
        ("exit 75", "exit:75", True),
        ("kill -9 $$", "signal:KILL", True),
    ],
)
def test_how_a_program_fails_is_its_reason_and_its_files_are_kept(
    ctx: LocalContext, script: str, reason: str, retry: bool
) -> None:
    with pytest.raises(ProgramError) as caught:
        shell(ctx, f"echo 1 > left.txt; echo no batches >&2; {script}", keep=["*.txt"])
    assert str(caught.value).endswith(": no batches")
    failure = describe(caught.value)
    assert (failure.reason, failure.retry, failure.traceback) == (reason, retry, None)
    assert list(ctx.artifacts) == ["left.txt"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"argv": []}, "argv"),
        ({"argv": [" "]}, "give the program first"),
        ({"argv": ["a\x00"]}, "no NUL"),
        ({"argv": ["a", "caf\udce9"]}, "is no UTF-8"),
        ({"argv": ["a"], "data": [{"name": "a", "place": "../a"}]}, "is no place"),
        ({"argv": ["a"], "keep": ["/etc/*"]}, "leads out of the program's folder"),
        ({"argv": ["a"], "keep": ["../x"]}, "leads out of the program's folder"),
        ({"argv": ["a"], "env": ["1A=2"]}, "'1A' is not the name of a variable"),
        ({"argv": ["a"], "env": ["A=1", "A=2"]}, "A stands there twice"),
        ({"argv": ["a"], "env": ["CVQ_DATABASE_URL"]}, "CVQ_DATABASE_URL is set by the worker"),
        ({"argv": ["a"], "values": {"lr": 1}}, "no word of argv has {lr}"),
    ],
)
def test_values_that_mean_nothing_are_refused(
    ctx: LocalContext, values: dict[str, Any], words: str
) -> None:
    with pytest.raises(SpecError) as caught:
        ctx.run("command", workdir="none", **values)
    assert words in str(caught.value)


@pytest.mark.usefixtures("folder")
def test_metrics_come_from_lines_from_the_pipe_and_from_python(
    ctx: LocalContext, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    script = """
import json, os, subprocess, sys, cvq
print('{"loss": 7, "step": 1}', flush=True)          # its own business
print('{"cvq": {"step": 1, "loss": 0.5, "nan": NaN, "progress": [1, 4]}}', flush=True)
print('{"cvq": {"loss": "low"}}', flush=True)
print('{"cvq": {"loss": 1}, "more": 2}', flush=True)
print('{"cvq": {"step": 1.5, "loss": 1}}', flush=True)
print('{"cvq"' + 100_000 * ' ' + ': {"loss": 1}}', flush=True)
cvq.log_metric(step=2, loss=0.25, **{f"m{n}": n for n in range(300)})
cvq.log_progress(2, 4, "epoch")
subprocess.run(["sh", "-c", 'echo \\'{"cvq": {"loss": 0.125}}\\' > "$CVQ_REPORTS"'], check=True)
subprocess.run([sys.executable, "-m", "cvq_cli", "log-metric", "step=9", "loss=0"], check=True)
print('{"cvq": {"last": 1}}', end='', flush=True)
"""
    with caplog.at_level(logging.WARNING, logger="cvq.job"):
        ctx.run("command", argv=["python", "-c", script])
    assert ctx.curve("loss") == [(1, 0.5), (2, 0.25), (3, 0.125), (9, 0.0)]
    assert (ctx.curve("nan"), ctx.curve("last")) == ([(1, None)], [(1, 1.0)])
    assert ctx.curve("m299") == [(2, 299.0)]
    assert [tuple(each)[:3] for each in ctx.steps] == [(1, 4, "step"), (2, 4, "epoch")]
    told = [record.message for record in caplog.records if "is not taken" in record.message]
    assert len(told) == 3
    assert "loss is 'low', which is no number" in told[0]
    assert '{"loss": 7, "step": 1}' in capfd.readouterr().out, "no line is swallowed"


def test_a_report_outside_of_a_job_is_told_once_and_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(reporting, "_told", set())
    reporting.log_metric(loss=1)
    reporting.log_progress(1, 2)
    assert capsys.readouterr().err.count("nobody keeps its metrics") == 1
    os.mkfifo(tmp_path / "pipe")  # of a job that has ended
    monkeypatch.setenv("CVQ_REPORTS", str(tmp_path / "pipe"))
    with pytest.raises(SetupError, match="the job has ended"):
        reporting.say([{"loss": 1}])
    for values in ({"loss": "low"}, {"": 1}, {"progress": 1}):
        with pytest.raises(UsageError):
            reporting.log_metric(1, **values)


def test_lines_are_parted_wherever_the_pieces_end() -> None:
    lines = Lines()
    assert lines.add(b"a\nb") == [b"a"]
    assert lines.add(b"c\n\n" + b"x" * 70_000) == [b"bc", b""]
    assert lines.add(b"x\nd\ne") == [b"x" * 60_001, b"d"]
    assert lines.end() == [b"e"]


@pytest.mark.usefixtures("folder")
def test_a_report_that_is_too_long_is_told_of(
    ctx: LocalContext, caplog: pytest.LogCaptureFixture
) -> None:
    said = "import json; print(json.dumps({'cvq': {f'm{n}': n for n in range(5000)}}))"
    with caplog.at_level(logging.WARNING, logger="cvq.job"):
        shell(ctx, f'{sys.executable} -c "{said}"')
    assert "a report for cvq is not taken: it is longer than 60,000 bytes" in caplog.text


@pytest.mark.usefixtures("folder")
def test_files_beyond_the_limit_are_named_and_the_others_kept(
    ctx: LocalContext, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    script = "echo 1 > small; head -c 3000 /dev/zero > large"
    with pytest.raises(PermanentError, match=r"2 files with 3 kB.*not kept are large \(3 kB\)"):
        shell(ctx, script, keep=["small", "large"], keep_gb=1e-6)
    assert list(ctx.artifacts) == ["small"]
    with caplog.at_level(logging.INFO, logger="cvq.job"):
        shell(ctx, script)
    assert "not kept: large (3 kB) and small (2 B); --keep 'large'" in caplog.text
    monkeypatch.setattr(files, "_MOST_FILES", 1)
    with pytest.raises(ProgramError):  # which says more
        shell(ctx, f"{script}; exit 1", keep=["**"])
    assert "in 1 files are kept at most" in caplog.text


@pytest.mark.usefixtures("folder")
def test_what_a_program_saves_is_there_for_the_next_attempt(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script = (
        'cd "$CVQ_CHECKPOINT_DIR"; if [ -e deep/step ]; then cat deep/step; exit; fi; '
        "mkdir deep; echo 41 > deep/step; exit 1"
    )
    with pytest.raises(ProgramError):
        shell(LocalContext(tmp_path / "left"), script)
    assert shell(LocalContext(tmp_path / "left"), script)["exit_code"] == 0
    assert "41" in capfd.readouterr().out


def test_a_value_is_a_number_where_it_can_be_typed_again_from_that() -> None:
    given = {"a": "0.1", "b": "1e-4", "c": "1.10", "d": "007", "e": "-3", "f": "x"}
    spec = CommandSpec(
        argv=["{a} {b} {c} {d} {e} {f}", "--seed={seed}", "{{}} {g}"],
        seed=5,
        workdir=None,
        values=given,  # type: ignore[arg-type]
    )
    assert spec.values == {"a": 0.1, "b": 0.0001, "c": "1.10", "d": "007", "e": -3, "f": "x"}
    assert spec.words == ["0.1 0.0001 1.10 007 -3 x", "--seed=5", "{{}} {g}"]
    with pytest.raises(ValueError, match="lr has no value: write lr=VALUE"):
        CommandSpec(argv=["{lr}"], values=["lr"])  # type: ignore[arg-type]
    assert CommandSpec.full_name("lr") == "values.lr"
    assert CommandSpec.full_name("env.A") == "env.A"


def test_data_lie_in_the_programs_folder_to_be_read(
    ctx: LocalContext, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("photos/a.txt", "photos/deep/b.txt", "table.csv"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    script = "cat photos/deep/b.txt sub/t.csv notes.txt; ls photos; echo >> sub/t.csv"
    data = ["photos", f"sub/t.csv={folder / 'table.csv'}"]
    result = shell(ctx, script, data=data, keep=["**"])
    assert result["files_kept"] == 1, "what was changed of a copy, and nothing else"
    assert (folder / "table.csv").read_text() == "table.csv"
    said = capfd.readouterr().out
    assert said == "photos/deep/b.txttable.csvas they werea.txt\ndeep\n"
    (unpacked,) = (ctx.cache / "folders").glob("*/files")
    assert not (unpacked / "a.txt").stat().st_mode & 0o222
    (unpacked / "a.txt").chmod(0o644)
    (unpacked / "a.txt").write_text("something else")
    shell(ctx, "cat photos/a.txt", data=data)
    assert capfd.readouterr().out == "photos/a.txt", "it was unpacked anew"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (["a=nowhere"], InvalidInputError, "nowhere is not a file"),
        (["../up=notes.txt"], SpecError, "is no place in the program's folder"),
        (["/up=notes.txt"], SpecError, "is no place in the program's folder"),
        (["."], SpecError, "is no place in the program's folder"),
        (["a=notes.txt", "a/b=notes.txt"], SpecError, "a/b is in the place of a"),
        (["train.py=notes.txt"], PermanentError, "has 'train.py' already"),
        (["train.py/x=notes.txt"], PermanentError, "has 'train.py/x' already"),
    ],
)
def test_data_that_are_not_there_or_have_no_place(
    ctx: LocalContext, folder: Path, data: list[str], error: type[Exception], words: str
) -> None:
    (folder / "train.py").write_text("")
    with pytest.raises(error, match=words):
        ctx.run("command", argv=["true"], data=data)


@pytest.mark.usefixtures("folder")
def test_what_lies_still_is_saved_while_the_program_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_LOOK_S", 0.0)
    ctx = LocalContext(tmp_path / "left", checkpoint_every=0)
    saves = ctx.scratch / "checkpoint"
    saved = files.Saved(saves, ctx, ctx.scratch)
    saved.restore()
    stored = lambda: len(list((tmp_path / "left").rglob("*.safetensors")))  # noqa: E731
    (saves / "state").write_text("1")
    saved.look()
    assert stored() == 0, "it may still be written"
    saved.look()
    assert stored() == 1
    saved.look()
    assert stored() == 1, "nothing is new"
    monkeypatch.setattr(files, "_MOST_SAVED", 1)
    (saves / "state").write_text("12")
    saved.store()
    assert stored() == 1, "it is too large, and the program goes on"


def test_a_secret_that_anybody_could_read_is_told_of() -> None:
    argv = ["a"]
    (note,) = CommandSpec(argv=argv, workdir=None, env={"HF_TOKEN": "x", "LR": "1"}).notes()
    assert "the value of HF_TOKEN stands in the history" in note
    assert CommandSpec(argv=argv, workdir=None, env={"HF_TOKEN": None}).notes() == []
