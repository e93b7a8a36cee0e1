"""The model card: what was trained, on what, how well, and how to do it again."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from cvq.context import Context
from cvq.inputs.files import InputFile
from cvq.kinds.training import ImageTrainingSpec, TrainingSpec
from cvq.text import join

# What differs from run to run is told by the job's result: the card of the same training is the
# same file, so that it can be compared.
_TIMED = ("train_seconds", "images_per_second")
_PACKAGES = ("cvq", "torch", "torchvision", "numpy", "albumentations", "scikit-learn")


def write_card(
    ctx: Context,
    *,
    kind: str,
    summary: str,
    spec: TrainingSpec,
    data: Mapping[str, Any],
    figures: Mapping[str, Any],
    use: str,
    warnings: Sequence[str] = (),
) -> None:
    """Publish `model-card.md`.

    Args:
        ctx: the job's context.
        kind: the job kind.
        summary: one sentence on the network.
        spec: what was asked for.
        data: `Dataset.facts`, or the like.
        figures: what was measured.
        use: the command that uses the model, without its job number; empty where none does.
        warnings: what is wrong with the model.
    """
    text = "\n".join(
        [
            f"# {kind}",
            "",
            summary,
            "",
            *_list("Warnings", warnings),
            "## Figures",
            "",
            *_table({name: value for name, value in figures.items() if name not in _TIMED}),
            "",
            "## Data",
            "",
            *_table(data),
            "",
            "## Values",
            "",
            *_table({k: _value(spec, k, figures) for k in type(spec).model_fields}),
            "",
            *_pipeline(spec),
            "## Environment",
            "",
            *_table(_environment(ctx.device)),
            "",
            "## Do it again, use it",
            "",
            "```",
            command_of(kind, spec),
            *([f"{use} --model JOB"] if use else []),
            "```",
            "",
            *_unknown(spec),
            *(["JOB is the number of the job that has left this card.", ""] if use else []),
            "The same device, number of threads and versions give the same weights.",
            "",
        ]
    )
    with ctx.artifact("model-card.md", role="report", media_type="text/markdown") as path:
        path.write_text(text, encoding="utf-8")


def command_of(kind: str, spec: TrainingSpec) -> str:
    """The command that submits a job with this specification; a file has its name."""
    words = ["cvq", "submit", kind]
    start = type(spec).model_construct()
    for name, field in type(spec).model_fields.items():
        value = getattr(spec, name)
        option = name.replace("_", "-")
        usual = None if field.is_required() else _shown(getattr(start, name, None))
        if value is None or _shown(value) == usual:
            continue
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        else:
            words += [f"--{option}", shlex.quote(_shown(value))]
    return " ".join(words)


def _unknown(spec: TrainingSpec) -> list[str]:
    """What to say of files that lie somewhere.

    Their paths are no part of the card: the same content gives the same card, wherever it lay.
    """
    names = [f"`{file.name}`" for file in spec.inputs() if not file.is_named]
    return [f"Put in the path of {join(names)}.", ""] if names else []


def _value(spec: TrainingSpec, name: str, figures: Mapping[str, Any]) -> str:
    """A value as it was asked for; one that was left to the data with what it became."""
    value = getattr(spec, name)
    if value == 0 and name in spec.open_fields():
        return f"auto ({_shown(figures.get(name, '?'))})"
    return "default" if value is None else _shown(value)


def _shown(value: Any) -> str:
    if isinstance(value, InputFile):
        return value.name
    if isinstance(value, list | tuple):
        return ",".join(_shown(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _table(values: Mapping[str, Any]) -> list[str]:
    rows = ["| | |", "|---|---|"]
    for name, value in values.items():
        shown = f"{value:.6g}" if isinstance(value, float) else str(value)
        rows.append(f"| {name.replace('_', ' ')} | {shown.replace('|', chr(92) + '|')} |")
    return rows


def _list(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *(f"- {line}" for line in lines), ""] if lines else []


def _pipeline(spec: TrainingSpec) -> list[str]:
    file = spec.augment if isinstance(spec, ImageTrainingSpec) else None
    if file is None or file.path is None:
        return []
    text = file.path.read_text(encoding="utf-8").strip()
    return [f"## Augmentation: {file.name}", "", "```", text, "```", ""]


def _environment(device: str) -> dict[str, str]:
    found = {"device": device, "Python": platform.python_version()}
    if device == "cuda":
        found["device"] = torch.cuda.get_device_name()
    found["CPU threads"] = str(torch.get_num_threads())
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
