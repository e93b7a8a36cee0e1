"""Says before a training begins whether a batch fits in memory, and which one would.

A CPU job that takes too much memory is killed by the kernel, which explains nothing. What a step
needs is known beforehand: what autograd keeps for a small batch grows in proportion.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import psutil
import torch
from torch import Tensor, nn

from cvq.errors import PermanentError

_PROBE = 2  # samples: with one, batch normalisation has no variance
# Gradients of activations, workspaces and copies, as a multiple of what autograd keeps.
_OVERHEAD = 2.0
_CGROUP = Path("/sys/fs/cgroup")


def check_batch(
    network: nn.Module, loss_of: Callable[[int], Tensor], batch_size: int, device: str
) -> None:
    """Refuse a batch that does not fit in the device's free memory.

    Args:
        network: put back as it was, buffers included.
        loss_of: the loss of a batch of so many samples, with its graph.
        batch_size: samples in a batch.
        device: `cpu`, `cuda` or `mps`.

    Raises:
        PermanentError: it does not fit; names the power of two that would.
    """
    free = free_bytes(device)
    if free is None:
        return
    fixed = 4 * sum(p.numel() * p.element_size() for p in network.parameters())
    per_sample = _OVERHEAD * bytes_per_sample(network, loss_of)
    fits = int((free - fixed) / max(1.0, per_sample))
    if batch_size > fits:
        advice = (
            f"--batch-size {1 << (fits.bit_length() - 1)} would"
            if fits >= 1
            else "not even one sample does: a smaller network or --size is needed"
        )
        raise PermanentError(
            f"a batch of {batch_size} needs about {batch_size * per_sample / 2**30:.1f} GiB, "
            f"and {max(0, free) / 2**30:.1f} GiB are free: it does not fit in memory; {advice}"
        )


def bytes_per_sample(network: nn.Module, loss_of: Callable[[int], Tensor]) -> float:
    """What autograd keeps of one sample between the forward and the backward pass, in bytes."""
    kept: dict[int, int] = {}
    weights = {p.data_ptr() for p in network.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in weights:
            kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    random = torch.get_rng_state()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = loss_of(_PROBE)
    del loss
    torch.set_rng_state(random)
    with torch.no_grad():
        for name, buffer in network.named_buffers():
            buffer.copy_(buffers[name])
    return sum(kept.values()) / _PROBE


def free_bytes(device: str) -> int | None:
    """Memory that a job may still take on its device; None where nobody knows."""
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    if device != "cpu":
        return None
    free = int(psutil.virtual_memory().available)
    with contextlib.suppress(OSError, ValueError):  # a container's limit, where there is one
        limit = (_CGROUP / "memory.max").read_text().strip()
        used = int((_CGROUP / "memory.current").read_text())
        if limit != "max":
            free = min(free, int(limit) - used)
    return free
