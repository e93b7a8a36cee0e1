"""Listing, showing, logs, metrics, artifacts: the history, played by a fake worker."""

from __future__ import annotations

import csv
import io
import json
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cvq import Client, tables
from cvq.lifecycle import jobs
from cvq.records import MetricPoint
from cvq.states import Role
from cvq.views.curves import Curve
from cvq_cli import formats
from cvq_cli.curves import overlay

from .conftest import Cli, FakeWorker


@pytest.fixture
def history(client: Client, worker: FakeWorker) -> None:
    """Job 1 succeeded, 2 failed, 3 runs, 4 is queued."""
    for number in range(1, 5):
        client.submit("selftest", name=f"n{number}", tags={"odd": str(number % 2)}, steps=number)
    first, second, third = worker.claim(), worker.claim(), worker.claim()
    worker.log(first, "one", "two \x1b[31mred", "three")
    worker.log(first, "trouble", stream="stderr")
    worker.metric(first, "value", 4.0, 2.0, 1.0)
    worker.metric(first, "other", 1e9)
    worker.artifact(first, "result.txt", b"result")
    worker.artifact(first, "preview/1.txt", b"preview", role="preview")
    worker.finish(first, "succeeded", result={"value": 1.0}, peak_memory=12_000_000)
    worker.metric(second, "value", 8.0)
    trace = "\n".join(f"line {n}" for n in range(30))
    worker.finish(second, "failed", reason="error", error="ValueError: no", traceback=trace)
    worker.progress(third, 3, 10)


@pytest.mark.usefixtures("history")
class TestLs:
    def test_plain(self, run: Cli) -> None:
        lines = run("ls").out.splitlines()
        assert lines[0].split() == [
            "ID", "STATE", "KIND", "NAME", "USER", "AGE", "TIME", "PROGRESS", "HEADLINE",
        ]  # fmt: skip
        assert [line.split()[0] for line in lines[1:]] == ["4", "3", "2", "1"]
        assert "failed (error)" in lines[3]
        assert "3/10" in lines[2]
        assert lines[4].endswith("value 1")

    @pytest.mark.parametrize(
        ("given", "ids"),
        [
            ("--state queued,running", "4 3"),
            ("--state failed --state succeeded", "2 1"),
            ("--tag odd=1", "3 1"),
            ("--tag odd", "4 3 2 1"),
            ("--where value<5", "1"),
            ("--where value>=1 --sort -value", "2 1"),
            ("--sort id", "1 2 3 4"),
            ("--kind style-transfer", ""),
            ("--user nobody", ""),
            ("--since 1h", "4 3 2 1"),
            ("--until 1h", ""),
            ("-n 2", "4 3"),
            ("-n 2 --all", "4 3 2 1"),
        ],
    )
    def test_filters(self, run: Cli, given: str, ids: str) -> None:
        assert run("ls", "-q", *given.split()).out.split() == ids.split()

    def test_hint_when_cut(self, run: Cli) -> None:
        assert run("ls", "-n", 3).err.splitlines()[1:] == ["… 1 more: -n 4 or --all"]
        assert "more" not in run("ls", "-n", 4).err

    def test_csv_and_json(self, run: Cli, client: Client) -> None:
        rows = list(csv.DictReader(io.StringIO(run("ls", "--csv").out)))
        assert rows[3]["id"] == "1"
        assert rows[3]["created_at"].endswith("Z")
        found = run("ls", "--json").json
        assert [job.pop("estimate") is None for job in found] == [
            job["finished_at"] is not None for job in found
        ]
        assert found == [client.to_json(client.job(number).job) for number in (4, 3, 2, 1)]

    @pytest.mark.parametrize("form", [(), ("-q",), ("--json",), ("--csv",)])
    @pytest.mark.parametrize(
        ("given", "told"),
        [
            (("--user", "nobody"), "no job of user 'nobody'"),
            (("--tag", "zzz"), "no job with a tag 'zzz'"),
            (("--tag", "odd=7"), "no job with the tag 'odd=7'"),
        ],
    )
    def test_nothing_found_is_said_on_stderr(
        self, run: Cli, form: tuple[str, ...], given: tuple[str, ...], told: str
    ) -> None:
        assert run("ls", *given, *form).err == f"no jobs: {told}\n"

    def test_times_are_said_as_they_were_read(
        self, run: Cli, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TZ", "UTC-2")
        time.tzset()
        said = run("ls", "--until", "2001-02-03", "--since", "2001-02-02T12:00+00:00")
        monkeypatch.delenv("TZ")
        time.tzset()
        assert said.err == (
            "no jobs: none submitted since 2001-02-02 14:00:00+02:00, "
            "none submitted before 2001-02-03 00:00:00+02:00\n"
        )

    def test_some_found_and_some_unknown(self, run: Cli, client: Client) -> None:
        user = client.job(1).user
        said = run("ls", "-q", "--user", f"{user},nobody")
        assert (said.out, said.err) == ("4\n3\n2\n1\n", "no job of user 'nobody'\n")

    def test_names_that_no_job_has_are_refused_with_the_nearest(self, run: Cli) -> None:
        for given, message in {
            ("--where", "valeu<5"): "tag or result 'valeu': did you mean 'value'?",
            ("--sort", "-othr"): "tag or result 'othr': did you mean 'other'?",
            ("--kind", "fmnist-cn"): "no job of kind 'fmnist-cn': did you mean 'fmnist-cnn'?",
            ("--tag", "od=1"): "no job with a tag 'od': did you mean 'odd'?",
        }.items():
            assert message in run("ls", *given, code=2).err
            if given[0] != "--sort":
                assert message in run("cancel", *given, code=2).err
        assert run("ls", "-q", "--where", "total_loss<5").out == "", "a known kind records it"

    def test_what_a_result_says_of_a_metric_counts(
        self, run: Cli, client: Client, worker: FakeWorker
    ) -> None:
        client.submit("selftest")
        worker.finish(worker.claim())
        job = worker.claim()
        worker.metric(job, "value", 0.9, 0.975, 0.963)
        worker.finish(job, result={"value": 0.975, "test_value": 0.5})
        assert run("ls", "-n", 1).out.rstrip().endswith("value 0.975")
        assert run("ls", "-q", "--where", "value>0.97", "--where", "value<1").out == "5\n"
        assert run("ls", "-q", "--where", "test_value=0.5").out == "5\n"
        assert run("show", "5", "--json").json["metrics"] == {"value": 0.975}
        assert run("metrics", "5").out.split()[-6:] == [
            "value",
            "0.975",
            "0.963",
            "0.9",
            "0.975",
            "3",
        ]

    def test_wrong_status(self, run: Cli) -> None:
        assert "'done' is not one of" in run("ls", "--state", "done", code=2).err


@pytest.mark.usefixtures("history")
class TestShow:
    def test_succeeded(self, run: Cli, home: Path) -> None:
        out = run("show", "1").out
        assert out.startswith("job 1  selftest  succeeded\n")
        for part in ("n1", "odd=1", "steps", "12 MB", "value", "fake", "attempt 1 succeeded"):
            assert part in out
        assert str(home / "store/jobs/1/1/result.txt") in out

    def test_failed_shows_the_end_of_the_traceback(self, run: Cli) -> None:
        out = run("show", "2").out
        assert "ValueError: no" in out
        assert out.endswith("line 29\n")
        assert "line 3\n" not in out
        assert "… 18 more lines: --traceback" in out
        assert "line 3\n" in run("show", "2", "--traceback").out

    def test_queued_says_how_many_are_before_it(self, run: Cli) -> None:
        assert "priority 5, 0 before it" in run("show", "@").out

    def test_json_of_one_and_of_several(self, run: Cli, client: Client) -> None:
        shown = run("show", "@~2", "--json").json
        assert len(shown["attempts"]) == 1
        assert shown.items() >= client.to_json(client.job(2).job).items()
        assert [job["id"] for job in run("show", "1-2", "4", "--json").json] == [1, 2, 4]

    def test_references(self, run: Cli) -> None:
        for reference, message in {
            "9": "no job 9",
            "8-9": "no job 8-9",
            "@~9": "no job @~9",
            "x": "'x' is not a job",
            "3-1": "'3-1' is not a job",
        }.items():
            assert message in run("show", reference, code=2).err


class TestShowAttempts:
    @pytest.fixture
    def resumed(self, client: Client, worker: FakeWorker) -> None:
        """Job 1: attempt 1 lost its worker, 2 crashed in the middle of it, 3 was preempted."""
        client.submit("selftest", retries=3)
        for reason, lines in {"worker-lost": "a", "signal:SEGV": "bcdefghijklm"}.items():
            job = worker.claim()
            worker.log(job, *(f"line {letter}\x1b[2J" for letter in lines))
            worker.metric(job, "value", *([8.0, 4.0] if reason == "worker-lost" else [3.0]))
            worker.finish(job, "failed", reason=reason, error=f"{reason}\nhere\x07", retry=True)
            with client.db.write() as connection:
                connection.execute(tables.jobs.update().values(not_before=None))
                jobs.promote(connection, "w")
        worker.finish(worker.claim(), "queued", reason="preempted", error="drained")

    @pytest.mark.usefixtures("resumed")
    def test_errors_and_last_lines(self, run: Cli) -> None:
        out = run("show", "1").out
        assert "\nattempt 1: worker-lost here\\x07\n" in out
        assert "\nattempt 2: signal:SEGV here\\x07\n" in out
        assert "attempt 3: " not in out
        assert "\nError\ndrained\n" in out
        last = out.partition("\nLast lines of attempt 2\n")[2]
        assert last.splitlines() == [f"line {letter}\\x1b[2J" for letter in "defghijklm"]
        assert "Last lines of attempt 1" not in out
        assert "Last lines of attempt 1\nline a\\x1b[2J\n" in run("show", "1", "--traceback").out

    @pytest.mark.usefixtures("resumed")
    def test_a_job_that_succeeded_in_the_end_keeps_its_failures_short(
        self, run: Cli, worker: FakeWorker
    ) -> None:
        worker.finish(worker.claim())
        out = run("show", "1").out
        assert "\nattempt 2: signal:SEGV here" in out
        assert "Last lines" not in out
        assert "Last lines of attempt 2" in run("show", "1", "--traceback").out

    def test_long_lines_are_cut(self, run: Cli, client: Client, worker: FakeWorker) -> None:
        client.submit("selftest")
        job = worker.claim()
        worker.log(job, "x" * 1000)
        worker.finish(job, "failed", reason="error", error="no")
        assert "\n" + "x" * 199 + "…\n" in run("show", "1").out
        assert "x" * 1000 in run("show", "1", "--traceback").out

    @pytest.mark.usefixtures("resumed")
    def test_json(self, run: Cli) -> None:
        first, second, third = run("show", "1", "--json").json["attempts"]
        assert set(first) == {
            "number", "worker", "host", "pid", "device", "seed", "started_at", "finished_at",
            "outcome", "reason", "error", "traceback", "peak_memory", "last_lines",
            "micro_batch", "micro_batch_size", "versions",
        }  # fmt: skip
        assert (first["number"], first["outcome"], first["reason"]) == (1, "failed", "worker-lost")
        assert first["started_at"].endswith("Z")
        assert first["finished_at"] >= first["started_at"]
        assert second["last_lines"][-1] == "line m\x1b[2J"
        assert (third["outcome"], third["last_lines"]) == ("stopped", [])

    @pytest.mark.usefixtures("resumed")
    def test_metrics_go_on_over_attempts(self, run: Cli) -> None:
        assert run("metrics", "1").out.splitlines()[1].split() == [
            "value",
            "3",
            "3",
            "3",
            "3",
            "1",
        ]
        first = run("metrics", "1", "--attempt", 1).out.splitlines()
        assert first[1].split() == ["value", "4", "4", "4", "8", "2"]
        points = run("metrics", "1", "--json").json
        assert [(point["attempt"], point["value"]) for point in points] == [(2, 3.0)]
        assert len(run("metrics", "1", "--attempt", 1, "--csv").out.splitlines()) == 3
        for command in ("metrics", "logs"):
            said = run(command, "1", "--attempt", 4, code=2)
            assert "job 1 has no attempt 4: it has had 1, 2 and 3\n" in said.err


@pytest.mark.usefixtures("history")
class TestLogs:
    def test_lines_without_control_characters(self, run: Cli) -> None:
        assert run("logs", "1").out == "one\ntwo \\x1b[31mred\nthree\ntrouble\n"

    def test_tail_stream_attempt_since(self, run: Cli) -> None:
        assert run("logs", "1", "--tail", 2).out == "three\ntrouble\n"
        assert run("logs", "1", "--stream", "stderr").out == "trouble\n"
        assert run("logs", "1", "--stream", "stdout", "--tail", 1).out == "three\n"
        said = run("logs", "1", "--attempt", 2, code=2)
        assert "job 1 has no attempt 2: it has had 1\n" in said.err
        assert "job 4 has no attempt 1: it has had none\n" in (
            run("logs", "4", "--attempt", 1, code=2).err
        )
        assert run("logs", "1", "--since", "1h", "--follow").out.count("\n") == 4
        assert run("logs", "1", "--tail", 0).out == ""

    def test_json_lines(self, run: Cli) -> None:
        lines = [json.loads(line) for line in run("logs", "1", "--json", "-f").out.splitlines()]
        assert [line["seq"] for line in lines] == [1, 2, 3, 4]
        assert set(lines[0]) == {"attempt", "seq", "time", "stream", "text"}

    def test_nothing_yet(self, run: Cli) -> None:
        assert run("logs", "4").err == "job 4 has written nothing yet (queued)\n"

    def test_one_job_only(self, run: Cli) -> None:
        assert "1-2 is 2 jobs: give one job, not a range" in run("logs", "1-2", code=2).err

    def test_follow_ends_with_the_job_and_misses_nothing(
        self, run: Cli, worker: FakeWorker, client: Client
    ) -> None:
        job = client.job(3).job

        def work() -> None:
            for number in range(50):
                worker.log(job, f"line {number}")
            worker.finish(job)

        thread = threading.Thread(target=work)
        thread.start()
        said = run("logs", "3", "-f")
        thread.join()
        assert said.out.splitlines() == [f"line {number}" for number in range(50)]


@pytest.mark.usefixtures("history")
class TestMetricsAndArtifacts:
    def test_metrics(self, run: Cli) -> None:
        lines = run("metrics", "1").out.splitlines()
        assert lines[0].split() == ["NAME", "VALUE", "BEST", "LAST", "MIN", "MAX", "POINTS"]
        # The headline metric first.
        assert lines[1].split() == ["value", "1", "1", "1", "4", "3"]
        assert lines[2].split() == ["other", "1e+09", "1e+09", "1e+09", "1e+09", "1"]

    def test_points(self, run: Cli) -> None:
        points = run("metrics", "1", "value", "--json").json
        assert [(point["step"], point["value"]) for point in points] == [(0, 4), (1, 2), (2, 1)]
        assert (
            run("metrics", "1", "value", "--csv").out.splitlines()[1].startswith("1,value,0,4.0")
        )

    def test_metrics_of_several_jobs(self, run: Cli) -> None:
        lines = [line.split() for line in run("metrics", "1", "2").out.splitlines()]
        assert lines[0][:3] == ["NAME", "JOB", "VALUE"]
        assert [line[:3] for line in lines[1:]] == [
            ["value", "1", "1"], ["value", "2", "8"], ["other", "1", "1e+09"],
        ]  # fmt: skip
        said = run("metrics", "1-3", "value")
        assert [line.split()[1] for line in said.out.splitlines()[1:]] == ["1", "2"]
        assert said.err == "job 3 has recorded no such metrics (running)\n"
        assert [point["job"] for point in run("metrics", "1-2", "value", "--json").json] == [
            1, 1, 1, 2,
        ]  # fmt: skip
        assert run("metrics", "1", "@~2", "value", "--csv").out.startswith("job,attempt,name")
        assert (
            "none of these jobs has a metric 'valeu'" in run("metrics", "1-2", "valeu", code=2).err
        )
        assert "no job 9" in run("metrics", "1", "9", code=2).err

    def test_unknown_metric_names_the_nearest(self, run: Cli) -> None:
        said = run("metrics", "1", "valeu", code=2)
        assert "job 1 has no metric 'valeu': did you mean 'value'?" in said.err

    def test_artifacts(self, run: Cli, home: Path) -> None:
        assert "preview/1.txt" in run("artifacts", "1").out
        assert run("artifacts", "1", "--role", "result", "-q").out == (
            f"{home}/store/jobs/1/1/result.txt\n"
        )
        assert [file["role"] for file in run("artifacts", "1", "--json").json] == [
            "result",
            "preview",
        ]

    def test_get_brings_what_a_training_was_run_for(
        self, run: Cli, client: Client, worker: FakeWorker, tmp_path: Path
    ) -> None:
        client.submit("selftest")
        job = worker.claim()
        handle = client.job(job.id)
        roles = {"loss.png": "plot", "model.safetensors": "model", "p.png": "preview",
                 "mine.pt": "checkpoint", "own.safetensors": Role.CHECKPOINT}  # fmt: skip
        for name, role in roles.items():
            worker.artifact(job, name, b"x", role=role)
        kept = ["loss.png", "model.safetensors"]
        said = run("get", str(job.id), tmp_path / "a").out.splitlines()
        assert [Path(line).name for line in said] == kept
        assert [path.name for path in handle.save(tmp_path / "b")] == kept
        assert [path.name for path in handle.save(tmp_path / "c", role="preview")] == ["p.png"]
        assert len(handle.save(tmp_path / "d", role="all")) == 5
        lack = run("get", str(job.id), tmp_path, "--role", "result", code=2).err
        assert "has no file of role 'result'" in lack
        assert "model" in lack

    def test_get(self, run: Cli, tmp_path: Path) -> None:
        assert run("get", "1", tmp_path).out == f"{tmp_path}/result.txt\n"
        assert (tmp_path / "result.txt").read_bytes() == b"result"
        assert run("get", "1", tmp_path).err == "1 of 1 was there already\n"
        run("get", "1", tmp_path / "all", "--role", "all")
        assert (tmp_path / "all/preview/1.txt").read_bytes() == b"preview"
        run("get", "1-1", tmp_path / "glob", "--role", "all", "--name", "*1.txt")
        assert not (tmp_path / "glob/result.txt").exists()

    def test_get_never_overwrites_unasked(self, run: Cli, tmp_path: Path) -> None:
        (tmp_path / "result.txt").write_text("mine")
        said = run("get", "1", tmp_path, "--role", "all", code=2)
        assert "exists with other content: --force overwrites it" in said.err
        assert not (tmp_path / "preview").exists()
        assert (tmp_path / "result.txt").read_text() == "mine"
        run("get", "1", tmp_path, "--force")
        assert (tmp_path / "result.txt").read_text() == "result"

    def test_get_writes_the_one_file_to_the_path(self, run: Cli, tmp_path: Path) -> None:
        target = tmp_path / "mine.txt"
        assert run("get", "1", "-o", target).out == f"{target}\n"
        assert target.read_bytes() == b"result"
        assert run("get", "1", "-o", target).err == "1 of 1 was there already\n"
        run("get", "1", "preview/*", "-o", tmp_path / "p")
        assert (tmp_path / "p").read_bytes() == b"preview"
        target.write_text("other")
        assert "exists with other content: --force" in run("get", "1", "-o", target, code=2).err
        assert target.read_text() == "other"
        run("get", "1", "-o", target, "--force")
        assert target.read_bytes() == b"result"

    def test_get_puts_files_into_the_folder(self, run: Cli, tmp_path: Path) -> None:
        run("get", "1", "*", "--role", "all", "-o", f"{tmp_path}/new/")
        assert (tmp_path / "new/preview/1.txt").read_bytes() == b"preview"
        run("get", "1", "result.txt", "-o", tmp_path)
        assert (tmp_path / "result.txt").read_bytes() == b"result"

    def test_get_takes_a_name_that_the_job_has(
        self, run: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert run("get", "1", "preview/1.txt").out == "preview/1.txt\n"
        for mistyped in ("result.text", "*.gif", "preview/9.txt"):
            said = run("get", "1", mistyped, code=2).err
            assert f"no file like '{mistyped}'" in said
            assert f"(a folder is written {mistyped}/)" in said
        assert [path.name for path in tmp_path.iterdir()] == ["preview"]
        run("get", "1", "result.text/")
        assert (tmp_path / "result.text/result.txt").exists()

    def test_get_to_stdout(self, run: Cli) -> None:
        assert run("get", "1", "-o", "-").out == "result"
        assert "several files" in run("get", "1", "*", "--role", "all", "-o", "-", code=2).err

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["1", "--role", "all", "-o", "x.txt"],
             "several files of job 1 are meant (result.txt and preview/1.txt): give the name of "
             "one, or a folder: -o x.txt/"),
            (["1", "-o", "x.png"], "result.txt is no .png file: give -o x.txt"),
            (["1", "-o", "no/x.txt"], "the folder no does not exist"),
            (["1-2", "-o", "x.txt"], "the files of several jobs go into a folder: -o x.txt/"),
            (["1-2", "-o", "-"], "give one job"),
            (["1", "a", "b"], "one name or folder is needed, and a and b were given"),
            (["1", "a", "--name", "b", "-o", "c"], "'a' and --name 'b': give one of them"),
            (["1", "no*", "-o", "x.txt"], "no file like 'no*'"),
            (["--batch", "1", "-o", "x.png"], "the files of a batch go into a folder"),
        ],
    )  # fmt: skip
    def test_get_refuses_in_one_line(
        self, run: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str],
        told: str,
    ) -> None:  # fmt: skip
        monkeypatch.chdir(tmp_path)
        said = run("get", *words, code=2)
        assert told in said.err
        assert said.err.count("\n") == 1
        assert not list(tmp_path.iterdir())

    def test_get_nothing(self, run: Cli) -> None:
        assert "job 4 (queued) left no files" in run("get", "4", code=2).err


@pytest.mark.usefixtures("history")
class TestWaitWatchCancel:
    def test_wait_gives_the_worst_outcome(self, run: Cli, client: Client) -> None:
        assert run("wait", "1").out == ""
        client.cancel(4)
        assert run("wait", "1", "4", code=3).err == "cvq: error: job 4 was cancelled\n"
        assert "job 2 failed (error)" in run("wait", "1", "2", "4", code=1).err
        assert run("wait", "2", "-q", code=1).err == ""
        said = run("wait", "1-4", "--timeout", "0.1s", "--json", code=124)
        assert "timed out: job 3 is still running" in said.err
        assert [job["state"] for job in said.json] == [
            "succeeded", "failed", "running", "cancelled",
        ]  # fmt: skip

    def test_watch_shows_log_and_progress(
        self, run: Cli, client: Client, worker: FakeWorker
    ) -> None:
        job = client.job(3).job

        def work() -> None:
            worker.log(job, "hello")
            worker.progress(job, 9, 10)
            worker.log(job, "goodbye")
            worker.finish(job, "failed", reason="oom", error="Killed")

        thread = threading.Thread(target=work)
        thread.start()
        said = run("watch", "3", code=1)
        thread.join()
        assert said.out == "hello\ngoodbye\n"
        assert said.err.endswith("cvq: error: job 3 failed (oom): Killed\n")

    def test_watch_json_lines(self, run: Cli) -> None:
        lines = run("watch", "1", "--json").out.splitlines()
        assert [json.loads(line)["state"] for line in lines] == ["succeeded"]

    def test_cancel_says_what_happened_to_each(self, run: Cli, client: Client) -> None:
        assert run("cancel", "1-4").out.splitlines() == [
            "job 1 (selftest n1) had already ended (succeeded)",
            "job 2 (selftest n2) had already ended (failed)",
            "job 3 (selftest n3) is running and will stop",
            "job 4 (selftest n4) is cancelled",
        ]
        assert client.job(3).cancel_requested

    def test_cancel_all_of_mine(self, run: Cli, client: Client) -> None:
        with client.db.write() as connection:
            connection.execute(
                tables.jobs.update().where(tables.jobs.c.id == 3).values(user="ada")
            )
        assert "give JOB, or --all" in run("cancel", "1", "--all", code=2).err
        assert run("cancel", "--all").out == "job 4 (selftest n4) is cancelled\n"
        assert client.job(3).cancel_requested is False
        assert run("cancel", "--all").err == "no jobs to cancel\n"
        assert run("cancel", "--all", "--user", "ada", "-q").out == "3\n"

    def test_cancel_by_filter(self, run: Cli, client: Client) -> None:
        assert "which jobs?" in run("cancel", code=2).err
        assert run("cancel", "--tag", "odd=0", "--dry-run", "-q").out == "4\n"
        assert client.job(4).state == "queued"
        assert run("cancel", "1-4", "--state", "queued", "--json").json[0]["id"] == 4
        assert client.job(3).cancel_requested is False


def test_show_has_a_line_for_each_record_of_a_result(
    run: Cli, worker: FakeWorker, client: Client
) -> None:
    client.submit("selftest")
    rows = [
        {"image": f"{name}.png", "probability": 0.918616123, "top": [{"class": "6"}]}
        for name in ("a", "b")
    ]
    result = {"sums": [1.5, 2.0], "predictions": rows, "flag": True}
    worker.finish(worker.claim(), "succeeded", result=result)
    shown = run("show", "1").out.partition("Result\n")[2].partition("\n\n")[0]
    assert shown.splitlines() == [
        "sums         1.5, 2",
        "predictions  image a.png, probability 0.918616",
        "             image b.png, probability 0.918616",
        "flag         yes",
    ]
    assert run("show", "1", "--json").json["result"] == result


def test_show_says_what_was_left_to_the_job_and_what_became_of_it(
    run: Cli, worker: FakeWorker, client: Client
) -> None:
    client.submit("vae", data="digits", batch_size=32)
    job = worker.claim()

    def settings() -> dict[str, str]:
        shown = run("show", "1").out.partition("Specification\n")[2].partition("\n\n")[0]
        return dict(line.split(maxsplit=1) for line in shown.splitlines())

    assert settings()["epochs"] == "auto"
    worker.finish(job, "succeeded", result={"epochs": 156, "batch_size": 32})
    found = settings()
    assert (found["epochs"], found["batch_size"]) == ("auto (156)", "32")
    assert found["patience"] == "0", "not every 0 is left to the job"
    assert run("show", "1", "--json").json["spec"]["epochs"] == 0


@pytest.mark.parametrize("result", [[1, 2, 3], 5, "hello", [{"a": 1}], False, 200])
def test_a_result_of_any_shape_is_shown(
    run: Cli, worker: FakeWorker, client: Client, result: Any
) -> None:
    if result == 200:  # levels
        for _ in range(200):
            result = {"deep": result} if isinstance(result, dict) else {"deep": {}}
    client.submit("selftest")
    worker.finish(worker.claim(), "succeeded", result=result)
    assert "Result\n" in run("show", "1").out
    assert run("show", "1", "--json").json["result"] == result
    run("why", "1")


def test_status_and_workers(run: Cli, worker: FakeWorker, client: Client) -> None:
    assert "no workers" in run("workers").err
    client.submit("selftest")
    client.submit("selftest")
    worker.arrive("default")
    FakeWorker(client, name="late").arrive("default", lease=0.0)
    worker.claim()
    seen = run("status", "--json").json
    assert seen["redis"] == "up"
    assert seen["jobs"]["running"] == seen["jobs"]["queued"] == 1
    assert seen["queues"] == {"default": {"queued": 1, "doorbells": 2}}
    assert seen["running"][0]["worker"] == "fake"
    assert {row["id"]: row["state"] for row in seen["workers"]} == {"fake": "up", "late": "silent"}
    assert "1 queued  1 running" in run("status").out
    assert run("workers", "-q").out == "fake\nlate\n"
    assert run("workers", "--json").json[0]["running"] == [1]
    assert run("workers", "--csv").out.startswith("id,state,host")


def test_status_hides_passwords_and_does_not_start_redis(
    run: Cli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("status", "--json").json["redis"] == "stopped"
    assert not (home / "redis.sock").exists()
    monkeypatch.setenv("CVQ_BROKER_URL", "redis://:secret@127.0.0.1:1/0")
    out = run("status").out
    assert "secret" not in out
    assert "redis://127.0.0.1:1/0 does not answer" in out


def test_curves_of_several_jobs_share_their_scales() -> None:
    def curve(*values: float, first: int = 1) -> Curve:
        return Curve("loss", list(range(first, first + len(values))), list(values), values[-1])

    long, late = curve(8, 7, 6, 5, 4, 3, 2, 1), curve(4, 4, first=5)
    assert overlay(long, [long, late], 8) == "█▇▆▅▄▃▂▁"
    assert overlay(late, [long, late], 8) == "    ▄▄  "
    assert overlay(curve(3.0), [curve(3.0)], 4) == "▁▁▁▁"


def test_words() -> None:
    assert [formats.duration(s) for s in (0.44, 12, 185, 7800, 4 * 86400 + 3 * 3600)] == [
        "0.4s", "12s", "3m05s", "2h10m", "4d03h",
    ]  # fmt: skip
    assert [formats.size(n) for n in (5, 1234, 2_000_000)] == ["5 B", "1.23 kB", "2 MB"]
    assert formats.number(10**400) == "> 1e308"
    assert formats.number(float("nan")) == formats.number(float("inf")) == "-"
    assert formats.sparkline([0, 1, None, 7]) == "▁▂ █"
    assert formats.sparkline([3.0] * 100, width=5) == "▁▁▁▁▁"
    assert formats.clean("a\x1b[2J\tb\x9b") == "a\\x1b[2J\tb\\x9b"


def test_the_epoch_of_the_best_value_is_told(run: Cli, client: Client, worker: FakeWorker) -> None:
    client.submit("selftest")
    job = worker.claim()
    rows = [
        MetricPoint(name, step, value, datetime.now(UTC))
        for step, epoch, accuracy in ((40, 1, 0.5), (80, 2, 0.9), (120, 3, 0.8))
        for name, value in (("epoch", epoch), ("val_accuracy", accuracy))
    ]
    worker.report(job, metrics=[*rows, MetricPoint("loss", 7, 0.1, datetime.now(UTC))])
    lines = {line.split()[0]: line for line in run("metrics", 1).out.splitlines()}
    assert " 0.9 @2 " in lines["val_accuracy"]
    assert " 0.1 @step 7 " in lines["loss"]
    [_, alone] = run("metrics", 1, "val_accuracy").out.splitlines()
    assert " 0.9 @2 " in alone


def test_a_pattern_looks_beyond_the_results(
    run: Cli, client: Client, worker: FakeWorker, tmp_path: Path
) -> None:
    client.submit("selftest")
    job = worker.claim()
    worker.artifact(job, "answers.json", b"{}")
    for name in ("a.png", "b.png"):
        worker.artifact(job, name, name.encode(), role="plot")
    worker.finish(job)
    said = run("get", 1, tmp_path, "--name", "*.png")
    assert [Path(line).name for line in said.out.splitlines()] == ["a.png", "b.png"]
    assert run("get", 1, tmp_path, "--name", "*.json").out == f"{tmp_path}/answers.json\n"
    assert "no file of role 'result' like '*.png'; 2 of role plot are: --role plot" in (
        run("get", 1, tmp_path, "--name", "*.png", "--role", "result", code=2).err
    )
    assert "no file like '*.gif'" in run("get", 1, tmp_path, "--name", "*.gif", code=2).err
    assert "no file of role 'plto': it has result, plot" in (
        run("artifacts", 1, "--role", "plto", code=2).err
    )


def test_a_job_and_its_attempt_took_equally_long(
    run: Cli, client: Client, worker: FakeWorker
) -> None:
    client.submit("selftest")
    worker.finish(worker.claim())
    found = run("show", 1, "--json").json
    [attempt] = found["attempts"]
    for name in ("started_at", "finished_at"):
        assert found[name] == attempt[name]
