"""What a statement is given many of."""

from __future__ import annotations

import pytest
from sqlalchemy import BigInteger, Text, func, select

from cvq import tables as t
from cvq.db import Database
from cvq.given import Given, among

ROWS = [
    {"word": "plain", "number": 1},
    {"word": "größe \"quoted\" \\ {'json': [1]}\n", "number": 2**40},
    {"word": None, "number": None},
    {"word": '{"loss": 0.30000000000000004}', "number": -1},
]


def test_rows_arrive_as_they_were_given_and_in_their_order(database: Database) -> None:
    with database.read() as connection:
        given = Given(connection, ROWS)
        cells = given.cell("word", Text()), given.cell("number", BigInteger())
        found = connection.execute(
            select(*cells).select_from(given.table).order_by(given.nth)
        ).all()
    assert [tuple(row) for row in found] == [(row["word"], row["number"]) for row in ROWS]


@pytest.mark.parametrize("ids", [[], [1], list(range(100_000))])
def test_any_number_of_ids_is_looked_for(database: Database, ids: list[int]) -> None:
    with database.read() as connection:
        each = Given(connection, [{"id": number} for number in (1, 5, 99_999, 100_000)])
        column = each.cell("id", t.jobs.c.id.type)
        query = select(func.count()).select_from(each.table).where(among(column, ids))
        assert connection.scalar(query) == len({1, 5, 99_999, 100_000} & set(ids))
