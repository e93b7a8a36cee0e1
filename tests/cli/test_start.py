"""What a command costs to start, its help, and the one error boundary."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from situations import end, start, submit

from cvq import Client
from cvq_cli.main import COMMANDS, cvq
from waiting import HANG_S

from .conftest import Cli

HEAVY = ("torch", "celery", "kombu", "sqlalchemy", "pydantic", "alembic", "numpy", "rich", "redis")


# What a list of jobs has no use for, however many there are.
UNASKED = (*HEAVY, "cvq.kinds", "cvq.broker", "cvq.client", "sqlalchemy.dialects.postgresql")


def loaded(code: str, heavy: tuple[str, ...] = HEAVY) -> set[str]:
    """The heavy modules that a piece of code loads in a fresh Python."""
    script = f"import sys\n{code}\nprint('\\n' + ' '.join(m for m in {heavy} if m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=HANG_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def running(*words: object) -> str:
    """Code that runs a command line and goes on."""
    given = [str(word) for word in words]
    return f"from cvq_cli.main import cvq\ntry: cvq.main({given!r})\nexcept SystemExit: pass"


def test_help_loads_nothing_heavy() -> None:
    assert loaded("import cvq_cli.main") == set()
    assert loaded(running("--help")) == set()
    assert loaded(running("--version")) == set()


SHOW_KINDS = ("submit", "run", "sweep")


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in SHOW_KINDS])
def test_help_of_a_command_loads_nothing_heavy(name: str) -> None:
    assert loaded(running(name, "--help")) == set()


def test_help_of_a_kind_loads_only_the_specification() -> None:
    assert loaded(running("submit", "style-transfer", "--help")) == {"pydantic"}


@pytest.mark.slow
def test_submit_loads_neither_torch_nor_celery_nor_alembic(
    home: Path, pictures: tuple[Path, Path]
) -> None:
    found = loaded(running("submit", "style-transfer", *pictures))
    assert found == {"pydantic", "sqlalchemy", "redis"}


@pytest.mark.parametrize(
    "words", [[], ["--json"], ["--where", "duration > 1"], ["--csv"], ["--sort", "wait"]]
)
def test_a_list_loads_the_database_alone(words: list[str], client: Client) -> None:
    pictures = {"name": "a.png", "sha256": "0" * 64}
    spec = {"content": pictures, "style": [pictures]}
    submit(client.db, kind="style-transfer", spec=spec)
    job = start(client.db)
    end(client.db, job, result={"steps": 3})
    assert loaded(running("ls", *words), UNASKED) <= {"sqlalchemy"}


def test_table_of_commands_says_what_the_commands_say() -> None:
    context = click.Context(cvq)
    for name, entry in COMMANDS.items():
        command = cvq.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert command.get_short_help_str(limit=200).rstrip(".") == entry.help.rstrip("."), name


def test_every_command_that_takes_jobs_says_how_they_are_named() -> None:
    context = click.Context(cvq)
    for name in COMMANDS:
        command = cvq.get_command(context, name)
        assert command is not None
        usage = [param.make_metavar(context) for param in command.params]
        takes_jobs = any(word.strip("[]. ").split("|")[0] == "JOB" for word in usage)
        if takes_jobs:
            assert "JOB is an id" in " ".join((command.help or "").split()), name


def test_every_command_has_an_example() -> None:
    context = click.Context(cvq)
    for name in COMMANDS:
        command = cvq.get_command(context, name)
        assert command is not None
        assert f"cvq {name}" in (command.epilog or ""), name


def test_unknown_command_names_the_nearest(run: Cli) -> None:
    said = run("submitt", code=2)
    assert said.err == (
        "cvq: error: unknown command 'submitt': did you mean 'submit'? (see `cvq --help`)\n"
    )


def test_usage_errors_are_one_line(run: Cli) -> None:
    for words in (
        ["ls", "--nope"],
        ["show"],
        ["ls", "-n", "x"],
        ["wait", "abc"],
        ["ls", "-n", "0"],
    ):
        said = run(*words, code=2)
        assert said.out == ""
        assert said.err.startswith("cvq: error: ")
        assert said.err.count("\n") == 1


def test_no_words_show_the_help(run: Cli) -> None:
    assert "Usage: cvq" in run(code=2).err


def test_errors_stay_text_with_json(run: Cli) -> None:
    said = run("show", "9", "--json", code=2)
    assert said.out == ""
    assert said.err == "cvq: error: no job 9: `cvq ls` lists jobs\n"


def test_unexpected_error_is_one_line_and_a_traceback_with_debug(
    run: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("first\nsecond")

    monkeypatch.setattr("cvq.views.filters.find", broken)
    said = run("ls", code=70)
    assert said.err == (
        "cvq: error: internal error (RuntimeError: first); `cvq --debug …` shows where\n"
    )
    for words in (["--debug", "ls"], ["ls", "--debug"]):
        said = run(*words, code=70)
        assert said.err.startswith("Traceback (most recent call last):")
        assert "RuntimeError: first" in said.err


def test_debug_changes_no_exit_code(run: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CVQ_DATABASE_URL", "postgresql://nobody:sesame@127.0.0.1:9/x")
    said = run("--debug", "ls", code=4)
    assert "Traceback" in said.err
    assert said.err.splitlines()[-1].startswith("cvq: error: database postgresql")
    assert "sesame" not in said.err


def test_ctrl_c_is_quiet(run: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cvq.views.filters.find", interrupted)
    said = run("ls", code=130)
    assert said.out + said.err.strip() == ""


def test_wrong_settings_are_one_line(run: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CVQ_LEASE", "soon")
    said = run("ls", code=2)
    assert said.err.startswith("cvq: error: setting 'lease' (CVQ_LEASE)")
    assert said.err.count("\n") == 1


def test_database_out_of_reach(run: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CVQ_HOME", str(tmp_path / "file" / "home"))
    said = run("ls", code=4)
    assert said.err.startswith("cvq: error: ")
    assert said.err.count("\n") == 1


def test_redis_out_of_reach_leaves_no_job(run: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CVQ_BROKER_URL", "redis://127.0.0.1:1/0")
    said = run("submit", "selftest", code=4)
    assert said.err.startswith("cvq: error: Redis at redis://127.0.0.1:1/0 does not answer")
    assert run("ls", "-q").out == ""


def test_full_disk_is_one_line(run: Cli, shell: Cli) -> None:
    run("submit", "selftest")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "cvq_cli", "ls"],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=HANG_S, check=False,
        )  # fmt: skip
    assert done.returncode == 4
    assert done.stderr == "cvq: error: No space left on device\n"


@pytest.mark.slow
def test_a_reader_that_leaves_is_no_error(run: Cli) -> None:
    run("submit", "selftest")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "cvq_cli", "ls", "--json"],
        stdout=writer, stderr=subprocess.PIPE, text=True, timeout=HANG_S, check=False,
    )  # fmt: skip
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 141


def test_pipe_gets_no_control_characters(shell: Cli) -> None:
    shell("submit", "selftest", "--name", "\x1b[31mred\x07")
    for words in (["ls"], ["show", "@"], ["status"], ["doctor"]):
        said = shell(*words, FORCE_COLOR="")
        assert not set(said.out + said.err) & {chr(code) for code in range(32) if code != 10}, (
            words
        )


def test_version_and_module(shell: Cli) -> None:
    assert shell("--version").out.startswith("cvq 0.")


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_completion_script(name: str, run: Cli) -> None:
    said = run("completion", name)
    assert "_CVQ_COMPLETE" in said.out
    assert "# Install" in said.out


def test_completion_of_commands(shell: Cli) -> None:
    env = {"COMP_WORDS": "cvq st", "COMP_CWORD": "1", "_CVQ_COMPLETE": "bash_complete"}
    assert "plain,status" in shell(**env).out


def test_json_of_every_listing(run: Cli) -> None:
    run("submit", "selftest")
    for words in (
        ["ls"],
        ["status"],
        ["workers"],
        ["kinds"],
        ["artifacts", "1"],
        ["metrics", "1"],
    ):
        json.loads(run(*words, "--json").out)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["predict-sum", "8", "a b"],
            "`cvq submit predict-sum 8 'a b'` queues one, `cvq run",
        ),
        (["style-transfr"], "did you mean `cvq submit style-transfer`?"),
        (["subit"], "did you mean 'submit'?"),
    ],
)
def test_a_kind_in_the_place_of_a_command(run: Cli, words: list[str], told: str) -> None:
    assert told in run(*words, code=2).err


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("cvq ls --state fa", ["failed"]),
        ("cvq ls --state queued,fa", ["queued,failed"]),
        ("cvq nonsense x", []),
        ("cvq submit no-such-kind --x", []),
    ],
)
def test_completion_says_nothing_but_what_could_be_typed(
    shell: Cli, typed: str, found: list[str]
) -> None:
    count = str(len(typed.split()) - 1)
    said = shell(_CVQ_COMPLETE="bash_complete", COMP_WORDS=typed, COMP_CWORD=count, code=None)
    assert said.out.split() == [f"plain,{word}" for word in found]
    assert said.err == ""
