"""How a client's sweeps come to be, and are found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..checks import JobOptions
from ..handle import JobLike, id_of
from ..kinds import get_kind
from ..lifecycle import sweeps as life
from .connections import several
from .submitting import Submitting, with_ids

if TYPE_CHECKING:
    from ..sweeps.handle import SweepHandle
    from ..sweeps.starting import Plan, Wanted

_OF_JOBS = JobOptions.__dataclass_fields__


class Sweeping(Submitting):
    """Many jobs of a kind, each with other values of its parameters."""

    def sweep(
        self,
        kind: str,
        space: Mapping[str, Any] | Iterable[tuple[str, Any]],
        *,
        method: str = "grid",
        trials: int | None = None,
        maximize: str | None = None,
        minimize: str | None = None,
        parallel: int | None = None,
        prune: str | None = None,
        warm_up: int = 3,
        seed: int = 0,
        max_jobs: int = 1_000,
        priority: int = 5,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
        after: JobLike | Iterable[JobLike] = (),
        at: datetime | None = None,
        retries: int = 2,
        time_limit: float | None = None,
        soft_time_limit: float | None = None,
        gpu: bool | None = None,
        queue: str | None = None,
        cache: bool = True,
        on_pack: Callable[[int, int], None] | None = None,
        **values: Any,
    ) -> SweepHandle:
        """Try a kind of job with many values of its parameters, as one group of jobs.

        Everything is checked and stored before this returns. A grid and random draws are queued
        at once, all of them; with `parallel`, `prune` or the method `optuna` the first trials
        are, and `SweepHandle.wait` goes on with the rest.

            client.sweep("fmnist-cnn", {"learning_rate": "log:1e-4:1e-1", "epochs": [5, 10]},
                         method="random", trials=20, maximize="val_accuracy").wait().best

        Args:
            kind: the job kind, as `cvq kinds` lists them.
            space: of each parameter its values in a list, or a text as on the command line:
                `0.1,0.01`, `log:1e-4:1e-1`, `int:5:20:5`, `float:0:1`. A name such as
                `augment.flip` is a value within a field.
            method: `grid` (every combination), `random` or `optuna`.
            trials: how many there are to be, of any method but a grid.
            maximize: the metric, or number of the result, the highest of which is best; the
                kind's first figure with a goal where neither is given.
            minimize: likewise, the lowest.
            parallel: how many trials may be unfinished at a time. Optuna's are, by default, as
                many as there are slots for now.
            prune: `median` cancels a trial that is worse than half of the others.
            warm_up: values of the metric that a trial records before it may be pruned.
            seed: of what is drawn, and of every job unless the space has a `seed`.
            max_jobs: refuse a sweep of more trials; 10,000 at most.
            name: of the sweep. Each job is named after its values.
            values: the other fields of the specification, the same for all. One that is called as
                an argument here can be given in the space, with one value.

        The other arguments are those of `submit`, for each job.

        Raises:
            UsageError: a name, value, range or file is wrong; nothing was queued.
            MissingExtraError: Optuna is not installed.
            SetupError: the database, Redis or the store fails; nothing was queued.
        """
        from ..sweeps.handle import SweepHandle
        from ..sweeps.starting import prepare

        wanted = self._wanted(
            kind, space, method=method, trials=trials, maximize=maximize, minimize=minimize,
            parallel=parallel, prune=prune, warm_up=warm_up, seed=seed, max_jobs=max_jobs,
            priority=priority, name=name, tags=tags, after=after, at=at, retries=retries,
            time_limit=time_limit, soft_time_limit=soft_time_limit, gpu=gpu, queue=queue,
            cache=cache, **values,
        )  # fmt: skip
        self._broker_trouble()  # before the long work, which would be for nothing
        plan = prepare(self._client, wanted, on_pack=on_pack)
        trouble = self._broker_trouble()
        with self.db.write() as connection:
            sweep_id = life.submit(connection, plan.sweep, plan.first)
        runnable = sum(trial.job.error is None for trial in plan.first)
        self.notify(wanted.options.place, f"sweep {sweep_id}", runnable, trouble)
        return SweepHandle(self._client, sweep_id)

    async def sweep_async(
        self, kind: str, space: Mapping[str, Any] | Iterable[tuple[str, Any]], **asked: Any
    ) -> SweepHandle:
        """`sweep` beside an event loop, as `submit_async` is `submit`."""
        import asyncio

        return await asyncio.to_thread(self.sweep, kind, space, **asked)

    def check_sweep(
        self, kind: str, space: Mapping[str, Any] | Iterable[tuple[str, Any]], **asked: Any
    ) -> Plan:
        """Check everything that `sweep` checks, queue nothing, and return what would be tried.

        Args:
            kind, space, asked: as for `sweep`.

        Raises:
            UsageError: a name, value, range or file is wrong.
        """
        from ..sweeps.starting import prepare

        return prepare(self._client, self._wanted(kind, space, **asked), dry=True)

    def _wanted(
        self,
        kind: str,
        space: Mapping[str, Any] | Iterable[tuple[str, Any]],
        *,
        maximize: str | None = None,
        minimize: str | None = None,
        after: JobLike | Iterable[JobLike] = (),
        **asked: Any,
    ) -> Wanted:
        """What is to be tried, its options parted into those of the jobs and of the sweep."""
        from ..sweeps.handle import chosen
        from ..sweeps.starting import OF_SWEEP, Wanted

        of_jobs = {name: asked.pop(name) for name in set(asked) & set(_OF_JOBS)}
        of_sweep = {name: asked.pop(name) for name in set(asked) & set(OF_SWEEP)}
        metric, goal = chosen(maximize, minimize)
        return Wanted(
            kind=get_kind(kind, self.settings), space=space, values=with_ids(asked),
            options=JobOptions(**of_jobs, after=[id_of(job) for job in several(after)]),
            metric=metric, goal=goal, **of_sweep,
        )  # fmt: skip

    def sweep_of(self, number: int) -> SweepHandle:
        """An existing sweep.

        Raises:
            UnknownSweepError: there is no such sweep.
        """
        from ..sweeps.handle import SweepHandle

        return SweepHandle(self._client, number).refresh()
