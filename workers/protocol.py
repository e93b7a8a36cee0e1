"""All that a worker and the processes of its jobs say to each other, as frozen messages.

    job ──events──▶ worker            Progress, Metrics, ArtifactWritten, Confirm,
                                      Result, Error, Stopped
    job ◀──pulse──▶ worker            Beat, Stop, Confirmed; Begun, Alive, Abandoned
    warm process ──events──▶ worker   Loaded, Served, Progress, ArtifactWritten, Result, Error
    warm process ◀──pulse──▶ worker   Ping, Serve; Up, Alive
    supervisor ◀──leash──▶ worker     Terminate, Kill; Started, Ended
    fork server ◀──────▶ worker       Preload, StartJob; Ready
    a job's folder, job.json          Request
    a warm process's, warm.json       WarmRequest
    a micro-batch's, batch.json       BatchRequest

Each message but the last three is a line of JSON. What is about a job names it and its attempt. A
process that the job has started can write on the job's sockets, too, and a kill cuts a line off:
what does not hold what it should is no message. The checks stand in the types of the fields.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar, get_args, get_type_hints

from cvq.ids import AttemptId

# Bytes of a line that one call can write without its being mixed with another process's.
LONGEST_EVENT = 60_000
EXIT_STOPPED = 75  # EX_TEMPFAIL: asked to stop, to be run again elsewhere
WARM = "warm.json"  # what a warm process's request is called
EXIT_CUT = 94  # the connection is closed: by the job itself, or nobody is left who could ask

_INT64 = 1 << 63
_LONGEST_REASON = 50
_TYPE = "type"  # the key under which a line names its message


# ---------------------------------------------------------------------------- checks of fields


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -_INT64 <= value < _INT64


def _is_number(value: Any) -> bool:
    """A number that is a float, or becomes one; NaN and infinity are."""
    return isinstance(value, float) or _is_whole(value)


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1


def _is_time(value: Any) -> bool:
    try:
        return _is_number(value) and bool(datetime.fromtimestamp(value, UTC))
    except (ValueError, OverflowError, OSError):
        return False


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_label(value: Any) -> bool:
    return isinstance(value, str) and "\x00" not in value


def _is_reason(value: Any) -> bool:
    return _is_label(value) and 0 < len(value) <= _LONGEST_REASON


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _are_numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_number, value.values()))


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _or_none(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


_Whole: TypeAlias = Annotated[int, _is_whole]
_Number: TypeAlias = Annotated[float, _is_number]
_Text: TypeAlias = Annotated[str, _is_text]
_Label: TypeAlias = Annotated[str, _is_label]  # without NUL
_Flag: TypeAlias = Annotated[bool, _is_flag]
_Texts: TypeAlias = Annotated[Sequence[str], _are_texts]
_WholeOrNone: TypeAlias = Annotated[int | None, _or_none(_is_whole)]


# ---------------------------------------------------------------------------- job → worker


@dataclass(frozen=True)
class _OfAttempt:
    """What names the job and the attempt that it is about."""

    job_id: _Whole
    attempt: _Whole

    @property
    def attempt_id(self) -> AttemptId:
        """The attempt that this is about."""
        return AttemptId(self.job_id, self.attempt)


@dataclass(frozen=True)
class Progress(_OfAttempt):
    """`done` of `total` units are done, and such a share of the work where that is known."""

    done: _Whole
    total: _Whole
    unit: _Text
    share: Annotated[float | None, _or_none(_is_share)]


@dataclass(frozen=True)
class Metrics(_OfAttempt):
    """Named numbers of a step; `time` is in seconds since the epoch."""

    step: _Whole
    values: Annotated[dict[str, float], _are_numbers]
    time: Annotated[float, _is_time]


@dataclass(frozen=True)
class ArtifactWritten(_OfAttempt):
    """A file lies in the job's folder, to be stored."""

    path: _Label
    name: _Label
    role: _Label
    media_type: Annotated[str | None, _or_none(_is_label)]


@dataclass(frozen=True)
class Confirm(_OfAttempt):
    """The job waits until all that it said before is stored."""


@dataclass(frozen=True)
class Result(_OfAttempt):
    """The work is done. A large result lies in its file, and `value` is None."""

    value: Annotated[Any, lambda _: True]
    in_file: _Flag = False


@dataclass(frozen=True)
class Error(_OfAttempt):
    """The work has failed, as `failures.describe` says."""

    reason: Annotated[str, _is_reason]
    message: _Text
    traceback: Annotated[str | None, _or_none(_is_text)]
    retry: _Flag


@dataclass(frozen=True)
class Stopped(_OfAttempt):
    """The job has stopped, as it was asked."""


@dataclass(frozen=True)
class Begun(_OfAttempt):
    """The attempt's process runs, and waits for its first beat."""


@dataclass(frozen=True)
class Alive:
    """The process answers a beat."""


@dataclass(frozen=True)
class Abandoned:
    """The process ends itself."""

    why: _Text


@dataclass(frozen=True)
class Up:
    """A warm process waits for its first micro-batch."""


@dataclass(frozen=True)
class Loaded:
    """A warm process has the model of a micro-batch, and begins with its items."""

    file: _Text


@dataclass(frozen=True)
class Served:
    """A warm process has ended every attempt of a micro-batch, and waits for the next.

    `resident` are the batch keys whose model it has loaded; `memory` is in bytes; `changed` is
    what its inferences have set for the whole process, in words; `crowded` is whether they have
    left too many threads or descriptors behind.
    """

    file: _Text
    resident: _Texts
    memory: _Whole
    changed: _Texts
    crowded: _Flag


# ---------------------------------------------------------------------------- worker → job


@dataclass(frozen=True)
class Beat(_OfAttempt):
    """The lease was renewed and lasts until then, by `lease_clock`."""

    until: _Number


@dataclass(frozen=True)
class Stop(_OfAttempt):
    """The job is to save its work and stop."""


@dataclass(frozen=True)
class Confirmed(_OfAttempt):
    """All that was said before the last `Confirm` is stored."""


@dataclass(frozen=True)
class Ping:
    """A warm process is to show that it lives."""


@dataclass(frozen=True)
class Serve:
    """A micro-batch is to be answered; its `BatchRequest` lies in this file."""

    file: _Text


@dataclass(frozen=True)
class Request:
    """What a job process is told, through a JSON file.

    `inputs` is what staging has found of each input, in the specification's order; `checkpoint`
    the file to resume from; `notes` are lines for the job's log; `in_batch` is whether the job is
    one of a batch.
    """

    job_id: int
    attempt: int
    kind: str
    spec: dict[str, Any]
    spec_hash: str
    inputs: list[dict[str, Any]]
    folder: str
    cache: str
    device: str
    threads: int
    environment: dict[str, str]
    kinds: list[str]
    checkpoint: str | None
    checkpoint_every: float
    max_pixels: int
    notes: list[str]
    in_batch: bool

    @property
    def attempt_id(self) -> AttemptId:
        """The attempt that is to be run."""
        return AttemptId(self.job_id, self.attempt)

    def write(self, path: Path) -> None:
        """Write it for `read`."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Request:
        """What `write` has written."""
        return cls(**json.loads(path.read_text()))


@dataclass(frozen=True)
class WarmRequest:
    """What a warm process is told at its start; `models` is how many bytes of them it may hold."""

    folder: str
    cache: str
    device: str
    threads: int
    environment: dict[str, str]
    kinds: list[str]
    max_pixels: int
    models: int


@dataclass(frozen=True)
class BatchJob:
    """A job of a micro-batch; `inputs` as in `Request`."""

    job_id: int
    attempt: int
    spec: dict[str, Any]
    spec_hash: str
    inputs: list[dict[str, Any]]


@dataclass(frozen=True)
class BatchRequest:
    """Jobs of one batch key, to be answered together."""

    batch_key: str
    kind: str
    folder: str
    jobs: list[BatchJob]

    def write(self, path: Path) -> None:
        """Write it for `read`."""
        # Not `asdict`, which copies each specification, and takes longer than all the rest.
        said = {**vars(self), "jobs": [vars(job) for job in self.jobs]}
        path.write_text(json.dumps(said))

    @classmethod
    def read(cls, path: Path) -> BatchRequest:
        """What `write` has written."""
        said = json.loads(path.read_text())
        return cls(**{**said, "jobs": [BatchJob(**job) for job in said["jobs"]]})


# ---------------------------------------------------------------------------- supervisor


@dataclass(frozen=True)
class Terminate:
    """SIGTERM to the job's process."""


@dataclass(frozen=True)
class Kill:
    """SIGKILL to it and to all that it has started."""


@dataclass(frozen=True)
class Started:
    """The numbers of the job's process and of its supervisor's."""

    pid: _Whole
    supervisor: _Whole


@dataclass(frozen=True)
class Ended:
    """The job's process and its descendants are gone; one of `exit` and `signal` is None.

    `peak_memory` is in bytes.
    """

    exit: _WholeOrNone
    signal: _WholeOrNone
    peak_memory: _Whole


# ---------------------------------------------------------------------------- fork server


@dataclass(frozen=True)
class Preload:
    """What a fork server is to load, as its argument: modules, and modules with kinds."""

    modules: _Texts
    kinds: _Texts


@dataclass(frozen=True)
class StartJob:
    """A process is to be started; its `Request` lies in this file, its descriptors come along."""

    job_file: _Text


@dataclass(frozen=True)
class Ready:
    """The fork server has loaded everything."""


# ---------------------------------------------------------------------------- lines

Event: TypeAlias = Progress | Metrics | ArtifactWritten | Confirm | Result | Error | Stopped
EVENTS: tuple[type[Event | Loaded | Served], ...] = (
    *(Progress, Metrics, ArtifactWritten, Confirm),
    *(Result, Error, Stopped, Loaded, Served),
)
PulseOfJob: TypeAlias = Begun | Up | Alive | Abandoned
PULSE_OF_JOB: tuple[type[PulseOfJob], ...] = (Begun, Up, Alive, Abandoned)
PulseOfWorker: TypeAlias = Beat | Stop | Confirmed | Ping | Serve
PULSE_OF_WORKER: tuple[type[PulseOfWorker], ...] = (Beat, Stop, Confirmed, Ping, Serve)
Order: TypeAlias = Terminate | Kill
ORDERS: tuple[type[Order], ...] = (Terminate, Kill)
Report: TypeAlias = Started | Ended
REPORTS: tuple[type[Report], ...] = (Started, Ended)
Launch: TypeAlias = Preload | StartJob | Ready
Message: TypeAlias = Event | Loaded | Served | PulseOfJob | PulseOfWorker | Order | Report | Launch

_M = TypeVar("_M", bound=Message)
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def _checks(cls: Any) -> dict[str, Callable[[Any], bool]]:
    """By the name of each field, whether it may have such a value."""
    hints = get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name].__metadata__[0] for field in fields(cls)}


_CHECKS: dict[type[Any], dict[str, Callable[[Any], bool]]] = {
    cls: _checks(cls)
    for cls in (
        *(*EVENTS, *PULSE_OF_JOB, *PULSE_OF_WORKER),
        *(*ORDERS, *REPORTS, *get_args(Launch)),
    )
}


def encode(message: Message) -> bytes:
    """A message as a line, its end included."""
    cls = type(message)
    values = {name: getattr(message, name) for name in _CHECKS[cls]}
    # Half a surrogate pair is a metric's name like any other here.
    return _ENCODER.encode({_TYPE: cls.__name__} | values).encode("utf-8", "surrogatepass") + b"\n"


def decode(line: bytes, among: Sequence[type[_M]]) -> _M:
    """The message of a line, which is to be one of these.

    Raises:
        ValueError: it is none, as to its name or to what it holds.
    """
    try:
        said = json.loads(line)
        cls = next(each for each in among if each.__name__ == said[_TYPE])
        values = {name: said[name] for name in _CHECKS[cls]}
    except (TypeError, KeyError, StopIteration, RecursionError) as error:
        raise ValueError("no message") from error
    if not all(check(values[name]) for name, check in _CHECKS[cls].items()):
        raise ValueError(f"{cls.__name__} does not hold what it should")
    return cls(**values)
