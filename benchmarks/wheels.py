"""Whether pip finds a wheel for every package, wherever people are: no compiler needed.

python -m benchmarks.wheels [--extra postgres …]

Resolves what `pip install '.[EXTRA]'` would install for each Python and platform, from wheels
alone, and prints how many packages that is. Nothing is installed, and packages that offer their
metadata apart are not even downloaded. The resolver is uv's, which applies the markers of the
platform in question; pip applies those of the machine that it runs on. The exit code is 1 where
anything would have to be compiled.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = {
    "Linux x86-64": "x86_64-manylinux_2_28",
    "Linux arm64": "aarch64-manylinux_2_28",
    "macOS arm64": "aarch64-apple-darwin",
}
EXTRAS = ("", "worker", "parquet", "postgres", "s3", "sweep", "dev")


def resolve(extra: str, platform: str, python: str) -> list[str]:
    """The packages, each as `name==version`.

    Raises:
        click.ClickException: one of them has no wheel; the message is uv's.
    """
    command = [sys.executable, "-m", "uv", "pip", "compile", "-q", "--no-header", "--no-annotate"]
    command += ["--only-binary", ":all:", "--python-version", python]
    command += ["--python-platform", PLATFORMS[platform], "pyproject.toml"]
    command += ["--extra", extra] if extra else []
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(f"{platform}, Python {python}, .[{extra}]: {done.stderr}")
    return done.stdout.splitlines()


@click.command()
@click.option("--extra", "extras", multiple=True, default=EXTRAS, help="Of pyproject.toml; all.")
def main(extras: tuple[str, ...]) -> None:
    """Print how many wheels each Python on each platform takes."""
    table = Table("pip install", "platform", *(f"Python {python}" for python in PYTHONS))
    missing = []
    for extra in extras:
        for platform in PLATFORMS:
            cells = []
            for python in PYTHONS:
                try:
                    cells.append(f"{len(resolve(extra, platform, python))} wheels")
                except click.ClickException as error:
                    missing.append(error.message)
                    cells.append("no")
            table.add_row(f".[{extra}]" if extra else ".", platform, *cells)
    Console(markup=False).print(table)
    if missing:
        raise click.ClickException("\n".join(missing))


if __name__ == "__main__":
    main()
