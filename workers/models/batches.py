"""Many tensors through a network, a batch after another."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def in_batches(
    answer: Callable[[Tensor], tuple[Tensor, ...]],
    items: Tensor,
    most: int,
    *,
    exact: bool = False,
) -> tuple[Tensor, ...]:
    """What `answer` says of items (N, ...), each of its tensors (N, ...).

    Args:
        answer: from a batch to tensors with a row for each of it.
        items: at least one.
        most: items of a batch.
        exact: fill each batch up to `most` by repeating the last: an answer's last bits then do
            not depend on how many share its batch.
    """
    found = []
    with torch.no_grad():
        for part in torch.split(items, most):
            filled = part
            if exact and len(part) < most:
                last = part[-1:].expand(most - len(part), *part.shape[1:])
                filled = torch.cat([part, last])
            found.append([each[: len(part)] for each in answer(filled)])
    return tuple(torch.cat(parts) for parts in zip(*found, strict=True))
