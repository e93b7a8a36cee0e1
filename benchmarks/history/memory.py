"""How much memory a list takes, over histories of several sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.history.commands import Row
from benchmarks.history.places import CVQ, Place, memory_of, prepared

_COMMANDS = {"ls": ["ls"], "ls --all --json": ["ls", "--all", "--json", "id,kind"],
             "ls --all --csv": ["ls", "--all", "--csv"]}  # fmt: skip


def measured(
    folder: Path, sizes: Sequence[int], points: int, say: Callable[[str], None]
) -> Iterator[Row]:
    """Peaks over the largest history, to those over the smallest."""
    peaks: dict[str, list[float]] = {name: [] for name in _COMMANDS}
    for size in sizes:
        place = Place(folder / f"of-{size}")
        prepared(place, size, points * size // max(sizes), say)
        for name, words in _COMMANDS.items():
            peaks[name].append(memory_of([CVQ, *words], place.environment))
            say(f"{name} over {size} jobs: {peaks[name][-1]:.0f} MB")
    for name, found in peaks.items():
        what = f"memory of {name} over {max(sizes)} jobs, to {min(sizes)}"
        yield Row(what, found[-1] / found[0], 1.1)
