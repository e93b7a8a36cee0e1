"""The built wheel, installed elsewhere: complete, and a client without PyTorch."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from cvq.broker.embedded import stop_redis

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
FOLDERS = {
    "cvq": "cvq",
    "cli": "cvq_cli",
    "workers": "cvq_workers",
    "migrations": "cvq_migrations",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # A copy, so that setuptools leaves no build folder in the tree.
    source = folder / "source"
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    for name in tracked:
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder)]
    subprocess.run([*command, str(source)], check=True)
    return next(folder.glob("*.whl"))


def test_every_module_is_in_the_wheel(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        f"{package}/{path.relative_to(ROOT / folder)}"
        for folder, package in FOLDERS.items()
        for path in (ROOT / folder).rglob("*.py")
    }
    assert expected <= names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {
        *FOLDERS.values()
    }


@pytest.mark.slow
def test_a_client_submits_and_asks_without_torch(wheel: Path, home: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv")
    binaries = tmp_path / "venv" / "bin"
    pip = [sys.executable, "-m", "pip", "--python", str(binaries / "python")]
    install = ["install", "-q", "--no-compile", "--only-binary", ":all:", str(wheel)]
    subprocess.run([*pip, *install], check=True)
    environment = {**os.environ, "CVQ_HOME": str(home)}

    def cvq(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [binaries / "cvq", *arguments],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def imports(module: str) -> bool:
        command = [binaries / "python", "-c", f"import {module}"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    assert not imports("torch"), "the client came with PyTorch"
    assert imports("kombu.transport.redis"), "Celery misses something that nobody declares"
    assert cvq("--help").returncode == 0
    submitted = cvq("submit", "selftest", "-q")
    assert (submitted.returncode, submitted.stdout) == (0, "1\n"), submitted.stderr
    assert "selftest" in cvq("ls").stdout
    assert cvq("db", "check").returncode == 0
    worker = cvq("worker")
    assert worker.returncode == 4
    advice = f"pip install 'cvq[worker] @ {wheel.as_uri()}'"
    assert advice in worker.stderr
    stop_redis(home)
