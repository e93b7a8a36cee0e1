"""The Python client: nothing is queued that could not run, and nothing queued is lost."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import redis
from PIL import Image

from cvq import (
    Client,
    JobHandle,
    Settings,
    queries,
)
from cvq.errors import (
    BrokerError,
    CvqError,
    InvalidInputError,
    JobCancelledError,
    JobFailedError,
    UnknownJobError,
    UnknownKindError,
    UsageError,
    WaitTimeoutError,
)
from cvq.lifecycle import attempts, claims
from cvq.records import Job, LogLine, MetricPoint, Outcome
from waiting import HANG_S


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    Image.effect_noise((80, 60), 50).save(path)
    return path


def claim(client: Client) -> Any:
    with client.db.write() as connection:
        return claims.claim(
            connection, worker="w", host="h", queues=["default"], token="t", lease=30
        )  # fmt: skip


def end(client: Client, outcome: Outcome) -> None:
    job = claim(client)
    with client.db.write() as connection:
        attempts.finish(connection, job.attempt_id, outcome, "w")


def test_a_job_arrives_with_its_inputs_in_the_store(client: Client, picture: Path) -> None:
    handle = client.submit("style-transfer", content=picture, style=[picture], size=64)
    assert handle.state == "queued"
    content = handle.spec["content"]
    assert content["name"] == "picture.png"
    assert content["bytes"] == picture.stat().st_size
    stored = client.artifacts.fetch_input(content["sha256"], Path())
    assert stored.read_bytes() == picture.read_bytes()
    assert client.broker.lengths(["default"]) == {"default": 1}


@pytest.mark.parametrize(
    ("kind", "values", "error"),
    [
        ("selftst", {}, UnknownKindError),
        ("selftest", {"steps": 0}, UsageError),
        ("selftest", {"step": 3}, UsageError),
        ("selftest", {"priority": 10}, UsageError),
        ("selftest", {"retries": -1}, UsageError),
        ("selftest", {"time_limit": 0}, UsageError),
        ("selftest", {"time_limit": float("nan")}, UsageError),
        ("selftest", {"soft_time_limit": 0}, UsageError),
        ("selftest", {"soft_time_limit": float("inf")}, UsageError),
        ("selftest", {"soft_time_limit": 60, "time_limit": 60}, UsageError),
        ("selftest", {"after": [99]}, UnknownJobError),
        ("selftest", {"tags": {'say "hi"': "x"}}, UsageError),
        ("selftest", {"tags": {"a\\b": "x"}}, UsageError),
        ("style-transfer", {"content": "nowhere.png", "style": ["x"]}, InvalidInputError),
    ],
)
def test_what_is_wrong_is_refused_and_queues_nothing(
    client: Client, kind: str, values: dict[str, Any], error: type[CvqError]
) -> None:
    with pytest.raises(error):
        client.submit(kind, **values)
    assert client.jobs() == []
    assert client.broker.connect().keys("*") == []


def test_limits_are_stored_and_checked_without_queueing(client: Client) -> None:
    job = client.submit("selftest", time_limit=60, soft_time_limit=50.5).job
    assert (job.time_limit, job.soft_time_limit) == (60.0, 50.5)
    assert client.submit("selftest", soft_time_limit=90).job.time_limit is None
    with pytest.raises(UsageError, match=r"^soft time limit 61s: .* time limit of 60s$"):
        client.check("selftest", time_limit=60, soft_time_limit=61)
    assert len(client.jobs()) == 2


def test_an_unknown_kind_names_the_nearest(client: Client) -> None:
    with pytest.raises(UnknownKindError, match="did you mean 'style-transfer'"):
        client.submit("styletransfer")


def test_a_dead_redis_leaves_no_job(home: Path) -> None:
    client = Client(Settings.load(broker_url="redis://127.0.0.1:1/0"))
    with pytest.raises(BrokerError):
        client.submit("selftest")
    assert client.jobs() == []
    client.db.engine.dispose()


def test_a_redis_that_dies_before_the_message_loses_no_job(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any) -> None:
        raise redis.ConnectionError("gone")

    monkeypatch.setattr(redis.Redis, "lpush", gone)
    with pytest.warns(UserWarning, match=r"job 1 is queued, but .* does not answer"):
        client.submit("selftest")
    assert [job.state for job in client.jobs()] == ["queued"]


@pytest.mark.parametrize("drips", [b"", b"+"])
def test_a_redis_that_answers_too_slowly_holds_up_no_job(home: Path, drips: bytes) -> None:
    """It is given up after a few seconds altogether, though each byte comes in time."""
    hung_up = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while not hung_up.wait(0.2):
                connection.sendall(drips)

    with socket.create_server(("127.0.0.1", 0)) as server:
        client = Client(Settings.load(broker_url=f"redis://127.0.0.1:{server.getsockname()[1]}"))

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(server.accept()[0],)).start()

        threading.Thread(target=accept, daemon=True).start()
        with pytest.warns(UserWarning, match=r"job 1 is queued, but .*no answer within"):
            client.submit("selftest")
        hung_up.set()
        server.shutdown(socket.SHUT_RDWR)
    assert [job.state for job in client.jobs()] == ["queued"]
    client.db.engine.dispose()


def test_wait_tells_how_it_ended(client: Client) -> None:
    handle = client.submit("selftest")
    with pytest.raises(WaitTimeoutError, match="still queued"):
        handle.wait(0.01)
    end(client, Outcome("succeeded", result={"answer": 42}))
    assert handle.wait(HANG_S).result == {"answer": 42}
    failing = client.submit("selftest")
    end(client, Outcome("failed", reason="error", error="it broke"))
    with pytest.raises(JobFailedError, match=r"failed \(error\): it broke"):
        failing.wait(HANG_S)
    assert failing.wait(HANG_S, check=False).reason == "error"
    cancelled = client.submit("selftest")
    cancelled.cancel()
    with pytest.raises(JobCancelledError):
        cancelled.wait(HANG_S)


def test_a_handle_gives_logs_curves_and_files(
    client: Client, tmp_path: Path, picture: Path
) -> None:
    handle = client.submit("selftest")
    job = claim(client)
    now = job.created_at
    artifact = client.artifacts.put_artifact(job.attempt_id, picture, name="r.png", role="result")
    with client.db.write() as connection:
        attempts.report(
            connection,
            job.attempt_id,
            logs=[LogLine(1, now, "stdout", "hello")],
            metrics=[MetricPoint("loss", step, 1 / step, now) for step in (1, 2)],
            artifacts=[artifact],
        )
    assert handle.logs() == ["hello"]
    assert handle.curve("loss") == [(1, 1.0), (2, 0.5)]
    assert handle.curve("loss", attempt=1) == [(1, 1.0), (2, 0.5)]
    assert handle.curve("loss", attempt=2) == handle.curve("lost") == []
    assert handle.refresh().metrics == {"loss": 0.5}
    assert [path.name for path in handle.save(tmp_path / "out")] == ["r.png"]
    assert client.to_json(handle.job)["artifacts"][0]["uri"] == artifact.uri
    with client.db.read() as connection:
        assert queries.get_job(connection, handle.id).state == "running"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("cvq", ("sqlalchemy", "pydantic", "redis", "PIL", "torch", "celery", "alembic")),
        ("cvq.client", ("torch", "celery", "alembic", "numpy", "fsspec", "rich")),
    ],
)
def test_importing_is_light(module: str, absent: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print([m for m in {absent!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_jobs_are_found_by_keywords(client: Client) -> None:
    client.submit("selftest", tags={"for": "poster"}, name="a")
    client.submit("selftest", tags={"for": "talk"}, name="b")
    end(client, Outcome("succeeded", result={"value": 1}))

    def found(**wanted: Any) -> list[str | None]:
        return [job.name for job in client.jobs(**wanted)]

    assert found(kind="selftest") == ["b", "a"]
    assert found(tag="for=poster") == found(tag={"for": "poster"}) == ["a"]
    assert found(tag=["for", "for=talk"], kind=["selftest"]) == ["b"]
    assert found(state="succeeded") == ["a"]
    assert found(state=["queued", "failed"], since="1h", limit=1) == ["b"]
    assert found(user="nobody else") == []
    for wrong in ({"state": "done"}, {"kind": "selftst"}, {"where": "loss"}, {"sort": "nothing"}):
        with pytest.raises(UsageError):
            client.jobs(**wrong)


def test_jobs_are_found_by_a_query(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cvq.views.filters._CHUNK", 2)
    for steps in range(1, 6):
        client.submit("selftest", steps=steps, name=f"n{steps}", queue=f"q{steps % 2}")

    def found(*query: str, **asked: Any) -> list[str | None]:
        names = [job.name for job in client.jobs(*query, **asked)]
        assert [job.name for job in client.iter_jobs(*query, **asked)] == names
        assert client.count_jobs(*query, **(asked | {"limit": None})) >= len(names)
        return names

    assert found() == ["n5", "n4", "n3", "n2", "n1"]
    assert found("params.steps > 1 and (name like 'n%' or kind = 'vae')", queue="q0") == [
        "n4",
        "n2",
    ]
    assert found("params.steps > 2", where="params.steps < 5", sort="params.steps") == ["n3", "n4"]
    assert found(name=["n1", "n[5]"], sort="-id", limit=1) == ["n1"]
    assert found(limit=3) == ["n5", "n4", "n3"]
    assert found(reason="oom") == found(worker="nobody") == found(sweep=9) == []
    assert client.count_jobs("params.steps > 1", limit=1) == 4
    for ask in (client.jobs, client.iter_jobs, client.count_jobs):
        with pytest.raises(UsageError, match="params"):
            ask("params.stepz > 1")  # type: ignore[operator]


def test_several_jobs_are_waited_for(client: Client) -> None:
    handles = [client.submit("selftest") for _ in range(3)]
    for timeout in (0, 0.01):
        with pytest.raises(WaitTimeoutError, match=f"still queued after {timeout}s"):
            client.wait(handles, timeout)
    for outcome in (Outcome("succeeded"), Outcome("failed", "error", "no"), Outcome("cancelled")):
        end(client, outcome)
    jobs = client.wait([handles[2].id, handles[0], handles[1].job], check=False)
    assert [job.state for job in jobs] == ["cancelled", "succeeded", "failed"]
    with pytest.raises(JobFailedError):
        client.wait(handles)


def test_what_failed_is_tried_again(client: Client) -> None:
    good, bad, dropped = (client.submit("selftest", retries=0) for _ in range(3))
    end(client, Outcome("succeeded"))
    end(client, Outcome("failed", reason="error", error="boom", retry=False))
    assert [job.id for job in client.retry([good, bad, dropped, bad])] == [bad.id]
    assert bad.refresh().state == "queued"
    assert dropped.cancel().retry().state == "queued"
    with pytest.raises(UsageError, match=f"^job {good.id} has succeeded: `cvq rerun"):
        good.retry()
    with pytest.raises(UsageError, match="none of these 2 jobs can be tried again: job"):
        client.retry([good, bad])
    with pytest.raises(UnknownJobError):
        client.retry([99])
    assert client.retry([]) == []


def test_a_handle_says_what_it_has(client: Client) -> None:
    handle = client.submit("selftest", name="mine")
    assert repr(handle) == repr(handle.job) == f"<Job {handle.id} selftest queued, mine>"
    assert {"state", "metrics", "result", "save", "priority", "started_at"} <= set(dir(handle))
    assert (handle.state, handle.name, handle.metrics, handle.result) == (
        "queued", "mine", {}, None
    )  # fmt: skip
    assert (handle.priority, handle.attempt) == (5, 0)
    with pytest.raises(AttributeError, match="'stat'"):
        _ = handle.stat
    with pytest.raises(AttributeError, match="cannot be set"):
        handle.state = "failed"
    assert not isinstance(handle, Job)


def test_a_client_gives_its_connections_back_and_takes_them_again(client: Client) -> None:
    with Client(client.settings) as other:
        job = other.submit("selftest")
        assert "cvq client of" in repr(other)
    assert "db" not in vars(other)
    assert "broker" not in vars(other)
    assert job.refresh().state == "queued"
    other.close()
    other.close()


def test_one_value_is_a_list_of_one(client: Client, picture: Path) -> None:
    spec = client.check("style-transfer", content=picture, style=picture, style_blend=1.0)
    assert [file.name for file in spec.style] == ["picture.png"]
    assert spec.style_blend == [1.0]


def test_every_way_to_a_job_gives_the_same_kind_of_thing(client: Client) -> None:
    job = client.submit("selftest", name="a long name " * 12)
    ways = [
        job, client.cancel(job), job.cancel(), client.job(job.id), client.job(job), *client.jobs(),
        job.refresh(), job.wait(check=False), *client.wait([job.id], check=False),
        *client.wait(job, check=False),
    ]  # fmt: skip
    assert {type(each) for each in ways} == {JobHandle}
    assert set(ways) == {job}
    assert {each.state for each in ways} == {"cancelled"}
    assert all(len(repr(each)) < 100 for each in (*ways, job.job))
    assert job.to_json() == client.to_json(job) == client.to_json(job.job)
    assert job.save() == []


def test_a_job_is_shown_with_its_answer(client: Client) -> None:
    job = client.submit("selftest")
    end(client, Outcome("succeeded", result={"value": 0.25, "device": "cpu"}))
    assert repr(job.wait(HANG_S)) == f"<Job {job.id} selftest succeeded, value 0.25>"


def test_a_job_has_all_that_its_row_has(client: Client) -> None:
    job = client.submit("selftest", name="mine", tags={"a": "b"})
    names = {name for name in dir(job.job) if not name.startswith("_")} - {"from_row"}
    assert names <= set(dir(job))
    assert {name: getattr(job, name) for name in names - {"seconds"}} == {
        name: getattr(job.job, name) for name in names - {"seconds"}
    }
    assert job.seconds(job.created_at) is None


def test_a_job_stands_for_its_id(client: Client) -> None:
    first, second = client.submit("selftest"), client.submit("selftest")
    job = client.submit("selftest", after=first)
    assert client.submit("selftest", after=[first.id, second, second.job]).state == "waiting"
    with client.db.read() as connection:
        assert [each.id for each in queries.parents_of(connection, job.id)] == [first.id]
        assert [each.id for each in queries.parents_of(connection, job.id + 1)] == [1, 2]
    for asked in (client.job, client.cancel, client.wait):
        for wrong in ("1", True, 1.0):
            with pytest.raises(
                UsageError, match=f"^{wrong!r} is not a job: give a job or its id$"
            ):
                asked([wrong] if asked == client.wait else wrong)  # type: ignore[operator]


def test_a_model_is_asked_of_the_job_that_trains_it(client: Client, picture: Path) -> None:
    training = client.submit("fmnist-cnn", data="digits")
    for given in (training, training.job, training.id, str(training.id)):
        job = client.submit("classify", images=picture, model=given)
        assert (job.spec["model"]["job"], job.state) == (training.id, "waiting")
        assert client.check("classify", images=[picture], model=given).model.job == training.id
    with pytest.raises(
        UsageError, match=r"^classify: model 2.5: give the job that trained it, or it"
    ):
        client.submit("classify", images=picture, model=2.5)
    with pytest.raises(UsageError, match=r"^classify: images 1: give the path of a file$"):
        client.submit("classify", images=[training], model=training)


def test_a_figure_that_nothing_has_yet_can_be_asked_for(client: Client) -> None:
    client.submit("selftest")
    assert client.jobs(where="val_accuracy>0.9", sort="-val_accuracy") == []
    assert len(client.jobs(sort="-val_accuracy")) == 1
    with pytest.raises(UsageError, match="did you mean 'val_accuracy'"):
        client.jobs(where="val_acuracy>0.9")


def test_what_the_package_offers_is_listed() -> None:
    import cvq

    assert set(cvq.__all__) <= set(dir(cvq))
    assert all(getattr(cvq, name) is not None for name in cvq.__all__)
    assert cvq.__all__ == sorted({*cvq._HOMES, "__version__"})


def test_jobs_are_described_from_python(client: Client) -> None:
    job, other = client.submit("selftest"), client.submit("selftest")
    assert job.tag("for=paper") is job
    assert client.tag([job, other], {"fold": 2, "for": None}) == [job.id, other.id]  # type: ignore[dict-item]
    assert job.refresh().tags == {"fold": "2"}
    assert client.tags() == [("fold", "2", 2)]
    assert client.jobs(tag="fold=2") == [other, job]
    assert job.untag("fold").tags == {}
    assert job.annotate("two\nlines").note == "two\nlines"
    assert job.rename("mine").name == client.job(job).name == "mine"
    assert job.annotate(None).rename(None).note is None
    for wrong in ({}, [], "no value"):
        with pytest.raises(UsageError):
            client.tag(job, wrong)
    with pytest.raises(UnknownJobError):
        client.rename(99, "x")


def test_many_jobs_are_tagged_in_parts(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from cvq.client import describing

    monkeypatch.setattr(describing, "_CHUNK", 2)
    jobs = [client.submit("selftest") for _ in range(3)]
    parts: list[tuple[int, int]] = []
    changed = client.tag([*jobs, jobs[0]], "a=b", on_part=lambda *part: parts.append(part))
    assert (changed, parts) == ([job.id for job in jobs], [(2, 3), (3, 3)])
    with pytest.raises(UnknownJobError):
        client.tag([*jobs, 99], "c=d")  # of which nothing is begun
    assert client.jobs(tag="c") == []
