"""Model files: weights that are shared with the file, and files that are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from cvq import LocalContext
from cvq.errors import PermanentError
from cvq_workers.job.models import mapped
from cvq_workers.training.saved import NAME, load_model, read_model
from untrained import untrained


def test_weights_stay_in_the_file_and_the_file_may_be_removed(tmp_path: Path) -> None:
    ctx = LocalContext(tmp_path / "trained")
    file = untrained("fmnist-mlp", ctx)
    path = ctx.folder / NAME
    copied = read_model(path).weights
    copied = {name: weight.clone() for name, weight in copied.items()}
    before = mapped()
    network = load_model(file, "classifier").network
    assert mapped() - before >= path.stat().st_size - 4096
    assert str(path) in Path("/proc/self/maps").read_text()
    path.unlink()
    found = network.state_dict()
    assert all(torch.equal(found[name], weight) for name, weight in copied.items())
    assert all(each.requires_grad for each in network.parameters())
    with torch.no_grad():
        next(network.parameters()).zero_()  # its own copy of a page


def test_weights_of_another_precision_are_converted(tmp_path: Path) -> None:
    ctx = LocalContext(tmp_path / "trained")
    untrained("fmnist-mlp", ctx)
    saved = read_model(ctx.folder / NAME)
    network = load_model(untrained("fmnist-mlp", ctx), "classifier").network
    halves = {name: weight.half() for name, weight in saved.weights.items()}
    saved.weights.clear()
    saved.weights.update(halves)
    assert {each.dtype for each in saved.into(network).parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"version": 2}, "has version 2, this cvq reads 1"),
        ({"kind": "fmnist-mlp", "spec": {}}, "does not say what trained it"),
        ({"kind": "no-such", "spec": {}, "facts": {}}, "no-such"),
        ({"kind": "fmnist-mlp", "spec": {"new": 1}, "facts": {}}, "is not what this cvq's fmnist"),
        (
            {"kind": "sum-regressor", "spec": {}, "facts": {}},
            "is of kind sum-regressor: a model of",
        ),
    ],
)
def test_a_file_of_another_cvq_or_kind_is_refused_in_a_sentence(
    tmp_path: Path, about: dict[str, Any], said: str
) -> None:
    file = untrained("fmnist-mlp", LocalContext(tmp_path / "trained"))
    described = {"format": "cvq-model", "version": 1, **about}
    save_file({"x": torch.zeros(1)}, file.local_path, {"cvq": json.dumps(described)})
    with pytest.raises(PermanentError, match=said) as caught:
        load_model(file, "classifier")
    assert file.name in str(caught.value)
