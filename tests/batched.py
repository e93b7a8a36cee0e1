"""A kind for tests of batches: it says how bright pictures are, each job some of them."""

from __future__ import annotations

from typing import Annotated, Any

from PIL import Image
from pydantic import Field

from cvq import Argument, ImagesFile, Kind, ModelFile, Spec


class BrightnessSpec(Spec):
    """How bright pictures are."""

    images: Annotated[list[ImagesFile], Argument("IMAGE...")] = Field(
        min_length=1, max_length=1000, description="Pictures to look at."
    )
    scale: float = Field(1.0, gt=0, description="What to multiply with.")
    model: ModelFile | None = Field(None, description="A job to wait for.")


class AddSpec(Spec):
    """Add pairs of numbers."""

    numbers: Annotated[list[float], Argument("NUMBER...")] = Field(min_length=2, max_length=2)


class RepeatSpec(Spec):
    """Say a number again."""

    number: int = 0


class SaySpec(Spec):
    """Say anything again."""

    word: Any = None


class CountSpec(Spec):
    """Say some numbers."""

    number: int = 0
    times: int = Field(5, ge=1)


def run(spec: BrightnessSpec, ctx: Any) -> dict[str, Any]:
    with Image.open(spec.images[0].local_path) as picture:
        low, high = picture.convert("L").getextrema()
    return {"brightness": spec.scale * (low + high) / 2}


def add(spec: AddSpec, ctx: Any) -> dict[str, Any]:
    return {"sum": sum(spec.numbers)}


KINDS = [
    Kind(
        name="brightness", spec=BrightnessSpec, run="batched:run", summary="How bright it is.",
        inference="batched:Brightness", items="images",
    ),
    Kind(
        name="add", spec=AddSpec, run="batched:add", summary="Add numbers.",
        inference="batched:Add", items="numbers",
    ),
    Kind(
        name="repeat", spec=RepeatSpec, run="batched:add", summary="Say a number again.",
        inference="batched:Add", items="number",
    ),
    Kind(
        name="say", spec=SaySpec, run="batched:add", summary="Say anything again.",
        inference="batched:Add", items="word",
    ),
    Kind(
        name="count", spec=CountSpec, run="batched:add", summary="Say some numbers.",
        inference="batched:Add", items="number", many="times",
    ),
]  # fmt: skip
