"""The jobs of a sweep: what they have in common is checked and stored once, for all of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from ..checks import LONGEST_NAME, JobOptions
from ..errors import SpecError, UsageError
from ..identity import identities
from ..inputs.items import label as cut
from ..inputs.submission import InputChecks, check_inputs, fetched_inputs, take_in
from ..kinds import make_spec
from ..kinds.code import code_of
from ..kinds.kind import Kind
from ..kinds.spec import Spec, files_in
from ..origin import WorkingFolder, origin
from ..records import NewJob
from ..sweep import NewTrial, Sweep
from ..views.models import JobModels
from .fitting import json_within, merged, within
from .space import Choices, Parameter, Params, Space, from_json, label

if TYPE_CHECKING:
    from ..client import Client

OnPack = Callable[[int, int], None]
_KEPT = (
    "priority", "tags", "after", "retries", "time_limit", "soft_time_limit", "gpu", "queue",
)  # fmt: skip


@dataclass(frozen=True)
class TrialMaker:
    """Makes the job of each trial, from what is stored of the sweep alone.

    Attributes:
        kind: of the jobs.
        user: who has submitted the sweep.
        values: what all trials have in common, as JSON, with inputs that are in the store.
        space: likewise.
        options: what each job is submitted with.
        origin: where that is done; see `cvq.origin`.
        cache: whether a trial may have the result of a job that does the same.
    """

    kind: Kind
    user: str
    values: Mapping[str, Any]
    space: Space
    options: JobOptions
    origin: dict[str, Any] | None = None
    cache: bool = True

    @classmethod
    def of(cls, sweep: Sweep, kind: Kind, host: str) -> TrialMaker:
        """That of a sweep in the database, on this machine."""
        options, space = job_options(sweep.options), from_json(sweep.space)
        with WorkingFolder() as folder:
            here = origin(host, code_of(kind), folder)
        cache = bool(sweep.options.get("cache", True))
        return cls(kind, sweep.user, sweep.spec, space, options, here, cache)

    def trials(self, coming: Iterable[tuple[int, Params]], *, strict: bool) -> list[NewTrial]:
        """Trials with these numbers and values.

        Args:
            coming: their numbers and values.
            strict: refuse one whose values do not go together; else it has failed.

        Raises:
            UsageError: the values of one do not go together.
        """
        return [NewTrial(number, params, self._job(params, strict)) for number, params in coming]

    def told(self, connection: Connection, trials: Iterable[NewTrial]) -> list[NewTrial]:
        """The same trials, each with the identities of jobs that do the same."""
        return [self._told(connection, trial) for trial in trials]

    def _told(self, connection: Connection, trial: NewTrial) -> NewTrial:
        if trial.job.error is not None:
            return trial
        code = (self.origin or {}).get("code")
        spec = make_spec(self.kind, trial.job.spec)
        alike = identities(connection, self.kind, spec, code, trial.job.device)
        if not alike:
            return trial
        job = replace(trial.job, identity=alike[0])
        return trial._replace(job=job, share=tuple(alike) if self.cache else ())

    def _job(self, params: Params, strict: bool) -> NewJob:
        own = {p.name: p.value(params[p.name]) for p in self.space}
        after = [job for p in self.space for job in _waits_for(p, params)]
        values = merged(self.kind, self.values, own)
        name = cut(label(self.space, params))[:LONGEST_NAME]
        spec, refused = values, None
        try:
            spec = make_spec(self.kind, values).model_dump(mode="json")
        except SpecError as error:
            if strict:
                raise UsageError(f"{label(self.space, params)}: {error}") from None
            refused = str(error)  # what was suggested cannot be tried: that is known of it then
        job = replace(self.options, name=name).job(self.kind, spec, self.user, after)
        return replace(job, origin=self.origin, error=refused)


def _waits_for(parameter: Parameter, params: Params) -> tuple[int, ...]:
    if not isinstance(parameter, Choices):
        return ()
    return parameter.find(params[parameter.name]).after


def taken_in(
    client: Client,
    maker: TrialMaker,
    *,
    dry: bool = False,
    on_pack: OnPack | None = None,
) -> TrialMaker:
    """The same with all inputs checked, and stored unless it is dry; each once.

    Raises:
        UsageError: one cannot be used.
        SetupError: one cannot be fetched, or the store cannot be written.
    """
    with TemporaryDirectory(prefix="cvq-sweep-") as folder:
        taker = _Taker(client, maker, Path(folder), dry, on_pack)
        values, after = taker.common()
        space = tuple(map(taker.parameter, maker.space))
    options = replace(maker.options, after=[*maker.options.after, *after])
    return replace(maker, values=values, space=space, options=options)


class _Taker:
    """Takes the inputs of a sweep in."""

    def __init__(
        self,
        client: Client,
        maker: TrialMaker,
        folder: Path,
        dry: bool,
        on_pack: OnPack | None,
    ) -> None:
        self._client, self._maker, self._folder = client, maker, folder
        self._dry, self._on_pack = dry, on_pack
        self._models = JobModels(client.settings, lambda: client.db)
        self._first = {p.name: _first(p) for p in maker.space}
        self._taken = 0

    def common(self) -> tuple[dict[str, Any], list[int]]:
        """The values of the fields that do not vary, and the jobs that are waited for."""
        swept = {name.partition(".")[0] for name in self._first}
        spec = self._spec({})
        checks = self._take(spec, lambda name: name not in swept)
        files = {
            name: json_within(checks.spec, name)
            for name in type(spec).model_fields
            if name not in swept and any(files_in(getattr(spec, name)))
        }
        given = {
            name: json_within(spec, name) if name not in swept else value
            for name, value in self._maker.values.items()
        }
        return {**given, **files}, checks.waits_for

    def parameter(self, parameter: Parameter) -> Parameter:
        """The parameter with the files among its values taken in."""
        if not isinstance(parameter, Choices):
            return parameter
        name, found = parameter.name, []
        for choice in parameter.choices:
            spec = self._spec({name: choice.value})
            if any(files_in(within(spec, name))):
                checks = self._take(spec, lambda field: field == name)
                after = tuple(checks.waits_for)
                choice = replace(choice, value=json_within(checks.spec, name), after=after)
            found.append(choice)
        return replace(parameter, choices=tuple(found))

    def _spec(self, own: Mapping[str, Any]) -> Spec:
        maker = self._maker
        return make_spec(maker.kind, merged(maker.kind, maker.values, {**self._first, **own}))

    def _take(self, spec: Spec, fields: Callable[[str], bool]) -> InputChecks:
        settings = self._client.settings
        if self._dry:
            with fetched_inputs(spec, settings, download=False) as fetched:
                checks = check_inputs(fetched, settings, self._models)
        else:
            self._taken += 1
            checks = take_in(
                spec, fields, settings, self._models, self._client.artifacts,
                self._folder / str(self._taken), self._on_pack,
            )  # fmt: skip
        for note in checks.notes:
            warnings.warn(note, stacklevel=6)
        return checks


def _first(parameter: Parameter) -> Any:
    return parameter.choices[0].value if isinstance(parameter, Choices) else parameter.low


def stored_options(options: JobOptions) -> dict[str, Any]:
    """What jobs are submitted with, as JSON."""
    kept = {name: getattr(options, name) for name in _KEPT}
    at = None if options.at is None else options.at.isoformat()
    return {**kept, "tags": options.words, "after": [*options.after], "at": at}


def job_options(stored: Mapping[str, Any]) -> JobOptions:
    """The same as it was given."""
    at = stored.get("at")
    kept = {name: stored[name] for name in _KEPT if name in stored}
    return JobOptions(**kept, at=datetime.fromisoformat(at) if at else None)
