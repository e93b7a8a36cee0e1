"""How a data set lies in its files: its form, its parts and its classes, told by names alone.

    IDX          one set of `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and `t10k-…`
    CIFAR-10     one set of `data_batch_1.bin` …, `test_batch.bin`
    pictures     [train|val|test/] a folder for each class, or all in one

What a job could not use is refused, in the same words where it is submitted and where it runs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..endings import is_picture
from ..errors import InvalidInputError
from ..text import count, join
from .inventory import Inventory, Member, folders_of, is_batch, is_idx

PARTS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
_IDX = re.compile(r"^(.*?)(train|t10k|test)[-_.](images|labels)[-.]idx[13]-ubyte(\.gz)?$")


@dataclass(frozen=True)
class PictureEntry:
    """A picture, its part of the split and the folder that says its class, "" for none."""

    member: Member
    part: str
    group: str


@dataclass
class Layout:
    """Where everything is.

    Attributes:
        form: `IDX`, `CIFAR-10` or `pictures`.
        idx: the files by part and `images` or `labels`.
        batches: of CIFAR, by part.
        pictures: in the order of their names.
        notes: what is worth a word.
    """

    form: str
    idx: dict[tuple[str, str], Member] = field(default_factory=dict)
    batches: dict[str, list[Member]] = field(default_factory=dict)
    pictures: list[PictureEntry] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def groups(self) -> list[str]:
        """The class folders, sorted."""
        return sorted({placed.group for placed in self.pictures} - {""})


def lay_out(found: Inventory, called: str) -> Layout:
    """Find out how a data set lies; `called` names it in errors.

    Raises:
        InvalidInputError: there is none, more than one, or no part to train on.
    """
    idx = [member for member in found.members if is_idx(member.name)]
    batches = [member for member in found.members if is_batch(member.name)]
    pictures = [member for member in found.members if is_picture(member.name)]
    forms = {"IDX files": idx, "CIFAR batches": batches, "pictures": pictures}
    there = [
        f"{name} ({join([f or 'at the top' for f in folders_of(members)], 2)})"
        for name, members in forms.items()
        if members
    ]
    if len(there) > 1:
        raise InvalidInputError(
            f"{called} has more than one data set: {' and '.join(there)}; give one of the folders"
        )
    if idx:
        return _idx(idx, called)
    if batches:
        return _cifar(batches, called)
    if pictures:
        return _pictures(pictures, called)
    raise InvalidInputError(f"{called} has no pictures, IDX files or CIFAR batches")


def check_classes(layout: Layout, called: str) -> None:
    """Refuse what a classifier cannot learn from.

    Raises:
        InvalidInputError: no classes, a single one, pictures beside the folders, a class that is
            not in the training part, or one of a single picture.
    """
    if layout.form != "pictures":
        return
    loose = [placed.member.name for placed in layout.pictures if not placed.group]
    if len(loose) == len(layout.pictures):
        raise InvalidInputError(
            f"{called} has no classes: sort the pictures into a folder for each class"
        )
    if loose:
        raise InvalidInputError(
            f"{called} has {count(len(loose), 'picture')} beside the class folders "
            f"({join(loose, 3)}): move them into one, or away"
        )
    parts = {placed.part for placed in layout.pictures}
    sizes = Counter(placed.group for placed in layout.pictures if placed.part == "train")
    if strange := [group for group in layout.groups if group not in sizes]:
        where = sorted({p.part for p in layout.pictures if p.group in strange})
        parts_named = f"the {' and '.join(where)} part{'s' if len(where) > 1 else ''}"
        raise InvalidInputError(f"{called}: {only_in(strange, parts_named)}")
    if len(sizes) < 2:
        raise InvalidInputError(f"{called} has a single class, {layout.groups[0]}: two are needed")
    if parts >= {"val", "test"}:
        return
    if single := sorted(group for group, size in sizes.items() if size == 1):
        have = "has" if len(single) == 1 else "have"
        raise InvalidInputError(
            f"{called}: {_named(single)} {have} a single picture: a class needs two or more, "
            "to learn from and to be tested on"
        )


def only_in(classes: Sequence[object], where: str) -> str:
    """What is wrong with classes that are tested or validated on, and not trained on."""
    one = len(classes) == 1
    return (
        f"{_named(classes)} {'is' if one else 'are'} in {where} only: a network cannot learn "
        f"{'it' if one else 'them'}"
    )


def _named(classes: Sequence[object]) -> str:
    return f"class{'' if len(classes) == 1 else 'es'} {join(classes)}"


def check_groups(layout: Layout, called: str, wanted: Sequence[str]) -> None:
    """Refuse to hold out folders that there are not.

    Raises:
        InvalidInputError: with the folders that there are.
    """
    if not wanted:
        return
    groups = sorted({placed.group for placed in layout.pictures if placed.part == "train"} - {""})
    if not groups:
        raise InvalidInputError(
            f"{called}: nothing can be held out: the pictures lie in no folders"
        )
    missing = sorted(set(wanted) - set(groups))
    if missing and not wanted[0].endswith("%"):
        no = "is no folder" if len(missing) == 1 else "are no folders"
        raise InvalidInputError(
            f"{called}: there {no} {join(missing)} to hold out, but {join(groups)}"
        )
    if set(wanted) == set(groups):
        raise InvalidInputError(f"{called}: all folders are held out: none is left to train on")


# --- IDX and CIFAR ------------------------------------------------------------------------------


def _idx(members: list[Member], called: str) -> Layout:
    layout, odd, sets = Layout("IDX"), [], dict[str, None]()
    for member in members:
        match = _IDX.match(member.name.rpartition("/")[2].lower())
        if not match:
            odd.append(member.name)
            continue
        folder = "/".join(part for part in member.folder.split("/") if part.lower() not in PARTS)
        sets[f"{folder}/{match[1]}".strip("/-_. ") or "the top folder"] = None
        part = "train" if match[2] == "train" else "test"
        # Where a file lies there packed and unpacked, either will do.
        layout.idx.setdefault((part, match[3]), member)
    if len(sets) > 1:
        raise InvalidInputError(
            f"{called} has more than one data set: IDX files in {join(list(sets))}; give one "
            "of the folders"
        )
    if odd:
        layout.notes.append(
            f"left out: {count(len(odd), 'file')} (IDX, but no part of a set): {join(odd)}"
        )
    if ("train", "images") not in layout.idx:
        raise InvalidInputError(
            f"{called} has IDX files, but no train-images-idx3-ubyte among them"
        )
    for part, what in layout.idx:
        if what == "images" and (part, "labels") not in layout.idx:
            name = layout.idx[part, "images"].name
            raise InvalidInputError(f"{called}: {name}: the labels beside it are missing")
    return layout


def _cifar(members: list[Member], called: str) -> Layout:
    folders = list(folders_of(members))
    if len(folders) > 1:
        shown = join([folder or "the top folder" for folder in folders])
        raise InvalidInputError(
            f"{called} has more than one data set: CIFAR batches in {shown}; give one of the "
            "folders"
        )
    layout = Layout("CIFAR-10")
    for part, word in (("train", "data_batch"), ("test", "test_batch")):
        if chosen := [member for member in members if word in member.name.lower()]:
            layout.batches[part] = chosen
    if "train" not in layout.batches:
        raise InvalidInputError(f"{called}: there is no data_batch_1.bin among the CIFAR batches")
    if (number := len(layout.batches["train"])) != 5:
        are = "is" if number == 1 else "are"
        layout.notes.append(f"of CIFAR's five batches to train on, {number} {are} there")
    every = [member for batches in layout.batches.values() for member in batches]
    if bad := [member for member in every if not member.bytes or member.bytes % 3073]:
        raise InvalidInputError(
            f"{called}: {bad[0].name} has {bad[0].bytes} bytes, no multiple of 3073: is it cut "
            "off?"
        )
    return layout


# --- Folders of pictures ------------------------------------------------------------------------


def _pictures(members: list[Member], called: str) -> Layout:
    layout = Layout("pictures")
    below = _below_top([member.name for member in members])
    split = _is_split(below, called, layout.notes)
    for member, path in zip(members, below, strict=True):
        folders = path.split("/")[:-1]
        part = PARTS[folders.pop(0).lower()] if split else "train"
        layout.pictures.append(PictureEntry(member, part, folders[0] if folders else ""))
    parts = {placed.part for placed in layout.pictures}
    if "train" not in parts:
        raise InvalidInputError(
            f"{called} has no pictures to train on, only a {' and a '.join(sorted(parts))} part"
        )
    return layout


def _is_split(paths: list[str], called: str, notes: list[str]) -> bool:
    """Whether the top folders are the parts of a split, and not classes of the same names."""
    tops = dict.fromkeys(path.partition("/")[0] if "/" in path else "" for path in paths)
    named = [top for top in tops if top.lower() in PARTS]
    others = [top for top in tops if top.lower() not in PARTS]
    if not named or not others:
        return bool(named)
    # A part holds folders of classes; a class of that name holds pictures.
    deep = sorted({p.partition("/")[0] for p in paths if p.count("/") > 1} & set(named))
    beside = join([f"{other}/" if other else "pictures" for other in others], 3)
    if deep:
        raise InvalidInputError(
            f"{called} has {join([f'{top}/' for top in named])} and beside it {beside}: parts "
            "of a split, or classes? Move what does not belong to the set away"
        )
    if others == [""]:
        raise InvalidInputError(
            f"{called} has {join([f'{top}/' for top in named])} and pictures beside it: move "
            "them into a part, or away"
        )
    lie = "lies" if len(others) == 1 else "lie"
    notes.append(
        f"{join([f'{top}/' for top in named])} taken for a class, as {beside} {lie} beside it"
    )
    return False


def _below_top(paths: list[str]) -> list[str]:
    """Paths without folders that all of them share, up to one that names a part."""
    while True:
        tops = {path.partition("/")[0] if "/" in path else None for path in paths}
        top = tops.pop() if len(tops) == 1 else None
        if top is None or top.lower() in PARTS:
            return paths
        inner = [path.partition("/")[2] for path in paths]
        if not any("/" in path for path in inner) and len(inner) > 1:
            return inner  # a flat folder within a folder
        paths = inner
