"""The runner of a job's kind and specification."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from cvq.errors import PermanentError
from cvq.inference import Inference
from cvq.inputs.models import ModelFile
from cvq.kinds.kind import Kind
from cvq.kinds.spec import Spec

from .runner import Runner


def load_inference(kind: Kind, spec: Spec, device: str) -> Inference:
    """What answers a kind's items; its model is not loaded yet.

    Args:
        kind: one with an inference.
        spec: a job's; jobs of the same `Kind.batch_key` can share what is made from it.
        device: `cpu`, `mps`, `cuda:0`.

    Raises:
        PermanentError: the kind's class is none.
    """
    found = kind.load_inference()
    if not (isinstance(found, type) and issubclass(found, Inference)):
        raise PermanentError(f"kind {kind.name}: {kind.inference} is no class of cvq.Inference")
    inference = found(spec, device)
    inference.field = kind.items or inference.field
    return inference


def model_of(spec: Spec) -> ModelFile | None:
    """The trained model that a specification names."""
    return next((file for file in spec.inputs() if isinstance(file, ModelFile)), None)


def load_runner(
    kind: Kind,
    spec: Spec,
    device: str = "cpu",
    *,
    threads: int | None = None,
    scratch: Path | None = None,
) -> Runner:
    """A runner with its model loaded, exact where the specification says so.

    Args:
        kind: one with an inference.
        spec: with its files on this machine.
        device: `cpu`, `mps`, `cuda:0`.
        threads: that decode; default: as many as PyTorch computes with.
        scratch: as the runner takes it.

    Raises:
        PermanentError: the model cannot be used.
    """
    inference = load_inference(kind, spec, device)
    model: Any = inference.load(model_of(spec))
    exact = bool(getattr(spec, "exact", False))
    return Runner(inference, model, threads=threads or _threads(), exact=exact, scratch=scratch)


def _threads() -> int:
    torch = sys.modules.get("torch")
    return os.cpu_count() or 1 if torch is None else int(torch.get_num_threads())
