"""Neural style transfer: repaint one picture in the style of others.

Paper:    Gatys, Ecker and Bethge, "Image Style Transfer Using Convolutional Neural Networks",
          CVPR 2016 (equations in the comments are its). Colours: Gatys et al., "Preserving
          Color in Neural Artistic Style Transfer", arXiv 1606.05897, section 3 (luminance
          only). Coarse to fine: Gatys et al., "Controlling Perceptual Factors in Neural Style
          Transfer", CVPR 2017, section 6.
Inputs:   a content picture and one or more style pictures of any size.
Output:   one picture, `size` pixels on its longest side, in the content's proportions.
Cost:     a step is one pass through VGG19 and back. At 512 x 384 pixels: 0.4 s on two CPU
          cores with bf16. Memory grows with the pixels: about 1 GB per megapixel in bf16, twice
          that in fp32.

What differs from the paper and from the course, and why:

- The picture is kept in its box, 0..1, while it is optimised. The paper leaves it free, and the
  course cuts it off when saving, which spoils what was optimised: the saved picture then has
  twice the loss that was reported.
- L-BFGS has no line search: one pass a step, and the curvature of the last steps suffices.
  It reaches a given loss two to three times sooner than Adam, which is there on request.
- It starts from the content (the paper starts from noise: `init="noise"`), which needs fewer
  steps to look like it; and it passes through small sizes first, where a step costs a quarter
  and brush strokes grow that the network would be too short-sighted to plan at full size.
- Style losses are divided by the number of Gram entries and Gram matrices by the pixels, content
  losses by the activations, so that loss weights mean the same at every size.
- Max pooling, as VGG19 was trained with; the paper replaced it by averages.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional as F

from cvq.errors import PermanentError
from cvq.kinds.style_transfer import STYLE_LAYERS, StyleTransferSpec

from ..context import Context
from .pictures import open_picture, save_picture, to_image, to_tensor
from .vgg import VGG19, load_vgg19

# With these, weights of 1 and 1 give a painting: VGG19's activations are large.
CONTENT_UNIT = 0.01
STYLE_UNIT = 10.0

COARSEST = 160  # pixels: below, the deepest style layer sees too few places
STEP_RATIO = 1.5  # a scale takes so many more steps than the next finer one
MIN_STYLE_AREA = 64 * 64  # pixels: fewer make poor statistics, however thin the content is

HISTORY = 20  # pairs of steps and gradient changes that L-BFGS remembers
FIRST_STEP = 0.005  # of the range, on average: L-BFGS has no curvature to go by yet
ADAM_RATE = 0.02  # of the range


class Losses(NamedTuple):
    """One evaluation: the weighted total, and its parts before weighting (equation 7)."""

    total: float
    content: float
    style: float
    tv: float


# --- Losses -----------------------------------------------------------------------------------


class Gram(torch.autograd.Function):
    """The Gram matrix of activations (1, C, H, W): (C, C) in fp32, divided by H x W (equation 3).

    Written out because autograd would multiply twice on the way back, for a gradient that is
    symmetric, and in fp32, for a result that is cast down to the activations' type anyway.
    """

    @staticmethod
    def forward(ctx: Any, activations: Tensor) -> Tensor:
        ctx.save_for_backward(activations)
        places = activations.permute(0, 2, 3, 1).flatten(0, 2).float()
        return places.T @ places / len(places)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (activations,) = ctx.saved_tensors
        (gradient,) = gradients
        places = activations.permute(0, 2, 3, 1)
        towards = (gradient + gradient.T) / (places.shape[1] * places.shape[2])
        return (places @ towards.to(places.dtype)).permute(0, 3, 1, 2)


def gram(activations: Tensor) -> Tensor:
    """Return the Gram matrix of activations (1, C, H, W) as (C, C), fp32."""
    matrix: Tensor = Gram.apply(activations)
    return matrix


def total_variation(picture: Tensor) -> Tensor:
    """Return the mean squared difference of neighbouring pixels, in grey levels of 0..255."""
    across, down = picture.diff(dim=3), picture.diff(dim=2)
    return 255**2 * (across.square().sum() + down.square().sum()) / picture.numel()


class Objective:
    """The loss of a picture at one size, with the content's and the styles' sides ready."""

    def __init__(
        self,
        network: VGG19,
        content: Tensor,
        styles: Sequence[Tensor],
        shares: Sequence[float],
        options: Options,
    ) -> None:
        self.network, self.options = network, options
        self.layers = {*options.content_layers, *options.style_layers}
        with torch.no_grad():
            found = self._activations(content)
            self.content = {name: found[name].float() for name in options.content_layers}
            # The weighted losses of several styles have the gradient of one loss against the
            # weighted mean of their Gram matrices, which costs one loss, not many.
            self.style = dict.fromkeys(options.style_layers, torch.zeros(()))
            for style, share in zip(styles, shares, strict=True):
                found = self._activations(style)
                for name in options.style_layers:
                    self.style[name] = self.style[name].to(style) + share * gram(found[name])

    def __call__(self, picture: Tensor) -> tuple[Tensor, Losses]:
        """Evaluate (1, 3 or 1, H, W) in 0..1; returns the total to differentiate, and numbers."""
        found = self._activations(picture)
        content = sum(
            (F.mse_loss(found[name].float(), target) for name, target in self.content.items()),
            start=torch.zeros((), device=picture.device),
        )
        style = sum(
            (
                F.mse_loss(gram(found[name]), target) / len(target) ** 2
                for name, target in self.style.items()
            ),
            start=torch.zeros((), device=picture.device),
        )
        parts = [CONTENT_UNIT * content, STYLE_UNIT * style, total_variation(picture)]
        options = self.options
        weights = options.content_weight, options.style_weight, options.tv_weight
        total = sum((w * part for w, part in zip(weights, parts, strict=True) if w), parts[0] * 0)
        return total, Losses(*torch.stack([total, *parts]).tolist())

    def _activations(self, picture: Tensor) -> dict[str, Tensor]:
        return self.network(picture.expand(-1, 3, -1, -1), self.layers)


# --- Optimisers -------------------------------------------------------------------------------


class BoxLBFGS(torch.optim.Optimizer):
    """L-BFGS without line search for one tensor that is kept in 0..1 (Nocedal 1980).

    A pixel that lies on the edge of its box and would leave it takes no part in the step; the
    steps that are remembered are those really taken, after the box has cut them. (torch's own
    L-BFGS remembers what it wanted to do.)
    """

    def __init__(self, picture: Tensor, lr: float = 1.0) -> None:
        super().__init__([picture], {"lr": lr})
        self.state[picture] = {"moves": [], "changes": []}

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Move the picture along its gradient, which the caller has set."""
        (picture,) = self.param_groups[0]["params"]
        state, gradient = self.state[picture], picture.grad
        if "gradient" in state:
            self._remember(state, picture - state["picture"], gradient - state["gradient"])
        state["picture"], state["gradient"] = picture.clone(), gradient.clone()
        stuck = ((picture <= 0) & (gradient > 0)) | ((picture >= 1) & (gradient < 0))
        direction = self._direction(state, gradient.masked_fill(stuck, 0))
        rate = self.param_groups[0]["lr"]
        picture.sub_(rate * direction.masked_fill(stuck, 0)).clamp_(0, 1)

    @staticmethod
    def _remember(state: dict[str, Any], move: Tensor, change: Tensor) -> None:
        if (move * change).sum() > 1e-10:  # else the curvature is negative, and would mislead
            state["moves"] = [*state["moves"], move][-HISTORY:]
            state["changes"] = [*state["changes"], change][-HISTORY:]

    @staticmethod
    def _direction(state: dict[str, Any], gradient: Tensor) -> Tensor:
        """Multiply by the inverse Hessian that the history tells of: the two-loop recursion."""
        pairs = [(s, y, (s * y).sum()) for s, y in zip(state["moves"], state["changes"], strict=True)]
        if not pairs:
            return gradient * (FIRST_STEP / gradient.abs().mean().clamp(min=1e-12))
        direction, shares = gradient, []
        for move, change, curvature in reversed(pairs):
            shares.append((move * direction).sum() / curvature)
            direction = direction - shares[-1] * change
        move, change, curvature = pairs[-1]
        direction = direction * (curvature / change.square().sum())
        for (move, change, curvature), share in zip(pairs, reversed(shares), strict=True):
            direction = direction + move * (share - (change * direction).sum() / curvature)
        return direction
