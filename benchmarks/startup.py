"""Whole-process time of the commands that people type most, against bare Python.

python -m benchmarks.startup [--repeat 15]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from benchmarks.machine import describe
from cvq.broker.embedded import stop_redis

CVQ = Path(sys.executable).parent / "cvq"


@click.command()
@click.option("--repeat", default=15, show_default=True, help="Runs of each command.")
@click.option("--image", type=click.Path(exists=True), help="A picture to submit; default: made.")
def main(repeat: int, image: str | None) -> None:
    """Print medians, and ratios to the floor."""
    print(describe())
    with tempfile.TemporaryDirectory(prefix="cvq-") as folder:
        picture = image or _picture(Path(folder))
        commands = {
            "python -c pass (the floor)": [sys.executable, "-c", "pass"],
            "python -c 'import click'": [sys.executable, "-c", "import click"],
            "cvq --help": [CVQ, "--help"],
            "cvq submit selftest": [CVQ, "submit", "selftest", "-q"],
            "cvq submit style-transfer": [CVQ, "submit", "style-transfer", picture, picture, "-q"],
            "cvq ls": [CVQ, "ls"],
            "python -c 'import celery.app.base'": [sys.executable, "-c", "import celery.app.base"],
            "python -c 'import torch'": [sys.executable, "-c", "import torch"],
        }
        environment = {**os.environ, "CVQ_HOME": folder}
        times: dict[str, list[float]] = {name: [] for name in commands}
        subprocess.run(commands["cvq submit selftest"], env=environment, check=True)
        # Interleaved, so that a busy moment of the machine hits all alike.
        for _ in range(repeat):
            for name, command in commands.items():
                started = time.perf_counter()
                subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
                times[name].append(time.perf_counter() - started)
        stop_redis(Path(folder))
    floor = statistics.median(times["python -c pass (the floor)"])
    for name, values in times.items():
        median = statistics.median(values)
        print(f"{name:36} {median * 1000:7.0f} ms   {median / floor:6.1f} x the floor")


def _picture(folder: Path) -> str:
    from PIL import Image

    path = folder / "picture.jpg"
    Image.effect_noise((640, 480), 60).convert("RGB").save(path)
    return str(path)


if __name__ == "__main__":
    main()
