"""The database: one engine, one way to a transaction, and the schema's version."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    OperationalError,
    SQLAlchemyError,
    StatementError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from .errors import (
    DatabaseAwayError,
    DatabaseError,
    MissingExtraError,
    SchemaError,
    UsageError,
)
from .files import lock
from .installing import install_hint
from .postgres import Calls, connect_options, set_up
from .records import EncodedJson
from .settings import Settings, without_secrets
from .tables import SCHEMA_VERSION, Unreadable, metadata
from .text import join

_VERSION = re.compile(r"\d{4}")  # what cvq's migrations are called
_SQLITE_BUSY_MS = 60_000
# In what drivers say of a value that they cannot send.
_UNSENT = ("Error binding parameter", "cannot adapt type", "cannot dump")
# In what Postgres says to who connects: waiting helps with none of these.
_REFUSALS = ("authentication", "password", "does not exist", "pg_hba.conf", "permi", "certificate")
_CONVERSION = (ValueError, TypeError, OverflowError, RecursionError)
# No thread waits for another's connection: the heartbeat would wait behind the jobs' output.
_POOL: dict[str, Any] = {"pool_size": 5, "max_overflow": -1}
_CALL = "cvq_call"
_EXAMPLES = "give postgresql://user:password@host/name or sqlite:////folder/cvq.db"
_NOT_A_URL = f"CVQ_DATABASE_URL is not a database URL: {_EXAMPLES}"


class Database:
    """Sessions on the job database.

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
            kind = DatabaseAwayError if _is_away(error) else DatabaseError
            raise kind(f"database {self}: {said}") from error

    def hang_up(self, seconds: float) -> None:
        """Hang up on a server that has not answered for so long, from another thread.

        Whoever waits for it gets a `DatabaseAwayError`, and may ask on a new connection.
        """
        self._calls.hang_up(seconds)

    def check_encoding(self) -> None:
        """Check that the database can hold any text.

        Raises:
            SetupError: it cannot; the message says what to do.
        """
        if self.is_sqlite:
            return
        with self.read() as connection:
            encoding = connection.scalar(text("SHOW server_encoding"))
        if encoding != "UTF8":
            raise DatabaseError(
                f"database {self} has the encoding {encoding}, in which not every text can be "
                "stored: create one with UTF8 (createdb -E UTF8 -T template0 NAME; "
                "pg_dump and psql bring over what there is)"
            )

    def current_version(self) -> str | None:
        """The schema's version in the database, or None where there is no schema."""
        if self.is_sqlite and not self._sqlite_file_exists():
            return None
        query = (
            "SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'"
            if self.is_sqlite
            else "SELECT count(*) FROM information_schema.tables WHERE "
            "table_name = 'alembic_version' AND table_schema = current_schema()"
        )
        with self.read() as connection:
            if not connection.scalar(text(query)):
                return None
            version: str | None = connection.scalar(
                text("SELECT version_num FROM alembic_version")
            )
            return version

    def ensure_schema(self) -> None:
        """Check the schema; the embedded database is created or upgraded without being asked.

        Raises:
            SchemaError: a server database has another schema, or any has one that is newer or
                another application's.
        """
        version = self.current_version()
        if version == SCHEMA_VERSION:
            return
        if not self.embedded:
            self.check_schema(version)
        self.check_own(version)
        self.upgrade()

    def check_schema(self, version: str | None) -> None:
        """Refuse a schema that this cvq does not work with; `version` is what the database has.

        Raises:
            SchemaError: it is an earlier or newer cvq's, or another application's.
        """
        self.check_own(version)
        if version != SCHEMA_VERSION:
            raise SchemaError(
                f"database {self} has {f'schema {version}' if version else 'no cvq schema'}, "
                f"this cvq needs {SCHEMA_VERSION}: run `cvq db upgrade`"
            )

    def check_own(self, version: str | None) -> None:
        """Refuse a schema that this cvq must not touch; `version` is what the database has.

        Raises:
            SchemaError: it is a newer cvq's, or another application's.
        """
        if version is None:
            if strange := self._strange_tables():
                raise SchemaError(
                    f"database {self} has another application's tables ({join(strange)}): "
                    "give cvq a database of its own"
                )
        elif not _VERSION.fullmatch(version):
            raise SchemaError(
                f"database {self} belongs to another application, whose schema is {version}: "
                "give cvq a database of its own"
            )
        elif version > SCHEMA_VERSION:
            raise SchemaError(
                f"database {self} has schema {version}, newer than this cvq's {SCHEMA_VERSION}: "
                f"upgrade cvq ({install_hint()})"
            )

    def _strange_tables(self) -> list[str]:
        """Tables that are called like cvq's where there is no schema of cvq's."""
        if self.is_sqlite and not self._sqlite_file_exists():
            return []
        with self.read() as connection:
            found = set(inspect(connection).get_table_names()).intersection(metadata.tables)
        # Another process may just have made them: together with their version.
        return sorted(found) if found and self.current_version() is None else []

    def upgrade(self) -> None:
        """Bring the schema to this version; safe when several processes do it at once.

        Raises:
            SchemaError: it is a newer cvq's, or another application's.
        """
        from alembic import command  # costs 0.1 s, needed once per schema version

        self.check_encoding()
        self.check_own(self.current_version())
        with self._upgrade_lock(), self._transaction(self.engine) as connection:
            config = alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    @contextmanager
    def _upgrade_lock(self) -> Iterator[None]:
        if self.is_sqlite and self.url.database:
            with lock(Path(f"{self.url.database}.upgrade-lock")):
                yield
        else:
            # Postgres serialises upgrades by itself: an advisory lock in the environment.
            yield

    def _sqlite_file_exists(self) -> bool:
        name = self.url.database
        return not name or name == ":memory:" or Path(name).exists()

    def _create_engine(self) -> Engine:
        try:
            if not self.is_sqlite:
                # pre_ping: a server that was restarted costs nobody an error.
                server = create_engine(
                    self.url.set(query=connect_options(self.url.query, self.settings.lease)),
                    json_serializer=_json,
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
                json_serializer=_json,
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


def is_about_a_value(error: Exception) -> bool:
    """Whether an error is a value's fault, so that trying again would bring it again.

    It may be the database's, which refused the value, or that of a conversion on the way there.
    An error of the connection, the server or the disk is neither, and no other exception of
    Python's: that one is cvq's own mistake, for which no job is to blame.
    """
    if isinstance(error, DBAPIError):
        # Of Postgres: a program limit, as for JSON that is nested too deep.
        limit = str(getattr(error.orig, "sqlstate", None) or "").startswith("54")
        unsent = any(sign in str(error.orig) for sign in _UNSENT)
        return limit or unsent or isinstance(error, DataError | IntegrityError)
    if isinstance(error, SQLAlchemyError):
        # A value that its type could not convert; and not SQLAlchemy's own complaint.
        return isinstance(error, StatementError) and isinstance(error.orig, _CONVERSION)
    return isinstance(error, UsageError | OverflowError | UnicodeError | RecursionError)


def _is_away(error: Exception) -> bool:
    """Whether a database that failed may work again in a moment."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, PoolTimeoutError)
    said = str(error.orig).lower()
    if isinstance(error.orig, sqlite3.Error):
        return "locked" in said
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:  # the connection, the server's resources, an operator's intervention
        return str(state).startswith(("08", "53", "57"))
    return isinstance(error, OperationalError) and not any(sign in said for sign in _REFUSALS)


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


def _json(value: Any) -> str:
    if isinstance(value, EncodedJson):
        return value.text
    # SQLite finds a key like 'größe' only where it is not written as escapes.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


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


def reason_of(error: Exception) -> str:
    """What an error says, in one line; of a driver's, with advice where there is some."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    said = next(iter(str(cause).strip().splitlines()), type(cause).__name__)
    if not isinstance(error, DBAPIError):
        return said
    advice = {
        "database or disk is full": "free some space, or move CVQ_HOME",
        "disk I/O error": "is the disk full?",
        "unable to open database file": "is the folder there, and yours to write?",
        "readonly database": "the file or its folder cannot be written",
        "connection": "is the server running? `cvq doctor` checks",
        "not a database": "the file is something else; move it away or set CVQ_DATABASE_URL",
    }
    hint = next((tip for sign, tip in advice.items() if sign in said), None)
    return f"{said} ({hint})" if hint else said


def alembic_config() -> Any:
    """Alembic's configuration, without an ini file."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "cvq_migrations:")
    return config
