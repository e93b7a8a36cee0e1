"""The kinds of a drawn history: parameters, results and files of each, as SQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.history.words import chance, pick, quoted, share, text

RATES = (0.001, 0.002, 0.003, 0.0003, 0.01, 0.03, 0.1)
METRICS = ("learning_rate", "loss", "val_accuracy", "val_loss")


@dataclass(frozen=True)
class Family:
    """What jobs of some kinds have in common.

    Attributes:
        kinds: each with how many of a hundred jobs it has.
        numbers: parameters that are numbers, by name, as SQL.
        words: those that are texts.
        file: the parameter that is a file, and its name.
        result: numbers of the result.
        said: words of the result.
        headline: the figures that it wants shown first.
        trains: whether its jobs record curves.
    """

    name: str
    kinds: Mapping[str, int]
    numbers: Mapping[str, str]
    words: Mapping[str, str]
    file: tuple[str, str]
    result: Mapping[str, str]
    said: Mapping[str, str] = field(default_factory=dict)
    headline: tuple[str, ...] = ()
    trains: bool = False


TRAINING = Family(
    "train",
    {"fmnist-cnn": 15, "fmnist-mlp": 10, "vae": 8, "colorizer": 7},
    {
        "seed": chance(20, 10), "epochs": pick(21, (10, 5, 20, 50, 100)),
        "batch_size": pick(23, (128, 64, 256, 512)), "learning_rate": pick(25, RATES),
        "weight_decay": pick(27, (0.05, 0.0, 0.01)), "clip": "1.0", "ema": "0.995",
        "patience": chance(29, 5), "val_share": "0.05", "shift_x": chance(30, 3),
        "shift_y": "0", "erase": "0.0", "label_smoothing": pick(31, (0.0, 0.1)),
        "width": pick(33, (32, 16, 64, 128)),
    },
    {
        "preset": pick(40, ("best", "quick")), "optimizer": pick(42, ("adamw", "sgd", "lion")),
        "schedule": pick(44, ("onecycle", "cosine", "constant")), "precision": "'auto'",
        "arch": pick(46, ("cnn", "resnet", "mlp")),
    },
    ("data", pick(48, ("fashion-mnist", "garments", "mnist", "cifar10", "celeba"))),
    {
        "val_accuracy": "round(CAST(d.quality AS NUMERIC), 6)",
        "test_accuracy": "round(CAST(d.quality - 0.01 AS NUMERIC), 6)",
        "seconds": "round(CAST(d.ran AS NUMERIC), 1)",
        "parameters": chance(50, 5_000_000),
    },
    {"device": pick(52, ("cuda", "cpu"))},
    ("val_accuracy", "val_loss", "loss"),
    trains=True,
)  # fmt: skip
CLASSIFY = Family(
    "classify",
    {"classify": 35},
    {"seed": "0", "top": "3"},
    {"exact": "'false'"},
    ("images", "'photo-' || " + text(chance(60, 100_000)) + " || '.png'"),
    {"probability": f"round(CAST({share(62)} AS NUMERIC), 4)"},
    {
        "class": pick(64, ("boot", "shirt", "bag", "coat", "dress")),
        "answer": pick(66, ("boot 93 %", "bag 80 %")),
    },
    ("answer", "class", "probability"),
)
STYLE = Family(
    "style",
    {"style-transfer": 20},
    {
        "seed": chance(70, 10), "size": pick(71, (512, 256, 768)), "steps": pick(73, (150, 300)),
        "content_weight": "1.0", "style_weight": pick(75, (1.0, 10.0, 100.0)),
        "tv_weight": "0.0", "previews": "5",
    },
    {"init": pick(77, ("content", "noise")), "optimizer": "'lbfgs'", "format": "'png'"},
    ("content", "'holiday-' || " + text(chance(79, 5000)) + " || '.jpg'"),
    {"total_loss": f"round(CAST({share(80)} * 100000 AS NUMERIC), 1)", "pictures": "1"},
    {"device": "'cuda'"},
    ("total_loss", "content_loss", "style_loss"),
)  # fmt: skip
CHECKS = Family(
    "check", {"selftest": 5}, {"seed": "0", "steps": pick(90, (5, 10))}, {},
    ("note", "'none.txt'"), {"steps": "5"},
)  # fmt: skip
FAMILIES = (TRAINING, CLASSIFY, STYLE, CHECKS)


def spec_of(family: Family, sha256: str) -> list[tuple[str, str]]:
    """A specification as names and JSON."""
    name, file = family.file
    of_file = f"'{{\"name\":' || {quoted(file)} || ',\"sha256\":' || {quoted(sha256)} || '}}'"
    return [
        *((key, text(value)) for key, value in family.numbers.items()),
        *((key, quoted(value)) for key, value in family.words.items()),
        (name, of_file),
    ]
