"""An attribute that is made when it is first asked for, once, also by several threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

T = TypeVar("T")

_LOCK = "_making"


class once(Generic[T]):  # noqa: N801 - it reads as `property` does
    """Like `functools.cached_property`, which since Python 3.12 two threads may make twice."""

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, owner: None, kind: type) -> Self: ...

    @overload
    def __get__(self, owner: object, kind: type) -> T: ...

    def __get__(self, owner: object | None, kind: type) -> Self | T:
        if owner is None:
            return self
        with lock_of(owner):
            if self._name not in owner.__dict__:
                owner.__dict__[self._name] = self._make(owner)
            made: T = owner.__dict__[self._name]
            return made


def lock_of(owner: object) -> threading.RLock:
    """The lock under which an object's attributes are made."""
    lock: threading.RLock = owner.__dict__.setdefault(_LOCK, threading.RLock())
    return lock
