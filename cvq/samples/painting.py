"""An oil painting drawn by arithmetic: the style picture that `cvq samples` writes.

A sun sets behind a lake; poplars on the near bank catch its light. The picture is made the way
a painter would make it: `_scene` says which colour belongs where and which way the paint flows
there; `paint` then covers the canvas with thousands of curved, oriented brush strokes, from
broad underpainting to small dabs, and lights the relief that the paint leaves behind.

Brush strokes in layers from coarse to fine follow Hertzmann, "Painterly Rendering with Curved
Brush Strokes of Multiple Sizes" (SIGGRAPH 1998); the flow is the curl of a stream function, as
in Bridson et al., "Curl-Noise for Procedural Fluid Flow" (SIGGRAPH 2007). The composition is
this project's own.

Needs numpy and Pillow (the extra `worker`), so nothing imports this module before it paints.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Plane: TypeAlias = NDArray[np.floating[Any]]
"""Height x width, or height x width x 3 for colours; colours are sRGB in 0..1."""

SKY = ("#12123f", "#1a2a86", "#2058b8", "#2f93b4", "#86b9a6", "#f0b45a", "#f2703f", "#ffc23c")
LAKE = ("#0b1a4a", "#153f86", "#1f6f9a", "#3f9a9c", "#e0a545", "#f47f22", "#ffdc6a")
HILLS = ("#1b1d5c", "#3a2f86", "#7a4a8e", "#c4587a")
BANK = ("#10233a", "#1d4a3c", "#5c7a24", "#c79a1e", "#f0c23a")
LEAVES = ("#1f1747", "#3d2a55", "#8f3420", "#d9661a", "#f0a521", "#ffdb5c")
POPPY = "#ee3a1c"

# Places are parts of the picture's width (x) and height (y); lengths are parts of its height.
HORIZON = 0.62
SUN = (0.36, 0.50)
CLOUDS = (  # x, y, radius, sense of rotation: rolls of cloud, wider than they are high
    (0.57, 0.21, 0.165, 1),
    (0.90, 0.12, 0.090, -1),
    (0.07, 0.41, 0.070, -1),
    (0.22, 0.06, 0.075, 1),
)
POPLARS = (  # x, top, foot, half width
    (0.735, 0.40, 0.88, 0.050),
    (0.830, 0.20, 0.93, 0.072),
    (0.935, 0.33, 0.98, 0.062),
)


@dataclass(frozen=True, slots=True)
class Layer:
    """One pass over the canvas with one brush; lengths are parts of the picture's height."""

    length: float
    thick: float
    jitter: float
    coverage: float = 0.0


LAYERS = (
    Layer(length=0.240, thick=0.0600, jitter=0.08, coverage=3.0),
    Layer(length=0.155, thick=0.0350, jitter=0.10, coverage=2.2),
    Layer(length=0.092, thick=0.0195, jitter=0.12, coverage=2.0),
    Layer(length=0.054, thick=0.0120, jitter=0.14, coverage=0.9),
)
DAB = Layer(length=0.024, thick=0.0150, jitter=0.12)


def paint(width: int, height: int, *, seed: int = 0) -> Image.Image:
    """Paint the evening lake: an RGB picture of `width` x `height` pixels.

    The same seed and size give the same pixels; another seed moves the clouds and every stroke.
    Everything is sized by the picture's height, so a small picture shows the same painting.
    """
    rng = np.random.default_rng(seed)
    scene = _scene(width, height, rng)
    canvas = _Canvas(scene, rng)
    for layer in LAYERS:
        count = int(layer.coverage * width / height / (layer.length * layer.thick))
        for x, y in rng.random((count, 2)):
            canvas.stroke(x, y, layer)
    for x, y in rng.random((110, 2)):
        # Squared: poppies crowd where they are near. They stand on the bank, never in the lake.
        y = 1 - 0.30 * y**2
        if y > _bank_edge(x) + 0.03:
            canvas.stroke(x, y, DAB, _hex(POPPY))
    lit = np.clip(canvas.lit(), 0, 1)
    return Image.fromarray(np.rint(lit * 255).astype(np.uint8))


@dataclass(slots=True)
class _Scene:
    """What to paint: for each pixel its place, its colour and the way (radians) paint flows."""

    x: Plane  # in heights: 0 .. width / height
    u: Plane  # in widths: 0 .. 1
    y: Plane  # in heights: 0 .. 1
    slow: Plane  # noises about -0.5 .. 0.5, from broad to fine
    rough: Plane
    fine: Plane
    color: Plane
    angle: Plane

    def fill(self, inside: NDArray[np.bool_], color: Plane, angle: Plane) -> None:
        """Put a thing in front of what the scene has so far."""
        self.color[inside] = color[inside]
        self.angle[inside] = angle[inside]


def _scene(width: int, height: int, rng: np.random.Generator) -> _Scene:
    """The evening lake, composed from back to front."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / np.float32(height)
    slow = _noise(rng, y.shape, cells=5, octaves=1)
    rough = _noise(rng, y.shape, cells=5, octaves=4)
    fine = _noise(rng, y.shape, cells=22, octaves=2)
    blank = np.zeros((height, width, 3), np.float32)
    scene = _Scene(x, x * height / width, y, slow, rough, fine, blank, np.zeros_like(y))
    _add_sky(scene, width / height)
    _add_hills(scene)
    _add_lake(scene, width / height)
    _add_bank(scene)
    for poplar in POPLARS:
        _add_poplar(scene, width / height, poplar)
    return scene


def _add_sky(s: _Scene, aspect: float) -> None:
    """Rolling clouds, coloured by the same stream function that turns the strokes."""
    from_sun = np.hypot(s.x - SUN[0] * aspect, (s.y - SUN[1]) * 1.1)
    stream = 0.55 * s.y + 0.10 * s.slow + 0.10 * s.x * (s.u - 0.4)
    tone = 0.92 - 0.85 * from_sun - 0.22 * (HORIZON - s.y) + 0.50 * s.slow + 0.10 * s.rough
    for place_x, place_y, radius, sense in CLOUDS:
        dx, dy = (s.x - place_x * aspect) / 1.9, s.y - place_y + 0.22 * (s.x - place_x * aspect)
        r = np.hypot(dx, dy) / radius
        near = np.exp(-((r / 1.2) ** 4))
        arms = np.sin(sense * np.arctan2(dy, dx) - 8.0 * np.sqrt(r + 0.02))
        stream = stream * (1 - near) + near * radius * r
        tone = tone * (1 - 0.55 * near) + near * (0.30 + 0.30 * arms)
    halo = np.exp(-((from_sun / 0.20) ** 2))
    stream = stream * (1 - halo) + halo * from_sun * 1.5
    tone = tone + 0.12 * halo * np.cos(from_sun * 95) + 0.06 * s.fine
    color = _ramp(tone, SKY)
    color[from_sun < 0.062] = _hex("#fff0a8")
    down, right = np.gradient(stream)
    # Paint runs along the stream's contours, as water does: the curl of the stream function.
    s.fill(s.y < HORIZON, color, np.arctan2(-right, down))


def _add_hills(s: _Scene) -> None:
    """Two ranges behind the lake, warmer where they stand near the sun."""
    for base, swing, phase, shade in ((0.055, 0.030, 0.6, 0.30), (0.022, 0.022, 2.6, 0.0)):
        top = base + swing * np.sin(s.u * 7.5 + phase) + 0.02 * np.sin(s.u * 19 + phase)
        glow = 0.75 * np.exp(-(((s.u - SUN[0]) / 0.16) ** 2))
        tone = shade + glow + 0.35 * s.rough + 0.25 * s.fine
        slope = np.arctan(-swing * 7.5 * np.cos(s.u * 7.5 + phase))
        s.fill((s.y > HORIZON - top) & (s.y < HORIZON), _ramp(tone, HILLS), slope + 0.9 * s.rough)


def _add_lake(s: _Scene, aspect: float) -> None:
    """Water: the sky's colours again, broken by ripples, with a road of light under the sun."""
    depth = np.clip((s.y - HORIZON) / (1 - HORIZON), 0, 1)
    ripple = np.sin(90 * depth**0.6 + 5 * s.rough + 2.7 * np.sin(s.x * 5 + 11 * depth))
    from_road = s.x - SUN[0] * aspect + 0.03 * ripple
    road = np.exp(-((from_road / (0.035 + 0.10 * depth)) ** 2))
    tone = 0.40 - 0.30 * depth + 0.12 * ripple + 0.22 * s.rough + 0.1 * s.fine
    tone = tone + road * (0.50 + 0.18 * ripple)
    wave = 0.35 * np.cos(s.x * 9 + 14 * depth) * (0.4 + depth)
    s.fill(s.y >= HORIZON, _ramp(tone, LAKE), wave + 0.4 * s.rough)


def _bank_edge(u: float | Plane) -> Plane:
    """The y where the near bank begins."""
    edge: Plane = 0.93 - 0.19 * u**1.6 + 0.030 * np.sin(u * 6 + 0.5)
    return edge


def _add_bank(s: _Scene) -> None:
    """The near meadow: grass that leans with the wind."""
    below = s.y - _bank_edge(s.u) - 0.012 * s.rough
    furrow = np.sin(30 * below + 7 * s.u + 3 * s.rough)
    tone = 0.48 + 0.20 * furrow + 0.35 * s.rough + 0.25 * s.fine - 0.30 * (s.u - 0.3)
    s.fill(below > 0, _ramp(tone, BANK), -1.15 + 0.7 * s.rough + 0.5 * np.sin(s.u * 8))


def _add_poplar(s: _Scene, aspect: float, poplar: tuple[float, float, float, float]) -> None:
    """One autumn poplar: golden on the sun's side, violet on the other, with a bare stem."""
    place, top, foot, half = poplar
    t = np.clip((s.y - top) / (foot - top), 0, 1)
    axis = place * aspect + 0.018 * np.sin(t * 5 + place * 40)
    crown = np.maximum(np.sin(np.pi * np.minimum(t / 0.86, 1) ** 0.8), 0) ** 0.75
    across = (s.x - axis) / np.maximum(half * crown * (1 + 0.6 * s.fine), 0.008)
    flame = np.sin(across * 5 + t * 26 + 4 * s.rough)
    tone = 0.52 - 0.36 * across + 0.17 * flame + 0.35 * s.fine - 0.55 * t**5
    turn = -np.pi / 2 + 0.65 * across * (0.3 + t) * crown + 0.35 * flame * crown
    inside = (np.abs(across) < 1) & (s.y > top) & (s.y < foot)
    s.fill(inside, _ramp(tone, LEAVES), turn)


class _Canvas:
    """Paint on a ground: its colours and how thick it lies (pixels)."""

    def __init__(self, scene: _Scene, rng: np.random.Generator) -> None:
        self.scene, self.rng = scene, rng
        # Gaps between strokes show a warm ground, as a toned canvas would.
        self.color = 0.8 * scene.color + _hex("#140d08")
        self.thickness = np.zeros_like(scene.angle)
        self.brushes = [_bristles(rng) for _ in range(24)]

    def stroke(self, x: float, y: float, layer: Layer, color: Plane | None = None) -> None:
        """Lay one stroke at (x, y), in parts of width and height; None is the scene's colour."""
        height, width = self.thickness.shape
        row, column = int(y * height), int(x * width)
        color = self.scene.color[row, column] if color is None else color
        size = self.rng.uniform(0.65, 1.15) * height
        length, thick = layer.length * size, max(layer.thick * size, 1.5)
        turn = float(self.scene.angle[row, column]) + self.rng.normal(0, 0.10)
        bend = self._bend(row, column, turn, 0.35 * length)
        first, second = self._mixed(color, layer.jitter), self._mixed(color, 1.6 * layer.jitter)

        reach = length / 2 + thick / 2 + 1
        rows = np.arange(max(int(row - reach), 0), min(int(row + reach) + 1, height))
        columns = np.arange(max(int(column - reach), 0), min(int(column + reach) + 1, width))
        dy, dx = (rows - row).astype(np.float32)[:, None], (columns - column).astype(np.float32)
        c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
        along = c * dx + s * dy
        v = (c * dy - s * dx - np.float32(bend / 2) * along**2) / np.float32(thick / 2)
        u = along / np.float32(length / 2)
        mark = self.brushes[self.rng.integers(len(self.brushes))][
            np.clip((v + 1) * 24, 0, 47).astype(np.intp),
            np.clip((u + 1) * 48, 0, 95).astype(np.intp),
        ]
        # Bristles lift one by one, so the end of a stroke is ragged.
        end = np.clip((1 - np.abs(u) - 0.30 * mark * (u > 0) - 0.3 * v**2) * length / 4, 0, 1)
        alpha = 0.96 * end * np.clip((1 - np.abs(v)) * thick / 2, 0, 1)
        here = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        wet = self.color[here]
        wet += alpha[..., None] * (first + mark[..., None] * (second - first) - wet)
        # The brush pushes paint to its sides and wipes most of what lay there before.
        ridge = thick * (0.35 + 0.50 * mark + 0.35 * v**2)
        self.thickness[here] += alpha * (ridge - 0.75 * self.thickness[here])

    def _bend(self, row: int, column: int, turn: float, step: float) -> float:
        """Curvature (1/pixel) of the flow here: how the angle changes along the stroke."""
        height, width = self.thickness.shape
        dx, dy = step * np.cos(turn), step * np.sin(turn)
        ends = []
        for sign in (-1, 1):
            x = min(max(int(column + sign * dx), 0), width - 1)
            y = min(max(int(row + sign * dy), 0), height - 1)
            # An angle and its opposite are the same stroke: fold into -pi/2..pi/2.
            ends.append((float(self.scene.angle[y, x]) - turn + np.pi / 2) % np.pi - np.pi / 2)
        return float(np.clip((ends[1] - ends[0]) / (2 * step), -0.45 / step, 0.45 / step))

    def _mixed(self, color: Plane, jitter: float) -> Plane:
        """A colour as a hurried painter mixes it: lighter or darker, warmer or cooler."""
        light, warm = self.rng.normal(0, jitter * 0.52, 2)
        shift = np.array((light + warm, light + 0.15 * warm, light - warm), np.float32)
        return np.asarray(np.clip(color + shift, 0, 1))

    def lit(self) -> Plane:
        """The picture under a lamp at the upper left, which the relief of the paint catches."""
        down, right = np.gradient(self.thickness)
        facing = np.tanh(0.5 * (down + right))[..., None]
        return np.asarray(self.color * (1 + 0.28 * facing) + 0.10 * np.maximum(facing - 0.35, 0))


def _bristles(rng: np.random.Generator) -> Plane:
    """One brush's mark in 0..1, 48 (across) x 96 (along): long streaks, some hairs in clumps."""
    mark = 0.6 * _resized(rng.random((24, 5)), 48, 96) + 0.4 * _resized(rng.random((8, 3)), 48, 96)
    return np.asarray((mark - mark.min()) / np.ptp(mark))


def _noise(rng: np.random.Generator, shape: tuple[int, int], cells: int, octaves: int) -> Plane:
    """Smooth noise around 0, about -0.5..0.5, the same at every picture size."""
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        n = cells * 2**octave
        total += _resized(rng.random((n, n)) - 0.5, *shape) * np.float32(0.55**octave)
    return total


def _resized(grid: NDArray[np.float64], height: int, width: int) -> Plane:
    """`grid` stretched smoothly to height x width."""
    image = Image.fromarray(grid.astype(np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))


def _hex(color: str) -> Plane:
    """An sRGB triple in 0..1 from '#rrggbb'."""
    return np.frombuffer(bytes.fromhex(color[1:]), np.uint8).astype(np.float32) / 255


def _ramp(tone: Plane, colors: tuple[str, ...]) -> Plane:
    """Colours along a palette: a tone of 0 is its first colour, 1 its last."""
    stops = np.linspace(0, 1, len(colors))
    table = np.stack([_hex(color) for color in colors])
    return np.stack([np.interp(tone, stops, channel) for channel in table.T], axis=-1)
