"""A training on pictures, from data to model card: what all of them do, and in which order.

A model says what is its own, and reads from top to bottom in its file:

    data      loaded, split by the seed, checked
    network   made by the kind's own function, from the specification and the facts of the data
    training  the loop; then whatever completes the network
    model     published before anything is drawn, as it is worth more
    report    curves, what the test part says, the card
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from cvq.context import Context
from cvq.kinds.training import ImageTrainingSpec

from ..data.dataset import Dataset, Part, load_dataset
from .augment import Operation, augmentation_of
from .loop import Measure, Samples, train
from .report import Report
from .saved import save_model


def _nothing(*_: Any) -> None:
    """What most models do where others check or complete something."""


@dataclass(frozen=True)
class PictureTraining:
    """What a model brings to its training.

    Attributes:
        kind: the job kind.
        summary: one sentence on the network, for the card.
        use: the command that uses the model, without its job number.
        network: `(spec, facts)` to the network, untrained: the kind's own `network`.
        measure: the loss and other means of a batch.
        test: `(network, dataset, spec, report)`: looks at the test part once, and reports.
        facts: `(dataset)` to what the model file says besides `size` and `seen`.
        check: `(dataset)`: refuses what cannot be learnt from.
        complete: `(network, dataset)`: changes the trained network before it is published.
        augment: the model's own augmentation.
        best_by: the metric that chooses the epoch.
        curves: metrics that are drawn.
        figures: of the result, besides those of the training and the test.
        names_classes: whether the card names the classes.
    """

    kind: str
    summary: str
    use: str
    network: Callable[[Any, dict[str, Any]], nn.Module]
    measure: Measure
    test: Callable[[Any, Dataset, Any, Report], None]
    facts: Callable[[Dataset], dict[str, Any]] = lambda _: {}
    check: Callable[[Dataset], None] = _nothing
    complete: Callable[[Any, Dataset], None] = _nothing
    augment: Operation | None = None
    best_by: str = "val_loss"
    curves: tuple[str, ...] = ("loss",)
    figures: Mapping[str, Any] = field(default_factory=dict)
    names_classes: bool = False

    def run(
        self, spec: ImageTrainingSpec, ctx: Context, *, asked: ImageTrainingSpec | None = None
    ) -> dict[str, Any]:
        """Train, publish, test; returns the job's result.

        Args:
            spec: what to do.
            ctx: the job's context.
            asked: what the card has as asked for, where some of `spec` was chosen by the data.
        """
        side, _, channels = spec.picture
        dataset = load_dataset(
            spec.data,
            channels=1 if channels == 1 else 3,
            size=side,
            val_share=spec.val_share,
            seed=spec.seed,
            cache=ctx.cache,
            hold_out=getattr(spec, "hold_out", ()),
        )
        self.check(dataset)
        facts = {"size": side, "seen": dataset.seen, **self.facts(dataset)}
        torch.manual_seed(spec.seed)
        trained = train(
            self.network(spec, facts),
            _samples(dataset.train, labelled=spec.labelled),
            _samples(dataset.val, labelled=spec.labelled),
            self.measure,
            spec,
            ctx,
            augment=augmentation_of(spec, self.augment),
            best_by=self.best_by,
            classes=dataset.classes if spec.labelled else (),
        )
        self.complete(trained.network, dataset)
        save_model(trained.network, kind=self.kind, spec=spec, facts=facts, ctx=ctx)
        report = Report(ctx, {**trained.facts, **self.figures})
        report.curves(trained, *self.curves)
        with report.part("the test"):
            self.test(trained.network, dataset, spec, report)
        return report.close(
            kind=self.kind,
            summary=self.summary,
            spec=asked or spec,
            data=dataset.facts,
            classes=dataset.classes if self.names_classes else (),
            use=self.use,
        )


def _samples(part: Part, *, labelled: bool) -> Samples:
    return Samples(part.images, part.labels if labelled else None)
