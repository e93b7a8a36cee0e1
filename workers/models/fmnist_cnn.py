"""The convolutional network of course section 3, and a small residual one.

Paper:    He et al., "Deep Residual Learning for Image Recognition", CVPR 2016 (`arch="resnet"`),
          in the form of nine layers that trains fast (Page, "How to Train Your ResNet", 2018).
Inputs:   grey pictures of 28 x 28 pixels.
Output:   class probabilities.

What differs from the course, and why:

- Its train step calls zero_grad() between backward() and step(), and so learnt nothing (11.75 %).
  The order is mended here, and a guard stops any training whose first step changes no weight.
- Sideways shifts by up to 10 of 28 pixels push garments out of the picture: on upright, centred
  test pictures they cost a point. The default has small shifts and mirror images instead.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from cvq.context import Context
from cvq.kinds.builtin.fmnist_cnn import CnnSpec

from .classifier import scaled, train_classifier


def course_network(classes: int) -> nn.Module:
    """The course's layers, in its order."""
    return nn.Sequential(
        nn.Conv2d(1, 64, 3),
        nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 3),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(3200, 256),
        nn.ReLU(),
        nn.Linear(256, classes),
    )


def _convolution(inner: int, outer: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inner, outer, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(outer),
        nn.ReLU(inplace=True),
    )


def _halved(inner: int, outer: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inner, outer, 3, padding=1, bias=False),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(outer),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    """Two convolutions beside a straight line: (N, C, H, W) to the same shape."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_convolution(width, width), _convolution(width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Add the branch."""
        out: Tensor = x + self.body(x)
        return out


class ResidualNetwork(nn.Module):
    """Nine layers with weights: most of the work is done at 14 and 7 pixels, where it is cheap."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _convolution(1, width // 2),
            _halved(width // 2, width),
            Residual(width),
            _halved(width, 2 * width),
            Residual(2 * width),
            _convolution(2 * width, 4 * width, stride=2),
        )
        self.head = nn.Linear(4 * width, classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits (N, classes) of pictures (N, 1, 28, 28)."""
        logits: Tensor = self.head(self.body(pictures).amax((2, 3)))
        return logits


def build(spec: CnnSpec, classes: int) -> nn.Module:
    """The network: (N, 1, 28, 28) to logits (N, classes)."""
    return course_network(classes) if spec.arch == "cnn" else ResidualNetwork(spec.width, classes)


def network(spec: CnnSpec, facts: dict[str, Any]) -> nn.Module:
    """The network of a model file, untrained."""
    return scaled(build(spec, len(facts["classes"])), facts)


def run(spec: CnnSpec, ctx: Context) -> dict[str, Any]:
    """Train what a job's specification says."""
    summary = {
        "cnn": "The course's two convolutions and two linear layers.",
        "resnet": "A residual network of nine layers.",
    }[spec.arch]
    return train_classifier("fmnist-cnn", summary, spec, ctx, network)
