"""Names of artifacts: one spelling each, and paths of which no two meet."""

from __future__ import annotations

import unicodedata
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cvq.errors import UsageError
from cvq.names import Names, check_labels, safe_name
from cvq.text import UNPRINTABLE

PARTS = st.text(max_size=300) | st.sampled_from(
    ["a", "A", "a-2", "é", "e\u0301", ".", "con", "nul.png", "x. ", "..a", "-rf", "~", "a.", "ﬁ"]
)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("./a.png", "a.png"),
        ("b//c", "b/c"),
        ("a/./b/", "a/b"),
        ("e\u0301.png", "\u00e9.png"),
        ("back\\slash.png", "back\\slash.png"),
        ("half \ud800", "half ?"),
    ],
)
def test_a_name_has_one_spelling(given: str, name: str) -> None:
    assert safe_name(given) == name


@pytest.mark.parametrize("name", ["a\\..\\b", ".", "./", "a" * 301, "x/../y"])
def test_a_name_that_is_none_is_refused_in_a_line(name: str) -> None:
    with pytest.raises(UsageError, match="is not a name for an artifact") as caught:
        safe_name(name)
    assert len(str(caught.value)) < 200


@pytest.mark.slow
@given(st.lists(st.lists(PARTS, min_size=1, max_size=3).map("/".join), max_size=6))
@settings(max_examples=200, suppress_health_check=list(HealthCheck))
def test_every_name_ends_in_a_file_and_no_two_meet(
    tmp_path_factory: pytest.TempPathFactory, given: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("files")
    names = Names()
    placed: list[str] = []
    for text in given:
        try:
            safe_name(text)
        except UsageError:
            continue
        path = names.place(text)
        assert not UNPRINTABLE.search(path)
        assert (folder / path).resolve().is_relative_to(folder)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(str(len(placed)))
        placed.append(path)
    assert [(folder / path).read_text() for path in placed] == [str(i) for i in range(len(placed))]
    folded = {unicodedata.normalize("NFC", path).casefold() for path in placed}
    assert len(folded) == len(placed)
    parents = {str(parent).casefold() for path in placed for parent in PurePosixPath(path).parents}
    assert not folded & parents


def test_the_later_of_two_that_meet_gets_a_number() -> None:
    names = Names()
    given = ["a", "a/b", "A", "a", "x.png", "X.PNG", "x-2.png", "deep/a", "deep", "a/b"]
    assert [names.place(name) for name in given] == [
        "a", "a-2/b", "A-3", "a-4", "x.png", "X-2.PNG", "x-2-2.png", "deep/a", "deep-2", "a-2/b-2",
    ]  # fmt: skip


def test_a_strangers_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("a stranger's")
    assert Names().place("a.png", lambda path: (tmp_path / path).exists()) == "a-2.png"


def test_two_threads_get_no_path_that_meets() -> None:
    names = Names()
    with ThreadPoolExecutor(1) as pool:
        others: list[Future[str]] = []

        def taken(path: str) -> bool:
            """Meanwhile another asks for a name that meets this one."""
            if not others:
                others.append(pool.submit(names.place, "A.png"))
                wait(others, timeout=0.1)
            return False

        assert names.place("a.png", taken) == "a.png"
        assert others[0].result() == "A-2.png"


@pytest.mark.parametrize(
    ("role", "media_type"),
    [("", None), ("r" * 51, None), ("a\x1b[31m", None), ("plot", "m" * 101)],
)
def test_a_label_that_would_be_cut_is_refused(role: str, media_type: str | None) -> None:
    with pytest.raises(UsageError, match=r"artifact a.png: .* is not a (role|media type)"):
        check_labels("a.png", role, media_type)
