"""Checkpoint files: all that a later attempt needs to go on where an earlier one was.

A checkpoint is one safetensors file. The tensors lie in it as they are; what holds them together
(nested dictionaries, lists, tuples, numbers, words) is JSON in its metadata, together with the
format's version, the job's kind and specification, the step, and the states of the random
generators of Python, numpy and PyTorch. Nothing is pickled.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any, NamedTuple

from cvq.errors import CheckpointError, PermanentError

FORMAT, VERSION = "cvq-checkpoint", "1"


class Checkpoint(NamedTuple):
    """A job as it was after `step`; `state` is what the model gave to `Context.checkpoint`."""

    step: int
    state: dict[str, Any]


def file_name(step: int) -> str:
    """The name of the checkpoint after a step."""
    return f"checkpoint-{step:08}.safetensors"


def write(path: Path, *, kind: str, spec_hash: str, step: int, state: dict[str, Any]) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        path: the file.
        kind: of the job, as `spec_hash`: no other job resumes from it.
        step: how far the job is.
        state: tensors and numpy arrays, numbers, words and None, in dictionaries, lists and
            tuples of any depth, as `state_dict()` gives them.

    Raises:
        PermanentError: there is something else in it.
        OSError: the file cannot be written; also a full disk.
    """
    from safetensors import SafetensorError

    leaves: dict[str, Any] = {}
    tree = _take_apart({"state": state, "random": _random_states()}, leaves)
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "kind": kind,
        "spec_hash": spec_hash,
        "step": str(step),
        "framework": "pt" if "torch" in sys.modules else "np",
        "tree": json.dumps(tree),
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
        whole = _put_together(json.loads(metadata["tree"]), leaves)
        _set_random_states(whole["random"])
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path.name} is damaged: {error!r}") from error
    return Checkpoint(int(metadata["step"]), whole["state"])


def _metadata(path: Path, kind: str, spec_hash: str) -> dict[str, str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        # An empty file cannot be mapped, a foreign or truncated one has no sound header.
        raise CheckpointError(f"{path.name} is no checkpoint, or cut off: {error}") from None
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{path.name} is no checkpoint of cvq")
    if metadata.get("version") != VERSION:
        raise CheckpointError(
            f"{path.name} has version {metadata.get('version')}, this cvq reads {VERSION}"
        )
    if metadata.get("kind") != kind:
        raise CheckpointError(f"{path.name} is one of a {metadata.get('kind')} job, not of {kind}")
    if metadata.get("spec_hash") != spec_hash:
        raise CheckpointError(f"{path.name} is one of a job with another specification")
    return dict(metadata)


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


# --- Trees into JSON and leaves ---------------------------------------------------------------


def _take_apart(value: Any, leaves: dict[str, Any]) -> Any:
    """JSON for a value; tensors and arrays go into `leaves`, which JSON names."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict):
        return {
            "dict": [[_take_apart(k, leaves), _take_apart(v, leaves)] for k, v in value.items()]
        }
    if isinstance(value, list | tuple):
        word = "list" if isinstance(value, list) else "tuple"
        return {word: [_take_apart(item, leaves) for item in value]}
    name = str(len(leaves))
    if (torch := sys.modules.get("torch")) and isinstance(value, torch.Tensor):
        # A copy: safetensors refuses tensors that share memory, as views and tied weights do.
        leaves[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        # The order in memory, as of channels_last, decides in which order sums are added up.
        return {"tensor": [name, None if value.is_contiguous() else _dense_strides(value)]}
    if (numpy := sys.modules.get("numpy")) and isinstance(value, numpy.ndarray | numpy.generic):
        array = numpy.ascontiguousarray(value)
        if array.dtype.hasobject:
            raise PermanentError("a checkpoint holds no array of Python objects")
        leaves[name] = array.reshape(-1).view(numpy.uint8).copy()
        return {"array": [name, array.dtype.str, list(numpy.shape(value))]}
    raise PermanentError(
        f"a checkpoint holds tensors, arrays, numbers and words, not a {type(value).__name__}"
    )


def _dense_strides(tensor: Any) -> list[int]:
    """The strides of a copy that keeps the order of a tensor's dimensions in memory."""
    import torch

    return list(torch.empty_like(tensor, device="meta").stride())


def _laid_out(tensor: Any, strides: list[int]) -> Any:
    import torch

    return torch.empty_strided(tensor.shape, strides, dtype=tensor.dtype).copy_(tensor)


def _put_together(tree: Any, leaves: dict[str, Any]) -> Any:
    if not isinstance(tree, dict):
        return tree
    ((word, inside),) = tree.items()
    if word == "dict":
        return {_put_together(k, leaves): _put_together(v, leaves) for k, v in inside}
    if word in ("list", "tuple"):
        items = [_put_together(item, leaves) for item in inside]
        return items if word == "list" else tuple(items)
    if word == "tensor":
        name, strides = inside
        return leaves[name] if strides is None else _laid_out(leaves[name], strides)
    import numpy

    name, dtype, shape = inside
    leaf = leaves[name]
    raw = leaf if isinstance(leaf, numpy.ndarray) else leaf.numpy()
    array: Any = raw.copy().view(dtype).reshape(shape)
    return array if shape else array[()]


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
