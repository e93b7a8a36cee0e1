"""How much memory a list takes, over histories of several sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.history.commands import Row
from benchmarks.history.places import CVQ, Place, empty, memory_of, prepared

_COMMANDS = {"ls": ["ls"], "ls --all --json": ["ls", "--all", "--json", "id,kind"],
             "ls --all --csv": ["ls", "--all", "--csv"]}  # fmt: skip


def measured(
    folder: Path, like: Place, sizes: Sequence[int], points: int, say: Callable[[str], None]
) -> Iterator[Row]:
    """Peaks over the largest history, to those over the smallest.

    Args:
        folder: for a place with each history.
        like: on the same sort of database as this one.
        sizes: jobs of each history, the smallest first.
        points: rows of metrics of the largest.
        say: is told what is being made.
    """
    peaks: dict[str, list[float]] = {name: [] for name in _COMMANDS}
    for size in sizes:
        with empty(folder / f"of-{size}", like) as place:
            prepared(place, size, points * size // max(sizes), say)
            for name, words in _COMMANDS.items():
                peaks[name].append(memory_of([CVQ, *words], place.environment))
                say(f"{name} over {size} jobs: {peaks[name][-1]:.0f} MB")
    for name, found in peaks.items():
        what = f"memory of {name} over {max(sizes)} jobs, to {min(sizes)}"
        yield Row(what, found[-1] / found[0], 1.1)
