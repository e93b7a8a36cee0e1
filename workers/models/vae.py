"""The variational autoencoder: a distribution over latents, and new pictures drawn from it.

Paper:    Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014, whose equations are
          named below.
Inputs:   grey pictures of 28 x 28 pixels, scaled to [0, 1].
Output:   -ELBO in nats a picture (equation 10): binary cross-entropy of the grey values plus KL
          divergence of the posterior from a standard normal distribution.

What differs from the course, and why: layer normalisation and GELU let the encoder use a one-cycle
schedule with large steps; `preset="course"` has the widths of the course's autoencoder.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from cvq.context import Context
from cvq.kinds.builtin.vae import VaeSpec

from ..data.dataset import Dataset
from ..training import verdicts
from ..training.loop import Measure, Measured, Samples, evaluate
from ..training.pictures import PictureTraining
from ..training.report import Report
from . import coders

HIDDEN, WIDTH, DENSE = (1024, 1024, 512), 32, (1024, 512)


class VariationalAutoencoder(nn.Module):
    """Encoder to mean and log variance, decoder to Bernoulli logits."""

    def __init__(self, arch: str, latent: int) -> None:
        super().__init__()
        self.latent = latent
        if arch == "conv":
            self.encoder = coders.conv_encoder(2 * latent, WIDTH, DENSE)
            self.decoder = coders.conv_decoder(latent, WIDTH, DENSE)
        else:
            hidden, norm = (coders.COURSE, None) if arch == "course" else (HIDDEN, nn.LayerNorm)
            self.encoder = coders.mlp_encoder(2 * latent, hidden, norm)
            self.decoder = coders.mlp_decoder(latent, hidden, norm)

    def posterior(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance (N, latent) of pictures 0..255."""
        mean, log_variance = self.encoder(pictures.float() / 255).float().chunk(2, dim=1)
        return mean, log_variance

    def encode(self, pictures: Tensor) -> Tensor:
        """Posterior means (N, latent) of pictures 0..255."""
        return self.posterior(pictures)[0]

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Latents (count, latent) from the prior."""
        return torch.randn(count, self.latent, generator=generator)

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures (N, 1, 28, 28) in 0..1: the means of their pixels."""
        pictures: Tensor = self.decoder(latents).float().sigmoid()
        return pictures

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (N, 1, 28, 28), mean and log variance, by one draw (equation 4)."""
        mean, log_variance = self.posterior(pictures)
        # Drawn on the CPU, where a seed means the same on every machine.
        noise = torch.randn(mean.shape).to(mean.device)
        logits = self.decoder(mean + (log_variance / 2).exp() * noise)
        return logits.float(), mean, log_variance


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence from a standard normal in nats, (N,) (appendix B)."""
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(1) / 2


def measuring(beta: float) -> Measure:
    """-ELBO in nats and its parts; `beta` weighs the divergence in what training follows."""

    def measure(network: nn.Module, pictures: Tensor, targets: Tensor) -> Measured:
        logits, mean, log_variance = network(pictures)
        wanted = targets.float() / 255
        missed = binary_cross_entropy_with_logits(logits, wanted, reduction="sum") / len(pictures)
        kl = divergence(mean, log_variance).mean()
        parts = {"loss": missed + kl, "reconstruction": missed, "kl": kl}
        return Measured(missed + beta * kl, parts)

    return measure


def build(spec: VaeSpec) -> VariationalAutoencoder:
    """The network that a specification asks for."""
    return VariationalAutoencoder(spec.arch, spec.latent)


def network(spec: VaeSpec, facts: dict[str, Any]) -> nn.Module:
    """The network of a model file, untrained."""
    return build(spec)


def run(spec: VaeSpec, ctx: Context) -> dict[str, Any]:
    """Train what a job's specification says."""
    training = PictureTraining(
        kind="vae",
        summary=f"A variational autoencoder with {spec.latent} latent dimensions.",
        use="cvq submit generate",
        network=network,
        measure=measuring(spec.beta),
        facts=lambda _: {"latent": spec.latent},
        test=_test,
        curves=("loss", "kl"),
        names_classes=True,
    )
    return training.run(spec, ctx)


def walk(first: Tensor, last: Tensor, steps: int) -> Tensor:
    """Latents (steps, latent) from one to another, along the sphere (slerp).

    A straight line would pass through the middle, where a normal distribution has few points.
    """
    share = torch.linspace(0, 1, steps)[:, None]
    cosine = torch.dot(first, last) / (first.norm() * last.norm()).clamp_min(1e-9)
    angle = cosine.clamp(-0.9999, 0.9999).acos()
    points: Tensor = ((1 - share) * angle).sin() * first + (share * angle).sin() * last
    points /= angle.sin()
    return points


def walks_between(latents: Tensor, steps: int = 10, most: int = coders.WALKS) -> list[Tensor]:
    """Walks from one latent to another, as many as there are pairs, but no more than `most`."""
    pairs = [(latents[i], latents[-1 - i]) for i in range(min(most, len(latents) // 2))]
    return [walk(first, last, steps) for first, last in pairs]


def _test(
    network: VariationalAutoencoder, dataset: Dataset, spec: VaeSpec, report: Report
) -> None:
    network, part = network.cpu(), dataset.test
    torch.manual_seed(spec.seed)
    found = evaluate(network, Samples(part.images), measuring(1.0))
    report.figures |= {
        "test_negative_elbo": found["loss"],
        "test_reconstruction": found["reconstruction"],
        "test_kl": found["kl"],
        "test_images": len(part.images),
    }
    report.warn(verdicts.unused_latents(found["kl"], spec.latent))
    coders.judge(report, network, dataset)
    coders.draw(report, network, dataset)
    generator = torch.Generator().manual_seed(spec.seed)
    coders.draw_samples(report, network.decode, network.draw(64, generator), "generated pictures")
    some = part.images[coders.spread(len(part), 2 * coders.WALKS)]
    coders.draw_walks(report, network.decode, walks_between(network.encode(some)))
