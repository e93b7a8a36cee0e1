"""The autoencoder of course section 4: a picture squeezed into a few numbers and rebuilt.

Paper:    Hinton and Salakhutdinov, "Reducing the Dimensionality of Data with Neural Networks",
          Science 2006.
Inputs:   grey pictures of 28 x 28 pixels, scaled to [-1, 1].
Output:   the pictures again, from `latent` numbers each; the loss is the mean squared error in
          [-1, 1], four times that in [0, 1].

What differs from the course, and why: 784-128-64-3 is kept as `preset="course"`. Wider layers with
layer normalisation use the three numbers better.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import mse_loss

from cvq.context import Context
from cvq.kinds.builtin.autoencoder import AutoencoderSpec

from ..data.dataset import Dataset
from ..training.loop import Measured, Samples, evaluate
from ..training.pictures import PictureTraining
from ..training.report import Report
from . import coders

HIDDEN, WIDTH, DENSE = (1024, 512, 256), 32, (1024, 512)


class Autoencoder(nn.Module):
    """Encoder and decoder of pictures 0..255 (N, 1, 28, 28), rebuilt in [-1, 1]."""

    def __init__(self, arch: str, latent: int) -> None:
        super().__init__()
        if arch == "conv":
            self.encoder = coders.conv_encoder(latent, WIDTH, DENSE)
            self.decoder = coders.conv_decoder(latent, WIDTH, DENSE)
        else:
            hidden, norm = (coders.COURSE, None) if arch == "course" else (HIDDEN, nn.LayerNorm)
            self.encoder = coders.mlp_encoder(latent, hidden, norm)
            self.decoder = coders.mlp_decoder(latent, hidden, norm)

    def encode(self, pictures: Tensor) -> Tensor:
        """Latents (N, latent) of pictures 0..255."""
        latents: Tensor = self.encoder(scaled(pictures))
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures (N, 1, 28, 28) in 0..1."""
        pictures: Tensor = (self.decoder(latents).float().tanh() + 1) / 2
        return pictures

    def forward(self, pictures: Tensor) -> Tensor:
        """Rebuild pictures 0..255, in [-1, 1]."""
        rebuilt: Tensor = self.decoder(self.encode(pictures)).float().tanh()
        return rebuilt


def scaled(pictures: Tensor) -> Tensor:
    """Pixels of 0..255 in [-1, 1]."""
    return pictures.float() / 127.5 - 1


def measure(network: nn.Module, pictures: Tensor, targets: Tensor) -> Measured:
    """Mean squared error in [-1, 1]."""
    return Measured(mse_loss(network(pictures), scaled(targets)))


def build(spec: AutoencoderSpec) -> Autoencoder:
    """The network that a specification asks for."""
    return Autoencoder(spec.arch, spec.latent)


def network(spec: AutoencoderSpec, facts: dict[str, Any]) -> nn.Module:
    """The network of a model file, untrained."""
    return build(spec)


def run(spec: AutoencoderSpec, ctx: Context) -> dict[str, Any]:
    """Train what a job's specification says."""
    training = PictureTraining(
        kind="autoencoder",
        summary=f"An autoencoder with {spec.latent} latent numbers.",
        use="cvq submit reconstruct PICTURE.png",
        network=network,
        measure=measure,
        facts=lambda _: {"latent": spec.latent},
        test=_test,
        names_classes=True,
    )
    return training.run(spec, ctx)


def _test(network: Autoencoder, dataset: Dataset, spec: AutoencoderSpec, report: Report) -> None:
    network, part = network.cpu(), dataset.test
    found = evaluate(network, Samples(part.images), measure)
    report.figures |= {"test_mse": found["loss"], "test_images": len(part.images)}
    coders.judge(report, network, dataset)
    coders.draw(report, network, dataset)
