"""Whether every kind gives the same files again: run small, run again, held against each other.

python -m benchmarks.verify [KIND…]

Each kind runs on a worker of its own machine; then the job is run again and every file compared by
its SHA-256. In the end one byte of a stored file is changed, and has to be found and named.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from benchmarks.machine import describe
from cvq import Client, JobHandle, Settings
from cvq.broker.embedded import stop_redis
from cvq.kinds import all_kinds
from cvq.samples import write_samples

_LONG_S = 900.0


def _values(here: Path, model: Callable[[str], JobHandle]) -> dict[str, dict[str, Any]]:
    """Small values of each kind."""
    small: dict[str, Any] = {"epochs": 1}
    shoe, content = here / "shoe.png", here / "content.jpg"
    return {
        "autoencoder": {"data": "digits", **small},
        "classify": {"images": [shoe], "model": lambda: model("fmnist-mlp")},
        "colorize": {"images": [here / "grey.jpg"], "model": lambda: model("colorizer")},
        "colorizer": {"data": here / "colors", **small},
        "face-vae": {"data": here / "faces", **small},
        "fmnist-cnn": {"data": "digits", **small},
        "fmnist-mlp": {"data": here / "garments", **small},
        "fmnist-rnn": {"data": "digits", **small},
        "generate": {"count": 4, "walks": 1, "model": lambda: model("vae")},
        "predict-sum": {"numbers": [1, 2], "model": lambda: model("sum-regressor")},
        "reconstruct": {"images": [shoe], "model": lambda: model("vae")},
        "selftest": {"steps": 2, "pause": 0.0},
        "style-transfer": {"content": content, "style": [here / "style.jpg"], "size": 96},
        "sum-regressor": small,
        "vae": {"data": "digits", **small},
    }


@click.command()
@click.argument("kinds", nargs=-1)
def main(kinds: tuple[str, ...]) -> None:
    """Run each kind twice, and say what is not equal."""
    warnings.simplefilter("ignore")
    print(describe())
    home = Path(tempfile.mkdtemp(prefix="cvq-"))
    client = Client(Settings.load(home=home))
    worker = subprocess.Popen(
        [sys.executable, "-m", "cvq_workers", "--log-level", "error"],
        env={**os.environ, "CVQ_HOME": str(home)},
    )
    try:
        wrong = sum(_each(client, home, kinds))
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait()
        stop_redis(home)
        shutil.rmtree(home)
    sys.exit(1 if wrong else 0)


def _each(client: Client, home: Path, kinds: tuple[str, ...]) -> Iterator[bool]:
    here = home / "samples"
    write_samples(here, size=128)
    done: dict[str, JobHandle] = {}

    def first(kind: str) -> JobHandle:
        if kind not in done:
            given = {n: v() if callable(v) else v for n, v in values[kind].items()}
            done[kind] = client.submit(kind, **given).wait(_LONG_S)
        return done[kind]

    values = _values(here, first)
    for kind in kinds or sorted(all_kinds(client.settings)):
        before = first(kind)
        again = client.rerun(before).wait(_LONG_S)
        found = client.compare_files(before, again)
        files = f"{len(found.equal)} files equal"
        print(f"{kind:16} {files if found.is_equal else f'NOT EQUAL, {files}'}", flush=True)
        for name, role, _, _, place in found.differences:
            print(f"{'':16}   {name} ({role}): {place}")
        for name, (one, other) in found.environment.items():
            print(f"{'':16}   {name}: {one} and {other}")
        yield not found.is_equal
    yield not _names_a_byte(client, first("selftest"))


def _names_a_byte(client: Client, job: JobHandle) -> bool:
    """Change a byte of a stored file; return whether the check of the job names it."""
    [file] = job.results
    path = client.artifacts.local_path(file.uri)
    assert path is not None
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    path.write_bytes(content)
    found = client.check_files(job)
    print(f"one byte changed: {'; '.join(found) or 'NOT FOUND'}")
    return any(file.name in line for line in found)


if __name__ == "__main__":
    main()
