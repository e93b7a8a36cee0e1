"""What both peers and the floor compute: one picture after another, or all in one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from cvq.kinds import get_kind, make_spec
from cvq.settings import Settings
from cvq_workers.inference.loading import load_inference, model_of


class Classifier:
    """A model with what decodes pictures for it, as cvq's own jobs have them."""

    def __init__(self, model: Path) -> None:
        kind = get_kind("classify", Settings())
        spec = make_spec(kind, {"images": ["x.png"], "model": {"name": "model", "job": 1}})
        files = [file.placed({"path": str(model)}) for file in spec.inputs()]
        spec = spec.with_inputs(files)
        self._inference = load_inference(kind, spec, "cpu")
        self._model = self._inference.load(model_of(spec))
        self._placed = files[0]

    def one(self, path: str) -> dict[str, Any]:
        """The answer of one picture."""
        [answer] = self._inference.infer(self._model, [self._decoded(Path(path))])
        return dict(answer.row)

    def all(self, paths: Sequence[Path]) -> torch.Tensor:
        """The most likely class of each picture, from one forward."""
        pixels = torch.stack([self._decoded(path).pixels for path in paths])
        with torch.inference_mode():
            found: torch.Tensor = self._model.network(pixels.float()).argmax(1)
        return found

    def _decoded(self, path: Path) -> Any:
        item = self._placed.model_copy(update={"name": path.name, "path": path})
        return self._inference.decode(self._model, item)
