"""Networks of one's own through the public names: trained by a real worker, resumed, used."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

import cvq_workers.training
from conftest import TESTS, Worker
from cvq import Client, Kind, LocalContext, Settings, Spec, queries
from cvq.errors import UsageError
from cvq.kinds import all_kinds
from cvq_workers.training.saved import NAME, read_model

pytestmark = pytest.mark.slow

EXAMPLES = TESTS.parent / "examples"
DOCUMENTATION = TESTS.parent / "docs" / "training.md"


def pictures(folder: Path, each: int = 20) -> Path:
    """Red pictures with a bar across, and green ones with a bar down."""
    for number in range(2 * each):
        upright = number % 2 == 0
        picture = Image.new("RGB", (40, 50), (200, 40, 30) if upright else (30, 180, 60))
        place = 5 + number % 20
        box = (place, 0, place + 6, 50) if upright else (0, place, 40, place + 6)
        ImageDraw.Draw(picture).rectangle(box, fill=(250, 250, 250))
        path = folder / ("down" if upright else "across") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
    return folder


@pytest.mark.slow
def test_the_example_trains_resumes_and_is_used_by_classify(
    client: Client,
    start_worker: Callable[..., Worker],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert len((EXAMPLES / "resnet.py").read_text().splitlines()) <= 40
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setattr(client, "settings", Settings.load(kinds=["resnet"]))
    data = pictures(tmp_path / "bars")
    start_worker(CVQ_KINDS="resnet", PYTHONPATH=str(EXAMPLES))
    handle = client.submit("resnet", data=str(data), epochs=4, batch_size=8)
    using = client.submit("classify", images=[data / "down" / "0.png"], model=handle.id)
    job = handle.wait()
    assert job.result is not None
    assert job.result["test_images"] == 8  # of 40, a fifth: a tenth would be too few
    with client.db.read() as connection:
        left = {a.name for a in queries.artifacts_of(connection, [handle.id])[handle.id]}
    assert left >= {
        NAME, "model-card.md", "loss.png", "accuracy.png", "confusion.png", "per-class.json"
    }  # fmt: skip
    [prediction] = using.wait().result["predictions"]  # type: ignore[index]
    assert prediction["class"] in ("down", "across")
    with pytest.raises(UsageError, match=r"is of kind resnet: a model of .*vae is needed"):
        client.submit("generate", model=handle.id)
    # A client without the plug-in is told so, rather than that there is no such model.
    monkeypatch.setattr(client, "settings", Settings.load(kinds=[]))
    with pytest.raises(UsageError, match=r"kind resnet, which is not known here: .*CVQ_KINDS"):
        client.submit("classify", images=[data / "down" / "0.png"], model=handle.id)


def test_the_loop_in_the_documentation_runs(tmp_path: Path) -> None:
    code = re.search(r"```python\n(# denoiser\.py\n.*?)```", DOCUMENTATION.read_text(), re.DOTALL)
    assert code
    names: dict[str, Any] = {"__name__": "denoiser"}
    module = type(sys)("denoiser")
    sys.modules["denoiser"] = module
    try:
        exec(code[1], module.__dict__)
        names = module.__dict__
        spec = names["DenoiserSpec"](data="digits", epochs=2)
        spec.data.path = None
        ctx = LocalContext(tmp_path)
        result = names["run"](spec, ctx)
    finally:
        del sys.modules["denoiser"]
    assert result["test_loss"] > 0
    assert {NAME, "model-card.md", "loss.png", "denoised.png"} <= set(ctx.artifacts)
    assert result["warnings"] == []
    assert read_model(tmp_path / NAME).kind == "denoiser"


def test_every_public_name_is_there_and_importing_them_is_cheap() -> None:
    for name in cvq_workers.training.__all__:
        assert getattr(cvq_workers.training, name) is not None
    assert name in dir(cvq_workers.training)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        cvq_workers.training.trian  # noqa: B018
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import cvq, cvq_workers.training, resnet; "
        "cvq.ClassifierSpec, cvq.TrainingSpec, cvq.ModelOf, cvq.DataSource; "
        "sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(EXAMPLES)], check=True)


def test_a_kind_that_offers_a_network_names_it() -> None:
    with pytest.raises(ValueError, match="offers classifier, and names no network"):
        Kind("mine", Spec, "mine:run", "Mine.", offers=("classifier",))


def test_whatever_is_asked_for_is_offered() -> None:
    kinds = all_kinds(Settings.load())
    offered = {offer for kind in kinds.values() for offer in kind.offers}
    asked = {
        mark.offer
        for kind in kinds.values()
        for field in kind.spec.model_fields.values()
        for mark in field.metadata
        if hasattr(mark, "offer")
    }
    assert asked == offered
