"""The space of a sweep: which values each of its parameters may take. Pure functions.

A parameter has choices (`0.1,0.01`) or a range (`log:1e-4:1e-1`, `int:5:20:5`, `float:0:1`). What
a trial has of a parameter is a JSON scalar: the number or word itself; of a choice that is a file
or a list, the text by which it was given.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..errors import UsageError
from ..figures import number
from ..text import one_line

Param: TypeAlias = str | int | float | bool | None
Params: TypeAlias = dict[str, Param]

_RANGE = re.compile(r"(log|int|float):([^:]*):([^:]*)(?::([^:]*))?")
_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|.', re.DOTALL)
_SHOWN = 80  # characters of a value that cannot be read
_MOST_DIGITS = 6  # of a number that is drawn: it can be typed again


@dataclass(frozen=True)
class Choice:
    """One value of a parameter.

    Attributes:
        text: as it was given.
        value: what the field of the specification takes.
        after: the jobs that a trial with this value waits for.
    """

    text: str
    value: Any
    after: tuple[int, ...] = ()

    @property
    def param(self) -> Param:
        """What a trial has of it."""
        plain = self.value is None or isinstance(self.value, str | int | float)
        return self.value if plain else self.text


@dataclass(frozen=True)
class Choices:
    """A parameter that takes one of some values."""

    name: str
    choices: tuple[Choice, ...]

    @property
    def size(self) -> int:
        """How many values there are."""
        return len(self.choices)

    def values(self) -> list[Param]:
        """What trials may have of it, in the order given."""
        return [choice.param for choice in self.choices]

    def at(self, place: float) -> Param:
        """The value at a place from 0 to 1, without 1."""
        return self.choices[int(place * self.size)].param

    def find(self, param: Param) -> Choice:
        """The choice that a trial has."""
        return next(c for c in self.choices if _key(c.param) == _key(param))

    def text(self, param: Param) -> str:
        """The value as it was typed."""
        return self.find(param).text

    def value(self, param: Param) -> Any:
        """The value as the specification takes it."""
        return self.find(param).value

    def to_json(self) -> dict[str, Any]:
        """As it is stored."""
        choices = [{"text": c.text, "value": c.value, "after": [*c.after]} for c in self.choices]
        return {"name": self.name, "choices": choices}


@dataclass(frozen=True)
class Range:
    """A parameter that takes any number from `low` to `high`, both among them.

    Attributes:
        log: whether the logarithm is spread evenly, and not the number.
        whole: whether it takes whole numbers alone.
        step: from one whole number to the next.
    """

    name: str
    low: float
    high: float
    log: bool = False
    whole: bool = False
    step: int = 1

    @property
    def size(self) -> int | None:
        """How many values there are; None where they are not counted."""
        return int((self.high - self.low) // self.step) + 1 if self.whole else None

    def values(self) -> list[Param]:
        """All of them, of whole numbers.

        Raises:
            UsageError: they are not counted.
        """
        if self.size is None or self.log:
            raise UsageError(
                f"{self.name}: a grid takes values, such as {self.name}={number(self.low)},"
                f"{number(self.high)}, or int:LOW:HIGH:STEP; ranges are for random draws"
            )
        return [int(self.low) + self.step * nth for nth in range(self.size)]

    def at(self, place: float) -> Param:
        """The value at a place from 0 to 1, without 1."""
        if self.whole and not self.log:
            assert self.size is not None
            return int(self.low) + self.step * int(place * self.size)
        half = 0.5 if self.whole else 0.0  # so that the ends are as likely as the others
        low, high = self.low - half, self.high + half
        if self.log:
            low, high = math.log(low), math.log(high)
        drawn = low + place * (high - low)
        return self.fitted(math.exp(drawn) if self.log else drawn)

    def fitted(self, drawn: float) -> int | float:
        """A number that was drawn, in digits that can be typed, and within the range."""
        if self.whole:
            return min(max(round(drawn), int(self.low)), int(self.high))
        return min(max(float(f"{drawn:.{_MOST_DIGITS}g}"), self.low), self.high)

    def text(self, param: Param) -> str:
        """The number in few digits."""
        return f"{param:.{_MOST_DIGITS}g}" if isinstance(param, float) else str(param)

    def value(self, param: Param) -> Any:
        """The value as the specification takes it."""
        return param

    def to_json(self) -> dict[str, Any]:
        """As it is stored."""
        return {
            "name": self.name, "low": self.low, "high": self.high,
            "log": self.log, "whole": self.whole, "step": self.step,
        }  # fmt: skip


Parameter: TypeAlias = Choices | Range
Space: TypeAlias = tuple[Parameter, ...]


def from_json(stored: Iterable[Mapping[str, Any]]) -> Space:
    """The space that was stored."""
    return tuple(_from_json(dict(each)) for each in stored)


def _from_json(stored: dict[str, Any]) -> Parameter:
    if "choices" not in stored:
        return Range(**stored)
    choices = (Choice(c["text"], c["value"], tuple(c["after"])) for c in stored["choices"])
    return Choices(stored["name"], tuple(choices))


def size(space: Space) -> int | None:
    """How many points it has; None where they are not counted."""
    sizes = [each.size for each in space]
    counted = [each for each in sizes if each is not None]
    return math.prod(counted) if len(counted) == len(sizes) else None


def varying(space: Space) -> Space:
    """The parameters that take more than one value."""
    return tuple(each for each in space if each.size != 1)


def label(space: Space, params: Mapping[str, Param]) -> str:
    """A trial's values in one line, as they were typed: `lr=1e-4 epochs=5`."""
    shown = varying(space) or space
    return " ".join(f"{p.name}={p.text(params[p.name])}" for p in shown if p.name in params)


# ---------------------------------------------------------------------------- as it is given


def parse(given: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> Space:
    """The space that names with values mean.

    Args:
        given: of each parameter a text, as on the command line, or its values in a list.

    Raises:
        UsageError: it is empty, a name or value stands twice, or a range is none.
    """
    pairs = list(given.items() if isinstance(given, Mapping) else given)
    if not pairs:
        raise UsageError(
            "the space is empty: name what is to vary, as in learning_rate=0.1,0.01 or "
            "learning_rate=log:1e-4:1e-1"
        )
    names = [name.replace("-", "_") for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{name} stands twice in the space: give all its values at once")
    return tuple(parameter(name, value) for name, (_, value) in zip(names, pairs, strict=True))


def assignment(text: str) -> tuple[str, str]:
    """Parse `name=values`.

    Raises:
        UsageError: it is none.
    """
    name, equals, values = text.partition("=")
    if not (name.strip() and equals):
        raise UsageError(f"'{text}' names no values: write NAME=0.1,0.01 or NAME=log:1e-4:1e-1")
    return name.strip(), values


def parameter(name: str, given: Any) -> Parameter:
    """A parameter with the values that it may take.

    Raises:
        UsageError: there are none, one stands twice, or a range is none.
    """
    if isinstance(given, str):
        if re.match(r"(log|int|float):", given):
            return _range(name, given)
        choices = [_typed(name, word) for word in split(given)]
    elif isinstance(given, Sequence) and not isinstance(given, bytes):
        choices = [Choice(_text(value), value) for value in given]
    else:
        choices = [Choice(_text(given), given)]
    if not choices or any(choice.text == "" for choice in choices):
        raise UsageError(f"{name} has no values: write {name}=0.1,0.01 or {name}=log:1e-4:1e-1")
    return distinct(Choices(name, tuple(choices)))


def distinct(parameter: Choices) -> Choices:
    """The parameter.

    Raises:
        UsageError: it has a value twice.
    """
    seen: dict[tuple[bool, Param], Choice] = {}
    for choice in parameter.choices:
        before = seen.setdefault(_key(choice.param), choice)
        if before is not choice:
            both = f"{before.text} and {choice.text} are the same value"
            said = f"{choice.text} stands twice" if before.text == choice.text else both
            raise UsageError(f"{parameter.name}: {said}: give it once")
    return parameter


def split(text: str) -> list[str]:
    """The words between commas; those within quotes or brackets do not part."""
    words, word, depth = [], "", 0
    for piece in _PIECE.findall(text):
        depth += (piece in "[{") - (piece in "]}")
        if piece == "," and depth <= 0:
            words.append(word.strip())
            word = ""
        else:
            word += piece
    return [*words, word.strip()]


def _typed(name: str, word: str) -> Choice:
    """A word; a list, names with values or a text in quotes as JSON has them."""
    if not word.startswith(("[", "{", '"')):
        return Choice(word, word)
    try:
        return Choice(word, json.loads(word))
    except RecursionError:
        said = "too many brackets within each other"
    except ValueError as error:
        said = str(error)
    raise UsageError(f"{name}: {one_line(word, _SHOWN)} cannot be read as JSON: {said}")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple | dict | bool) or value is None:
        return json.dumps(value, default=str)
    return str(value)


def _range(name: str, text: str) -> Range:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise UsageError(
            f"{name}={text} is no range: write log:LOW:HIGH, int:LOW:HIGH[:STEP] or float:LOW:HIGH"
        )
    how, *words = match.groups()
    low, high, step = (None if word is None else _number(name, text, word) for word in words)
    assert low is not None
    assert high is not None
    if not low < high:
        raise UsageError(f"{name}={text}: the first number is to be below the second")
    if how == "log" and low <= 0:
        raise UsageError(f"{name}={text}: a logarithm takes numbers above 0")
    if step is not None and how != "int":
        raise UsageError(f"{name}={text}: only int:LOW:HIGH takes a step")
    if how != "int":
        return Range(name, low, high, log=how == "log")
    for each in (low, high, 1 if step is None else step):
        if not float(each).is_integer():
            raise UsageError(f"{name}={text}: int takes whole numbers")
    if step is not None and step < 1:
        raise UsageError(f"{name}={text}: the step is to be at least 1")
    return Range(name, int(low), int(high), whole=True, step=int(step or 1))


def _number(name: str, text: str, word: str) -> float:
    try:
        if math.isfinite(value := float(word)):
            return int(word) if re.fullmatch(r"[+-]?\d+", word) else value
    except (ValueError, OverflowError):
        pass
    raise UsageError(f"{name}={text}: '{word}' is no number")


def _key(param: Param) -> tuple[bool, Param]:
    """Equal for what is the same value, as no two choices may be; 1 is not yes."""
    return isinstance(param, bool), param
