"""Small pictures to train on, drawn by arithmetic: garments and faces, for `cvq samples`.

Light on black like FashionMNIST's garments, and grey like the ORL faces; no two are alike, and
the same numbers give the same picture. They show that a command works; what a model is worth,
real data say.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TypeAlias

from PIL import Image, ImageDraw

Points: TypeAlias = Sequence[tuple[float, float]]

# Outlines in a unit square, y downwards.
GARMENTS: dict[str, Points] = {
    "bag": [(0.15, 0.4), (0.85, 0.4), (0.92, 0.85), (0.08, 0.85)],
    "boot": [
        (0.3, 0.1), (0.58, 0.1), (0.6, 0.55), (0.92, 0.68), (0.95, 0.85), (0.25, 0.85),
    ],
    "dress": [
        (0.38, 0.08), (0.62, 0.08), (0.64, 0.4), (0.82, 0.92), (0.18, 0.92), (0.36, 0.4),
    ],
    "shirt": [
        (0.35, 0.15), (0.65, 0.15), (0.95, 0.35), (0.85, 0.5), (0.7, 0.42), (0.7, 0.88),
        (0.3, 0.88), (0.3, 0.42), (0.15, 0.5), (0.05, 0.35),
    ],
    "trousers": [
        (0.3, 0.08), (0.7, 0.08), (0.76, 0.94), (0.57, 0.94), (0.5, 0.35), (0.43, 0.94),
        (0.24, 0.94),
    ],
}  # fmt: skip


def garment(name: str, number: int, size: int = 28) -> Image.Image:
    """One of the `GARMENTS`, grey, `size` x `size` pixels; another number is another piece."""
    draw = random.Random(f"{name} {number}")  # noqa: S311
    wide, high = draw.uniform(0.8, 1.05), draw.uniform(0.85, 1.05)
    left, down = draw.uniform(-0.05, 0.05), draw.uniform(-0.04, 0.04)
    shade = draw.randint(120, 245)

    def paint(canvas: ImageDraw.ImageDraw, side: int) -> None:
        def place(x: float, y: float) -> tuple[float, float]:
            x += draw.uniform(-0.02, 0.02)
            return side * (0.5 + (x - 0.5) * wide + left), side * (0.5 + (y - 0.5) * high + down)

        canvas.polygon([place(x, y) for x, y in GARMENTS[name]], fill=shade)
        seam = place(0.5, 0.5)
        canvas.line([seam, (seam[0], seam[1] + 0.25 * side)], fill=shade // 2, width=side // 28)
        if name == "bag":
            box = [*place(0.3, 0.15), *place(0.7, 0.65)]
            canvas.arc(box, 180, 360, fill=shade, width=side // 16)

    return _drawn(paint, size, 0)


def face(person: int, number: int, size: int = 64) -> Image.Image:
    """A person's face, grey; the number is another look and another turn of the same head."""
    who = random.Random(person)  # noqa: S311
    look = random.Random(f"{person} {number}")  # noqa: S311
    width, height = who.uniform(0.26, 0.36), who.uniform(0.36, 0.43)
    eyes, eye, brow = who.uniform(0.11, 0.16), who.uniform(0.02, 0.035), who.uniform(0.06, 0.1)
    nose, mouth = who.uniform(0.1, 0.16), who.uniform(0.08, 0.14)
    skin, hair, back = who.randint(140, 225), who.randint(15, 110), who.randint(40, 120)
    turn, nod, smile = look.uniform(-0.05, 0.05), look.uniform(-0.03, 0.03), look.uniform(-1, 1)
    light = look.randint(-15, 15)

    def paint(canvas: ImageDraw.ImageDraw, side: int) -> None:
        def box(x: float, y: float, dx: float, dy: float) -> list[float]:
            return [side * (x - dx), side * (y - dy), side * (x + dx), side * (y + dy)]

        middle, level, line = 0.5 + turn, 0.5 + nod, max(side // 40, 1)
        canvas.ellipse(box(0.5, 0.46, width + 0.06, height + 0.05), fill=hair)
        canvas.ellipse(box(0.5, 0.54, width, height), fill=skin + light)
        for sign in (-1, 1):
            x = middle + sign * eyes
            canvas.ellipse(box(x, level, eye * 1.6, eye), fill=240)
            canvas.ellipse(box(x + turn / 4, level, eye * 0.8, eye * 0.9), fill=20)
            canvas.arc(box(x, level - brow + 0.04, 0.06, 0.04), 200, 340, fill=hair, width=line)
        foot = (side * (middle + turn / 2), side * (level + nose))
        canvas.line([(side * middle, side * level), foot], fill=skin - 45, width=line)
        bent = box(middle, level + nose + 0.1, mouth, 0.01 + 0.05 * abs(smile))
        canvas.arc(bent, *((0, 180) if smile > 0 else (180, 360)), fill=60, width=line)

    return _drawn(paint, size, back)


def _drawn(
    paint: Callable[[ImageDraw.ImageDraw, int], None], size: int, background: int
) -> Image.Image:
    """Drawn at four times the size and made smaller, so that edges are soft."""
    picture = Image.new("L", (4 * size, 4 * size), background)
    paint(ImageDraw.Draw(picture), 4 * size)
    return picture.resize((size, size), Image.Resampling.BOX)
