"""Data sets: names, where their files lie on this machine, and how they travel to a job.

A job reads no folder of its worker's machine. What it trains on is brought into the artifact
store when it is submitted, as one zip under its SHA-256: a folder is packed, the same files give
the same zip, and a zip is taken as it stands. `digits` needs no file, scikit-learn carries it.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import InvalidInputError, MissingExtraError, SetupError, UsageError
from ..files import make_home

# A fixed time, so that the same files give the same zip: the first that the format knows.
_EPOCH = (1980, 1, 1, 0, 0, 0)

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class KnownDataset:
    """A data set with a name.

    Attributes:
        name: what `--data` calls it.
        about: one line.
        files: what a folder of it has; any one of these names, with or without `.gz`.
        folders: where it is looked for besides `CVQ_HOME/data/NAME`.
        download: torchvision's class, or the address of an archive and its MD5.
    """

    name: str
    about: str
    files: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    download: str | tuple[str, str] = ""


_IDX = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_CIFAR = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
KNOWN = {
    known.name: known
    for known in (
        KnownDataset("digits", "1,797 digits of 8 x 8 pixels; needs no download (scikit-learn)"),
        KnownDataset(
            "fashion-mnist",
            "70,000 garments of 28 x 28 pixels (Zalando Research, MIT)",
            _IDX,
            ("/usr/share/datasets/fashion-mnist",),
            "FashionMNIST",
        ),
        KnownDataset("mnist", "70,000 digits of 28 x 28 pixels (CC BY-SA 3.0)", _IDX, (), "MNIST"),
        KnownDataset(
            "cifar10",
            "60,000 photographs of 32 x 32 pixels (Krizhevsky 2009)",
            (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"),
            (),
            # The binary form: the usual one is pickled, and cvq reads no pickle.
            (_CIFAR, "c32a1d4ab5d03f1284b67883e8d87530"),
        ),
    )
}


def find(name: str, home: Path) -> Path | None:
    """The folder of a known data set on this machine, or None."""
    known = KNOWN[name]
    for folder in (home / "data" / name, *map(Path, known.folders)):
        if folder.is_dir():
            there = {path.name.removesuffix(".gz") for path in folder.rglob("*")}
            if there.issuperset(known.files):
                return folder
    return None


def fetch(name: str, home: Path) -> Path:
    """Download a known data set into `CVQ_HOME/data/NAME`, with torchvision's own downloader.

    Raises:
        UsageError: there is no such data set.
        MissingExtraError: torchvision is not installed.
        SetupError: it cannot be downloaded; says which files to put where.
    """
    check_name(name)
    known, folder = KNOWN[name], home / "data" / name
    if found := find(name, home):
        return found
    try:
        from torchvision import datasets
        from torchvision.datasets.utils import download_and_extract_archive
    except ModuleNotFoundError:
        raise MissingExtraError("worker", f"downloading {name}") from None
    make_home(home)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if isinstance(known.download, str):
            getattr(datasets, known.download)(str(folder), download=True)
        else:
            address, md5 = known.download
            download_and_extract_archive(address, str(folder), md5=md5)
    except (OSError, RuntimeError) as error:
        raise SetupError(
            f"{name} cannot be downloaded ({error}): {where_to_put(name, home)}"
        ) from error
    if (found := find(name, home)) is None:
        raise SetupError(f"the download of {name} lacks files: {where_to_put(name, home)}")
    return found


def where_to_put(name: str, home: Path) -> str:
    """What to do where there is no network."""
    files = ", ".join(KNOWN[name].files)
    suffix = " (or .gz)" if files and not files.endswith(".bin") else ""
    advice = f"put {files}{suffix} into {home / 'data' / name}"
    if name == "fashion-mnist":
        advice += ", or install Debian's package dataset-fashion-mnist"
    return advice


def check_name(name: str) -> None:
    """Refuse a name that is none.

    Raises:
        UsageError: it is not known, or needs no files.
    """
    if name not in KNOWN:
        raise UsageError(f"no data set '{name}': {', '.join(KNOWN)} are known")
    if not KNOWN[name].files:
        raise UsageError(f"{name} needs no files: `--data {name}` works at once")


def pack(folder: Path, target: Path, progress: Progress | None = None) -> Path:
    """Zip what a job would read of a folder; the same files give the same bytes.

    Raises:
        InvalidInputError: a file cannot be read.
    """
    from .inventory import mark, take  # Pillow, which a submission without data need not load

    found = take(folder)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for number, member in enumerate(found.members, 1):
            entry = zipfile.ZipInfo(member.name, _EPOCH)
            assert isinstance(member.origin, Path)
            try:
                archive.writestr(entry, member.origin.read_bytes())
            except OSError as error:
                raise InvalidInputError(
                    f"{member.origin} cannot be read: {error.strerror}"
                ) from None
            if progress:
                progress(number, len(found.members))
        archive.comment = mark(found.lines())
    return target
