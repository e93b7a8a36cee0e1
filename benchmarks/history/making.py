"""Makes a history in a few statements: a million jobs with all that belongs to them in minutes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Connection

from benchmarks.history.kinds import FAMILIES, METRICS, TRAINING, Family, spec_of
from benchmarks.history.words import (
    Words,
    chance,
    literal,
    object_of,
    pick,
    quoted,
    share,
    text,
)
from cvq.db import Database

_USERS, _WORKERS = 40, 64
_EVERY_S = 10  # between two submissions
_QUEUES, _REASONS = (
    ("default", "default", "gpu", "night"),
    ("error", "oom", "signal:SEGV", "timeout"),
)
_NAMES = ("ablation", "baseline", "poster", "figure")
_STARTED, _FINISHED = "d.created + d.waited", "d.created + d.waited + d.ran"


def _grouped(column: str) -> str:
    """The jobs of each batch or sweep."""
    return (
        f"(SELECT {column} AS id, count(*) AS jobs, min(created) AS created, min(owner) AS owner, "
        f"min(kind) AS kind FROM drawn WHERE {column} IS NOT NULL GROUP BY {column}) AS g"
    )


@dataclass
class Making:
    """A history that is being made.

    Args:
        connection: of a database with an empty schema.
        jobs: how many.
        points: about how many rows of metrics, in all.
        say: is told what is being made.
    """

    connection: Connection
    jobs: int
    points: int
    say: Callable[[str], None] = field(default=lambda _: None)

    def __post_init__(self) -> None:
        self.words = Words(self.connection.dialect.name == "sqlite")
        self.block = max(10, self.jobs // 1000)  # jobs of a batch
        trainings = max(1, self.jobs * 40 // 100)
        self.steps = max(1, self.points // (trainings * len(METRICS)))

    def make(self) -> None:
        """Make it all."""
        with without_indexes(self.connection, self.say):
            for part in (
                self._draw, self._jobs, self._groups, self._attempts, self._summaries,
                self._attributes, self._files, self._events, self._metrics, self._logs,
            ):  # fmt: skip
                began = time.perf_counter()
                part()
                name = part.__name__.strip("_")
                self.say(f"{name}: {time.perf_counter() - began:.0f} s")
        self.connection.exec_driver_sql("DROP TABLE drawn")
        if not self.words.sqlite:
            self._count_on()

    def _run(self, statement: str) -> None:
        # A % is a placeholder to the drivers where there are parameters; there are none.
        self.connection.exec_driver_sql(
            statement.replace("%", "%%") if not self.words.sqlite else statement
        )

    def _draw(self) -> None:
        """What is known of each job before anything is written of it."""
        few = min(40, self.jobs // 20)  # jobs that are queued, and as many that run
        of_batch = f"(id / {self.block}) % 5 = 0"
        of_sweep = f"NOT ({of_batch}) AND (id / 20) % 25 = 3"
        kind = self._kind()
        self._run(
            f"CREATE TEMPORARY TABLE drawn AS {self.words.numbers(self.jobs)} "
            f"SELECT d.id, d.kind, {self._family()} AS family, d.batch, d.sweep, "
            f"CASE WHEN d.id > {self.jobs - few} THEN 'queued' "
            f"WHEN d.id > {self.jobs - 2 * few} THEN 'running' "
            f"WHEN {chance(3, 100)} < 90 THEN 'succeeded' "
            f"WHEN {chance(3, 100)} < 96 THEN 'failed' ELSE 'cancelled' END AS state, "
            f"'user' || CAST({share(4)} * {share(5)} * {_USERS} AS INTEGER) AS owner, "
            f"'worker.' || {text(chance(6, _WORKERS))} AS worker, "
            f"0.8 + 0.19 * {share(7)} AS quality, "
            f"(d.id - {self.jobs}) * {_EVERY_S}.0 AS created, "
            f"0.5 + 600 * {share(8)} * {share(9)} AS waited, "
            f"1.0 + 7200 * {share(10)} * {share(11)} AS ran "
            f"FROM (SELECT id, CASE WHEN {of_batch} THEN 'classify' "
            f"WHEN {of_sweep} THEN 'fmnist-cnn' ELSE {kind} END AS kind, "
            f"CASE WHEN {of_batch} THEN id / {self.block} / 5 + 1 END AS batch, "
            f"CASE WHEN {of_sweep} THEN id / 20 / 25 + 1 END AS sweep FROM n) AS d"
        )

    def _kind(self) -> str:
        """By chance, in the shares that the kinds have."""
        cases, below = [], 0
        for family in FAMILIES:
            for kind, hundredths in family.kinds.items():
                below += hundredths
                cases.append(f"WHEN {chance(1, 100, 'id')} < {below} THEN '{kind}'")
        return f"CASE {' '.join(cases)} END"

    def _family(self) -> str:
        cases = " ".join(
            f"WHEN '{kind}' THEN '{family.name}'" for family in FAMILIES for kind in family.kinds
        )
        return f"CASE d.kind {cases} END"

    def _jobs(self) -> None:
        for family in FAMILIES:
            self._jobs_of(family)

    def _jobs_of(self, family: Family) -> None:
        words = self.words
        begun = "d.state <> 'queued'"
        ended = "d.state NOT IN ('queued', 'running')"
        done = "d.state = 'succeeded'"
        result = [(name, text(value)) for name, value in family.result.items()]
        result += [(name, quoted(value)) for name, value in family.said.items()]
        metrics = [(name, text(self._counts(name))) for name in METRICS] if family.trains else []
        headline = ", ".join(f'"{name}"' for name in family.headline)
        values = {
            "id": "d.id", "kind": "d.kind", "queue": pick(12, _QUEUES),
            "priority": pick(14, (5, 5, 5, 9, 0)), "fair_rank": "d.id", "user": "d.owner",
            "name": f"CASE WHEN {chance(16, 2)} = 0 THEN {self._name()} END",
            "tags": words.json(self._tags()),
            "spec": words.json(object_of(spec_of(family, self._sha()))),
            "spec_hash": self._sha(), "state": "d.state",
            "reason": f"CASE d.state WHEN 'failed' THEN {pick(17, _REASONS)} END",
            "attempt": f"CASE WHEN {begun} THEN {self._attempt()} ELSE 0 END", "max_attempts": "3",
            "lease_owner": "CASE WHEN d.state = 'running' THEN d.worker END",
            "lease_until": f"CASE WHEN d.state = 'running' THEN {words.time('86400.0 * 365')} END",
            "cancel_requested": "FALSE" if not words.sqlite else "0",
            "metrics": words.json(f"CASE WHEN {begun} THEN {object_of(metrics)} ELSE '{{}}' END"),
            "result": f"CASE WHEN {done} THEN {words.json(object_of(result))} END",
            "error": "CASE WHEN d.state = 'failed' THEN 'ValueError: it is no number' END",
            "created_at": words.time("d.created"), "queued_at": words.time("d.created"),
            "started_at": f"CASE WHEN {begun} THEN {words.time(_STARTED)} END",
            "finished_at": f"CASE WHEN {ended} THEN {words.time(_FINISHED)} END",
            "goals": words.json(f"'{{\"\": [{headline}]}}'"),
            "batch": "d.batch", "sweep": "d.sweep", "identity": self._sha(),
        }  # fmt: skip
        self._insert("jobs", values, f"drawn d WHERE d.family = '{family.name}' ORDER BY d.id")

    def _insert(self, table: str, values: dict[str, str], source: str) -> None:
        names = ", ".join(f'"{name}"' for name in values)
        self._run(
            f"INSERT INTO {table} ({names}) SELECT {', '.join(values.values())} FROM {source}"
        )

    def _name(self) -> str:
        return f"{pick(18, _NAMES)} || '-' || {text(chance(19, 5000))}"

    def _tags(self) -> str:
        project = object_of(
            [("project", quoted(self._project())), ("run", quoted(text(chance(92, 500))))]
        )
        return f"CASE WHEN {chance(93, 4)} = 0 THEN {project} ELSE '{{}}' END"

    def _project(self) -> str:
        return "'project' || " + text(chance(94, 50))

    def _sha(self) -> str:
        return self.words.sha256(chance(95, 100_000), 1)

    def _attempt(self) -> str:
        return f"(CASE WHEN {chance(96, 50)} = 0 THEN 2 ELSE 1 END)"

    def _last(self, name: str, step: str | None = None) -> str:
        """A metric at a step: its last where none is said."""
        step = step or str(self.steps - 1)
        return {
            "val_accuracy": f"d.quality * ({step} + 1.0) / ({step} + 1.5)",
            "val_loss": f"(1.05 - d.quality) * (1.0 + 3.0 / ({step} + 1.0))",
            "loss": f"(1.0 - d.quality) * (1.0 + 4.0 / ({step} + 1.0))",
            "learning_rate": TRAINING.numbers["learning_rate"],
        }[name]

    def _counts(self, name: str) -> str:
        """The figure of a metric that counts: what the result says, where it says something."""
        last = self._last(name)
        said = TRAINING.result.get(name)
        return f"CASE WHEN d.state = 'succeeded' THEN {said} ELSE {last} END" if said else last

    def _groups(self) -> None:
        words = self.words
        self._insert("batches", {
            "id": "g.id", "kind": "g.kind", "user": "g.owner", "name": "'photos-' || g.id",
            "spec": words.json("'{}'"), "jobs": "g.jobs", "items": "g.jobs",
            "created_at": words.time("g.created"),
        }, _grouped("batch"))  # fmt: skip
        self._insert("sweeps", {
            "id": "g.id", "kind": "g.kind", "user": "g.owner", "stage": "'finished'",
            "spec": words.json("'{}'"), "space": words.json("'{}'"), "method": "'random'",
            "options": words.json("'{}'"), "seed": "0", "trials": "g.jobs",
            "metric": "'val_accuracy'", "direction": "'max'",
            "created_at": words.time("g.created"),
        }, _grouped("sweep"))  # fmt: skip
        self._insert("workers", {
            "id": "'worker.' || n.id", "host": "'lab' || n.id", "pid": "1000 + n.id",
            "devices": words.json("'[\"cuda:0\"]'"), "queues": words.json("'[\"default\"]'"),
            "slots": "1", "started_at": words.time("-86400.0"), "seen_at": words.time("0.0"),
            "lease": "30.0", "state": "'up'",
        }, f"({words.numbers(_WORKERS)} SELECT id FROM n) AS n")  # fmt: skip

    def _attempts(self) -> None:
        words = self.words
        numbers = words.rows("a", ["number"], [["1"], ["2"]])
        last, over = f"a.number = {self._attempt()}", "d.state <> 'running'"
        self._insert("attempts", {
            "job_id": "d.id", "number": "a.number", "worker": "d.worker",
            "host": "'lab'", "pid": "4711", "device": "'cuda:0'", "seed": "0",
            "versions": words.json("'{\"torch\":\"2.9.0\",\"cvq\":\"0.1.0\"}'"),
            "started_at": words.time(_STARTED),
            "finished_at": f"CASE WHEN {over} THEN {words.time(_FINISHED)} END",
            "outcome": f"CASE WHEN NOT ({last}) THEN 'failed' WHEN {over} THEN d.state END",
            "reason": f"CASE WHEN {last} THEN NULL ELSE 'worker-lost' END",
            "peak_memory": f"1000000 * {chance(97, 8000)}",
        }, f"drawn d CROSS JOIN {numbers} WHERE d.state <> 'queued' "
           f"AND a.number <= {self._attempt()} ORDER BY d.id, a.number")  # fmt: skip

    def _summaries(self) -> None:
        curves = []
        for name in METRICS:
            first, last = self._last(name, "0"), self._last(name)
            low, high = (first, last) if name == "val_accuracy" else (last, first)
            best = {"val_accuracy": last, "learning_rate": "NULL"}.get(name, low)
            curves.append((literal(name), last, low, high, best, self._counts(name)))
        names = self.words.rows("s", ["name"], [[each[0]] for each in curves])

        def chosen(place: int) -> str:
            cases = " ".join(f"WHEN {each[0]} THEN {each[place]}" for each in curves)
            return f"CASE s.name {cases} END"

        self._insert("summaries", {
            "job_id": "d.id", "name": "s.name", "source": "'metrics'", "value": chosen(5),
            "last": chosen(1), "min": chosen(2), "max": chosen(3), "best": chosen(4),
            "best_step": str(self.steps - 1), "attempt": "1",
        }, f"drawn d CROSS JOIN {names} WHERE d.family = 'train' AND d.state <> 'queued' "
           "ORDER BY d.id, s.name")  # fmt: skip
        for family in FAMILIES:
            if family.result:
                self._results_of(family)

    def _results_of(self, family: Family) -> None:
        names = self.words.rows("s", ["name"], [[literal(name)] for name in sorted(family.result)])
        cases = " ".join(f"WHEN '{name}' THEN {value}" for name, value in family.result.items())
        value = f"CASE s.name {cases} END"
        self._insert("summaries", {
            "job_id": "d.id", "name": "s.name", "source": "'result'", "value": value,
            "last": value, "min": value, "max": value, "attempt": "1",
        }, f"drawn d CROSS JOIN {names} WHERE d.family = '{family.name}' "
           "AND d.state = 'succeeded' ORDER BY d.id, s.name")  # fmt: skip

    def _attributes(self) -> None:
        for family in FAMILIES:
            words = {**family.words, family.file[0]: family.file[1]}
            self._attributes_of(family, "params", family.numbers, words)
            self._attributes_of(family, "result", {}, family.said, "d.state = 'succeeded'")
        tags = {"project": self._project(), "run": text(chance(92, 500))}
        for family in FAMILIES:
            self._attributes_of(
                family, "tags", {}, tags, f"{chance(93, 4)} = 0", {"run": chance(92, 500)}
            )

    def _attributes_of(
        self, family: Family, source: str, numbers: dict[str, str] | object, words: object,
        condition: str = "TRUE", both: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        values = {**dict(numbers), **(both or {})}  # type: ignore[call-overload]
        texts = dict(words)  # type: ignore[call-overload]
        if not values and not texts:
            return
        names = self.words.rows(
            "s", ["name"], [[literal(name)] for name in sorted({*values, *texts})]
        )

        def chosen(expressions: dict[str, str], otherwise: str) -> str:
            cases = " ".join(f"WHEN '{name}' THEN {value}" for name, value in expressions.items())
            return f"CASE s.name {cases} END" if cases else otherwise

        null = "CAST(NULL AS DOUBLE PRECISION)"
        self._insert("attributes", {
            "job_id": "d.id", "source": f"'{source}'", "name": "s.name",
            "value": chosen(values, null), "text": chosen(texts, "NULL"),
        }, f"drawn d CROSS JOIN {names} WHERE d.family = '{family.name}' AND {condition} "
           "ORDER BY d.id, s.name")  # fmt: skip

    def _files(self) -> None:
        words = self.words
        for family in FAMILIES:
            self._insert("inputs", {
                "job_id": "d.id", "field": literal(family.file[0]), "nth": "0",
                "sha256": self._sha(),
                "source_job": f"1 + {chance(98, 1000)}" if family.name == "classify" else "NULL",
            }, f"drawn d WHERE d.family = '{family.name}' ORDER BY d.id")  # fmt: skip
        self._insert("artifacts", {
            "job_id": "d.id", "attempt": "1", "name": "'result.png'", "role": "'result'",
            "media_type": "'image/png'", "uri": "'file:///store/jobs/' || d.id || '/1/result.png'",
            "sha256": words.sha256("d.id", 2), "bytes": f"1000 + {chance(99, 1_000_000)}",
            "created_at": words.time(_FINISHED),
        }, "drawn d WHERE d.state = 'succeeded' ORDER BY d.id")  # fmt: skip

    def _events(self) -> None:
        words = self.words
        steps = words.rows("e", ["nth", "what"], [
            ["0", "'submitted'"], ["1", "'attempt 1 started'"], ["2", "'attempt 1 ended'"],
        ])  # fmt: skip
        when = f"CASE e.nth WHEN 0 THEN d.created WHEN 1 THEN {_STARTED} ELSE {_FINISHED} END"
        self._insert("events", {
            "job_id": "d.id", "time": words.time(when), "what": "e.what", "by": "d.owner",
        }, f"drawn d CROSS JOIN {steps} WHERE e.nth = 0 OR d.state NOT IN ('queued', 'running') "
           "ORDER BY d.id, e.nth")  # fmt: skip

    def _metrics(self) -> None:
        names = self.words.rows("s", ["name"], [[literal(name)] for name in METRICS])
        steps = f"({self.words.numbers(self.steps)} SELECT id - 1 AS step FROM n) AS n"
        cases = " ".join(f"WHEN '{name}' THEN {self._last(name, 'n.step')}" for name in METRICS)
        self._insert("metrics", {
            "job_id": "d.id", "attempt": "1", "name": "s.name", "step": "n.step",
            "value": f"CASE s.name {cases} END", "time": self.words.time(_STARTED),
        }, f"drawn d CROSS JOIN {names} CROSS JOIN {steps} "
           "WHERE d.family = 'train' AND d.state <> 'queued'")  # fmt: skip

    def _logs(self) -> None:
        """Two lines of each of the newest jobs."""
        seqs = self.words.rows("l", ["seq"], [["1"], ["2"]])
        self._insert("logs", {
            "job_id": "d.id", "attempt": "1", "seq": "l.seq",
            "time": self.words.time(_STARTED), "stream": "'stdout'",
            "text": "'epoch ' || l.seq || ' of job ' || d.id",
        }, f"drawn d CROSS JOIN {seqs} WHERE d.state <> 'queued' AND d.id > {self.jobs * 9 // 10} "
           "ORDER BY d.id, l.seq")  # fmt: skip

    def _count_on(self) -> None:
        """Let Postgres give the next ids after those that were given here."""
        for table in ("jobs", "batches", "sweeps"):
            self._run(
                f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), "
                f"(SELECT coalesce(max(id), 1) FROM {table}))"
            )


@contextmanager
def without_indexes(connection: Connection, say: Callable[[str], None]) -> Iterator[None]:
    """Drop the indexes and make them again: rows go in ten times as quickly without."""
    if connection.dialect.name == "sqlite":
        found = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    else:
        found = (
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema() "
            "AND indexname LIKE 'ix_%%'"
        )
    indexes = [(row[0], row[1]) for row in connection.exec_driver_sql(found)]
    for name, _ in indexes:
        connection.exec_driver_sql(f"DROP INDEX {name}")
    yield
    for name, definition in indexes:
        say(f"index {name}")
        connection.exec_driver_sql(definition)


def make(database: Database, jobs: int, points: int, say: Callable[[str], None]) -> None:
    """Fill an empty database with a history, and let it know what it has.

    Args:
        database: with the schema, and nothing in it.
        jobs: how many.
        points: about how many rows of metrics, in all.
        say: is told what is being made.
    """
    with database.engine.connect() as connection, _hasty(connection), connection.begin():
        Making(connection, jobs, points, say).make()
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        say("statistics")
        connection.exec_driver_sql("ANALYZE" if database.is_sqlite else "VACUUM ANALYZE")


@contextmanager
def _hasty(connection: Connection) -> Iterator[None]:
    """Let SQLite write everything once, and not into its log first; a failure leaves a ruin."""
    if connection.dialect.name != "sqlite":
        yield
        return
    driver = connection.connection.driver_connection
    assert driver is not None
    for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-1000000"):
        driver.execute(f"PRAGMA {pragma}")
    yield
    driver.execute("PRAGMA journal_mode=WAL")
