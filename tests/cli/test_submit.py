"""`cvq submit`: what it takes, checks, stores, prints and exits with."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cvq import Client
from cvq.lifecycle.twins import Twin
from cvq_cli import submitting
from waiting import HANG_S

from .conftest import Cli, FakeWorker

Pictures = tuple[Path, Path]


def test_submit_queues_and_says_so(run: Cli, pictures: Pictures, client: Client) -> None:
    said = run("submit", "style-transfer", *pictures)
    assert said.out == "job 1 queued: style-transfer content.png style.png\n"
    assert said.err == (
        "no estimate: no style-transfer job has succeeded yet\n"
        "job 1: No live worker serves the queue 'default'. `cvq up -d` starts one.\n"
    )
    assert client.job(1).spec["size"] == 512


def test_no_warning_where_a_worker_is_up(run: Cli, worker: FakeWorker) -> None:
    worker.arrive("default")
    assert run("submit", "selftest").err == (
        "no estimate: no selftest job has succeeded yet; starts at once\n"
    )
    assert "queue 'other'" in run("submit", "selftest", "--queue", "other").err


def test_common_options(run: Cli, client: Client) -> None:
    run("submit", "selftest", "-q")
    said = run(
        "submit", "selftest", "--priority", 9, "--name", "mine", "--tag", "a=1", "--tag", "b=2",
        "--after", "1", "--after", "@", "--retries", 0, "--time-limit", "1h30m", "--no-gpu",
        "--soft-time-limit", "80m", "--queue", "slow", "--seed", 7, "--steps", 3, "--json",
    )  # fmt: skip
    job = client.job(2).job
    told = said.json
    assert told.pop("estimate")["based_on"] == 0
    assert told == client.to_json(job)
    assert (job.priority, job.name, job.tags) == (9, "mine", {"a": "1", "b": "2"})
    assert (job.state, job.max_attempts) == ("waiting", 1)
    assert (job.time_limit, job.soft_time_limit) == (5400.0, 4800.0)
    shown = [line.split("  ") for line in run("show", "2").out.splitlines()]
    limits = {line[0]: line[-1].strip() for line in shown if "time limit" in line[0]}
    assert limits == {"time limit": "1h30m", "soft time limit": "1h20m"}
    assert (job.device, job.queue) == ("cpu", "slow")
    assert job.spec == {"seed": 7, "steps": 3, "pause": 0.05}


def test_gpu_goes_to_the_gpu_queue_and_at_waits(run: Cli, client: Client) -> None:
    run("submit", "selftest", "--gpu", "--at", "2h")
    job = client.job(1).job
    assert (job.device, job.queue, job.state) == ("gpu", "gpu", "waiting")
    assert job.not_before is not None


def test_quiet_prints_the_id_only(run: Cli) -> None:
    assert run("submit", "selftest", "-q").out == "1\n"


def test_lists_choices_and_flags(run: Cli, pictures: Pictures, client: Client) -> None:
    content, style = pictures
    run(
        "submit", "style-transfer", content, style, content, "--style-blend", "1, 2.5",
        "--style-layers", "conv1_1,conv2_1", "--preserve-colors", "--init", style,
        "--optimizer", "adam",
    )  # fmt: skip
    spec = client.job(1).spec
    assert [file["name"] for file in spec["style"]] == ["style.png", "content.png"]
    assert spec["style_blend"] == [1.0, 2.5]
    assert spec["style_layers"] == ["conv1_1", "conv2_1"]
    assert spec["preserve_colors"] is True
    assert spec["init"]["name"] == "style.png"


@pytest.mark.parametrize(
    "given",
    [
        "-3 5 --model 1",
        "--model 1 -3 5",
        "-3 --priority 4 5.0 --model=1",
        "--no-gpu -3 5 --model 1",
        "--model 1 -- -3 5",
        "-3 --model 1 -- 5",
    ],
)
def test_negative_numbers_are_arguments(run: Cli, client: Client, given: str) -> None:
    client.submit("sum-regressor")
    run("submit", "predict-sum", *given.split())
    assert client.job(2).spec["numbers"] == [-3, 5]
    numbers = ["-.5", "-2e-3", "-1E6", "-7.", "--name", "-4", "--model", "1"]
    run("submit", "predict-sum", *numbers)
    assert client.job(3).spec["numbers"] == [-0.5, -0.002, -1e6, -7]
    assert client.job(3).name == "-4"


def test_negative_numbers_where_none_belong(run: Cli) -> None:
    for given, message in {
        "predict-sum -3 5 --model 1 --seed -1": "--seed -1: give 0 to 4294967295",
        "predict-sum -3x 5 --model 1": "no such option '-3'",
        "predict-sum -inf 5 --model 1": "NUMBER -inf: give a finite number",
        "selftest -3": "got unexpected extra argument (-3)",
    }.items():
        assert message in run("submit", *given.split(), code=2).err


def test_params_give_values_and_the_command_line_wins(
    run: Cli, pictures: Pictures, tmp_path: Path
) -> None:
    toml, content = tmp_path / "p.toml", json.dumps(str(pictures[0]))
    toml.write_text(f"size = 320\nstyle-weight = 2.0\ncontent = {content}\nsteps = 5\n")
    said = run(
        "submit", "style-transfer", "--params", toml, "--steps", 7, "--dry-run", pictures[1],
        code=2,
    )  # fmt: skip
    # The only picture on the command line is the first argument: the style is missing then.
    assert said.err == "cvq: error: style-transfer: needs STYLE...\n"
    said = run("submit", "style-transfer", *pictures, "--params", toml, "--steps", 7, "--dry-run")
    assert (said.json["size"], said.json["style_weight"], said.json["steps"]) == (320, 2.0, 7)
    assert run("ls", "-q").out == ""


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("p.toml", "size = ", "cannot be read"),
        ("p.json", "[1]", "expected names with values"),
        ("p.json", '{"size": 320, "size": 640}', "'size' stands twice in it"),
        ("p.json", '{"sizes": 3}', "did you mean 'size'?"),
        ("p.yaml", "size: 3", "give a .toml or a .json file"),
        ("missing.json", None, "No such file or directory"),
    ],
)
def test_bad_params(
    run: Cli, pictures: Pictures, tmp_path: Path, name: str, text: str | None, message: str
) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    said = run("submit", "style-transfer", *pictures, "--params", path, code=2)
    assert message in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--size", "10"], "--size 10: give 64 to 4096"),
        (["--size", "big"], "invalid value for '--size'"),
        (["--optimizer", "adm"], "invalid value for '--optimizer'"),
        (["--style-layers", "conv9_9"], "--style-layers 'conv9_9': give 'conv1_1'"),
        (["--style-blend", "1,2"], "--style-blend has 2 shares for 1 style pictures"),
        (["--style-blend", "1e308"], "--style-blend 1e+308: give at most 1e+06"),
        (
            ["--content-weight", "0", "--style-weight", "0"],
            "--content-weight, --style-weight: at least one must be above 0",
        ),
        (["--priority", "10"], "priority 10: give 0 to 9"),
        (["--time-limit", "soon"], "'soon' is not a duration"),
        (["--soft-time-limit", "0"], "soft time limit 0s: give a finite time above 0"),
        (
            ["--soft-time-limit", "2m", "--time-limit", "90s"],
            "soft time limit 120s: give less than the time limit of 90s",
        ),
        (["--soft-time-limit", "0", "--dry-run"], "soft time limit 0s: give a finite"),
        (["--tag", "x"], "'x' is not a tag"),
        (["--after", "99"], "no job 99"),
        (["--sise", "3"], "no such option"),
    ],
)
def test_bad_values_queue_nothing(
    run: Cli, pictures: Pictures, words: list[str], message: str
) -> None:
    said = run("submit", "style-transfer", *pictures, *words, code=2)
    assert message.lower() in said.err.lower()
    assert said.err.count("\n") == 1
    assert run("ls", "-q").out == ""


def test_bad_pictures_queue_nothing(run: Cli, pictures: Pictures, tmp_path: Path) -> None:
    empty, text, cut = tmp_path / "e.png", tmp_path / "t.png", tmp_path / "c.png"
    empty.touch()
    text.write_text("no picture")
    cut.write_bytes(pictures[0].read_bytes()[:50])
    for bad in (tmp_path / "none.png", tmp_path, empty, text, cut):
        said = run("submit", "style-transfer", bad, pictures[1], code=2)
        assert str(bad) in said.err
        assert said.err.count("\n") == 1
    assert run("ls", "-q").out == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("submit selftest --after {}", "'' names nothing"),
        ("submit selftest --after ,", "',' names nothing"),
        ("submit selftest --queue {}", "queue: give 1 to 150 characters"),
        ("submit selftest --queue {} --dry-run", "queue: give 1 to 150 characters"),
        ("submit selftest --queue a,b", "queue 'a,b': its name may have no comma"),
        ("submit selftest --name {} --dry-run", "name: give 1 to 150 characters"),
        ("submit selftest --params {}", "'' is not a path"),
        ("submit vae --data {}", "--data '': give the path of a file"),
        ("submit vae --data digits --augment {}", "'' is not a path"),
        ("submit style-transfer {} {}", "'' is not a path"),
        ("run selftest -o {}", "'' is not a path"),
        ("samples {}", "'' is not a path"),
        ("get 1 {}", "'' is not a path"),
        ("data check {}", "'' is not a path"),
        ("cancel --kind {}", "'' names nothing"),
        ("cancel --name {}", "'' names nothing"),
        ("cancel --all --user {}", "'' names nothing"),
        ("cancel --state {}", "'' names nothing"),
        ("ls --kind {}", "'' names nothing"),
        ("ls --sort {}", "'' names nothing"),
    ],
)
def test_what_an_unset_variable_leaves_is_no_value(
    run: Cli,
    client: Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: str,
    message: str,
) -> None:
    """A shell writes `--kind "$KIND"` as an empty word: not all kinds, nor the folder here."""
    monkeypatch.chdir(tmp_path)
    client.submit("selftest")
    before = sorted(tmp_path.iterdir())
    said = run(*(word.replace("{}", "") for word in words.split()), code=2)
    assert message in said.err
    assert said.err.count("\n") == 1
    assert run("ls", "-q", "--state", "queued").out == "1\n"
    assert sorted(tmp_path.iterdir()) == before


def test_unknown_kind_names_the_nearest(run: Cli) -> None:
    for command in ("submit", "run"):
        said = run(command, "style-transfr", code=2)
        assert "unknown kind 'style-transfr': did you mean 'style-transfer'?" in said.err


def test_option_before_the_kind(run: Cli) -> None:
    assert "the kind comes first" in run("submit", "--wait", "selftest", code=2).err


def test_help_has_the_kinds_and_two_sections_of_options(run: Cli) -> None:
    assert "style-transfer  Repaint" in run("submit", "--help").out
    said = run("submit", "style-transfer", "--help")
    own, common = said.out.split("Options of every job:")
    assert "CONTENT STYLE..." in own
    assert "64" in own
    assert "--optimizer lbfgs|adam" in own
    assert "--priority" in common
    assert "--size" not in common


def test_defaults_in_the_help_are_the_clients(run: Cli) -> None:
    defaults = inspect.signature(Client.submit).parameters
    options = [*submitting.describing_options(), *submitting.queueing_options()]
    shown = {option.name: getattr(option, "help", "") for option in options}
    for name in ("retries", "priority"):
        assert f"[default: {defaults[name].default}]" in shown[name]


@pytest.mark.parametrize(
    ("ending", "code", "error"),
    [
        ({"state": "succeeded", "result": {"value": 1}}, 0, ""),
        (
            {"state": "failed", "reason": "oom", "error": "Killed"},
            1,
            "cvq: error: job 1 failed (oom): Killed\n",
        ),
        ({"state": "cancelled"}, 3, "cvq: error: job 1 was cancelled\n"),
    ],
)
def test_wait_exits_with_the_outcome(
    run: Cli, worker: FakeWorker, ending: dict[str, str], code: int, error: str
) -> None:
    def work() -> None:
        job = worker.wait_and_claim()
        worker.metric(job, "value", 2.0, 0.5)
        worker.progress(job, 5, 10)
        worker.artifact(job, "out.txt", b"done")
        worker.finish(job, **ending)

    thread = threading.Thread(target=work)
    thread.start()
    said = run("submit", "selftest", "--wait", "--timeout", f"{HANG_S}s", code=code)
    thread.join()
    assert said.out.endswith("jobs/1/1/out.txt\n")
    assert said.err.endswith(error)
    assert f"job 1 {ending['state']}" in said.err


def test_wait_json_prints_the_finished_job_only(run: Cli, worker: FakeWorker) -> None:
    def work() -> None:
        worker.finish(worker.wait_and_claim(), "succeeded", result={"value": 3})

    thread = threading.Thread(target=work)
    thread.start()
    said = run("submit", "selftest", "--wait", "--json")
    thread.join()
    assert (said.json["state"], said.json["result"]) == ("succeeded", {"value": 3})


@pytest.mark.parametrize(
    "words", [["submit", "selftest"], ["wait", 1], ["watch", 1], ["watch", 1, "--json"]]
)
def test_who_waits_is_told_at_once_that_nobody_can_run_the_job(
    run: Cli, client: Client, worker: FakeWorker, words: list[object]
) -> None:
    number = 1 if words[0] == "submit" else client.submit("selftest").id
    said = run(*words, "--timeout", "0.01", code=124)
    text = "No live worker serves the queue 'default'. `cvq up -d` starts one.\n"
    assert said.err.count(f"job {number}: {text}") == 1
    worker.arrive()
    assert text not in run("wait", 1, "--timeout", "0.01", code=124).err
    worker.claim()
    other = client.submit("selftest").id
    said = run("wait", other, "--timeout", "0.01", code=124)
    assert f"job {other}: The only slot of the queue 'default' is busy with job 1." in said.err


def test_quiet_waiting_prints_the_id_only(run: Cli, worker: FakeWorker) -> None:
    worker.arrive()
    thread = threading.Thread(target=lambda: worker.finish(worker.wait_and_claim(), "succeeded"))
    thread.start()
    said = run("submit", "selftest", "--wait", "-q")
    thread.join()
    assert (said.out, said.err) == ("1\n", "")


def test_wait_times_out(run: Cli, client: Client) -> None:
    said = run("submit", "selftest", "--timeout", "0.2", code=124)
    assert "job 1 is still queued after 0.2s: it was not cancelled" in said.err
    assert client.job(1).state == "queued"


@pytest.mark.slow
@pytest.mark.parametrize("streams", ["<&-", ">&-", "2>&-", ">/dev/full", ">/dev/full 2>&1"])
def test_a_job_that_is_queued_is_no_failure_whoever_hears_of_it(
    client: Client, home: Path, streams: str
) -> None:
    """A script that saw a failure would submit the job again."""
    command = ["sh", "-c", f'exec "$@" {streams}', "sh", sys.executable, "-m", "cvq_cli"]
    done = subprocess.run(
        [*command, "submit", "selftest"], capture_output=True, text=True, timeout=HANG_S
    )
    assert done.returncode == 0, done.stderr
    assert [job.state for job in client.jobs()] == ["queued"]
    if streams == ">/dev/full":
        assert "job 1 is queued, but" in done.stderr
        assert "No space left" in done.stderr


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("deep.json", b"[" * 100_000, "nested too deeply"),
        ("deep.toml", b"a = " + b"[" * 5000, "nested too deeply"),
        ("large.json", b" " * ((1 << 20) + 1), "larger than 1024 KiB"),
        ("latin.toml", b"name = '\xe9'", "cannot be read"),
    ],
)
def test_params_that_would_hurt_are_refused_in_a_line(
    run: Cli, tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    message = run("submit", "selftest", "--params", path, code=2).err
    assert said in message
    assert "Traceback" not in message


def test_params_from_what_never_ends_are_refused(run: Cli, tmp_path: Path) -> None:
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    said = run("submit", "selftest", "--params", tmp_path / "zero.json", code=2).err
    assert "is not a regular file" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["classify", "{}"], "classify: needs --model JOB"),
        (["predict-sum", 1, "--model", 1], "predict-sum: NUMBER (1 given): give at least 2"),
        (["classify", "--model", 1], "classify: needs IMAGE..."),
        (["vae", "--batch-size", -1], "vae: --batch-size -1: give 0 to 65536"),
        (["selftest", "--steps", 0], "selftest: --steps 0: give 1 to 1000000"),
    ],
)
@pytest.mark.parametrize("command", ["submit", "run"])
def test_what_is_wrong_is_named_as_it_is_typed(
    run: Cli, pictures: Pictures, command: str, words: list[object], message: str
) -> None:
    given = [str(word).format(pictures[0]) for word in words]
    for more in ([], ["--dry-run"]):
        assert run(command, *given, *more, code=2).err == f"cvq: error: {message}\n"


def test_a_dry_run_says_whose_result_it_would_be(run: Cli, pictures: Pictures) -> None:
    words = ["submit", "style-transfer", *pictures]
    assert run(*words, "--dry-run", "--json").json["twin"] is None
    run(*words)
    said = run(*words, "--dry-run").err
    assert "the same as job 1, which has not ended: it would share that result" in said
    assert run(*words, "--dry-run", "--json").json["twin"] == {"job": 1, "done": False}
    assert run(*words, "--dry-run", "--no-cache", "--json").json["twin"] is None


def test_a_dry_run_says_whether_it_would_have_the_result_at_once(
    run: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Client, "twin_of", lambda *_: Twin(7, 4, is_done=True))
    told = "the same as job 4, which has succeeded: it would have that result"
    assert run("submit", "selftest", "--dry-run").err == f"{told} at once\n"
    assert run("submit", "selftest", "--dry-run", "--at", "2h").err.endswith(f"{told}\n")


def test_a_dry_run_says_the_time_as_it_was_read(run: Cli) -> None:
    said = run("submit", "selftest", "--at", "2090-01-02T03:04+00:00", "--dry-run")
    assert said.json["steps"] == 10
    [when] = re.findall(r"^it would not start before (.*)\n", said.err)
    assert datetime.fromisoformat(when) == datetime(2090, 1, 2, 3, 4, tzinfo=UTC)
    said = run("submit", "selftest", "--at", "2090-01-02T03:04+00:00")
    assert said.out == f"job 1 waiting: selftest, not before {when}\n"


def test_a_worker_that_is_to_serve_no_queue_does_not_start(shell: Cli) -> None:
    said = shell("worker", "--queues", "", code=2)
    assert said.err == "cvq: error: --queues '' names no queue\n"


def test_a_field_that_is_called_like_an_option_of_every_command_leaves_it_alone(
    run: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fieldy.py").write_text(
        "from cvq import Kind, Spec\n"
        "class Fields(Spec):\n"
        "    help: str = 'a'\n    debug: bool = False\n    tag: str = 'b'\n"
        "KIND = Kind(name='fieldy', spec=Fields, run='fieldy:run', summary='Fields.')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("CVQ_KINDS", "fieldy")
    assert "--spec-help" in run("submit", "fieldy", "--help").out
    given = ["--spec-help", "x", "--spec-debug", "--spec-tag", "y", "--tag", "a=z", "--name", "z"]
    said = run("submit", "fieldy", *given, "--dry-run").json
    assert said == {"help": "x", "debug": True, "tag": "y", "seed": 0}
