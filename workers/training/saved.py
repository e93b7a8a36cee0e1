"""Model files: the weights of a trained network with all that is needed to use them.

One safetensors file. Its metadata has a single key, as the library keeps no order among several:
the same training gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from cvq.errors import PermanentError
from cvq.kinds.spec import ModelFile
from cvq.kinds.training import TrainingSpec

from ..context import Context

NAME = "model.safetensors"
_FORMAT, _VERSION = "cvq-model", 1


@dataclass(frozen=True)
class SavedModel:
    """A model file that was read.

    Attributes:
        kind: the job kind that trained it.
        spec: that job's specification, as JSON.
        facts: what inference must know besides: classes, sizes, means.
        weights: by the names of the network's `state_dict`.
    """

    kind: str
    spec: dict[str, Any]
    facts: dict[str, Any]
    weights: dict[str, Tensor]

    def into(self, network: nn.Module) -> nn.Module:
        """Load the weights into a network of the right shape, in evaluation mode.

        Raises:
            PermanentError: they do not fit.
        """
        try:
            network.load_state_dict(self.weights)
        except RuntimeError as error:
            first = str(error).strip().splitlines()[-1].strip()
            raise PermanentError(f"the weights do not fit a {self.kind}: {first}") from None
        return network.eval()


def save_model(
    network: nn.Module, *, kind: str, spec: TrainingSpec, facts: dict[str, Any], ctx: Context
) -> None:
    """Publish a trained network as the job's artifact `model.safetensors`, of role `model`."""
    about = {
        "format": _FORMAT,
        "version": _VERSION,
        "kind": kind,
        "spec": spec.model_dump(mode="json"),
        "facts": facts,
    }
    weights = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    with ctx.artifact(NAME, role="model") as path:
        save_file(weights, path, {"cvq": json.dumps(about, sort_keys=True)})


def load_model(file: ModelFile, kinds: Sequence[str]) -> SavedModel:
    """Read the model file of another job.

    Raises:
        PermanentError: it is damaged, no model file, or that of a kind that is not in `kinds`.
    """
    if file.path is None:
        raise PermanentError(f"{file.name} is not on this machine")
    return read_model(file.path, kinds, file.name)


def read_model(path: Path, kinds: Sequence[str], what: str = "") -> SavedModel:
    """Read a model file from a path; `what` names it in errors."""
    what = what or path.name
    try:
        with safe_open(path, framework="pt") as opened:
            about = json.loads((opened.metadata() or {}).get("cvq", "null"))
            weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise PermanentError(f"{what} is no model file, or damaged: {error}") from None
    if not isinstance(about, dict) or about.get("format") != _FORMAT:
        raise PermanentError(f"{what} is no model file of cvq (a checkpoint is not one either)")
    if about.get("version") != _VERSION:
        raise PermanentError(
            f"{what} has version {about.get('version')}, this cvq reads {_VERSION}"
        )
    if about["kind"] not in kinds:
        raise PermanentError(
            f"{what} is of kind {about['kind']}: a model of {' or '.join(kinds)} is needed"
        )
    return SavedModel(about["kind"], about["spec"], about["facts"], weights)
