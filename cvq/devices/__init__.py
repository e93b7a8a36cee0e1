"""What this machine can compute on, found without loading PyTorch, and the slots it makes."""

from .gpus import ALL, NONE, Gpu, chosen, find_gpus
from .locks import GpuLocks, holder_of
from .slots import MOST_SLOTS, Slot, cpu_count, make_slots, shared_out

__all__ = [
    "ALL",
    "MOST_SLOTS",
    "NONE",
    "Gpu",
    "GpuLocks",
    "Slot",
    "chosen",
    "cpu_count",
    "find_gpus",
    "holder_of",
    "make_slots",
    "shared_out",
]
