"""What an error of the database means: a value's fault, a server that is away, or a mistake."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    OperationalError,
    SQLAlchemyError,
    StatementError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from .errors import UsageError

# In what drivers say of a value that they cannot send.
_UNSENT = ("Error binding parameter", "cannot adapt type", "cannot dump")
# In what Postgres says to who connects: waiting helps with none of these.
_REFUSALS = ("authentication", "password", "does not exist", "pg_hba.conf", "permi", "certificate")
_CONVERSION = (ValueError, TypeError, OverflowError, RecursionError)


def is_about_a_value(error: Exception) -> bool:
    """Whether an error is a value's fault, so that trying again would bring it again.

    It may be the database's, which refused the value, or that of a conversion on the way there.
    An error of the connection, the server or the disk is neither, and no other exception of
    Python's: that one is cvq's own mistake, for which no job is to blame.
    """
    if isinstance(error, DBAPIError):
        # Of Postgres: a program limit, as for JSON that is nested too deep.
        limit = sqlstate_of(error).startswith("54")
        unsent = any(sign in str(error.orig) for sign in _UNSENT)
        return limit or unsent or isinstance(error, DataError | IntegrityError)
    if isinstance(error, SQLAlchemyError):
        # A value that its type could not convert; and not SQLAlchemy's own complaint.
        return isinstance(error, StatementError) and isinstance(error.orig, _CONVERSION)
    return isinstance(error, UsageError | OverflowError | UnicodeError | RecursionError)


def is_away(error: Exception) -> bool:
    """Whether a database that failed may work again in a moment."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, PoolTimeoutError)
    said = str(error.orig).lower()
    if isinstance(error.orig, sqlite3.Error):
        return "locked" in said
    if state := sqlstate_of(error):
        # The connection, the server's resources, an operator's intervention.
        return state.startswith(("08", "53", "57"))
    return isinstance(error, OperationalError) and not any(sign in said for sign in _REFUSALS)


def sqlstate_of(error: BaseException | None) -> str:
    """The code of an error of Postgres; empty of any other."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return str(getattr(cause, "sqlstate", None) or "")


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
