"""How large the images are: the client on top of its base, the worker against PyTorch alone.

python -m benchmarks.images [--torch-index-url URL] [--network host]

Builds both images of the Dockerfile, and one with nothing but `pip install torch` in the same
base; needs a Docker engine and some 20 GB. The exit code is 1 where a target is missed.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click

ROOT = Path(__file__).parent.parent
CLIENT_MB = 200
WORKER_RATIO = 1.2


def docker(*words: str, given: str | None = None) -> str:
    """What a docker command prints; its progress goes to the terminal.

    Raises:
        click.ClickException: it fails.
    """
    done = subprocess.run(
        ["docker", *words], cwd=ROOT, input=given, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise click.ClickException(f"docker {' '.join(words)} failed with {done.returncode}")
    return done.stdout.strip()


def size_mb(image: str) -> float:
    """The size of an image, its base included, in millions of bytes."""
    return int(docker("image", "inspect", "-f", "{{.Size}}", image)) / 1e6


@click.command()
@click.option("--torch-index-url", default="", help="Of PyTorch's CPU wheels, say.")
@click.option("--network", default="default", show_default=True, help="Of the builds.")
def main(torch_index_url: str, network: str) -> None:
    """Build the images and print their sizes."""
    found = re.search(r"^FROM (\S+) AS client-packages", (ROOT / "Dockerfile").read_text(), re.M)
    assert found is not None
    base, torch_alone = found[1], "cvq-bench-torch"
    index = f"--index-url {torch_index_url} " if torch_index_url else ""
    alone = f"FROM {base}\nRUN pip install --no-cache-dir {index}torch\n"
    argument = f"TORCH_INDEX_URL={torch_index_url}"
    build = ("build", "-q", "--network", network)
    docker(*build, "-t", "cvq-bench-client", "--target", "client", ".")
    docker(*build, "-t", "cvq-bench-worker", "--build-arg", argument, ".")
    docker(*build, "-t", torch_alone, "-", given=alone)
    below = size_mb(base)
    client, worker = size_mb("cvq-bench-client"), size_mb("cvq-bench-worker")
    ratio = worker / size_mb(torch_alone)
    print(f"{base}: {below:.0f} MB")
    print(f"client: {client - below:.0f} MB on top (target {CLIENT_MB} at most)")
    print(f"worker: {worker:.0f} MB, {ratio:.2f} x PyTorch alone (target {WORKER_RATIO} at most)")
    sys.exit(client - below > CLIENT_MB or ratio > WORKER_RATIO)


if __name__ == "__main__":
    main()
