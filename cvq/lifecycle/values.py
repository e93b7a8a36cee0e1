"""What jobs and workers say of themselves, brought into a form that every database takes."""

from __future__ import annotations

import math
from typing import Any

from sqlalchemy import BigInteger, Connection, Integer, Table, literal_column, text

from ..errors import UsageError
from ..records import EncodedJson

_PIECE = 1 << 19  # characters of a large result that are sent at a time


def storable(value: Any) -> Any:
    """The value as every database takes it, also deep inside lists and dictionaries.

    Postgres refuses NUL characters, no database takes half of a surrogate pair (as in the name of
    a file that is not UTF-8), and JSON knows neither NaN nor infinity: these become None.
    """
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in value.items()}
    return [storable(item) for item in value] if isinstance(value, list | tuple) else value


def fit(table: Table, **values: Any) -> dict[str, Any]:
    """What a job or worker says of itself: storable, and cut to the columns' lengths.

    Postgres refuses what is longer, and the attempt that said it would never end.

    Raises:
        UsageError: a whole number is larger than the column; the message names both.
    """
    fitted = {}
    for name, value in values.items():
        column = table.c[name].type
        clean = storable(value)
        if isinstance(column, Integer) and isinstance(clean, int):
            bits = 64 if isinstance(column, BigInteger) else 32
            if not -(2 ** (bits - 1)) <= clean < 2 ** (bits - 1):
                raise UsageError(
                    f"the {name} is a number of {clean.bit_length() + 1} bits, "
                    f"and the database holds {bits} of them"
                )
        length = getattr(column, "length", None)
        fitted[name] = clean[:length] if isinstance(clean, str) else clean
    return fitted


def plain(text: str) -> str:
    """The text in characters that every database can hold, whatever its encoding."""
    return text.encode("ascii", "backslashreplace").decode()


def send_ahead(connection: Connection, result: Any) -> Any:
    """Bring a large result to the server before the job's row is locked; return what to store.

    Whoever wants the row, to cancel the job say, waits for no network. It goes piece by piece: in
    a transaction, a server hangs up on who takes more than ten seconds for one statement.
    """
    if not isinstance(result, EncodedJson) or connection.dialect.name != "postgresql":
        return result
    may = text("SELECT has_database_privilege(current_database(), 'TEMP')")
    if len(result.text) <= _PIECE or not connection.scalar(may):
        return result
    connection.execute(
        text("CREATE TEMPORARY TABLE cvq_pieces (number integer, piece text) ON COMMIT DROP")
    )
    add = text("INSERT INTO cvq_pieces VALUES (:number, :piece)")
    for start in range(0, len(result.text), _PIECE):
        piece = result.text[start : start + _PIECE]
        connection.execute(add, {"number": start, "piece": piece})
    return literal_column("(SELECT string_agg(piece, '' ORDER BY number)::jsonb FROM cvq_pieces)")
