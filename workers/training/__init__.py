"""Training: one loop for every model, its guards, the model file and the report it leaves.

The names below are for job kinds of one's own, too; `docs/training.md` shows how, and
`examples/resnet.py` is a whole one. They load on first use, so that a kind which only needs some
does not wait for the others.

    train_classifier  a classifier of pictures from data to model card, in one call
    scaled            puts the scaling of pixels before a network
    PictureTraining   any training on pictures from data to model card, from what is its own

    load_dataset      pictures as tensors, in three parts: `Dataset`, `Part`
    train             the loop: epochs, guards, checkpoints and resume, the best weights
    Samples, Measured what it is given, and what a batch says of a network
    Trained           what it gives back
    evaluate          means over samples
    save_model        publishes the model file; `load_model` makes the network of another job's
    Report            figures, curves, pictures, warnings and the model card
    save_curves, save_confusion, save_grid, save_scatter
                      draw to a path
    verdicts          what is wrong with a network that ends no better than chance
    Context           what `run(spec, ctx)` receives
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cvq.context import Context

    from ..data.dataset import Dataset, Part, load_dataset
    from ..models.classifier import scaled, train_classifier
    from . import verdicts
    from .loop import Measured, Samples, Trained, evaluate, train
    from .pictures import PictureTraining
    from .plots import save_confusion, save_curves, save_grid, save_scatter
    from .report import Report
    from .saved import Model, load_model, save_model

_HOMES = {
    "Context": "cvq.context",
    "Dataset": "..data.dataset",
    "Measured": ".loop",
    "Model": ".saved",
    "Part": "..data.dataset",
    "PictureTraining": ".pictures",
    "Report": ".report",
    "Samples": ".loop",
    "Trained": ".loop",
    "evaluate": ".loop",
    "load_dataset": "..data.dataset",
    "load_model": ".saved",
    "save_confusion": ".plots",
    "save_curves": ".plots",
    "save_grid": ".plots",
    "save_model": ".saved",
    "save_scatter": ".plots",
    "scaled": "..models.classifier",
    "train": ".loop",
    "train_classifier": "..models.classifier",
}
__all__ = [
    "Context",
    "Dataset",
    "Measured",
    "Model",
    "Part",
    "PictureTraining",
    "Report",
    "Samples",
    "Trained",
    "evaluate",
    "load_dataset",
    "load_model",
    "save_confusion",
    "save_curves",
    "save_grid",
    "save_model",
    "save_scatter",
    "scaled",
    "train",
    "train_classifier",
    "verdicts",
]


def __getattr__(name: str) -> Any:
    if name == "verdicts":
        return import_module(".verdicts", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return __all__
