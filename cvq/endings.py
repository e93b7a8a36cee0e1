"""What a file holds, by what its name ends in: one table for whoever copies, shows or compares."""

from __future__ import annotations

from pathlib import PurePath

# How else an ending is spelt; the usual one of these comes first.
SPELT = {
    "jpg": "jpeg", "jpe": "jpeg", "jfif": "jpeg", "tif": "tiff", "heif": "heic", "yml": "yaml",
    "ndjson": "jsonl", "htm": "html",
}  # fmt: skip
PICTURES = frozenset({
    "png", "jpeg", "gif", "webp", "tiff", "bmp", "avif", "heic", "ppm", "pgm", "pbm", "pnm",
})  # fmt: skip
TABLES = frozenset({"csv", "tsv", "parquet"})
TEXTS = frozenset({"txt", "md", "log", "json", "jsonl", "yaml", "toml"})
PAGES = frozenset({"html", "xml", "svg"})  # texts whose scripts a browser runs
FILMS = frozenset({"mp4", "webm", "mov"})
LINES = TEXTS | PAGES | {"csv", "tsv"}  # what is read line by line


def ending_of(name: str | PurePath) -> str:
    """What a name ends in, in its usual spelling: `jpeg` of `A.JPG`."""
    stem, _, ending = (name if isinstance(name, str) else name.name).rpartition(".")
    if not stem or stem.endswith("/") or "/" in ending:  # a hidden file; a dot in a folder's name
        return ""
    return SPELT.get(ending.lower(), ending.lower())


def spellings_of(ending: str) -> list[str]:
    """An ending, and how else it is spelt most often."""
    return [ending, *[other for other, same in SPELT.items() if same == ending][:1]]


def is_picture(name: str) -> bool:
    """Whether a file of this name is taken for a picture of pixels."""
    return ending_of(name) in PICTURES
