"""Model files: the weights of a trained network with all that is needed to use them.

One safetensors file. Its metadata has a single key, as the library keeps no order among several:
the same training gives the same bytes.

A kind that says what its models offer (`Kind.offers`) lets other jobs use them. The network of

    classifier   gives logits (N, classes) for pixels 0..255 (N, C, H, W); the facts have
                 `classes`, their names, and `seen`, which `Dataset.seen` says
    autoencoder  has `encode(pixels 0..255)`, latents (N, latent), and `decode(latents)`, pictures
                 (N, C, H, W) in 0..1; the facts have `seen`
    generator    has `draw(count, generator)`, latents, and `decode`
    colorizer    gives a and b of CIE Lab over 110, (N, 2, H, W), for lightness 0..100
                 (N, 1, H, W); the facts have `size`, the side of the squares it learnt from
    adder        gives sums (N,) for pairs (N, 2), float64
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from cvq.context import Context
from cvq.errors import CvqError, PermanentError
from cvq.inputs.models import ModelFile
from cvq.kinds import get_kind, make_spec, offering
from cvq.kinds.kind import Kind
from cvq.kinds.training import TrainingSpec
from cvq.settings import Settings

log = logging.getLogger("cvq.job")

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

        They stay where the file is mapped: processes that use one model share its pages. The file
        must not be written to meanwhile; it may be removed.

        Raises:
            PermanentError: they do not fit.
        """
        own = network.state_dict()
        alike = all(own[name].dtype == w.dtype for name, w in self.weights.items() if name in own)
        try:
            network.load_state_dict(self.weights, assign=alike)
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


@dataclass(frozen=True)
class Model:
    """A trained network to be used.

    Attributes:
        kind: the job kind that trained it.
        facts: as in the model file.
        network: with its weights, in evaluation mode, on the CPU.
        warnings: sentences on what its training says is wrong with it; they are in the log, and
            belong into the result of whatever uses it.
    """

    kind: str
    facts: dict[str, Any]
    network: Any
    warnings: tuple[str, ...] = ()


def load_model(file: ModelFile, offer: str) -> Model:
    """Make the network of another job's model file.

    Args:
        file: the specification's.
        offer: what its kind must offer, for example `classifier`.

    Raises:
        PermanentError: it is damaged, no model file, or that of a kind that does not offer this.
    """
    saved = read_model(file.local_path, file.name)
    settings = Settings.load(kinds=file.modules)
    try:
        kind = get_kind(saved.kind, settings)
    except CvqError as error:
        raise PermanentError(f"{file.name}: {error}") from error
    if offer not in kind.offers:
        wanted = " or ".join(offering(offer, settings))
        raise PermanentError(f"{file.name} is of kind {kind.name}: a model of {wanted} is needed")
    network = saved.into(_network(kind, saved, file.name))
    log.info("%s: %s of %d weights", file.name, kind.name, count_weights(network))
    warnings = tuple(f"the {file.name} was warned: {sentence}" for sentence in file.warned)
    for sentence in warnings:
        log.warning("%s", sentence)
    return Model(kind.name, saved.facts, network, warnings)


def _network(kind: Kind, saved: SavedModel, name: str) -> nn.Module:
    """The network of a model file, untrained."""
    try:
        spec = make_spec(kind, saved.spec)
        network: nn.Module = kind.load_network()(spec, saved.facts)
    except (CvqError, KeyError, TypeError, ValueError) as error:
        raise PermanentError(
            f"{name} is not what this cvq's {kind.name} makes: {type(error).__name__}: {error}"
        ) from error
    return network


def count_weights(network: nn.Module) -> int:
    """How many numbers a network has learnt."""
    return sum(parameter.numel() for parameter in network.parameters())


def read_model(path: Path, what: str = "") -> SavedModel:
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
    kind, spec, facts = (about.get(name) for name in ("kind", "spec", "facts"))
    if not (isinstance(kind, str) and isinstance(spec, dict) and isinstance(facts, dict)):
        raise PermanentError(f"{what} is damaged: it does not say what trained it")
    return SavedModel(kind, spec, facts, weights)
