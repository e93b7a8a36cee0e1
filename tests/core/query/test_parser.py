"""The language of queries: what it reads, and that all else is refused with its place."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cvq.errors import UsageError
from cvq.query.keys import Key, parse_order
from cvq.query.parser import parse
from cvq.query.place import Place, QueryError
from cvq.query.tree import All, Among, Comparison, Field, Like, Literal, Missing, Not, Some

ONE = Literal("1", 1.0)


def compared(name: str, sign: str, text: str, number: float | None = None) -> Comparison:
    return Comparison(Field(name), sign, Literal(text, number))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("val_accuracy>0.9", compared("val_accuracy", ">", "0.9", 0.9)),
        ("loss <= 1e-3", compared("loss", "<=", "1e-3", 0.001)),
        ("a/b.c-d!=-2", compared("a/b.c-d", "!=", "-2", -2.0)),
        ("x==1", compared("x", "=", "1", 1.0)),
        ("x <> 1", compared("x", "!=", "1", 1.0)),
        ("x<inf", compared("x", "<", "inf", math.inf)),
        ("top-5 acc>0.5", compared("top-5 acc", ">", "0.5", 0.5)),
        ("time in ms > 5", compared("time in ms", ">", "5", 5.0)),
        ("kind = vae", compared("kind", "=", "vae")),
        ("duration>2h", compared("duration", ">", "2h")),
        ("'f(x)' > 1", Comparison(Field("f(x)", quoted=True), ">", ONE)),
        (r'"a\"b"="x y"', Comparison(Field('a"b', quoted=True), "=", Literal("x y", quoted=True))),
        ("metrics.`a b` > 1", Comparison(Field("a b", "metrics", quoted=True), ">", ONE)),
        ("result.per class.shoe>1", Comparison(Field("per class.shoe", "result"), ">", ONE)),
        ("Best( metrics.loss )<1", Comparison(Field("loss", "metrics", "best"), "<", ONE)),
        ("tags.set like 'a%'", Like(Field("set", "tags"), Literal("a%", quoted=True))),
        ("name NOT LIKE b_", Not(Like(Field("name"), Literal("b_")))),
        ("x in (1,b)", Among(Field("x"), (ONE, Literal("b")))),
        ("x not in(1)", Not(Among(Field("x"), (ONE,)))),
        ("note is null", Missing(Field("note"))),
        ("params.lr is not null", Not(Missing(Field("lr", "params")))),
    ],
)  # fmt: skip
def test_tests(text: str, expected: object) -> None:
    assert parse(text) == expected


def test_and_binds_closer_than_or_and_not_closest() -> None:
    a, b, c = (compared(name, ">", "1", 1.0) for name in "abc")
    assert parse("a>1 or b>1 and c>1") == Some((a, All((b, c))))
    assert parse("(a>1 or b>1)and c>1") == All((Some((a, b)), c))
    assert parse("not a>1 AND b>1") == All((Not(a), b))
    assert parse("not(a>1 and not b>1)") == Not(All((a, Not(b))))
    assert parse("((a>1))") == a


@pytest.mark.parametrize(
    ("text", "message", "marked"),
    [
        ("", "expected a name", ""),
        ("x", "expected a sign", ""),
        (">1", "expected a name", ">"),
        ("x>", "expected a value, and nothing follows", ""),
        ("x=>1", "expected a value", ">"),
        ("x>1>2", "expected 'and' or 'or'", ">"),
        ("x>1 y", "expected 'and' or 'or'", "y"),
        ("x>nan", "write 'is null'", "nan"),
        ("x = null", "write 'is null'", "null"),
        ("(x>1", "closing parenthesis", ""),
        ("x>1)", "no parenthesis is open", ")"),
        ("x>1 and", "expected a name", ""),
        ("a and b>1", "expected a sign", "and"),
        ("x in (1 2)", "expected a comma", "2"),
        ("bst(loss)>1", "there are value, last, min, max and best: did you mean 'best'?", "bst"),
        ("best(params.lr)>1", "asked of metrics and results", "best(params.lr)"),
        ("state=runing", "no state is called 'runing': did you mean 'running'?", "runing"),
        ("priority=high", "priority is a whole number", "high"),
        ("duration>2y", "'2y' is not a duration", "2y"),
        ("finished > 2026-02-30", "'2026-02-30' is not a time", "2026-02-30"),
        ("id like 3", "'like' is asked of texts", "id"),
        ('"" > 1', "at least one character", '""'),
        ('x = "a', "this quote is not closed", '"'),
        ("(" * 60 + "x>1" + ")" * 60, "more than 50 parentheses", "("),
        ("not " * 60 + "x>1", "more than 50", "not"),
        (" or ".join(["x>1"] * 201), "more than 200 conditions", "x"),
        ("x>1 or " * 1000, "longer than 4000 characters", "x"),
    ],
)
def test_what_is_wrong_is_pointed_at(text: str, message: str, marked: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(text)
    first, shown, carets = str(caught.value).splitlines()
    assert message in first
    assert carets.count("^") == max(1, len(marked)), "the place has as many carets"
    start = carets.index("^")
    assert shown[start : start + len(marked)] == marked
    assert max(map(len, (shown, carets))) <= 40, "it fits the narrowest terminal"


def test_a_caret_stands_below_wide_and_unprintable_characters() -> None:
    text = "損失\t\x1b >> 1"
    drawn = Place(text, text.index(">") + 1, text.index(">") + 2).drawn()
    assert drawn == "  損失 ? >> 1\n          ^"


_WORDS = [
    "and", "or", "not", "in", "like", "is", "null", "(", ")", ",", "=", "!=", "<", ">=", "==",
    "x", "loss", "metrics.", "params.lr", "tags.", "best(", "duration", "finished", "state", "id",
    "1", "-2.5", "1e999", "nan", "2h", "today", "'", '"', "`", "\\", "%", "*", ";--", "\x00", "\n",
    "損", "é", "\ud800", "running", ".",
]  # fmt: skip
anything = st.one_of(
    st.text(max_size=40), st.lists(st.sampled_from(_WORDS), max_size=14).map(" ".join),
    st.lists(st.sampled_from(_WORDS), max_size=9).map("".join),
)  # fmt: skip


@given(anything)
@example("x>" + "9" * 400)
@example("finished > " + "9" * 30)
@example("duration > 1e999")
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (parse, parse_order):
        with contextlib.suppress(UsageError):
            read(text)


@given(
    st.from_regex(r"[a-z_]\w{0,10}", fullmatch=True),
    st.sampled_from(["<", "<=", ">", ">=", "!=", "="]),
    st.floats(allow_nan=False),
)
def test_a_comparison_survives_being_written(name: str, sign: str, value: float) -> None:
    assert parse(f'"{name}"{sign}{value!r}') == Comparison(
        Field(name, quoted=True), sign, Literal(repr(value), value)
    )


def test_keys_to_sort_by() -> None:
    assert parse_order("-val_accuracy") == (Key(Field("val_accuracy"), falling=True),)
    assert parse_order("kind, -best(loss),'a,b'") == (
        Key(Field("kind")),
        Key(Field("loss", of="best"), falling=True),
        Key(Field("a,b", quoted=True)),
    )
    for wrong in ("", "-", "a>1", "kind,,", "a,b,c,d,e,f", "best(loss", "loss)"):
        with pytest.raises(QueryError):
            parse_order(wrong)
