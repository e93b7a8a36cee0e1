"""What can be asked of a job besides its metrics: parameters, tags, words of its result, inputs.

Each is a row of its own, so that an index finds it: a number under `value`, any other word under
`text`. What is longer than 500 characters is not to be found by it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, insert, select, true

from . import tables as t
from .given import Given, among
from .leaves import is_file, leaves
from .records import EncodedJson

PARAMS, TAGS, RESULT = "params", "tags", "result"
LONGEST_TEXT = 500  # as the column
_LONGEST_NAME = 200  # as the column
_LONGEST_LIST = 100  # that is one text
_MOST = 500  # of one source


class Attribute(NamedTuple):
    """Something that can be asked of a job; `text` where it is no number."""

    source: str
    name: str
    value: float | None
    text: str | None


class Input(NamedTuple):
    """A file that a job takes, as the `nth` of a field; or the job whose model it uses."""

    field: str
    nth: int
    sha256: str | None
    source_job: int | None


def params_of(spec: Mapping[str, Any]) -> list[Attribute]:
    """The parameters of a specification as JSON: nested ones as `a.b`.

    An input file has its name, a model the number of its job. A list of plain values is one text,
    in JSON.
    """
    return _bounded(PARAMS, _plain(spec))


def tags_of(tags: Mapping[str, str]) -> list[Attribute]:
    """Tags: as texts, and as numbers where they are these."""
    return _bounded(TAGS, tags.items())


def words_of(result: Any) -> dict[str, str]:
    """The words of a result that can be asked for, by name; its numbers are in `summaries`."""
    if isinstance(result, EncodedJson):
        return dict(result.words)
    found = _plain(result) if isinstance(result, dict) else ()
    words = ((name, value) for name, value in found if isinstance(value, str))
    return {each.name: each.text for each in _bounded(RESULT, words) if each.text is not None}


def inputs_of(spec: Mapping[str, Any]) -> list[Input]:
    """The files and models in a specification as JSON."""
    found = []
    for field, value in spec.items():
        files = value if isinstance(value, list) else [value]
        for nth, file in enumerate(files):
            if is_file(file):
                job = file.get("job")
                found.append(Input(field[:100], nth, file["sha256"], _whole(job)))
    return found


def add(connection: Connection, job_id: int, attributes: Iterable[Attribute]) -> None:
    """Enter attributes of a job."""
    if rows := [{"job_id": job_id, **each._asdict()} for each in attributes]:
        connection.execute(insert(t.attributes), rows)


def add_inputs(connection: Connection, job_id: int, inputs: Iterable[Input]) -> None:
    """Enter inputs of a job."""
    if rows := [{"job_id": job_id, **each._asdict()} for each in inputs]:
        connection.execute(insert(t.inputs), rows)


def add_words(connection: Connection, results: Iterable[tuple[int, Mapping[str, str]]]) -> None:
    """Enter the words of the results of jobs."""
    rows = [
        {"job_id": job_id, "source": RESULT, "name": name, "text": text}
        for job_id, words in results
        for name, text in words.items()
    ]
    if rows:
        connection.execute(insert(t.attributes), rows)


def change_tags(
    connection: Connection, job_ids: Sequence[int], tags: Mapping[str, str | None]
) -> None:
    """Enter tags of jobs in the place of those of the same names; None takes one away."""
    a = t.attributes.c
    which = (among(a.job_id, job_ids), a.source == TAGS, a.name.in_(list(tags)))
    connection.execute(delete(t.attributes).where(*which))
    given = tags_of({name: value for name, value in tags.items() if value is not None})
    if given:
        rows = Given(connection, [_sent(each) for each in given])
        _insert(connection, t.attributes, rows, job_ids)


def add_of_many(
    connection: Connection, job_ids: Sequence[int], specs: Sequence[Mapping[str, Any]],
    common: Mapping[str, Any], tags: Mapping[str, str],
) -> None:  # fmt: skip
    """Enter attributes and inputs of many jobs, in a few statements.

    Args:
        connection: the transaction.
        job_ids: of the jobs.
        specs: their specifications, in the same order.
        common: what all of these have in common.
        tags: of each of them.
    """
    shared = Given(connection, [_sent(each) for each in [*params_of(common), *tags_of(tags)]])
    inputs = Given(connection, [each._asdict() for each in inputs_of(common)])
    for given, table in ((shared, t.attributes), (inputs, t.inputs)):
        _insert(connection, table, given, job_ids)
    own = [{n: v for n, v in spec.items() if n not in common} for spec in specs]
    rows = [
        {"job_id": job_id, **_sent(each)}
        for job_id, spec in zip(job_ids, own, strict=True)
        for each in params_of(spec)
    ]
    files = [
        {"job_id": job_id, **each._asdict()}
        for job_id, spec in zip(job_ids, own, strict=True)
        for each in inputs_of(spec)
    ]
    for several, table in ((rows, t.attributes), (files, t.inputs)):
        _insert(connection, table, Given(connection, several))


def _insert(
    connection: Connection, table: Any, given: Given, job_ids: Sequence[int] | None = None
) -> None:
    """Insert given rows; the same for each of some jobs, where they do not say of which."""
    columns = [column for column in table.c if column.name != "job_id" or job_ids is None]
    cells = [given.cell(column.name, column.type) for column in columns]
    names = [column.name for column in columns]
    if job_ids is None:
        rows = select(*cells).select_from(given.table)
    else:
        rows = (
            select(t.jobs.c.id, *cells)
            .select_from(t.jobs.join(given.table, true()))
            .where(among(t.jobs.c.id, job_ids))
        )
        names = ["job_id", *names]
    connection.execute(insert(table).from_select(names, rows))


def _sent(attribute: Attribute) -> dict[str, Any]:
    """As `Given` takes it: SQLite reads numbers of JSON with an error in the last digit."""
    value = attribute.value
    return {**attribute._asdict(), "value": None if value is None else repr(value)}


def _plain(record: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    """The values within a record as one word each; None where it takes more."""
    for name, value in leaves(record):
        if is_file(value):
            yield name, _of_file(value)
        else:
            yield name, _of_list(value) if isinstance(value, list) else value


def _of_list(values: list[Any]) -> Any:
    if len(values) == 1 and is_file(values[0]):
        return _of_file(values[0])
    few = 0 < len(values) <= _LONGEST_LIST
    plain = few and not any(isinstance(value, dict | list) for value in values)
    return json.dumps(values, ensure_ascii=False) if plain else None


def _of_file(file: Mapping[str, Any]) -> Any:
    return file["name"] if _whole(file.get("job")) is None else file["job"]


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _bounded(source: str, values: Iterable[tuple[str, Any]]) -> list[Attribute]:
    made = (_attribute(source, name, value) for name, value in values)
    named = {each.name: each for each in made if each is not None}  # `a.b` may be b of a, too
    return list(islice(named.values(), _MOST))


def _attribute(source: str, name: str, value: Any) -> Attribute | None:
    if len(name) > _LONGEST_NAME:
        return None
    if isinstance(value, bool):
        return Attribute(source, name, float(value), str(value).lower())
    if isinstance(value, int | float):
        number = _number(value)
        return None if number is None else Attribute(source, name, number, None)
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        return None
    number = _number(value) if source == TAGS else None
    return Attribute(source, name, number, value)


def _number(value: Any) -> float | None:
    """A number that a column holds; None of any other."""
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < float("inf") else None
