"""A history to clean up: jobs that ended long ago, with their files."""

from __future__ import annotations

import os
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import insert, update
from steps import new, submit

from cvq import tables as t
from cvq.artifacts import ArtifactStore
from cvq.db import Database
from cvq.ids import AttemptId
from cvq.records import NewJob
from cvq.states import State

LONG_AGO_S = 100 * 86_400


class Past:
    """Makes jobs as if they had ended long ago.

    Attributes:
        database: of the jobs.
        store: of their files, a folder.
    """

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.store = ArtifactStore((folder / "store").as_uri())
        self._folder = folder

    def job(
        self,
        *,
        state: str = State.SUCCEEDED,
        files: dict[str, str] | None = None,
        inputs: dict[str, Any] | None = None,
        lines: int = 2,
        ended_s: float = LONG_AGO_S,
        **values: Any,
    ) -> int:
        """A job that has ended, with what it has left; `files` are contents by name."""
        wanted = new(**values)
        [job_id] = submit(self.database, replace(wanted, spec={**wanted.spec, **(inputs or {})}))
        self.end(job_id, state=state, files=files, lines=lines, ended_s=ended_s)
        return job_id

    def end(
        self,
        job_id: int,
        *,
        state: str = State.SUCCEEDED,
        files: dict[str, str] | None = None,
        lines: int = 2,
        ended_s: float = LONG_AGO_S,
    ) -> None:
        """Let a job have ended, so many seconds ago."""
        with self.database.write() as connection:
            ended = update(t.jobs).where(t.jobs.c.id == job_id)
            connection.execute(ended.values(state=state, attempt=1, finished_at=t.now(-ended_s)))
            rows = [
                {"job_id": job_id, "attempt": 1, "seq": n, "stream": "stdout", "text": "so"}
                for n in range(lines)
            ]
            if rows:
                connection.execute(insert(t.logs).values(time=t.now()), rows)
            for name, content in (files or {}).items():
                self._leave(connection, job_id, name, content)

    def _leave(self, connection: Any, job_id: int, name: str, content: str) -> None:
        path = self._folder / uuid.uuid4().hex
        path.write_text(content)
        role, _, name = name.rpartition(":")
        left = self.store.put_artifact(
            AttemptId(job_id, 1), path, name=name, role=role or "result"
        )
        connection.execute(
            insert(t.artifacts).values(
                job_id=job_id, attempt=1, name=left.name, role=left.role, uri=left.uri,
                media_type=left.media_type, sha256=left.sha256, bytes=left.bytes,
                created_at=t.now(),
            )
        )  # fmt: skip

    def input(self, content: str, *, used_s: float = LONG_AGO_S) -> dict[str, Any]:
        """An input in the store, as a specification has it, last used so many seconds ago."""
        path = self._folder / uuid.uuid4().hex
        path.write_text(content)
        digest, size = self.store.put_input(path)
        kept = self.store.local_path(self.store.input_uri(digest))
        assert kept is not None
        then = kept.stat().st_mtime - used_s
        os.utime(kept, (then, then))
        return {"name": "a.png", "sha256": digest, "bytes": size}

    def model(self, job_id: int) -> dict[str, Any]:
        """The model of a job, as the specification of one that uses it has it."""
        return {"name": f"model of job {job_id}", "sha256": None, "job": job_id}

    def files(self) -> list[str]:
        """What lies in the store: the first letters of inputs, the paths of jobs' files."""
        root = Path(self.store.root)
        found = [path.relative_to(root) for path in root.rglob("*") if path.is_file()]
        return sorted(
            "input" if path.parts[0] == "inputs" else "/".join(path.parts[1:]) for path in found
        )


__all__ = ["LONG_AGO_S", "NewJob", "Past"]
