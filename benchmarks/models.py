"""What the course's models reach on this machine, and how fast, against the course's own code.

python -m benchmarks.models --mnist DIR --cifar10 ZIP --faces ZIP [--only NAME,...] [--json FILE]

Every row is a job's own `run`, in a process of its own, with the seed given here and the official
test part (faces: persons held out; CIFAR-10: a tenth drawn by the seed, where there is no test
part). FashionMNIST is looked for where `cvq data list` looks. The last rows compare speeds in one
run: a training epoch against the course's loop with the order of its step mended, and the shift
against albumentations.
"""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from benchmarks.machine import apart, describe
from cvq import LocalContext
from cvq_workers.launch.environment import job_environment

Row = tuple[str, str, str, str]
_WARM = 10  # steps that are not timed


class Bench:
    """Where the data is; packs folders once, and runs kinds."""

    def __init__(self, sources: dict[str, Path | None], out: Path, seed: int) -> None:
        from cvq.datasets import pack

        self.out, self.seed, self.zips = out, seed, {}
        for name, path in sources.items():
            if path is not None:
                self.zips[name] = path
                if path.is_dir():
                    self.zips[name] = pack(path, out / f"{name}.zip")

    def job(self, name: str, kind: str, data: str | None = None, **values: Any) -> dict[str, Any]:
        """The result of a kind's `run`, with `total_seconds` of the whole process."""
        if data is not None:
            values["data"] = {"name": data, "path": str(self.zips[data])}
        values.setdefault("seed", self.seed)
        started = time.perf_counter()
        result: dict[str, Any] = apart(
            run_kind, kind, values, self.out / name, self.out, environment=job_environment()
        )
        return {**result, "total_seconds": time.perf_counter() - started}


def run_kind(kind: str, values: dict[str, Any], folder: Path, shared: Path) -> dict[str, Any]:
    """Run a kind as a job process would."""
    import torch

    logging.disable()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    ctx = LocalContext(folder, cache=shared / "cache", checkpoint_every=math.inf)
    return dict(ctx.run(kind, **values))


def percent(value: float) -> str:
    """A share in percent."""
    return f"{100 * value:.2f} %"


def accuracy(must: str, beyond: str, **values: Any) -> Callable[[Bench, str], Row]:
    """A classifier's row."""

    def measure(bench: Bench, name: str) -> Row:
        found = bench.job(name, data="fashion-mnist", **values)
        seconds = f"{found['total_seconds']:.0f} s"
        return percent(found["test_accuracy"]), must, beyond, seconds

    return measure


def mean_squared(bench: Bench, name: str, **values: Any) -> Row:
    """An autoencoder's row."""
    found = bench.job(name, "autoencoder", "mnist", latent=3, epochs=5, **values)
    return f"{found['test_mse']:.4f}", "≤ 0.130", "0.115", f"{found['total_seconds']:.0f} s"


def nats(latent: int, must: str, beyond: str, **values: Any) -> Callable[[Bench, str], Row]:
    """A variational autoencoder's row."""

    def measure(bench: Bench, name: str) -> Row:
        found = bench.job(name, "vae", "mnist", latent=latent, epochs=10, **values)
        seconds = f"{found['total_seconds']:.0f} s"
        return f"{found['test_negative_elbo']:.2f} nats", must, beyond, seconds

    return measure


def sums(bench: Bench, name: str) -> Row:
    """Twenty seeds of the sum regressor."""
    found = [bench.job(name, "sum-regressor", seed=seed) for seed in range(20)]
    worst = max(each["largest_error"] for each in found)
    distant = max(each["distant_error"] for each in found)
    good = sum(each["largest_error"] < 0.01 for each in found)
    fine = sum(each["largest_error"] < 1e-4 for each in found)
    trained = [each["train_seconds"] for each in found]
    seconds = f"{statistics.median(trained):.2f} s, at most {max(trained):.2f} s (training)"
    shown = (
        f"{good} of 20 within 0.01, {fine} within 1e-4; worst {worst:.1e}; at ±1000 {distant:.2%}"
    )
    return shown, "20 of 20 within 0.01", "1e-4; 1 % at ±1000", seconds


def faces(bench: Bench, name: str) -> Row:
    """Persons held out."""
    found = bench.job(name, "face-vae", "faces", hold_out=["s37", "s38", "s39", "s40"])
    shown = f"{found['test_mse']:.4f} (32 principal components {found['pca_32_mse']:.4f})"
    return shown, "≤ 0.0058", "0.0034", f"{found['total_seconds']:.0f} s"


def colours(bench: Bench, name: str) -> Row:
    """Squared error under the grey copy, and chroma."""
    found = bench.job(name, "colorizer", "cifar10")
    shown = (
        f"{found['test_mse_under_grey']:.1%} under grey, "
        f"{found['test_chroma_share']:.1%} of the chroma"
    )
    return shown, "10 % and 50 %", "25 % and 70 %", f"{found['total_seconds']:.0f} s"


ROWS: dict[str, Callable[[Bench, str], Row]] = {
    "sum-regressor": sums,
    "fmnist-mlp": accuracy("≥ 88.5 %", "90 %", kind="fmnist-mlp", epochs=5),
    "fmnist-cnn-5": accuracy("≥ 90.5 %", "92 %", kind="fmnist-cnn", epochs=5),
    "fmnist-cnn-15": accuracy(
        "≥ 92.2 %", "93.5 %", kind="fmnist-cnn", epochs=15, erase=0.25, shift_x=1, shift_y=1
    ),
    "fmnist-rnn": accuracy("≥ 88.5 %", "90.5 %", kind="fmnist-rnn", epochs=5),
    "autoencoder": mean_squared,
    "autoencoder-conv": lambda bench, name: mean_squared(bench, name, arch="conv"),
    "vae-3": nats(3, "≤ 129", "125"),
    "vae-3-conv": nats(3, "≤ 129", "125", arch="conv"),
    "vae-20": nats(20, "≤ 103", "98"),
    "vae-20-conv": nats(20, "≤ 103", "98", arch="conv"),
    "face-vae": faces,
    "colorizer": colours,
    "fmnist-resnet": accuracy("≥ 93.5 %", "95 %", kind="fmnist-cnn", arch="resnet"),
}


# --- Speed against the course's own code --------------------------------------------------------


def course_epoch(zipped: Path) -> float:
    """Seconds of an epoch of the course's loop, zero_grad moved before backward."""
    import albumentations
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, Dataset

    images, labels = garments(zipped)
    shift = albumentations.Compose(
        [albumentations.Affine(translate_px={"x": (-10, 10), "y": (0, 0)}, p=1.0)]
    )

    class Garments(Dataset[Any]):
        def __len__(self) -> int:
            return len(images)

        def __getitem__(self, index: int) -> Any:
            picture = shift(image=images[index])["image"]
            return torch.tensor(picture / 255.0).view(1, 28, 28).float(), labels[index]

    network = nn.Sequential(
        nn.Conv2d(1, 64, 3), nn.MaxPool2d(2), nn.Conv2d(64, 128, 3), nn.MaxPool2d(2), nn.ReLU(),
        nn.Flatten(), nn.Linear(3200, 256), nn.ReLU(), nn.Linear(256, 10),
    )  # fmt: skip
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    loader = DataLoader(Garments(), batch_size=64, shuffle=True)
    for number, (pictures, classes) in enumerate(loader):
        if number == _WARM:
            started = time.perf_counter()
        loss = nn.functional.cross_entropy(network(pictures), classes)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return (time.perf_counter() - started) * len(loader) / (len(loader) - _WARM)


def cvq_epoch(zipped: Path) -> float:
    """Seconds of an epoch of cvq's loop: the same network, batch, augmentation and optimiser."""
    import torch

    from cvq.kinds.builtin.fmnist_cnn import CnnSpec
    from cvq_workers.models import classifier, fmnist_cnn
    from cvq_workers.training.augment import random_shift
    from cvq_workers.training.loop import Samples, train

    logging.disable()

    def samples(images: Any, labels: Any) -> Samples:
        return Samples(torch.from_numpy(images)[:, None], torch.from_numpy(labels))

    images, labels = garments(zipped)
    validation = samples(images[:64], labels[:64])
    for count in (_WARM, len(images) // 64):  # the first steps choose how to compute
        network = classifier.Scaled(fmnist_cnn.course_network(10), 0.0, 255.0)
        training = samples(images[: count * 64], labels[: count * 64])
        started = time.perf_counter()
        train(
            network, training, validation, classifier.measuring(0.0),
            CnnSpec(preset="course", epochs=1),
            LocalContext(tempfile.mkdtemp(), checkpoint_every=math.inf),
            augment=random_shift(10, 0), classes=tuple(map(str, range(10))),
        )  # fmt: skip
    return time.perf_counter() - started


def garments(zipped: Path) -> tuple[Any, Any]:
    """FashionMNIST's training pictures (N, 28, 28) and labels."""
    from cvq.datasets.reading import read

    raw = read(zipped, channels=1, name="fashion-mnist").parts["train"]
    return raw.images[:, 0].copy(), raw.labels


def shift_seconds(zipped: Path, count: int) -> tuple[float, float]:
    """Seconds a picture: albumentations one by one, and the tensor operation on batches of 64."""
    import albumentations
    import torch

    from cvq_workers.training.augment import random_shift

    images, _ = garments(zipped)
    affine = albumentations.Affine(translate_px={"x": (-10, 10), "y": (0, 0)}, p=1.0)
    started = time.perf_counter()
    for image in images[:count]:
        affine(image=image)
    one_by_one = (time.perf_counter() - started) / count
    operation, generator = random_shift(10, 0), torch.Generator()
    batches = torch.split(torch.from_numpy(images)[:, None], 64)
    operation(batches[0], generator)
    started = time.perf_counter()
    for batch in batches[:-1]:
        operation(batch, generator)
    return one_by_one, (time.perf_counter() - started) / (64 * (len(batches) - 1))


def speeds(zipped: Path, repeat: int) -> list[Row]:
    """An epoch of the same network, course and cvq in turns; and the shift alone.

    Each in a process of its own: the course's with this one's environment, cvq's with that of its
    jobs.
    """
    plain = {"NO_ALBUMENTATIONS_UPDATE": "1", **os.environ}
    jobs = job_environment()
    ratios, ours = [], []
    for _ in range(repeat):
        theirs = apart(course_epoch, zipped, environment=plain)
        ours.append(apart(cvq_epoch, zipped, environment=jobs))
        ratios.append(theirs / ours[-1])
    one_by_one, together = apart(shift_seconds, zipped, 4000, environment=jobs)
    epoch = f"{statistics.median(ours):.1f} s an epoch"
    shown = f"{one_by_one * 1e6:.0f} µs against {together * 1e6:.2f} µs"
    return [
        (f"{statistics.median(ratios):.1f} times faster", "2.5 times", "5 times", epoch),
        (f"{one_by_one / together:.0f} times faster", "50 times", "-", shown),
    ]


@click.command()
@click.option("--fashion-mnist", type=click.Path(path_type=Path), help="Default: as found.")
@click.option("--mnist", type=click.Path(path_type=Path), help="A folder of IDX files.")
@click.option("--cifar10", type=click.Path(path_type=Path), help="A folder or zip of pictures.")
@click.option("--faces", "orl", type=click.Path(path_type=Path), help="A zip of the ORL faces.")
@click.option("--only", default="", help="Rows to measure, separated by commas.")
@click.option("--seed", default=0, show_default=True)
@click.option("--repeat", default=3, show_default=True, help="Rounds of the speed comparison.")
@click.option("--keep", type=click.Path(path_type=Path), help="Folder to keep the files in.")
def main(
    fashion_mnist: Path | None,
    mnist: Path | None,
    cifar10: Path | None,
    orl: Path | None,
    only: str,
    seed: int,
    repeat: int,
    keep: Path | None,
) -> None:
    """Print a row for each model: what was reached, the targets, the time."""
    from cvq.datasets import find

    out = keep or Path(tempfile.mkdtemp(prefix="cvq-models-"))
    out.mkdir(parents=True, exist_ok=True)
    garments = fashion_mnist or find("fashion-mnist", Path("/nowhere"))
    sources = {"fashion-mnist": garments, "mnist": mnist, "cifar10": cifar10, "faces": orl}
    bench = Bench(sources, out, seed)
    wanted = [name for name in only.split(",") if name] or [*ROWS, "speed"]
    click.echo(describe())
    click.echo("| model | reached | must | beyond | time |\n|---|---|---|---|---|")
    results = {}
    for name in wanted:
        try:
            rows = (
                speeds(bench.zips["fashion-mnist"], repeat)
                if name == "speed"
                else [ROWS[name](bench, name)]
            )
        except KeyError as error:
            click.echo(f"| {name} | not measured: no data {error} | | | |")
            continue
        for number, row in enumerate(rows):
            title = name if name != "speed" else ("training epoch", "shift of a picture")[number]
            click.echo(f"| {title} | " + " | ".join(row) + " |")
            results[title] = row
    (out / "models.json").write_text(json.dumps(results, indent=2, ensure_ascii=False))
    if keep is None:
        shutil.rmtree(out)


if __name__ == "__main__":
    main()
