"""What could be typed next, asked of the database by its driver alone.

A shell asks at every press of a key: SQLAlchemy would take longer to load than all of this.
Nothing here raises, or makes a database that is not there. A server that does not answer is waited
for two seconds, of which libpq takes no less.
"""

from __future__ import annotations

import re
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from .settings import Settings
from .text import clean, one_line

_MOST = 50  # suggestions
_MOST_NAMES = 1_000  # that are looked through
_LONGEST_S = 0.25
_LONGEST_HELP = 60
_LONGEST_ID = 12  # digits
_WHOLE = (20, 21, 23)  # Postgres' numbers of its types of whole numbers
# What a shell takes as it stands.
_PLAIN = re.compile(r"[\w.,:@%+=/~^-]+")
_NAME = re.compile(r"[^\W\d][\w.]*")  # that a query takes without quotes


class Suggestion(NamedTuple):
    """A word that could be typed, and what it is."""

    word: str
    help: str = ""


class Completions:
    """Suggestions out of the history.

    Args:
        settings: say where the database is.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def jobs(self, typed: str = "", *, unfinished: bool = False) -> list[Suggestion]:
        """Jobs whose number begins with what is typed, the newest first."""
        query = (
            "SELECT id, kind, name, state FROM jobs "
            "WHERE trashed_at IS NULL AND id >= ? AND id < ?"
        )
        order = f"ORDER BY id DESC LIMIT {_MOST}"
        if not unfinished:
            return self._numbered(f"{query} {order}", typed)
        found: list[Suggestion] = []
        for state in ("waiting", "queued", "running"):  # each is found by an index in this order
            found += self._numbered(f"{query} AND state = '{state}' {order}", typed)
        return sorted(found, key=lambda each: -int(each.word))[:_MOST]

    def batches(self, typed: str = "") -> list[Suggestion]:
        """Batches, the newest first."""
        query = "SELECT id, kind, name, '' FROM batches WHERE id >= ? AND id < ? "
        return self._numbered(f"{query} ORDER BY id DESC LIMIT {_MOST}", typed)

    def sweeps(self, typed: str = "") -> list[Suggestion]:
        """Sweeps, the newest first."""
        query = "SELECT id, kind, name, method FROM sweeps WHERE id >= ? AND id < ? "
        return self._numbered(f"{query} ORDER BY id DESC LIMIT {_MOST}", typed)

    def kinds(self, typed: str = "") -> list[Suggestion]:
        """Kinds that come with cvq, and those of the history."""
        files = (Path(__file__).parent / "kinds" / "builtin").glob("[a-z]*.py")
        built_in = sorted(file.stem.replace("_", "-") for file in files)
        return _beginning(
            typed, [*((name,) for name in built_in), *self._distinct("jobs", "kind")]
        )

    def words(self, column: str, typed: str = "") -> list[Suggestion]:
        """The values of an indexed column of jobs: `kind`, `user`, `queue`, `reason`, `name`."""
        return _beginning(typed, self._distinct("jobs", f'"{column}"'))

    def workers(self, typed: str = "") -> list[Suggestion]:
        """Workers, those heard of last first."""
        query = f"SELECT id, host FROM workers ORDER BY seen_at DESC LIMIT {_MOST_NAMES}"
        return _beginning(typed, self._ask(query))

    def tags(self, typed: str = "") -> list[Suggestion]:
        """Keys of tags; of `key=` its values."""
        key, equals, _ = typed.partition("=")
        if not equals:
            return _beginning(typed, self._names_of("tags"))
        values = self._distinct("attributes", "text", "source = 'tags' AND name = ?", [key])
        return _beginning(typed, ((f"{key}={value}",) for (value,) in values))

    def fields(self, typed: str = "") -> list[Suggestion]:
        """Metrics and numbers of results; those of a source where one is typed: `params.l`."""
        source, dot, _ = typed.partition(".")
        if dot and source in ("params", "tags", "result"):
            found = list(self._names_of(source))
            found += self._distinct("summaries", "name") if source == "result" else []
        else:
            dot = dot if source == "metrics" else ""
            found = list(self._distinct("summaries", "name"))
        names = [row[0] for row in found if _NAME.fullmatch(str(row[0]))]
        return _beginning(typed, ((f"{source}.{name}" if dot else name,) for name in names))

    def _numbered(self, query: str, typed: str) -> list[Suggestion]:
        """Rows whose id begins with some digits, the highest first.

        In one statement, as each connects anew: of each length that an id may have, a part.
        """
        if typed and not (typed.isdecimal() and len(typed) <= _LONGEST_ID):
            return []
        bounds = [(0, 2**62)]
        if typed:
            lengths = range(max(1, _LONGEST_ID - len(typed) + 1))
            bounds = [(int(typed) * 10**more, (int(typed) + 1) * 10**more) for more in lengths]
        parts = [f"SELECT * FROM ({query}) AS part{nth}" for nth in range(len(bounds))]
        rows = self._ask(" UNION ALL ".join(parts), [each for pair in bounds for each in pair])
        found = sorted(rows, key=lambda row: -row[0])[:_MOST]
        return [each for each in map(_of_row, found) if each.word.startswith(typed)]

    def _names_of(self, source: str) -> Iterator[tuple[Any, ...]]:
        """Names of attributes, each of whose two columns has an index of its own."""
        for column in ("text", "value"):
            where = f"source = ? AND {column} IS NOT NULL"
            yield from self._distinct("attributes", "name", where, [source])

    def _distinct(
        self, table: str, column: str, where: str = "TRUE", values: Sequence[Any] = ()
    ) -> Iterator[tuple[Any, ...]]:
        """The values of a column that an index leads to, from one to the next above it."""
        first = f"SELECT min({column}) FROM {table} WHERE {where}"
        return self._ask(
            f"WITH RECURSIVE found(x) AS ({first} UNION ALL "
            f"SELECT ({first} AND {column} > found.x) FROM found WHERE found.x IS NOT NULL) "
            f"SELECT x FROM found WHERE x IS NOT NULL LIMIT {_MOST_NAMES}",
            [*values, *values],
        )

    def _ask(self, query: str, values: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        try:
            url = self._settings.database_url or ""
            if url and not url.startswith("sqlite:"):
                return iter(_ask_postgres(url, query, values))
            file = unquote(url.partition(":///")[2]) if url else self._settings.home / "cvq.db"
            return iter(_ask_sqlite(Path(file), query, values))
        except Exception:  # whatever it is, it would stand in the middle of what is being typed
            return iter(())


def _ask_sqlite(file: Path, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    address = f"file:{quote(str(file.absolute()))}?mode=ro"
    with closing(sqlite3.connect(address, uri=True, timeout=0)) as connection:
        deadline = time.monotonic() + _LONGEST_S
        connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
        connection.text_factory = lambda stored: stored.decode(errors="replace")
        return connection.execute(query, values).fetchall()


def _ask_postgres(url: str, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    pq = _libpq()
    address = re.sub(r"^\w+(\+\w+)?:", "postgresql:", url)
    address += ("&" if "?" in address else "?") + "connect_timeout=2&client_encoding=utf8"
    connection = pq.PGconn.connect(address.encode())
    try:
        connection.exec_(f"SET statement_timeout = {round(1000 * _LONGEST_S)}".encode())
        number = count(1)
        numbered = re.sub(r"\?", lambda _: f"${next(number)}", query)
        found = connection.exec_params(numbered.encode(), [str(each).encode() for each in values])
        columns = range(found.nfields)
        return [
            tuple(_value(found.get_value(row, column), found.ftype(column)) for column in columns)
            for row in range(found.ntuples)
        ]
    finally:
        connection.finish()


def _libpq() -> Any:
    """psycopg's wrapper of libpq alone: with all of psycopg, most of the time would go into it."""
    if "psycopg" not in sys.modules and (spec := find_spec("psycopg")):
        sys.modules["psycopg"] = module_from_spec(spec)  # where it is, without being run
        try:
            return import_module("psycopg.pq")
        finally:
            del sys.modules["psycopg"]
    return import_module("psycopg.pq")


def _value(sent: bytes | None, of: int) -> Any:
    if sent is None:
        return None
    return int(sent) if of in _WHOLE else sent.decode(errors="replace")


def _of_row(row: Sequence[Any]) -> Suggestion:
    number, *about = row
    told = " ".join(one_line(str(each), 30) for each in about if each)
    return Suggestion(str(number), clean(told)[:_LONGEST_HELP])


def _beginning(typed: str, rows: Iterable[Sequence[Any]]) -> list[Suggestion]:
    """Those that begin with what is typed and that a shell takes as they stand, each once."""
    found: dict[str, Suggestion] = {}
    for word, *about in rows:
        if str(word).startswith(typed) and _PLAIN.fullmatch(str(word)):
            help = clean(one_line(str(about[0]), 30)) if about and about[0] else ""
            found.setdefault(str(word), Suggestion(str(word), help))
    return list(found.values())[:_MOST]
