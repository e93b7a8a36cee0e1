"""`cvq doctor`: what it prints, what it exits with, and what `--fix` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from conftest import created
from cvq import Client
from cvq.broker.embedded import ensure_redis, redis_answers
from cvq.doctor import CHECKS
from cvq.lifecycle import workers
from cvq.presence import scratch_of

from .conftest import Cli


def told(run: Cli, *words: str, code: int | None = None) -> dict[str, Any]:
    """The findings that are not well, by their fault; else by their check."""
    found = run("doctor", "--json", *words, code=code).json
    return {item["fault"] or item["check"]: item for item in found}


def test_a_fresh_set_up_is_in_order(run: Cli) -> None:
    found = run("doctor", "--json").json
    assert {item["level"] for item in found} == {"ok"}
    assert {item["check"] for item in found} == set(CHECKS) - {"scratch"}
    assert "`cvq up -d` starts one" in next(i["text"] for i in found if i["check"] == "workers")


def test_servers_that_are_away(run: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CVQ_DATABASE_URL", "postgresql://127.0.0.1:1/none?connect_timeout=2")
    monkeypatch.setenv("CVQ_BROKER_URL", "redis://127.0.0.1:1/0")
    said = run("doctor", code=4)
    lines = said.out.splitlines()
    levels = {line.split()[1]: line.split()[0] for line in lines if not line.startswith(" ")}
    assert levels["database"] == levels["redis"] == "problem"
    assert levels["store"] == "ok"
    assert "workers" not in levels  # nobody knows
    assert sum(line.strip().startswith("fix: ") for line in lines) == 2
    assert said.err.endswith("2 problems\n")


def test_a_wrong_setting_is_the_one_finding(run: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CVQ_LEASE", "soon")
    assert list(told(run, code=4)) == ["settings-wrong"]


@pytest.mark.parametrize("command", ["doctor", "status"])
def test_a_stores_password_is_not_shown(
    run: Cli, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("CVQ_STORE_URL", "ftp://bob:hunter2@127.0.0.1:1/x")
    said = run(command, code=None)
    assert "ftp://***@127.0.0.1:1/x" in said.out
    assert "hunter2" not in said.out + said.err


def test_redis_is_left_as_it_was(run: Cli, home: Path) -> None:
    assert "starts when it is needed" in told(run)["redis"]["text"]
    assert not redis_answers(home)
    ensure_redis(home)
    assert "answers" in told(run)["redis"]["text"]
    assert redis_answers(home)


def test_a_home_that_cannot_be(run: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CVQ_HOME", "/proc/cvq")
    assert "set CVQ_HOME" in told(run, code=4)["home-unwritable"]["fix"]


def test_what_is_not_quite_safe_is_asked_first(run: Cli, home: Path) -> None:
    home.chmod(0o755)
    assert told(run, code=0)["home-open"]["fix"] == f"`chmod 700 {home}`"
    left = run("doctor", "--fix")
    assert "not done without being asked: close the home folder" in left.err
    assert home.stat().st_mode & 0o777 == 0o755
    assert told(run, "--fix", "--yes")["home-open"]["level"] == "fixed"
    assert home.stat().st_mode & 0o777 == 0o700


def test_what_dead_workers_left_is_mended(run: Cli, home: Path, client: Client) -> None:
    gone = scratch_of(home, "box.1.dead")
    gone.mkdir(parents=True)
    (gone / "lock").write_text("{}")
    with client.db.write() as connection:
        workers.register(
            connection, id="box.1.dead", host="box", pid=1, devices=["cpu"], queues=["default"],
            slots=1, versions={}, lease=0.0, kinds={},
        )  # fmt: skip
    assert {"stale-folders", "worker-silent"} <= set(told(run, code=0))
    found = run("doctor", "--fix", "--json").json
    assert {item["fault"] for item in found if item["level"] == "fixed"} == {
        "stale-folders", "worker-silent",
    }  # fmt: skip
    assert not gone.exists()
    assert {item["level"] for item in run("doctor", "--json").json} == {"ok"}


def test_a_schema_is_upgraded_where_nobody_works(
    run: Cli, postgres_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with created(postgres_server) as url:
        monkeypatch.setenv("CVQ_DATABASE_URL", url)
        assert told(run, code=4)["schema-old"]["fix"] == "`cvq db upgrade`"
        said = run("doctor", "--fix")
        assert "was upgraded from nothing" in said.out
        assert told(run, code=0)["database"]["level"] == "ok"


def test_a_redis_that_is_not_installed(run: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cvq.broker.embedded._BINARIES", ())
    monkeypatch.setattr("cvq.broker.embedded.find_spec", lambda name: None)
    assert "no valkey-server" in told(run, code=4)["redis-embedded"]["text"]
