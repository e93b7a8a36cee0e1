"""The database: one engine, and one way to a transaction."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import (
    ArgumentError,
    StatementError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from .db_errors import is_about_a_value, is_away, reason_of
from .errors import (
    DatabaseAwayError,
    DatabaseError,
    MissingExtraError,
    UsageError,
)
from .postgres import Calls, connect_options, patience, set_up
from .records import EncodedJson
from .settings import Settings, without_secrets
from .tables import Unreadable

_SQLITE_BUSY_MS = 60_000
# No thread waits for another's connection: the heartbeat would wait behind the jobs' output.
_POOL: dict[str, Any] = {"pool_size": 5, "max_overflow": -1}
_CALL = "cvq_call"
_EXAMPLES = "give postgresql://user:password@host/name or sqlite:////folder/cvq.db"
_NOT_A_URL = f"CVQ_DATABASE_URL is not a database URL: {_EXAMPLES}"


class Database:
    """The job database.

    `write()` and `read()` give a connection inside a transaction. On SQLite `write()` begins with
    BEGIN IMMEDIATE: a transaction that reads first and writes later would fail under load.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.url = _url(settings)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.embedded = settings.database_url is None
        self._calls = Calls()
        self.engine = self._create_engine()

    def __str__(self) -> str:
        shown = self.url.difference_update_query(
            [name for name in self.url.query if "pass" in name]
        )
        return shown.render_as_string(hide_password=True)

    @property
    def exists(self) -> bool:
        """Whether there is something to ask; SQLite makes a file where there is none."""
        name = self.url.database
        return not self.is_sqlite or not name or name == ":memory:" or Path(name).exists()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that may write; committed when the block ends without an error."""
        with self._transaction(self.engine) as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads."""
        with self._transaction(self.engine.execution_options(cvq_read=True)) as connection:
            yield connection

    @contextmanager
    def outside(self) -> Iterator[Any]:
        """A connection of the driver without a transaction, as SQLite's VACUUM needs one."""
        with self._calls.one(), self.engine.connect() as connection:
            try:
                yield connection.connection.driver_connection
            except sqlite3.Error as error:
                raise DatabaseError(f"database {self}: {error}") from error

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Connection]:
        try:
            with self._calls.one() as call, engine.begin() as connection:
                call.connection = connection.connection.driver_connection
                connection.info[_CALL] = call
                yield connection
        except (StatementError, PoolTimeoutError, OverflowError, UnicodeEncodeError) as error:
            said = without_secrets(reason_of(error), self.settings.database_url)
            if is_about_a_value(error):
                raise UsageError(f"the database cannot hold this value: {said}") from error
            kind = DatabaseAwayError if is_away(error) else DatabaseError
            raise kind(f"database {self}: {said}") from error

    def hang_up(self, seconds: float) -> None:
        """Hang up on a server that has not answered for so long, from another thread.

        Whoever waits for it gets a `DatabaseAwayError`, and may ask on a new connection.
        """
        self._calls.hang_up(seconds, min(seconds, patience(self.settings.lease)))

    def _create_engine(self) -> Engine:
        try:
            if not self.is_sqlite:
                # pre_ping: a server that was restarted costs nobody an error.
                server = create_engine(
                    self.url.set(query=connect_options(self.url.query, self.settings.lease)),
                    json_serializer=as_json,
                    pool_pre_ping=True,
                    **_POOL,
                )
                event.listen(server, "connect", self._postgres_connect)
                event.listen(server, "after_cursor_execute", _answered)
                return server
            in_file = self.url.database and self.url.database != ":memory:"
            if self.url.database and in_file:
                _make_folder(Path(self.url.database).parent)
            engine = create_engine(
                self.url,
                connect_args={"timeout": _SQLITE_BUSY_MS / 1000},
                json_serializer=as_json,
                **(_POOL if in_file else {}),
            )
        except ModuleNotFoundError as error:
            if "psycopg" in str(error):
                raise MissingExtraError("postgres", f"database {self}") from None
            raise DatabaseError(f"database {self}: {error}") from None
        except ArgumentError:
            raise UsageError(_NOT_A_URL) from None
        event.listen(engine, "connect", _sqlite_connect)
        event.listen(engine, "begin", _sqlite_begin)
        return engine

    def _postgres_connect(self, connection: Any, _record: Any) -> None:
        self._calls.know(connection)
        set_up(connection)


def _answered(connection: Connection, *_: Any) -> None:
    if (call := connection.info.get(_CALL)) is not None:
        call.since = time.monotonic()


def _url(settings: Settings) -> URL:
    if settings.database_url is None:
        # Not parsed from text: a folder's name may hold what has a meaning in a URL.
        return URL.create("sqlite", database=str(settings.home / "cvq.db"))
    try:
        url = make_url(settings.database_url)
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        raise UsageError(_NOT_A_URL) from None
    # psycopg 3 is the driver that the extra installs; SQLAlchemy's default would be psycopg2.
    drivers = {
        "sqlite": "sqlite",
        "postgres": "postgresql+psycopg",
        "postgresql": "postgresql+psycopg",
        "postgresql+psycopg": "postgresql+psycopg",
    }
    if url.drivername not in drivers:
        raise UsageError(f"CVQ_DATABASE_URL: '{url.drivername}' is not supported: {_EXAMPLES}")
    return url.set(drivername=drivers[url.drivername])


# SQLite finds a key like 'größe' only where it is not written as escapes.
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def as_json(value: Any) -> str:
    """JSON as it is stored."""
    return value.text if isinstance(value, EncodedJson) else _ENCODER.encode(value)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise DatabaseError(
            f"{folder} cannot be created ({error.strerror}): set CVQ_HOME to a folder of yours"
        ) from None


def _sqlite_connect(dbapi_connection: sqlite3.Connection, _record: Any) -> None:
    dbapi_connection.isolation_level = None  # BEGIN is ours, see _sqlite_begin
    dbapi_connection.text_factory = _text
    cursor = dbapi_connection.cursor()
    if not cursor.execute("PRAGMA page_count").fetchone()[0]:
        # Of a new file: what is pruned gives its room back. Of another it would wait for writers.
        cursor.execute("PRAGMA auto_vacuum=INCREMENTAL")
    for pragma in (
        f"busy_timeout={_SQLITE_BUSY_MS}",
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _text(stored: bytes) -> str:
    """A text as SQLite has it, which checks none: one that is no UTF-8 stops no statement."""
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return Unreadable(stored.decode(errors="replace"))


def _sqlite_begin(connection: Connection) -> None:
    read = connection.get_execution_options().get("cvq_read", False)
    connection.exec_driver_sql("BEGIN" if read else "BEGIN IMMEDIATE")
