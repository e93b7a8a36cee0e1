"""Which floating-point type a device computes fastest in."""

from __future__ import annotations

import torch


def precision(device: str) -> torch.dtype:
    """Return bfloat16 where the device multiplies in it natively, else float32.

    float16 is no choice: activations of VGG19 go beyond its range, and gradients below it.
    """
    if device == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = device == "cpu" and (
            torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        )
    return torch.bfloat16 if native else torch.float32
