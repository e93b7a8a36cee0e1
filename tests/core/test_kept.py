"""Patterns of the files that are kept."""

from __future__ import annotations

import pytest

from cvq.kept import check_pattern, is_kept

CASES = [
    ("out/**", ["out/a", "out/b/c.txt"], ["a", "about/a", "x/out/a"]),
    ("out", ["out/a", "out/b/c"], ["outer/a"]),
    ("./out/", ["out/a"], ["a"]),
    ("*.pt", ["a.pt", ".pt"], ["b/a.pt", "a.pth"]),
    ("**/*.pt", ["a.pt", "b/a.pt", "b/c/a.pt"], ["a.py"]),
    ("a/**/z", ["a/z", "a/b/z", "a/b/c/z", "a/z/q"], ["z", "a/b", "b/a/z"]),
    ("run-[0-9]/*.csv", ["run-1/a.csv"], ["run-x/a.csv", "run-1/b/a.csv"]),
    ("**", ["a", "a/b"], []),
]


@pytest.mark.parametrize(("pattern", "kept", "others"), CASES)
def test_a_pattern_means_names(pattern: str, kept: list[str], others: list[str]) -> None:
    check_pattern(pattern)
    assert [name for name in kept if not is_kept(name, [pattern])] == []
    assert [name for name in others if is_kept(name, [pattern])] == []


@pytest.mark.parametrize("pattern", ["", ".", "/etc/*", "~/a", "../a", "a/../../b", "a\x00"])
def test_a_pattern_that_means_nothing_within_the_folder_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"names no file|leads out"):
        check_pattern(pattern)


def test_a_pattern_of_many_stars_is_matched_at_once() -> None:
    assert not is_kept("/".join("a" * 60), ["/".join(["**", "a"] * 70 + ["b"])])
