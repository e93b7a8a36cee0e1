"""Where a job comes from, and what has come of it: data → model → predictions.

A job hangs together with others by the models and files that it takes, by the files of its own
that others take, by what it waited for, and by what it was made from. What is many is counted: a
model may have been used a hundred thousand times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Select, func, select

from .. import queries
from .. import tables as t
from ..given import among
from ..records import Job

DEPTH = 4
_MOST_BESIDE = 12  # of one node, in one way
_MOST = 300  # of one drawing


@dataclass(frozen=True)
class Node:
    """What a graph shows.

    Attributes:
        id: `job 5`, `input 9f86d081…`, `sweep 2`; of many, what they have in common.
        type: `job`, `input`, `sweep`, `batch` or `more`.
        kind, name, state: of a job; of an input, its name; of many, how many of each kind.
        job: its number, of a job.
    """

    id: str
    type: str
    kind: str = ""
    name: str = ""
    state: str = ""
    job: int | None = None


@dataclass
class Branch:
    """A node, how it hangs together with the one before it, and those behind it.

    Attributes:
        how: `model`, `images`, `after`, `rerun of`, …
        again: whether it stands elsewhere, with what is behind it.
        more: whether there is more behind it than is shown.
    """

    node: Node
    how: str
    branches: list[Branch] = field(default_factory=list)
    again: bool = False
    more: bool = False


@dataclass(frozen=True)
class Graph:
    """A job, what it was made from, and what was made from it."""

    root: Node
    sources: list[Branch]
    uses: list[Branch]

    def nodes(self) -> list[Node]:
        """All nodes, each once."""
        found = {self.root.id: self.root}
        for _, branch, _ in self._all():
            found.setdefault(branch.node.id, branch.node)
        return list(found.values())

    def links(self) -> list[tuple[str, str, str]]:
        """What leads from which node to which, each once, in the direction of the data."""
        found: dict[tuple[str, str, str], None] = {}
        for before, branch, backwards in self._all():
            ends = (branch.node.id, before.id) if backwards else (before.id, branch.node.id)
            found[(*ends, branch.how)] = None
        return list(found)

    def _all(self) -> Iterator[tuple[Node, Branch, bool]]:
        for branches, backwards in ((self.sources, True), (self.uses, False)):
            waiting = [(self.root, branch) for branch in branches]
            while waiting:
                before, branch = waiting.pop(0)
                yield before, branch, backwards
                waiting += [(branch.node, each) for each in branch.branches]


def graph(connection: Connection, job_id: int, depth: int = DEPTH) -> Graph:
    """The graph around a job.

    Args:
        connection: of the database.
        job_id: of the job.
        depth: how many steps to go, in each direction.

    Raises:
        UnknownJobError: there is no such job.
    """
    job = queries.get_job(connection, job_id)
    reader = _Reader(connection)
    return Graph(
        _node(job),
        reader.around(job, reader.sources, depth),
        reader.around(job, reader.uses, depth),
    )


@dataclass(frozen=True)
class _Link:
    """A neighbour: another job, or something that is none."""

    how: str
    job: int | None = None
    node: Node | None = None


class _Reader:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def around(self, job: Job, neighbours: Any, depth: int) -> list[Branch]:
        """What is in one direction of a job, step by step: what is near comes first."""
        seen = {f"job {job.id}"}
        first: list[Branch] = []
        waiting = [(job, first, depth)]
        while waiting:
            current, into, left = waiting.pop(0)
            links = neighbours(current)
            others = self._jobs([link.job for link in links if link.job is not None])
            for link in links:
                other = others.get(link.job) if link.job is not None else None
                node = link.node or (_node(other) if other else _gone(link.job))
                branch = Branch(node, link.how, again=node.id in seen)
                into.append(branch)
                if other is None or branch.again:
                    continue
                seen.add(node.id)
                if left > 1 and len(seen) < _MOST:
                    waiting.append((other, branch.branches, left - 1))
                else:
                    branch.more = bool(neighbours(other))
        return first

    def sources(self, job: Job) -> list[_Link]:
        """What a job was made from."""
        found: list[_Link] = []
        i = t.inputs.c
        query = select(i.field, i.nth, i.sha256, i.source_job).where(i.job_id == job.id)
        rows = self._connection.execute(query.order_by(i.field, i.nth).limit(_MOST_BESIDE)).all()
        for row in rows:
            if row.source_job is not None:
                found.append(_Link(row.field, row.source_job))
            elif row.sha256 is not None:
                maker = self._maker(row.sha256, job.id)
                data = Node(f"input {row.sha256[:12]}", "input", name=_name(job, row))
                found.append(_Link(row.field, maker) if maker else _Link(row.field, node=data))
        number = self._count(select(i.job_id).where(i.job_id == job.id))
        if number > len(rows):
            found.append(_Link("", node=_more(f"{job.id} inputs", {"inputs": number - len(rows)})))
        d = t.dependencies.c
        parents = select(d.parent_id).where(d.job_id == job.id).order_by(d.parent_id)
        used = {link.job for link in found}
        for parent in self._connection.scalars(parents.limit(_MOST_BESIDE)):
            if parent not in used:  # else it waited for a model
                found.append(_Link("after", parent))
        if job.made_from is not None:
            found.append(_Link("rerun of", job.made_from))
        if job.twin_of is not None:
            found.append(_Link("same as", job.twin_of))
        if job.sweep is not None:
            found.append(_Link("trial of", node=Node(f"sweep {job.sweep}", "sweep")))
        return found

    def uses(self, job: Job) -> list[_Link]:
        """What was made from a job."""
        jobs, i, a, d = t.jobs.c, t.inputs.c, t.artifacts.c, t.dependencies.c
        own = select(a.sha256).where(a.job_id == job.id).limit(_MOST)
        files = list(self._connection.scalars(own))
        taken: Select[Any] = select(i.job_id).where(i.sha256.in_(files), i.source_job.is_(None))
        models = select(i.job_id).where(i.source_job == job.id)
        waited = select(d.job_id).where(d.parent_id == job.id, d.job_id.not_in(models))
        found: list[_Link] = []
        for how, query in (
            ("model of", models),
            *([("taken by", taken.where(i.job_id != job.id))] if files else []),
            ("rerun as", select(jobs.id).where(jobs.made_from == job.id)),
            ("same as", select(jobs.id).where(jobs.twin_of == job.id)),
            ("waited for by", waited),
        ):
            found += self._users(job, how, query)
        return found

    def _users(self, job: Job, how: str, query: Select[Any]) -> list[_Link]:
        """The first jobs of a query, and how many more there are of each kind."""
        [column] = query.selected_columns
        first = query.distinct().order_by(column).limit(_MOST_BESIDE + 1)
        ids = list(self._connection.scalars(first))
        links = [_Link(how, each) for each in ids[:_MOST_BESIDE]]
        if len(ids) > _MOST_BESIDE:
            links.append(_Link(how, node=self._rest(job, how, query, ids[:_MOST_BESIDE])))
        return links

    def _rest(self, job: Job, how: str, query: Select[Any], told: Sequence[int]) -> Node:
        jobs = t.jobs.c
        of = select(jobs.kind, func.count()).where(jobs.id.in_(query)).group_by(jobs.kind)
        kinds = Counter({row[0]: row[1] for row in self._connection.execute(of)})
        kinds.subtract(each.kind for each in self._jobs(told).values())
        return _more(f"{job.id} {how}", kinds)

    def _maker(self, sha256: str, job_id: int) -> int | None:
        """The job that has left a file, of which another was made."""
        a = t.artifacts.c
        query = select(a.job_id).where(a.sha256 == sha256, a.job_id < job_id)
        found: int | None = self._connection.scalar(query.order_by(a.job_id).limit(1))
        return found

    def _jobs(self, ids: Sequence[int]) -> dict[int, Job]:
        query = select(t.jobs).where(among(t.jobs.c.id, ids))
        rows = self._connection.execute(query).all() if ids else []
        return {row.id: Job.from_row(row) for row in rows}

    def _count(self, query: Select[Any]) -> int:
        return self._connection.scalar(select(func.count()).select_from(query.subquery())) or 0


def _node(job: Job) -> Node:
    return Node(f"job {job.id}", "job", job.kind, job.name or "", job.state, job.id)


def _gone(job_id: int | None) -> Node:
    return Node(f"job {job_id}", "job", name="which is gone", job=job_id)


def _more(what: str, kinds: Mapping[str, int]) -> Node:
    number = sum(kinds.values())
    told = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()) if count)
    return Node(f"more of {what}", "more", name=f"{number} more: {told}")


def _name(job: Job, row: Any) -> str:
    """What an input is called in the specification of its job."""
    value = job.spec.get(row.field)
    files = value if isinstance(value, list) else [value]
    file = files[row.nth] if row.nth < len(files) else None
    return str(file.get("name", "")) if isinstance(file, dict) else ""
