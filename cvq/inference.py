"""How a kind answers many items at once, on a model that stays loaded.

A kind takes part by naming a class with two methods:

    class Brightness(cvq.Inference):
        def load(self, model):
            return read_model(model.local_path).weights["scale"].to(self.device)

        def infer(self, model, batch):
            return [{"brightness": float(picture.mean() * model)} for picture in batch]

    KIND = cvq.Kind("brightness", …, inference="mykinds:Brightness", items="images")

Nothing here imports PyTorch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .inputs.models import ModelFile
from .kinds.spec import Spec


@dataclass(frozen=True)
class Answer:
    """What came out for one item.

    Attributes:
        row: its line in the table of results, JSON values under the same names for every item.
        files: contents by file name, such as a PNG of what was drawn.
    """

    row: Mapping[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict)


class Inference(ABC):
    """Loads a model once, and answers batch after batch of items.

    Jobs whose specifications are equal but for their items may share a batch. Nothing that a batch
    leaves behind may change what the next one gets.

    Args:
        spec: a job's; of its items nothing is to be read here.
        device: `cpu`, `mps`, `cuda:0`.
    """

    # The most items of one forward. Batches are padded to powers of two up to it.
    max_batch: ClassVar[int] = 256

    def __init__(self, spec: Spec, device: str) -> None:
        self.spec = spec
        self.device = device

    def items(self, spec: Spec) -> Sequence[Any]:
        """The items of a job, from the field that its kind names as `items`."""
        return list(getattr(spec, "images"))  # noqa: B009 - a field of the kind's own

    @abstractmethod
    def load(self, model: ModelFile) -> Any:
        """Load a trained model, to be kept for many batches.

        Raises:
            PermanentError: it cannot be used; every item fails.
        """

    def decode(self, model: Any, item: Any) -> Any:
        """Read one item, in a thread beside others; what comes out is batched by its `shape`.

        Raises:
            PermanentError: the item cannot be used; it fails alone.
        """
        return item

    @abstractmethod
    def infer(self, model: Any, batch: Sequence[Any]) -> Sequence[Answer | Mapping[str, Any]]:
        """Answer decoded items of one shape, in their order, an answer each.

        What is raised here is looked for by halving the batch: the item that is at fault fails
        alone.
        """
