"""How SQLite goes about the statements of an act."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import event

from cvq.db import Database


def sqlite_plans(database: Database, act: Callable[[], None]) -> list[str]:
    """The steps of each statement that reads, as the planner has them, with the statement."""
    seen: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, values: Any, _x: Any, many: bool) -> None:
        if not many and statement.startswith(("SELECT", "UPDATE", "INSERT", "DELETE")):
            seen.append((statement, values))

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        act()
    finally:
        event.remove(database.engine, "before_cursor_execute", note)
    with database.read() as connection:
        return [
            f"{row[3]}: {statement}"
            for statement, values in seen
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
        ]
