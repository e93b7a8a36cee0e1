"""Small pictures to train on, drawn by arithmetic: garments, faces, landscapes, for `cvq samples`.

Light on black like FashionMNIST's garments, grey like the ORL faces, and landscapes in colour, in
which the lightness of a thing and its texture tell its colour, as they do outside; no two are
alike, and the same numbers give the same picture. They show that a command works; what a model is
worth, real data say.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TypeAlias

from PIL import Image, ImageChops, ImageDraw

Points: TypeAlias = Sequence[tuple[float, float]]
Colour: TypeAlias = tuple[int, int, int]

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


def face(person: int, number: int, size: int = 32) -> Image.Image:
    """A person's face, grey; the number is another look and another turn of the same head.

    Features are broad and dark, so that they are much of the picture, and a network that is
    trained for a minute draws them, too.
    """
    who = random.Random(person)  # noqa: S311
    look = random.Random(f"{person} {number}")  # noqa: S311
    width, height = who.uniform(0.25, 0.33), who.uniform(0.34, 0.4)
    apart, eye, brow = who.uniform(0.12, 0.16), who.uniform(0.045, 0.06), who.uniform(0.1, 0.13)
    mouth, fringe, long = who.uniform(0.1, 0.16), who.uniform(0.05, 0.13), who.random() < 0.5
    skin, hair, back = who.randint(150, 225), who.randint(10, 100), who.randint(30, 150)
    shirt = who.randint(20, 230)
    turn, smile, light = look.uniform(-0.03, 0.03), look.uniform(-1, 1), look.uniform(-0.2, 0.2)
    side = 4 * size
    picture = Image.new("L", (2 * side, 2 * side), back)
    canvas = ImageDraw.Draw(picture)

    # The face is the middle of a larger picture, which is turned and cut.
    def place(x: float, y: float) -> tuple[float, float]:
        return side * (x + 0.5), side * (y + 0.5)

    def box(x: float, y: float, dx: float, dy: float) -> list[float]:
        return [*place(x - dx, y - dy), *place(x + dx, y + dy)]

    middle, level, line = 0.5 + turn, 0.48, side // 24
    canvas.ellipse(box(0.5, 1.35, 0.46, 0.5), fill=shirt)
    canvas.ellipse(box(0.5, 0.45, width + 0.07, height + 0.05), fill=hair)
    if long:
        canvas.rectangle(box(0.5, 0.65, width + 0.07, 0.2), fill=hair)
    canvas.rectangle(box(0.5, 0.85, 0.11, 0.12), fill=skin - 35)
    canvas.ellipse(box(0.5, 0.52, width, height), fill=skin)
    canvas.chord(box(0.5, 0.5, width, height), 215, 325, fill=hair)
    canvas.ellipse(box(0.5, 0.5 - height + fringe, width * 0.8, fringe * 0.6), fill=hair)
    for sign in (-1, 1):
        x = middle + sign * apart
        canvas.ellipse(box(x, level, eye * 1.5, eye), fill=245)
        canvas.ellipse(box(x + turn, level, eye * 0.8, eye * 0.9), fill=10)
        canvas.arc(box(x, level - brow + 0.05, 0.08, 0.05), 200, 340, fill=hair, width=line)
    nose = [place(middle + dx, y) for dx, y in ((0, 0.5), (-0.04, 0.62), (0.04, 0.62))]
    canvas.polygon(nose, fill=skin - 50)
    bent = box(middle, 0.74 - 0.05 * smile, mouth, 0.015 + 0.06 * abs(smile))
    canvas.arc(bent, *((0, 180) if smile > 0 else (180, 360)), fill=50, width=line)
    moved = round(look.uniform(-0.07, 0.07) * side), round(look.uniform(-0.05, 0.05) * side)
    picture = picture.rotate(
        look.uniform(-10, 10), Image.Resampling.BILINEAR, translate=moved, fillcolor=back
    )
    edges = (side // 2, side // 2, 3 * side // 2, 3 * side // 2)
    cut = picture.resize((size, size), Image.Resampling.BOX, edges)
    # Lit from one side.
    lamp = Image.linear_gradient("L").rotate(90 if light > 0 else 270).resize((size, size))
    shade = lamp.point([round(255 - abs(light) * value) for value in range(256)])
    return ImageChops.multiply(cut, shade)


def landscape(number: int, size: int = 48) -> Image.Image:
    """Sky above water or meadows, with hills, trees and a red house, in colour."""
    draw = random.Random(f"landscape {number}")  # noqa: S311
    side = 4 * size
    horizon = draw.uniform(0.3, 0.7) * side
    picture = Image.new("RGB", (side, side))
    canvas = ImageDraw.Draw(picture)
    _sky(canvas, draw, side)
    far = [(x * side / 8, horizon - draw.uniform(0, 0.15) * side) for x in range(9)]
    canvas.polygon([(0, side), *far, (side, side)], fill=_tone(draw, (95, 120, 140)))
    water = draw.random() < 0.5
    ground = (75, 125, 150) if water else (140, 150, 70)
    for y in range(round(horizon), side, 4):
        tone = _tone(draw, ground, 14 if water else 8)
        canvas.rectangle([0, y, side, y + 4], fill=tone)
    for _ in range(draw.randint(1, 3)):
        _tree(canvas, draw, draw.uniform(0, side), horizon + draw.uniform(0, 0.3) * side, side)
    if draw.random() < 0.7:
        _house(canvas, draw, draw.uniform(0.1, 0.6) * side, horizon, side)
    return picture.resize((size, size), Image.Resampling.BOX)


def _tone(draw: random.Random, colour: Colour, spread: int = 18) -> Colour:
    """A colour, lighter or darker."""
    by = draw.randint(-spread, spread)
    red, green, blue = (min(255, max(0, value + by)) for value in colour)
    return red, green, blue


def _sky(canvas: ImageDraw.ImageDraw, draw: random.Random, side: int) -> None:
    """Blue above, paler below, with clouds."""
    zenith, haze = _tone(draw, (105, 155, 215)), _tone(draw, (215, 228, 238), 12)
    for y in range(side):
        share = min(1.0, y / (0.6 * side))
        red, green, blue = (round(a + (b - a) * share) for a, b in zip(zenith, haze, strict=True))
        canvas.line([0, y, side, y], fill=(red, green, blue))
    for _ in range(draw.randint(0, 4)):
        left, top = draw.uniform(0, side), draw.uniform(0, 0.35) * side
        for _ in range(6):
            x = left + draw.uniform(-0.12, 0.12) * side
            above = top + draw.uniform(-0.02, 0.02) * side
            r = draw.uniform(0.03, 0.06) * side
            white = _tone(draw, (243, 244, 246), 6)
            canvas.ellipse([x - 2 * r, above - r, x + 2 * r, above + r], fill=white)


def _tree(
    canvas: ImageDraw.ImageDraw, draw: random.Random, x: float, foot: float, side: int
) -> None:
    """A stem, and leaves that are lit from above."""
    wide, high = draw.uniform(0.08, 0.22) * side, draw.uniform(0.25, 0.55) * side
    leaf = draw.choice([(50, 90, 35), (65, 95, 40), (40, 75, 40)])
    stem = [x - side / 60, foot - high / 2, x + side / 60, foot]
    canvas.rectangle(stem, fill=(85, 60, 40))
    for _ in range(90):
        dx, dy = draw.uniform(-1, 1), draw.uniform(-1, 1)
        if dx * dx + dy * dy > 1:
            continue
        r = draw.uniform(0.01, 0.03) * side
        left, top = x + dx * wide, foot - 0.6 * high + dy * 0.45 * high
        lit = round(-22 * dy)
        tone = _tone(draw, (leaf[0] + lit, leaf[1] + lit, leaf[2] + lit // 2), 16)
        canvas.ellipse([left - r, top - r, left + r, top + r], fill=tone)


def _house(
    canvas: ImageDraw.ImageDraw, draw: random.Random, left: float, foot: float, side: int
) -> None:
    """Red walls with pillars and windows under a roof of tiles."""
    wide, high = draw.uniform(0.25, 0.4) * side, draw.uniform(0.15, 0.3) * side
    foot += draw.uniform(0, 0.1) * side
    wall, roof = _tone(draw, (165, 75, 50)), _tone(draw, (150, 110, 75))
    canvas.rectangle([left, foot - high, left + wide, foot], fill=wall)
    for n in range(5):
        x = left + wide * n / 4
        canvas.line([x, foot - high, x, foot], fill=_tone(draw, (120, 40, 30)), width=side // 60)
        if n < 4:
            glass = [x + wide / 12, foot - 0.7 * high, x + wide / 6, foot - 0.3 * high]
            canvas.rectangle(glass, fill=(60, 45, 40))
    eaves, ridge = wide * 0.15, foot - high - 0.12 * side
    for n in range(6):
        y, inset = foot - high - n * 0.02 * side, n * wide * 0.08
        edges = [left - eaves + inset, y - 0.02 * side, left + wide + eaves - inset, y]
        canvas.rectangle(edges, fill=_tone(draw, roof, 14))
    canvas.line([left + wide / 3, ridge, left + 2 * wide / 3, ridge], fill=roof, width=side // 50)


def _drawn(
    paint: Callable[[ImageDraw.ImageDraw, int], None], size: int, background: int
) -> Image.Image:
    """Drawn at four times the size and made smaller, so that edges are soft."""
    picture = Image.new("L", (4 * size, 4 * size), background)
    paint(ImageDraw.Draw(picture), 4 * size)
    return picture.resize((size, size), Image.Resampling.BOX)
