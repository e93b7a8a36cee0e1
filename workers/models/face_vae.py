"""A variational autoencoder of faces: rebuilds people it has never seen, and invents new ones.

Papers:   Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014; Rybkin, Daniilidis and
          Levine, "Simple and Effective VAE Training with Calibrated Decoders", ICML 2021 (equation
          10 below is theirs); Ghosh et al., "From Variational to Deterministic Autoencoders",
          ICLR 2020, for drawing from what the encoder really uses.
Inputs:   any folder of faces, in grey or colour, cut square and resized.
Output:   reconstructions, samples and walks; squared error in [0, 1] on people held out.

What differs from the course, and why:

- The course's faces were gone. A few hundred are learnt by heart by a plain network, which then
  rebuilds strangers worse than 32 principal components do. Every face is seen moved, turned,
  scaled, mirrored and lit otherwise each time, and people are held out whole.
- The decoder's variance is set to the batch's own squared error, which balances detail against
  the latent space without a weight to tune.
- Samples are drawn from a normal distribution fitted to the training faces' latents.
"""

from __future__ import annotations

import itertools
import logging
from typing import Any

import torch
from torch import Tensor, nn

from cvq.context import Context
from cvq.kinds.builtin.face_vae import LARGEST, FaceVaeSpec

from ..data.dataset import Dataset
from ..data.sides import typical_side
from ..training import verdicts
from ..training.augment import (
    Operation,
    chain,
    random_affine,
    random_flip,
    random_light,
)
from ..training.loop import Measure, Measured
from ..training.pictures import PictureTraining
from ..training.report import Report
from . import coders
from .coders import Flat, Folded
from .vae import divergence, walks_between

log = logging.getLogger("cvq.job")

WIDTHS = (32, 64, 128, 256)  # of the layers at half the side, a quarter, an eighth, a sixteenth
_SHOWN, _BATCH = 10, 500
SMALLEST = 32
COMPONENTS = 32  # of the answer that a network is held against


class FaceAutoencoder(nn.Module):
    """Convolutions down to a sixteenth of the side, a latent, and back up.

    `center` and `spread` describe the latents of the training faces: their mean, and the Cholesky
    factor of their covariance.
    """

    center: Tensor
    spread: Tensor

    def __init__(self, channels: int, size: int, latent: int) -> None:
        super().__init__()
        self.latent = latent
        places, deepest = (size // 16) ** 2, WIDTHS[-1]
        ways = [channels, *WIDTHS]
        down = [_halving(a, b) for a, b in itertools.pairwise(ways)]
        up = [_doubling(b, a) for a, b in itertools.pairwise(WIDTHS)]
        self.encoder = nn.Sequential(*down, Flat(), nn.Linear(deepest * places, 2 * latent))
        self.decoder = nn.Sequential(
            nn.Linear(latent, deepest * places),
            Folded(deepest, size // 16),
            *reversed(up),
            nn.Upsample(scale_factor=2, mode="bilinear"),
            nn.Conv2d(WIDTHS[0], channels, 3, padding=1),
        )
        self.register_buffer("center", torch.zeros(latent))
        self.register_buffer("spread", torch.eye(latent))

    def posterior(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance (N, latent) of faces 0..255."""
        mean, log_variance = self.encoder(faces.float() / 127.5 - 1).float().chunk(2, dim=1)
        return mean, log_variance.clamp(-12, 4)

    def encode(self, faces: Tensor) -> Tensor:
        """Posterior means (N, latent) of faces 0..255."""
        return self.posterior(faces)[0]

    def decode(self, latents: Tensor) -> Tensor:
        """Faces (N, C, size, size) in 0..1."""
        faces: Tensor = self.decoder(latents).float().sigmoid()
        return faces

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rebuilt faces, mean and log variance, by one draw."""
        mean, log_variance = self.posterior(faces)
        # Drawn on the CPU, where a seed means the same on every machine.
        noise = torch.randn(mean.shape).to(mean.device)
        return self.decode(mean + (log_variance / 2).exp() * noise), mean, log_variance

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Latents (count, latent) like those of the training faces."""
        return self.center + torch.randn(count, self.latent, generator=generator) @ self.spread.T


def _halving(inner: int, outer: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inner, outer, 4, 2, 1), nn.GroupNorm(8, outer), nn.SiLU(),
        nn.Conv2d(outer, outer, 3, padding=1), nn.GroupNorm(8, outer), nn.SiLU(),
    )  # fmt: skip


def _doubling(inner: int, outer: int) -> nn.Module:
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.Conv2d(inner, outer, 3, padding=1), nn.GroupNorm(8, outer), nn.SiLU(),
        nn.Conv2d(outer, outer, 3, padding=1), nn.GroupNorm(8, outer), nn.SiLU(),
    )  # fmt: skip


def measuring(beta: float) -> Measure:
    """Gaussian -ELBO in nats a number, its variance the batch's own (Rybkin et al., equation 10).

    Beside it the squared error in [0, 1] and the KL divergence, nats a picture.
    """

    def measure(network: nn.Module, faces: Tensor, targets: Tensor) -> Measured:
        rebuilt, mean, log_variance = network(faces)
        error = (rebuilt - targets.float() / 255).square().mean()
        kl = divergence(mean, log_variance).mean()
        fit, cost = error.clamp_min(1e-8).log() / 2, kl / rebuilt[0].numel()
        return Measured(fit + beta * cost, {"loss": fit + cost, "mse": error, "kl": kl})

    return measure


def augmentation(spec: FaceVaeSpec) -> Operation | None:
    """Faces moved, turned, scaled, lit and mirrored."""
    strength = spec.jitter
    if not strength:
        return random_flip
    return chain(
        random_flip,
        random_affine(degrees=12 * strength, scale=0.15 * strength, shift=0.08 * strength),
        random_light(0.25 * strength),
    )


def size_for(side: int | None) -> int:
    """The side to learn at for pictures of a typical side: enlarging would add no detail."""
    steps = -(-(side or SMALLEST) // 16)
    return min(LARGEST, max(SMALLEST, 16 * steps))


def build(spec: FaceVaeSpec) -> FaceAutoencoder:
    """The network that a specification asks for."""
    return FaceAutoencoder(3 if spec.color else 1, spec.size, spec.latent)


def network(spec: FaceVaeSpec, facts: dict[str, Any]) -> nn.Module:
    """The network of a model file, untrained."""
    return build(spec)


def run(spec: FaceVaeSpec, ctx: Context) -> dict[str, Any]:
    """Train what a job's specification says; what it leaves open is chosen by the data."""
    asked = spec
    if not spec.size:
        spec = spec.model_copy(update={"size": size_for(typical_side(spec.data.path))})
    log.info("faces of %d pixels", spec.size)
    training = PictureTraining(
        kind="face-vae",
        summary=f"A variational autoencoder of faces with {spec.latent} latent dimensions.",
        use="cvq submit generate",
        network=network,
        measure=measuring(spec.beta),
        facts=lambda _: {"latent": spec.latent},
        augment=augmentation(spec),
        complete=_fit_latents,
        best_by="val_mse",
        test=_test,
        curves=("loss", "mse", "kl"),
        figures={"size": spec.size},
    )
    return training.run(spec, ctx, asked=asked)


def _fit_latents(network: FaceAutoencoder, dataset: Dataset) -> None:
    """Describe the latents of faces and their mirror images by a normal distribution."""
    network, faces = network.cpu(), dataset.train.images
    means = coders.encoded(network, torch.cat([faces, faces.flip(-1)]))
    network.center.copy_(means.mean(0))
    # Shrunk towards its diagonal: there may be fewer faces than a covariance needs.
    covariance = means.T.cov()
    shrunk = 0.9 * covariance + 0.1 * covariance.diagonal().diag()
    shrunk += 1e-4 * torch.eye(network.latent)
    network.spread.copy_(torch.linalg.cholesky(shrunk))


def principal_components(train: Tensor, test: Tensor, count: int = COMPONENTS) -> Tensor:
    """Squared errors in [0, 1], (N,), of faces rebuilt from principal components of others."""
    known, new = (faces.flatten(1).double() / 255 for faces in (train, test))
    mean = known.mean(0)
    axes = torch.linalg.svd(known - mean, full_matrices=False)[2][:count]
    rebuilt = (new - mean) @ axes.T @ axes + mean
    errors: Tensor = (rebuilt - new).square().mean(1)
    return errors


def _posteriors(network: FaceAutoencoder, faces: Tensor) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        found = [network.posterior(part) for part in torch.split(faces, _BATCH)]
    means, log_variances = zip(*found, strict=True)
    return torch.cat(means), torch.cat(log_variances)


def _test(network: FaceAutoencoder, dataset: Dataset, spec: FaceVaeSpec, report: Report) -> None:
    network, faces = network.cpu(), dataset.test.images
    means, log_variances = _posteriors(network, faces)
    rebuilt = coders.decoded(network, means)
    errors = (rebuilt - faces / 255).square().flatten(1).mean(1)
    others = principal_components(dataset.train.images, faces)
    kl = float(divergence(means, log_variances).mean())
    report.figures |= {
        "test_mse": float(errors.mean()),
        "pca_32_mse": float(others.mean()),
        "test_kl": kl,
        "test_images": len(faces),
    }
    coders.judge(report, network, dataset)
    report.warn(
        verdicts.worse(errors.numpy(), others.numpy(), f"{COMPONENTS} principal components"),
        verdicts.unused_latents(kl, spec.latent),
    )
    some = coders.spread(len(faces), _SHOWN)
    who = "faces of people held out" if spec.hold_out else "test faces"
    report.draw(
        "reconstructions.png",
        lambda path: coders.save_reconstructions(
            path, faces[some] / 255, rebuilt[some], f"reconstructions of {who}"
        ),
    )
    generator = torch.Generator().manual_seed(spec.seed)
    drawn = network.draw(48, generator)
    coders.draw_samples(report, network.decode, drawn, "generated faces")
    ends = means[coders.spread(len(means), 2 * coders.WALKS)]
    coders.draw_walks(report, network.decode, walks_between(ends))
