"""Reads a query by recursive descent. Nothing of it is ever run.

any        = all { "or" all }
all        = one { "and" one }
one        = "not" one | "(" any ")" | test
test       = field ( sign value
                   | ["not"] "in" "(" value { "," value } ")"
                   | ["not"] "like" value
                   | "is" ["not"] "null" )
field      = function "(" name ")" | name
name       = [ "metrics." | "params." | "tags." | "result." ] ( quoted | word { word } )
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from ..text import join, nearest
from .columns import COLUMNS, FUNCTIONS, SOURCES, column_of, read
from .place import Place, QueryError
from .tree import (
    All,
    Among,
    Comparison,
    Condition,
    Field,
    Like,
    Literal,
    Missing,
    Not,
    Some,
)

_LONGEST = 4000  # characters
_DEEPEST = 50  # parentheses and nots
_MOST_TERMS = 200
MOST_VALUES = 200  # SQLite takes no expression that is deeper than 1,000
_SPACE = re.compile(r"\s*")
_QUOTED = r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'"""
_QUOTED_NAME = re.compile(rf"(?:{_QUOTED}|`[^`]*`)", re.DOTALL)
_QUOTED_VALUE = re.compile(_QUOTED, re.DOTALL)
_WORD = re.compile(r"""[^\s<>=!"'`()]+""")
_VALUE = re.compile(r"""[^\s<>=!"'`(),]+""")
_SIGN = re.compile(r"<=|>=|!=|<>|==|=|<|>")
_IN, _LIKE = re.compile(r"(not\s+)?in\s*\(", re.I), re.compile(r"(not\s+)?like(?!\w)", re.I)
_IS = re.compile(r"is\s+(not\s+)?null(?!\w)", re.I)
_TESTS = (_SIGN, _IN, _LIKE, _IS)
_JOINS = re.compile(r"(?:and|or|not)(?![^\s()])", re.I)
_AND, _OR, _NOT = (re.compile(rf"{word}(?![^\s(])", re.I) for word in ("and", "or", "not"))
_OPEN, _CLOSE, _COMMA = re.compile(r"\("), re.compile(r"\)"), re.compile(",")
_SOURCE = re.compile(rf"({'|'.join(SOURCES)})\.")
_SAME = {"==": "=", "<>": "!="}
_EXAMPLE = "write for example val_accuracy > 0.9"


def parse(text: str) -> Condition:
    """The condition that a text means.

    Raises:
        QueryError: it is none, or too long.
    """
    if len(text) > _LONGEST:
        raise QueryError(f"the condition is longer than {_LONGEST} characters", Place(text, 0, 1))
    return _Parser(text).whole()


def parse_field(text: str) -> Field:
    """The field that a text means, with nothing after it.

    Raises:
        QueryError: it is none.
    """
    parser = _Parser(text)
    field = parser.field()
    parser.expect_end("one name is enough")
    return field


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = self.terms = self.values = 0

    def whole(self) -> Condition:
        condition = self._any()
        self.expect_end("expected 'and' or 'or'")
        return condition

    def expect_end(self, otherwise: str) -> None:
        self._skip()
        if self.at < len(self.text):
            if self.text[self.at] == ")":
                raise self._error("no parenthesis is open here")
            raise self._error(otherwise)

    def _any(self) -> Condition:
        parts = self._list(self._all, _OR)
        return parts[0] if len(parts) == 1 else Some(parts)

    def _all(self) -> Condition:
        parts = self._list(self._one, _AND)
        return parts[0] if len(parts) == 1 else All(parts)

    def _list(
        self, part: Callable[[], Condition], between: re.Pattern[str]
    ) -> tuple[Condition, ...]:
        parts = [part()]
        while self._take(between):
            parts.append(part())
        return tuple(parts)

    def _one(self) -> Condition:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self._error(f"more than {_DEEPEST} parentheses within each other")
        if self._take(_NOT):
            condition: Condition = Not(self._one())
        elif self._take(_OPEN):
            condition = self._any()
            self._expect(_CLOSE, "expected 'and', 'or' or a closing parenthesis")
        else:
            condition = self._test()
        self.depth -= 1
        return condition

    def _test(self) -> Condition:
        self.terms += 1
        if self.terms > _MOST_TERMS:
            raise self._error(f"more than {_MOST_TERMS} conditions")
        field = self.field()
        if sign := self._take(_SIGN):
            return _typed(Comparison(field, _SAME.get(sign[0], sign[0]), self._value()))
        if found := self._take(_IN):
            return _turned(_typed(Among(field, self._values())), found)
        if found := self._take(_LIKE):
            return _turned(_typed(Like(field, self._value())), found)
        if found := self._take(_IS):
            return _turned(Missing(field), found)
        raise self._error(f"expected a sign after {field.place}: {_EXAMPLE}")

    def _values(self) -> tuple[Literal, ...]:
        values = [self._value()]
        while self._take(_COMMA):
            values.append(self._value())
        self._expect(_CLOSE, "expected a comma or a closing parenthesis")
        return tuple(values)

    def _value(self) -> Literal:
        self.values += 1
        if self.values > MOST_VALUES:
            raise self._error(f"more than {MOST_VALUES} values")
        if found := self._take(_QUOTED_VALUE):
            text = _unquoted(found[0])
            number = _number(text)
            finite = number is not None and math.isfinite(number)
            return Literal(text, number if finite else None, True, self._place(found))
        found = self._take(_VALUE)
        if found is None:
            raise self._error(self._no_value())
        place = self._place(found)
        if found[0].lower() in ("null", "none"):
            raise QueryError("nothing equals null: write 'is null' or 'is not null'", place)
        number = _number(found[0])
        if number is not None and math.isnan(number):
            raise QueryError("nothing is equal to, above or below NaN: write 'is null'", place)
        return Literal(found[0], number, False, place)

    def field(self) -> Field:
        self._skip()
        start = self.at
        found = _WORD.match(self.text, self.at)
        if found and self.text[found.end() :].lstrip().startswith("("):
            if self._looks_at(_TESTS) or self._looks_at((_JOINS,)):
                raise self._error(f"expected a name: {_EXAMPLE}")
            of = self._function(found)
            self._expect(_OPEN, "expected a parenthesis")
            name, source, quoted = self._name()
            self._expect(_CLOSE, "expected a closing parenthesis")
            field = Field(name, source, of, quoted, Place(self.text, start, self.at))
            return _measured(field)
        name, source, quoted = self._name()
        return Field(name, source, "value", quoted, Place(self.text, start, self.at))

    def _function(self, found: re.Match[str]) -> str:
        word = found[0].lower()
        if word not in FUNCTIONS:
            raise QueryError(
                f"no function '{found[0]}': there are {join(FUNCTIONS)}",
                self._place(found),
                nearest(word, FUNCTIONS),
            )
        self.at = found.end()
        return word

    def _name(self) -> tuple[str, str | None, bool]:
        self._skip()
        source = None
        if found := _SOURCE.match(self.text, self.at):
            source = found[1]
            self.at = found.end()
        if found := self._take(_QUOTED_NAME):
            if not (name := _unquoted(found[0])):
                raise QueryError("a name has at least one character", self._place(found))
            return name, source, True
        return self._words(), source, False

    def _words(self) -> str:
        """A bare name, which may be of several words, up to a sign or a word of the language."""
        self._skip()
        start = end = self.at
        while found := _WORD.match(self.text, self.at):
            if self._looks_at((_JOINS,)) or (end > start and self._looks_at(_TESTS)):
                break
            end = self.at = found.end()
            self._skip()
        if end == start:
            raise self._error(f"expected a name: {_EXAMPLE}")
        self.at = end
        return self.text[start:end]

    def _skip(self) -> None:
        if found := _SPACE.match(self.text, self.at):
            self.at = found.end()

    def _take(self, what: re.Pattern[str]) -> re.Match[str] | None:
        self._skip()
        found = what.match(self.text, self.at)
        if found:
            self.at = found.end()
        return found

    def _looks_at(self, what: tuple[re.Pattern[str], ...]) -> bool:
        return any(each.match(self.text, self.at) for each in what)

    def _expect(self, what: re.Pattern[str], otherwise: str) -> None:
        if self._take(what) is None:
            raise self._error(otherwise)

    def _no_value(self) -> str:
        rest = self.text[self.at :].strip()
        if not rest:
            return "expected a value, and nothing follows"
        if rest[0] in "'\"":
            return "this quote is not closed"
        return "expected a value: text with signs or spaces in it stands in quotes"

    def _place(self, found: re.Match[str]) -> Place:
        return Place(self.text, found.start(), found.end())

    def _error(self, what: str) -> QueryError:
        """What is wrong with the word that comes next."""
        self._skip()
        found = _WORD.match(self.text, self.at)
        end = found.end() if found else min(self.at + 1, len(self.text))
        return QueryError(what, Place(self.text, self.at, end))


def _number(text: str) -> float | None:
    """A number as everybody writes one; Python's own underscores and digits of others are none."""
    if not text.isascii() or "_" in text:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _unquoted(text: str) -> str:
    return text[1:-1] if text[0] == "`" else re.sub(r"(?s)\\(.)", r"\1", text[1:-1])


def _turned(condition: Condition, found: re.Match[str]) -> Condition:
    return Not(condition) if found[1] else condition


def _measured(field: Field) -> Field:
    """A field that a function is asked of.

    Raises:
        QueryError: there is no curve of it.
    """
    of_curve = field.source in (None, "metrics", "result")
    if field.of != "value" and not of_curve:
        raise QueryError(f"{field.of}() is asked of metrics and results alone", field.place)
    return field


def _typed(test: Comparison | Among | Like) -> Comparison | Among | Like:
    """A test whose values are known to be such as its field has.

    Raises:
        QueryError: they are not.
    """
    field = test.field
    column = None if field.source or field.quoted or field.of != "value" else column_of(field.name)
    if column is None:
        return test
    if isinstance(test, Like):
        if COLUMNS[column].name != "TEXT":
            raise QueryError(
                f"{column} is {COLUMNS[column].value}: 'like' is asked of texts", field.place
            )
        return test
    for literal in test.values if isinstance(test, Among) else (test.value,):
        read(column, literal)
    return test
