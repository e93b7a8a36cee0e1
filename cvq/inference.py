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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .inputs.images import ImagesFile
from .kinds.spec import Spec


@dataclass(frozen=True)
class Answer:
    """What came out for one item.

    Attributes:
        row: its line in the table of results, JSON values of one type under the same names for
            every item.
        files: contents such as a PNG of what was drawn, under the same names for every item.
        notes: what whoever asked should know of the item, in half a sentence each:
            `has 3 frames: the first is read`.
    """

    row: Mapping[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Inference(ABC):
    """Loads a model once, and answers batch after batch of items.

    Jobs whose specifications are equal but for their items may share a batch. Nothing that a batch
    leaves behind may change what the next one gets.

    Args:
        spec: a job's; of its items nothing is to be read here.
        device: `cpu`, `mps`, `cuda:0`.
    """

    # The most items of one forward. Batches are padded to powers of two up to it; with the
    # specification's `exact` all are padded to it. Twice as many decoded items are held.
    max_batch: ClassVar[int] = 256
    # The field of the specification that holds the items, as its kind names it.
    field: str = "images"

    def __init__(self, spec: Spec, device: str) -> None:
        self.spec = spec
        self.device = device

    def items(self, spec: Spec) -> Iterable[Any]:
        """The items of a job, from the field that its kind names; of a shard, its files.

        A picture has a `name`, and its content is what `read()` gives, in a shard or beside it.

        Raises:
            PermanentError: a shard is damaged.
        """
        return _flat(getattr(spec, self.field))

    def name(self, item: Any) -> str:
        """What an item is called in the table of results."""
        return str(getattr(item, "name", item))

    @abstractmethod
    def load(self, model: Any) -> Any:
        """Load a trained model, to be kept for many batches.

        Args:
            model: the specification's `ModelFile`; None where it has none.

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
    def infer(self, model: Any, batch: Sequence[Any]) -> Iterable[Answer | Mapping[str, Any]]:
        """Answer decoded items of one shape, in their order, an answer each.

        Items at the end may repeat another, to fill the batch up. Where answers are yielded one by
        one, those of the repeated are not asked for.

        What is raised here is looked for by halving the batch: the item that is at fault fails
        alone.
        """


def _flat(given: Iterable[Any]) -> Iterator[Any]:
    for item in given:
        if isinstance(item, ImagesFile) and item.is_shard:
            yield from item.members()
        else:
            yield item
