"""Speed of style transfer against the `pastiche` command line, to the same loss.

python -m benchmarks.style_transfer --content A.jpg --style B.jpg [--size 320] [--repeat 3]

Both sides run as whole processes, from start to saved PNG, with the same pictures, size, VGG19
weights, layers and weights of the losses: `pastiche` as its own command with the number of steps
given here, cvq's model with the fewest steps, in tens, whose saved picture has at most the loss
of pastiche's. Both saved pictures are read back and judged by one loss function that shares no
code with either side: plain float32, pastiche's own network class, its own way to load a
picture. Then the two loaders of the weights are timed.

The pictures are brought to their working size beforehand, because how they are resized would
decide the comparison: the Gram matrices of a style that was resized with a sharper filter are
another target, twenty times as far away as where either side ends.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.machine import describe

PASTICHE = Path(sys.executable).parent / "pastiche"

# cvq counts its content loss five times as much as pastiche does: 1 there is 0.2 here.
CVQ = """
import sys
from pathlib import Path
from cvq_workers.models.pictures import open_picture
from cvq_workers.models.style_transfer import Options, stylize
content, style, size, steps, out = sys.argv[1:]
options = Options(size=int(size), steps=int(steps), content_weight=0.2, style_weight=1.0)
stylize(open_picture(Path(content)), [open_picture(Path(style))], options).image.save(out)
"""

LOAD_PASTICHE = """
import time
from pastiche.vgg19 import VGG19
started = time.perf_counter()
VGG19.from_quantized_bin({path!r})
print(time.perf_counter() - started)
"""

LOAD_CVQ = """
import time
from cvq_workers.models.vgg import load_vgg19
started = time.perf_counter()
load_vgg19("pastiche", ["conv5_4"])
print(time.perf_counter() - started)
"""


@dataclass(frozen=True)
class Task:
    """What both sides are asked to paint."""

    content: Path
    style: Path
    size: int
    folder: Path

    def pastiche(self, steps: int) -> tuple[Path, float]:
        """Run the command; returns its picture and the seconds of the whole process."""
        out = self.folder / "pastiche.png"
        command = [
            PASTICHE, "--content", self.content, "--styles", self.style, "--output", out,
            "--size", self.size, "--num-steps", steps, "--seed", 0, "--no-verbose",
        ]  # fmt: skip
        return out, seconds(command)

    def cvq(self, steps: int) -> tuple[Path, float]:
        """Run cvq's model in a process of its own; returns picture and seconds."""
        out = self.folder / "cvq.png"
        arguments = [self.content, self.style, self.size, steps, out]
        return out, seconds([sys.executable, "-c", CVQ, *arguments])


def prepared(content: Path, style: Path, size: int, folder: Path) -> Task:
    """Resize both: the content's longest side to `size`, the style to the content's area."""
    from PIL import Image

    with Image.open(content) as image:
        factor = size / max(image.size)
        sides = round(image.width * factor), round(image.height * factor)
        image.convert("RGB").resize(sides, Image.Resampling.LANCZOS).save(folder / "content.png")
    with Image.open(style) as image:
        height = round((sides[0] * sides[1] * image.height / image.width) ** 0.5)
        width = round(image.width / image.height * height)
        resized = image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
        resized.save(folder / "style.png")
    return Task(folder / "content.png", folder / "style.png", size, folder)


@click.command()
@click.option("--content", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--style", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--size", default=320, show_default=True, help="Longest side in pixels.")
@click.option("--steps", default=100, show_default=True, help="Steps that pastiche takes.")
@click.option("--cvq-steps", type=int, help="Steps that cvq takes; default: looked for.")
@click.option("--repeat", default=3, show_default=True, help="Runs of each side; medians count.")
def main(
    content: Path, style: Path, size: int, steps: int, cvq_steps: int | None, repeat: int
) -> None:
    """Print wall times, losses and ratios."""
    print(describe())
    print(f"{content.name} in the style of {style.name}, {size} px, {steps} steps of pastiche")
    with tempfile.TemporaryDirectory(prefix="cvq-") as folder:
        task = prepared(content, style, size, Path(folder))
        judge = Judge(task)
        limit = judge(task.pastiche(steps)[0])
        enough = cvq_steps or next(
            (count for count in range(30, 310, 10) if judge(task.cvq(count)[0]) <= limit), 300
        )
        theirs, ours = [], []
        # Interleaved, so that a busy moment of the machine hits both alike.
        for _ in range(repeat):
            picture, taken = task.pastiche(steps)
            theirs.append((taken, judge(picture)))
            picture, taken = task.cvq(enough)
            ours.append((taken, judge(picture)))
        their_time, their_loss = (
            statistics.median(column) for column in zip(*theirs, strict=True)
        )
        our_time, our_loss = (statistics.median(column) for column in zip(*ours, strict=True))
    print(f"pastiche    {their_time:6.1f} s   loss of the saved picture {their_loss:9.0f}")
    print(f"cvq         {our_time:6.1f} s   loss of the saved picture {our_loss:9.0f}   "
          f"({enough} steps)")  # fmt: skip
    verdict = "at most pastiche's" if our_loss <= their_loss else "ABOVE pastiche's"
    print(f"cvq takes {our_time / their_time:.2f} of the time; its loss is {verdict}")
    _loaders(repeat)


class Judge:
    """The loss of a saved picture: 0.01 x content + 10 / C^2 x style, as pastiche defines it."""

    def __init__(self, task: Task) -> None:
        from pastiche.pastiche import load_image
        from torch import no_grad

        self._task, self._load = task, load_image
        content = load_image(str(task.content), size=task.size)
        height, width = content.shape[2:]
        style = load_image(str(task.style), pixels=height * width)
        self._network = _plain_network()
        with no_grad():
            self._content = self._activations(content)["block4_relu2"]
            self._grams = self._gram_matrices(self._activations(style))

    def __call__(self, path: Path) -> float:
        """Evaluate one saved picture."""
        from torch import no_grad
        from torch.nn.functional import mse_loss

        with no_grad():
            found = self._activations(self._load(str(path)))
            loss = 0.01 * mse_loss(found["block4_relu2"], self._content)
            for name, matrix in self._gram_matrices(found).items():
                loss += 10 / len(matrix) ** 2 * mse_loss(matrix, self._grams[name])
        return float(loss)

    def _activations(self, picture):
        names = [*(f"block{block}_relu1" for block in range(1, 6)), "block4_relu2"]
        return self._network.forward(picture, names)

    @staticmethod
    def _gram_matrices(activations):
        flat = {name: x[0].flatten(1) for name, x in activations.items() if name.endswith("relu1")}
        return {name: x @ x.T / x.shape[1] for name, x in flat.items()}


def _plain_network():
    import torch
    from pastiche.vgg19 import VGG19

    state = torch.load(_weights_file(), weights_only=True)
    return VGG19(
        VGG19.Weights(
            **{
                name: (state[f"{name}_W_table"][state[f"{name}_W_q"].long()], state[f"{name}_b"])
                for name in VGG19.Weights._fields
            }
        )
    )


def _weights_file() -> str:
    import pastiche

    return str(next(Path(pastiche.__file__).parent.glob("vgg19*.bin")))


def _loaders(repeat: int) -> None:
    scripts = {"pastiche": LOAD_PASTICHE.format(path=_weights_file()), "cvq": LOAD_CVQ}
    times: dict[str, list[float]] = {name: [] for name in scripts}
    for _ in range(repeat):
        for name, script in scripts.items():
            done = subprocess.run(
                [sys.executable, "-c", script], capture_output=True, text=True, check=True
            )
            times[name].append(float(done.stdout))
    theirs, ours = statistics.median(times["pastiche"]), statistics.median(times["cvq"])
    print(f"loading the weights, all 16 layers: pastiche {theirs:.2f} s, cvq {ours:.2f} s, "
          f"ratio {ours / theirs:.3f}")  # fmt: skip


def seconds(command: list[object]) -> float:
    """Run a command quietly; returns the wall time of its whole process."""
    started = time.perf_counter()
    subprocess.run([str(word) for word in command], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
