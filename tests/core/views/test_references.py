"""What `12`, `3-7`, `@` and `@~1` mean."""

from __future__ import annotations

import pytest
from steps import claimed, new, submit

from cvq.db import Database
from cvq.errors import UnknownJobError, UsageError
from cvq.parse import reference
from cvq.views import references


def resolve(database: Database, *texts: str, user: str = "ann") -> list[int]:
    with database.read() as connection:
        return references.resolve(connection, user, map(reference, texts))


def test_each_job_once_in_the_order_given(database: Database) -> None:
    one, two, three = submit(database, new(), new(), new("bob"))
    assert resolve(database, f"{two}", f"{one}-{three}", "@") == [two, one, three]
    assert resolve(database, "@", "@~1") == [two, one]
    assert resolve(database, "@", user="bob") == [three]


def test_what_means_no_job_is_refused(database: Database) -> None:
    submit(database, new())
    with pytest.raises(UnknownJobError, match="no job 9: "):
        resolve(database, "9")
    with pytest.raises(UnknownJobError, match="no job 8-9: "):
        resolve(database, "1", "8-9")
    with pytest.raises(UsageError, match=r"no job @~1: you \(ann\) have not submitted that many"):
        resolve(database, "@~1")


def test_one_job_is_no_range_of_several(database: Database) -> None:
    one, two = submit(database, new(), new())
    with database.read() as connection:
        assert references.resolve_one(connection, "ann", reference("@")) == two
        with pytest.raises(UsageError, match=f"{one}-{two} is 2 jobs: give one job"):
            references.resolve_one(connection, "ann", reference(f"{one}-{two}"))


def test_an_attempt_that_no_job_has_had_is_refused(database: Database) -> None:
    begun = claimed_after_submit(database)
    [other] = submit(database, new())
    with database.read() as connection:
        references.check_attempt(connection, [begun, other], 1)
        references.check_attempt(connection, [other], None)
        for jobs, message in (
            ([begun], f"job {begun} has no attempt 2: it has had 1"),
            ([other], f"job {other} has no attempt 2: it has had none"),
            ([begun, other], "none of these jobs has an attempt 2"),
        ):
            with pytest.raises(UsageError, match=message):
                references.check_attempt(connection, jobs, 2)


def claimed_after_submit(database: Database) -> int:
    submit(database, new())
    return claimed(database).id
