"""Checkpoint files: all that a later attempt needs to go on where an earlier one was.

A checkpoint is one safetensors file. The tensors lie in it as they are; what holds them together
(nested dictionaries, lists, tuples, numbers, words) is JSON in its metadata, together with the
format's version, the job's kind and specification, the step, and the states of the random
generators of Python, numpy and PyTorch. Nothing is pickled.
"""

from __future__ import annotations

import json
import random
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import CheckpointError, PermanentError
from .state_tree import put_together, take_apart

FORMAT, VERSION = "cvq-checkpoint", "2"
_READABLE = ("1", VERSION)


class Checkpoint(NamedTuple):
    """A job as it was after `step`; `state` is what the model gave to `Context.checkpoint`."""

    step: int
    state: dict[str, Any]


def file_name(step: int) -> str:
    """The name of the checkpoint after a step."""
    return f"checkpoint-{step:08}.safetensors"


def step_of(name: str) -> int | None:
    """The step in the name of a checkpoint; None of a file that is called otherwise."""
    match = re.match(r"checkpoint-(\d+)\.", name)
    return None if match is None else int(match[1])


def write(path: Path, *, kind: str, spec_hash: str, step: int, state: dict[str, Any]) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        path: the file.
        kind: of the job, as `spec_hash`: no other job resumes from it.
        step: how far the job is.
        state: tensors and numpy arrays, numbers, words and None, in dictionaries, lists and
            tuples of any depth, as `state_dict()` gives them. One tensor under two names stays
            one; tensors that overlap otherwise come back apart.

    Raises:
        PermanentError: there is something in it that would not come back as it is; the message
            names its place.
        OSError: the file cannot be written; also a full disk.
    """
    from safetensors import SafetensorError

    leaves: dict[str, Any] = {}
    tree = {
        "state": take_apart(state, leaves, "state"),
        "random": take_apart(_random_states(), leaves, "random"),
    }
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "kind": kind,
        "spec_hash": spec_hash,
        "step": str(step),
        "framework": "pt" if "torch" in sys.modules else "np",
        "tree": _json(tree),
    }
    partial = path.with_name(path.name + ".partial")
    try:
        _save(leaves, partial, metadata)
        partial.replace(path)
    except SafetensorError as error:
        raise OSError(f"{path.name}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def check(path: Path, *, kind: str, spec_hash: str) -> int:
    """Make sure that a job of this kind and specification can resume from a file.

    Returns:
        the step after which it was written.

    Raises:
        CheckpointError: it cannot; the message says why.
    """
    return int(_metadata(path, kind, spec_hash)["step"])


def read(path: Path, *, kind: str, spec_hash: str) -> Checkpoint:
    """Read a checkpoint, and set the random generators as they were. Tensors are on the CPU.

    Raises:
        CheckpointError: it is damaged, or another job's or version's.
    """
    from safetensors import safe_open

    metadata = _metadata(path, kind, spec_hash)
    with safe_open(path, framework=metadata["framework"]) as file:
        leaves = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    try:
        tree = json.loads(metadata["tree"])
        if metadata["version"] == "1":
            tree = dict(tree["dict"])
        state = put_together(tree["state"], leaves)
        _set_random_states(put_together(tree["random"], leaves))
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise CheckpointError(f"{path.name} is damaged: {error!r}") from error
    return Checkpoint(int(metadata["step"]), state)


def _metadata(path: Path, kind: str, spec_hash: str) -> dict[str, str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        # An empty file cannot be mapped, a foreign or truncated one has no sound header.
        raise CheckpointError(f"{path.name} is not a checkpoint, or is cut off: {error}") from None
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{path.name} is not a checkpoint of cvq")
    if metadata.get("version") not in _READABLE:
        raise CheckpointError(
            f"{path.name} has version {metadata.get('version')}, this cvq reads "
            f"{' and '.join(_READABLE)}"
        )
    if metadata.get("kind") != kind:
        raise CheckpointError(f"{path.name} is one of a {metadata.get('kind')} job, not of {kind}")
    if metadata.get("spec_hash") != spec_hash:
        raise CheckpointError(f"{path.name} is one of a job with another specification")
    return dict(metadata)


def _json(tree: Any) -> str:
    try:
        return json.dumps(tree, allow_nan=False)
    except RecursionError:
        raise PermanentError("state is nested too deep for a checkpoint, or in itself") from None


def _save(leaves: dict[str, Any], path: Path, metadata: dict[str, str]) -> None:
    if metadata["framework"] == "np":
        import safetensors.numpy

        safetensors.numpy.save_file(leaves, path, metadata)
        return
    import safetensors.torch
    import torch

    tensors = {
        name: leaf if isinstance(leaf, torch.Tensor) else torch.from_numpy(leaf)
        for name, leaf in leaves.items()
    }
    safetensors.torch.save_file(tensors, path, metadata)


# --- Random generators ------------------------------------------------------------------------


def _random_states() -> dict[str, Any]:
    """The states of every global generator that is loaded."""
    states: dict[str, Any] = {"python": random.getstate()}
    if numpy := sys.modules.get("numpy"):
        states["numpy"] = numpy.random.get_state(legacy=False)
    if torch := sys.modules.get("torch"):
        states["torch"] = torch.get_rng_state()
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            states["cuda"] = torch.cuda.get_rng_state()
    return states


def _set_random_states(states: dict[str, Any]) -> None:
    random.setstate(states["python"])
    if "numpy" in states:
        import numpy

        numpy.random.set_state(states["numpy"])
    if "torch" in states:
        import torch

        torch.set_rng_state(states["torch"])
        if "cuda" in states and torch.cuda.is_available():
            torch.cuda.set_rng_state(states["cuda"])
