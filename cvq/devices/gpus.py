"""The GPUs of this machine that may be used, and those that somebody chooses among them.

A GPU is known by its UUID: its number is another for whoever orders GPUs by their speed, as CUDA
does by default, and changes with CUDA_VISIBLE_DEVICES. People say the number that nvidia-smi
shows, which is by the place on the bus.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import UsageError
from ..text import join

ALL, NONE = "all", "none"
_MANY = 16  # GPUs that an error names


@dataclass(frozen=True)
class Gpu:
    """A GPU, or an instance of one that is divided (MIG).

    Attributes:
        index: as nvidia-smi counts, `0`; of an instance `0:1`, the second of GPU 0.
        uuid: `GPU-…` or `MIG-…`, by which a job is shown this one and no other.
        model: as its maker calls it, `NVIDIA H200`; None where nobody says.
        memory: bytes; None where nobody says.
        parent: the UUID of the GPU that an instance is a part of.
    """

    index: str
    uuid: str
    model: str | None = None
    memory: int | None = None
    parent: str | None = None

    @property
    def name(self) -> str:
        """As slots and listings call it: `cuda:0`."""
        return f"cuda:{self.index}"

    def is_called(self, word: str) -> bool:
        """Whether `word` means this one: its number or that of its GPU, or how its UUID begins."""
        whole = self.index.partition(":")[0]
        return (
            word in (self.index, whole) or _begins(self.uuid, word) or _begins(self.parent, word)
        )


def _begins(uuid: str | None, word: str) -> bool:
    """Whether a UUID begins with a word, which says as much as CUDA asks for: GPU-8 is enough."""
    return uuid is not None and "-" in word and uuid.lower().startswith(word.lower())


def find_gpus(environ: Mapping[str, str]) -> list[Gpu]:
    """The NVIDIA GPUs that may be used here; of one that is divided, its instances.

    CUDA_VISIBLE_DEVICES, as a cluster manager sets it, is respected.
    """
    from . import nvml

    return visible(nvml.gpus(), environ.get("CUDA_VISIBLE_DEVICES"))


def visible(gpus: Sequence[Gpu], allowed: str | None) -> list[Gpu]:
    """Those GPUs that CUDA_VISIBLE_DEVICES names, in its order; all where it is not set.

    As CUDA reads it: what stands behind the first name of nothing does not count. Where the driver
    tells of no GPUs (a Jetson has no NVML), the names are believed.
    """
    if allowed is None:
        return list(gpus)
    found: dict[str, Gpu] = {}
    for word in (part.strip() for part in allowed.split(",")):
        if word in ("", "-1"):
            break
        named = [gpu for gpu in gpus if gpu.is_called(word)] if gpus else [Gpu(word, word)]
        if not named:
            break
        found |= {gpu.uuid: gpu for gpu in named}
    return list(found.values())


def chosen(wanted: str, gpus: Sequence[Gpu]) -> list[Gpu]:
    """The GPUs that `--gpus all|none|0,2|GPU-8f2e…` means.

    Args:
        wanted: `all`, `none`, or numbers and UUIDs, separated by commas; a UUID may be cut short
            as long as it means one. The number of a divided GPU means all of its instances.
        gpus: those that may be used.

    Raises:
        UsageError: one is not here, or is named twice; the message says what there is.
    """
    if wanted in (ALL, NONE):
        return list(gpus) if wanted == ALL else []
    found: dict[str, Gpu] = {}
    for word in (part.strip() for part in wanted.split(",")):
        for gpu in _named(word, gpus):
            if gpu.uuid in found:
                raise UsageError(f"--gpus {wanted}: GPU {gpu.index} ({gpu.uuid}) is named twice")
            found[gpu.uuid] = gpu
    return list(found.values())


def _named(word: str, gpus: Sequence[Gpu]) -> list[Gpu]:
    word = word.removeprefix("cuda:")
    named = [gpu for gpu in gpus if gpu.is_called(word)]
    if not named:
        raise UsageError(f"--gpus: there is no GPU '{word}' here: {_those(gpus)}")
    meant = sorted({gpu.parent or gpu.uuid for gpu in named if not _begins(gpu.uuid, word)})
    meant += [gpu.uuid for gpu in named if _begins(gpu.uuid, word)]
    if len(meant) > 1:
        raise UsageError(f"--gpus: '{word}' may be {join(meant, _MANY, 'or')}")
    return named


def _those(gpus: Sequence[Gpu]) -> str:
    if not gpus:
        return "no NVIDIA GPU may be used on this machine (`cvq doctor` looks why)"
    return f"there is {join([f'{gpu.index} ({gpu.uuid})' for gpu in gpus], _MANY)}"
