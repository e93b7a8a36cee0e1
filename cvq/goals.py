"""Which way a metric is better: what a kind declares, else what its name says. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

Goal = Literal["min", "max"]

_UP = re.compile(
    r"acc(uracy)?|ap|auc|auroc|dice|f[12]|iou|jaccard|miou|map|precision|psnr|r2|recall|speed|"
    r"ssim|throughput"
)
_DOWN = re.compile(
    r"bce|bits|bpd|cer|divergence|err(or)?|fid|kl|loss|lpips|mae|mape|mse|nats|nll|perplexity|"
    r"ppl|rmse|seconds|wer"
)


def goal_of(name: str, declared: Mapping[str, Goal] | None = None) -> Goal | None:
    """`max` where higher is better, `min` where lower is, None where nothing tells.

    Args:
        name: of the metric.
        declared: what its kind says of its metrics (`Kind.goals`); it wins over the name.
    """
    if declared and name in declared:
        return declared[name]
    lower = name.lower()
    if lower.endswith("per_second"):
        return "max"
    # The last word tells: an accuracy's loss is a loss, and mAP@0.5 is a mAP.
    for word in reversed(re.findall(r"[a-z]+\d*", lower)):
        for stem in (word, word.rstrip("0123456789")):
            if _UP.fullmatch(stem):
                return "max"
            if _DOWN.fullmatch(stem):
                return "min"
    return None
