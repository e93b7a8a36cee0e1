"""cvq: a batch system for computer-vision jobs.

    from cvq import Client

    job = Client().submit("style-transfer", content="a.jpg", style=["b.jpg"])
    job.wait()
    print(job.artifacts)

The names below load on first use, so that `import cvq` stays cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .batch_handle import BatchHandle
    from .client import Client
    from .context import Context
    from .context.local import LocalContext
    from .errors import CvqError
    from .handle import JobHandle
    from .inference import Answer, Inference
    from .inputs.data import DataSource
    from .inputs.files import ImageFile, InputFile
    from .inputs.images import ImagesFile
    from .inputs.models import ModelFile, ModelOf
    from .job_list import JobList
    from .kinds.classifier import ClassifierSpec
    from .kinds.inference import InferenceSpec
    from .kinds.kind import Kind
    from .kinds.spec import Argument, Auto, Spec
    from .kinds.training import ImageTrainingSpec, TrainingSpec
    from .reporting import log_metric, log_progress
    from .settings import Settings
    from .sweeps.handle import SweepHandle

__version__ = "0.1.0"

_HOMES = {
    "Answer": ".inference",
    "Inference": ".inference",
    "BatchHandle": ".batch_handle",
    "Client": ".client",
    "JobHandle": ".handle",
    "JobList": ".job_list",
    "Context": ".context",
    "CvqError": ".errors",
    "Settings": ".settings",
    "Argument": ".kinds.spec",
    "Auto": ".kinds.spec",
    "ClassifierSpec": ".kinds.classifier",
    "DataSource": ".inputs.data",
    "ImageFile": ".inputs.files",
    "ImageTrainingSpec": ".kinds.training",
    "ImagesFile": ".inputs.images",
    "InferenceSpec": ".kinds.inference",
    "InputFile": ".inputs.files",
    "Kind": ".kinds.kind",
    "LocalContext": ".context.local",
    "ModelFile": ".inputs.models",
    "ModelOf": ".inputs.models",
    "Spec": ".kinds.spec",
    "SweepHandle": ".sweeps.handle",
    "TrainingSpec": ".kinds.training",
    "log_metric": ".reporting",
    "log_progress": ".reporting",
}
__all__ = [
    "Answer",
    "Argument",
    "Auto",
    "BatchHandle",
    "ClassifierSpec",
    "Client",
    "Context",
    "CvqError",
    "DataSource",
    "ImageFile",
    "ImageTrainingSpec",
    "ImagesFile",
    "Inference",
    "InferenceSpec",
    "InputFile",
    "JobHandle",
    "JobList",
    "Kind",
    "LocalContext",
    "ModelFile",
    "ModelOf",
    "Settings",
    "Spec",
    "SweepHandle",
    "TrainingSpec",
    "__version__",
    "log_metric",
    "log_progress",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'cvq' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
