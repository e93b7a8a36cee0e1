"""Texts are in the order of their code points, whatever language the database was made in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import psycopg
import pytest
import steps
from sqlalchemy import text, update

from conftest import created
from cvq import Settings, schema
from cvq import tables as t
from cvq.db import Database
from cvq.query.parser import parse
from cvq.views import filters
from cvq.views.filters import Filter

WORDS = ["a-9", "a-z", "a-z1", "A-z2", "ab", "B", "b", "Zoe", "zoe", "äb"]


@pytest.fixture
def english(postgres_server: str) -> Iterator[Database]:
    """A database that has `B` between `a` and `c`, and no eye for dashes."""
    language = "template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US' ENCODING 'UTF8'"
    try:
        with created(postgres_server, language) as url:
            database = Database(Settings.load(database_url=url))
            schema.upgrade(database)
            yield database
            database.engine.dispose()
    except (psycopg.errors.FeatureNotSupported, psycopg.errors.InvalidParameterValue):
        pytest.skip("this Postgres was built without languages")


def test_texts_are_compared_alike_in_any_language(english: Database) -> None:
    ids = steps.submit(english, *[steps.new(user=w, tags={"to": w}) for w in WORDS])
    with english.write() as connection:
        for job_id, word in zip(ids, WORDS, strict=True):
            connection.execute(update(t.jobs).where(t.jobs.c.id == job_id).values(name=word))
        assert connection.scalar(text("SELECT 'a' < 'B'")), "it has another order"
    with english.read() as connection:
        for field in ("user", "name", "tags.to"):
            for falling in (False, True):
                sort = f"-{field}" if falling else field
                pages = filters.pages(lambda: nullcontext(connection), Filter(sort=sort), 3)
                found = [job.user for page in pages for job in page]
                assert found == sorted(WORDS, reverse=falling)
            for asked, meant in {
                f"{field} like 'a-z%'": ["a-z", "a-z1"],
                f"{field} like 'a-9%'": ["a-9"],
                f"{field} > 'a'": [word for word in WORDS if word > "a"],
                f"{field} <= 'Z'": [word for word in WORDS if word <= "Z"],
            }.items():
                wanted = Filter(where=parse(asked))
                assert sorted(j.user for j in filters.find(connection, wanted)) == sorted(meant)
