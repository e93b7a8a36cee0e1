"""The registry of job kinds: the built-in ones, installed plug-ins, and modules by setting."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pkgutil import iter_modules
from typing import Any

from pydantic import ValidationError

from ..complaints import problems
from ..errors import SetupError, SpecError, UnknownKindError
from ..settings import Settings
from . import builtin
from .kind import Kind
from .spec import Spec

ENTRY_POINT_GROUP = "cvq.kinds"


def all_kinds(settings: Settings) -> dict[str, Kind]:
    """Every known kind by its name.

    Third parties add kinds in two ways: an entry point in the group `cvq.kinds` that names a
    `Kind`, or a module with a `KIND` (or a list `KINDS`) named in the setting `kinds`.

    Raises:
        SetupError: a plug-in cannot be loaded.
    """
    kinds, broken = find_kinds(settings)
    for what, error in broken.items():
        raise _broken(what, error)
    return kinds


def find_kinds(settings: Settings) -> tuple[dict[str, Kind], dict[str, str]]:
    """Every kind that can be loaded, and what is wrong with each plug-in that cannot."""
    named = {name: _built_in(name) for name in _built_in_names()}
    broken: dict[str, str] = {}
    for what, load in _plug_ins(settings):
        try:
            for kind in load():  # an entry point and the setting may name the same one
                if named.setdefault(kind.name, kind) is not kind:
                    broken[what] = f"another kind is called '{kind.name}', too: rename this one"
        except BaseException as error:  # a plug-in may fail in any way, sys.exit among them
            if isinstance(error, KeyboardInterrupt) and _in_main_thread():
                raise  # Ctrl-C
            broken[what] = f"{type(error).__name__}: {error}"
    return dict(sorted(named.items())), broken


def get_kind(name: str, settings: Settings) -> Kind:
    """The kind of this name.

    Raises:
        UnknownKindError: there is none; the message names the nearest.
        SetupError: there is none, and a plug-in that may have it cannot be loaded.
    """
    if name in _built_in_names():
        return _built_in(name)  # without looking for plug-ins, which takes 50 ms
    kinds, broken = find_kinds(settings)
    if name in kinds:
        return kinds[name]
    for what, error in broken.items():
        raise _broken(what, error)
    raise UnknownKindError(name, kinds)


@cache
def fields_of(name: str) -> tuple[str, ...]:
    """The fields of a kind that comes with cvq, in order; of another none."""
    return tuple(_built_in(name).spec.model_fields) if name in _built_in_names() else ()


def _plug_ins(settings: Settings) -> Iterator[tuple[str, Callable[[], list[Kind]]]]:
    """What each plug-in is called, and what loads its kinds."""
    for point in _entry_points(tuple(sys.path)):
        yield f"entry point {point.name}", partial(_kinds_of, point)
    for name in settings.kinds:
        yield f"CVQ_KINDS module {name}", partial(_kinds_in, name)


@cache
def _entry_points(_path: tuple[str, ...]) -> list[EntryPoint]:
    """Those of all packages on a path; to look through them takes 20 ms."""
    return list(entry_points(group=ENTRY_POINT_GROUP))


def _broken(what: str, error: str) -> SetupError:
    return SetupError(f"{what} cannot be loaded: {error}")


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _kinds_of(point: EntryPoint) -> list[Kind]:
    return [_checked(point.load())]


def offering(offer: str, settings: Settings) -> list[str]:
    """The names of the kinds whose models offer something, in order."""
    return [name for name, kind in all_kinds(settings).items() if offer in kind.offers]


def _kinds_in(module_name: str) -> list[Kind]:
    module = import_module(module_name)
    return [_checked(kind) for kind in getattr(module, "KINDS", None) or [module.KIND]]


def _checked(kind: Any) -> Kind:
    if not isinstance(kind, Kind):
        raise TypeError(f"{kind!r} is not a Kind")
    return kind


@cache
def _built_in_names() -> frozenset[str]:
    """The kinds that come with cvq, by the names of their modules; none is loaded."""
    return frozenset(m.name.replace("_", "-") for m in iter_modules(builtin.__path__))


def _built_in(name: str) -> Kind:
    kind: Kind = import_module(f"{builtin.__name__}.{name.replace('-', '_')}").KIND
    return kind


def make_spec(kind: Kind, values: dict[str, Any]) -> Spec:
    """Validate values into the kind's specification.

    Raises:
        SpecError: a value is missing, unknown or out of its bounds; the message names it.
    """
    try:
        return kind.spec.model_validate(values)
    except ValidationError as error:
        raise SpecError(kind.name, problems(error, kind.spec)) from None
