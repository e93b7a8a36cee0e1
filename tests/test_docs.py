"""Every block of the README and the docs runs as it stands, from top to bottom.

A fence says what its block is: `sh` is typed, `python` is run (or written to the file that its
first line names, `# mykinds.py`), `text` is only shown. A block that cannot run here is preceded
by `<!-- not typed here: the reason -->`. A document is one shell session in one folder; the docs
go on where the README's quick start has made its samples. Sizes are made small on the way.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cvq import Client, Settings
from waiting import HANG_S

ROOT = Path(__file__).parent.parent
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    *sorted(f"docs/{p.name}" for p in ROOT.glob("docs/*.md")),
)
NOT_TYPED = re.compile(r"<!-- not typed here: (.+) -->")
LANGUAGES = ("sh", "python", "text")

# What makes a command small enough for a test; of an option given twice, the last one counts.
SMALLER = (
    (r"cvq samples", r"\g<0> --size 64"),
    (r"cvq (submit|run) style-transfer", r"\g<0> --size 64 --steps 3"),
    (r"cvq (submit|run) (fmnist-\w+|autoencoder|vae|face-vae|colorizer)\b", r"\g<0> --epochs 2"),
    (r"\bsize=768\b", "size=64, steps=3"),
    (r"--epochs \d+", "--epochs 2"),
)


@dataclass(frozen=True)
class Block:
    """A fenced block: where it begins, what it is, and why it is not typed here."""

    place: str
    language: str
    text: str
    excuse: str | None

    @property
    def typed(self) -> bool:
        return self.language in ("sh", "python") and self.excuse is None

    def script(self) -> str:
        """For bash, small enough."""
        text = self.text
        for pattern, small in SMALLER:
            text = re.sub(pattern, small, text)
        if self.language == "python":
            name = re.match(r"# (\w+\.py)\n", text)
            target = f"cat > {name[1]}" if name else "python -"
            text = f"{target} <<'END_OF_BLOCK'\n{text}END_OF_BLOCK\n"
        return f"echo '# {self.place}'\n{text}"


def blocks(name: str) -> Iterator[Block]:
    """The fenced blocks of a document."""
    lines = (ROOT / name).read_text().splitlines(keepends=True)
    opened, before = None, ""
    for number, line in enumerate(lines, 1):
        if line.startswith("```"):
            if opened is None:
                opened = number
            else:
                excuse = NOT_TYPED.fullmatch(before)
                language = lines[opened - 1][3:].strip()
                text = "".join(lines[opened : number - 1])
                yield Block(f"{name}:{opened}", language, text, excuse and excuse[1])
                opened, before = None, ""
        elif opened is None and line.strip():
            before = line.strip()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_each_block_says_what_it_is(name: str) -> None:
    for block in blocks(name):
        assert block.language in LANGUAGES, f"{block.place}: one of {LANGUAGES}"
        shown = block.language == "text" or block.excuse
        assert shown or not re.search("…|\\.\\.\\.", re.sub("#.*", "", block.text)), block.place


def test_few_blocks_are_excused() -> None:
    excused = [b for name in DOCUMENTS for b in blocks(name) if b.excuse]
    typed = [b for name in DOCUMENTS for b in blocks(name) if b.typed]
    assert len(excused) <= len(typed), [b.place for b in excused]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name for name in DOCUMENTS if any(b.typed for b in blocks(name))]
)
def test_each_block_runs_as_typed(name: str, home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "typed"
    folder.mkdir()
    (folder / "examples").symlink_to(ROOT / "examples")
    script = "set -eu -o pipefail\n" + "".join(b.script() for b in blocks(name) if b.typed)
    if name != "README.md":
        script = "cvq samples --size 64\n" + script
    # What was only submitted has to come true as well.
    script += 'jobs=$(cvq ls -q --all)\n[ -z "$jobs" ] || { cvq up -d; cvq wait $jobs; }\n'
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    # Some ten waits in a row. A file: what a worker inherits would keep a pipe open.
    with (tmp_path / "said").open("w+") as said:
        command = ["bash", "-c", script]
        done = subprocess.run(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=said,
            stderr=said, timeout=5 * HANG_S, check=False,
        )  # fmt: skip
        down = ["cvq", "down"]
        subprocess.run(down, env=environment, capture_output=True, timeout=HANG_S, check=False)
        told = (tmp_path / "said").read_text()
    assert done.returncode == 0, told
    client = Client(Settings.load())
    states = {job.id: (job.kind, job.state, job.error) for job in client.jobs()}
    client.db.engine.dispose()
    assert {state for _, state, _ in states.values()} <= {"succeeded"}, (states, told)
