"""Two makings of the same work held against each other: every file by its SHA-256."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Connection

from .. import queries
from ..errors import StoreError, UsageError
from ..files import sha256_of, why
from ..records import Artifact, Attempt, Job
from ..states import Role, State
from .places import first_difference

if TYPE_CHECKING:
    from ..artifacts import ArtifactStore

# A checkpoint is on the way, and gone once its job has succeeded. All else is compared: with the
# same code, values, inputs and seed each file is the same, whatever its role.
LEFT_OUT = frozenset({Role.CHECKPOINT})
UNKNOWN = "unknown"


class File(NamedTuple):
    """A file that a job has left, as it is compared."""

    name: str
    role: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Making:
    """What a job has made, and what by.

    Attributes:
        files: in the order of their names.
        environment: versions, device, and what else decides the bits; `code` among them.
        seed: of the attempt.
    """

    files: Sequence[File]
    environment: Mapping[str, str]
    seed: int | None = None


class Difference(NamedTuple):
    """A file that is another; None where there is none.

    Attributes:
        place: where the two begin to differ; empty where one of them is not at hand.
    """

    name: str
    role: str
    before: str | None
    after: str | None
    place: str = ""


@dataclass(frozen=True)
class Comparison:
    """How a making differs from an earlier one.

    Attributes:
        equal: the names of files that are the same.
        differences: those that are not.
        environment: what is not the same of it: before and after, by name.
    """

    equal: Sequence[str]
    differences: Sequence[Difference]
    environment: Mapping[str, tuple[str, str]]

    @property
    def is_equal(self) -> bool:
        """Whether every file is the same, and there is one."""
        return bool(self.equal) and not self.differences

    def to_json(self) -> dict[str, Any]:
        """The documented shape."""
        return {
            "equal": self.is_equal,
            "same": list(self.equal),
            "differences": [each._asdict() for each in self.differences],
            "environment": {
                name: {"before": before, "after": after}
                for name, (before, after) in self.environment.items()
            },
        }


def check_succeeded(job: Job) -> None:
    """Refuse a job that has made nothing that could be compared.

    Raises:
        UsageError: it has not succeeded.
    """
    if job.state != State.SUCCEEDED:
        raise UsageError(f"job {job.id} is {job.state}: what it made can be compared once it has "
                         "succeeded")  # fmt: skip


def making_of(connection: Connection, job: Job) -> Making:
    """What a job has made, and what by; a twin has made what its origin has."""
    attempts = queries.attempts_of(connection, job.twin_of or job.id)
    last = attempts[-1] if attempts else None
    files = files_of(queries.artifacts_of(connection, [job.id])[job.id])
    return Making(files, environment_of(last), None if last is None else last.seed)


def files_of(artifacts: Iterable[Artifact]) -> list[File]:
    """The files that are compared."""
    kept = [file for file in artifacts if file.role not in LEFT_OUT]
    return sorted(File(file.name, file.role, file.sha256, file.bytes) for file in kept)


def environment_of(attempt: Attempt | None) -> dict[str, str]:
    """What an attempt has noted of where it ran."""
    if attempt is None:
        return {}
    device = (attempt.device or UNKNOWN).partition(":")[0]  # which one of several is all the same
    versions = attempt.versions or {}
    return {"device": device, **{str(name): str(value) for name, value in versions.items()}}


def compare(before: Making, after: Making) -> Comparison:
    """Hold two makings against each other."""
    one = {file.name: file for file in before.files}
    other = {file.name: file for file in after.files}
    equal, differences = [], []
    for name in sorted(one.keys() | other.keys()):
        a, b = one.get(name), other.get(name)
        if a is not None and b is not None and a.sha256 == b.sha256:
            equal.append(name)
            continue
        role = (a or b or File(name, "", "", 0)).role
        differences.append(Difference(name, role, a and a.sha256, b and b.sha256))
    return Comparison(equal, differences, _environment(before.environment, after.environment))


def _environment(
    before: Mapping[str, str], after: Mapping[str, str]
) -> dict[str, tuple[str, str]]:
    names = dict.fromkeys([*before, *after])
    pairs = {name: (before.get(name, UNKNOWN), after.get(name, UNKNOWN)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def with_places(
    found: Comparison,
    before: Mapping[str, Artifact],
    after: Mapping[str, Artifact],
    artifacts: ArtifactStore,
) -> Comparison:
    """The same, with the place where each file that is at hand begins to differ."""
    with TemporaryDirectory(prefix="cvq-compare-") as folder:
        told = [
            each._replace(place=_place(each, before, after, artifacts, Path(folder)))
            for each in found.differences
        ]
    return replace(found, differences=told)


def _place(
    each: Difference, before: Mapping[str, Artifact], after: Mapping[str, Artifact],
    artifacts: ArtifactStore, folder: Path,
) -> str:  # fmt: skip
    if each.before is None or each.after is None:
        return "" if each.before is each.after else "only one of the jobs has left it"
    sides = [(side, files.get(each.name)) for side, files in (("a", before), ("b", after))]
    paths = []
    for side, file in sides:
        if file is None:
            return ""
        (folder / side).mkdir(exist_ok=True)
        try:
            paths.append(artifacts.fetch_readable(file, folder / side))
        except StoreError as error:
            return f"its file cannot be compared: {error}"
    try:
        return first_difference(paths[0], paths[1], each.name)
    except OSError as error:
        return f"its file cannot be compared: {why(error)}"


def with_damage(
    found: Comparison,
    before: Mapping[str, Artifact],
    after: Mapping[str, Artifact],
    artifacts: ArtifactStore,
) -> Comparison:
    """The same, where the stored files are looked into: what was changed since is not the same."""
    equal, changed = [], []
    with TemporaryDirectory(prefix="cvq-compare-") as folder:
        for name in found.equal:
            told = _damage(before[name], after[name], artifacts, Path(folder))
            if told is None:
                equal.append(name)
            else:
                changed.append(told)
    differences = sorted([*found.differences, *changed], key=lambda each: each.name)
    return replace(found, equal=equal, differences=differences)


def _damage(
    before: Artifact, after: Artifact, artifacts: ArtifactStore, folder: Path
) -> Difference | None:
    """How a stored file differs from what it was, which the other still is; None: it does not."""
    try:
        path = artifacts.fetch_readable(before, folder)
        if not artifacts.is_local:
            path.unlink()
        return None
    except StoreError as error:
        told = Difference(before.name, before.role, None, after.sha256, f"stored before: {error}")
    here = artifacts.local_path(before.uri)
    if here is None or not here.is_file():
        return told
    try:
        other = artifacts.fetch_readable(after, folder)
        place = f"changed in the store: {first_difference(here, other, before.name)}"
        return told._replace(before=sha256_of(here), place=place)
    except (OSError, StoreError):
        return told
