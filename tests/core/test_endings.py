"""What a name's ending says of a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from cvq.endings import FILMS, PAGES, PICTURES, SPELT, TABLES, TEXTS, ending_of, is_picture


@pytest.mark.parametrize(
    ("name", "ending"),
    [("a.png", "png"), ("A.JPG", "jpeg"), ("b/c.tif", "tiff"), ("loss.tar.gz", "gz"), (".png", ""),
     ("b/.png", ""), ("b.d/c", ""), ("c", ""), ("c.", ""), ("", "")],
)  # fmt: skip
def test_an_ending_in_its_usual_spelling(name: str, ending: str) -> None:
    assert ending_of(name) == ending
    assert ending_of(Path("folder.png") / name) == ending or not name


def test_each_ending_says_one_thing() -> None:
    groups = (PICTURES, TABLES, TEXTS, PAGES, FILMS)
    assert len(frozenset().union(*groups)) == sum(map(len, groups))
    assert not SPELT.keys() & SPELT.values()
    assert frozenset().union(*groups) >= set(SPELT.values())
    assert is_picture("x.HEIF")
    assert not is_picture("x.svg")
