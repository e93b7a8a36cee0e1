"""Who goes on with a sweep: adds its trials as there is room, and prunes those not worth it.

All that it knows it reads from the database at every step, so that another can go on where it has
stopped, at any point. It holds a lease meanwhile (see `cvq.lifecycle.sweeps`).
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from ..errors import DatabaseAwayError, DatabaseError, SweepDrivenError
from ..kinds import get_kind
from ..lifecycle import sweeps as life
from ..states import State
from ..sweep import Stage, Sweep, Trial
from . import reading
from .coming import coming
from .making import TrialMaker
from .pruning import Curve, judge
from .space import label

if TYPE_CHECKING:
    from ..client import Client

STEP_S = 1.0  # from one step to the next
_SHARE = 10  # of the time, which looking at a large sweep may take

OnStep = Callable[[Sweep, "list[Trial]"], None]
"""Told of the sweep and its trials after each step; what it raises ends the driving."""


class Driver:
    """Drives one sweep.

    Args:
        client: of the process.
        sweep: as it was just read.
        say: told in a sentence what was pruned, or why nothing is.
    """

    def __init__(
        self, client: Client, sweep: Sweep, say: Callable[[str], None] = lambda _: None
    ) -> None:
        self._client, self._say = client, say
        self.sweep_id = sweep.id
        settings = client.settings
        self._maker = TrialMaker.of(sweep, get_kind(sweep.kind, settings), settings.host)
        self.name = f"{settings.user}@{settings.host} pid {os.getpid()} #{uuid.uuid4().hex[:8]}"
        self._curves: dict[int, Curve] = {}  # of trials that have ended
        self._told = False  # that there are none

    def run(
        self,
        on_step: OnStep | None = None,
        deadline: float | None = None,
        nap: Callable[[float], None] = time.sleep,
    ) -> None:
        """Go on until there is nothing more to do about the sweep, or until the deadline.

        Args:
            on_step: see `OnStep`.
            deadline: by `time.monotonic`.
            nap: sleeps for some seconds; what it raises ends the driving.

        Raises:
            SweepDrivenError: another drives it, or does by now.
        """
        with self._leased():
            while True:
                begun = time.monotonic()
                sweep, trials = self._patiently(self.step, nap)
                if on_step is not None:
                    on_step(sweep, trials)
                if sweep.stage != Stage.OPEN or (deadline is not None and begun >= deadline):
                    return
                if not _has_room(sweep):
                    nap(max(STEP_S, _SHARE * (time.monotonic() - begun)))

    def step(self) -> tuple[Sweep, list[Trial]]:
        """Do what there is to do at this moment; return the sweep and its trials afterwards."""
        with self._client.db.write() as connection:
            life.drive(connection, self.sweep_id, self.name, self._client.settings.lease)
        sweep, trials = self._look()
        if sweep.stage != Stage.OPEN:
            return sweep, trials
        if self._prune(sweep, trials):
            sweep, trials = self._look()
        if self._add(sweep, trials):
            sweep, trials = self._look()
        all_in = len(trials) >= sweep.trials
        if all_in and (sweep.options.get("prune") is None or all(t.ended for t in trials)):
            with self._client.db.write() as connection:
                life.complete(connection, sweep.id, self.name)
            return self._look()
        return sweep, trials

    def _look(self) -> tuple[Sweep, list[Trial]]:
        with self._client.db.read() as connection:
            sweep = reading.get_sweep(connection, self.sweep_id)
            return sweep, reading.trials_of(connection, sweep.id, sweep.metric)

    def _add(self, sweep: Sweep, trials: list[Trial]) -> bool:
        new = self._maker.trials(coming(sweep, self._maker.space, trials), strict=False)
        if not new:
            return False
        with self._client.db.read() as connection:
            new = self._maker.told(connection, new)
        with self._client.db.write() as connection:
            added = life.add(connection, sweep.id, self.name, new)
        if runnable := sum(trial.job.error is None for trial in added):
            place = self._maker.options.place
            self._client.notify(place, f"sweep {sweep.id}", runnable)
        return True

    def _prune(self, sweep: Sweep, trials: list[Trial]) -> bool:
        """Cancel the running trials that the median rule finds not worth it."""
        metric, goal, rule = sweep.metric, sweep.direction, sweep.options.get("prune")
        if rule is None or metric is None or goal is None:
            return False
        running = [trial for trial in trials if trial.state == State.RUNNING]
        if not running:
            return False
        curves = self._curves_of(trials, metric)
        pruned = False
        for trial in running:
            others = [curve for number, curve in curves.items() if number != trial.number]
            verdict = judge(
                curves.get(trial.number, ()), others, goal, warm_up=sweep.options["warm_up"]
            )
            if verdict is None or trial.job is None:
                continue
            with self._client.db.write() as connection:
                done = life.prune(
                    connection, sweep.id, self.name, trial.job, verdict.sentence(metric)
                )
            if done:
                named = label(self._maker.space, trial.params)
                self._say(f"trial {trial.number} ({named}) pruned: {verdict.sentence(metric)}")
            pruned = pruned or done
        return pruned

    def _curves_of(self, trials: list[Trial], metric: str) -> dict[int, Curve]:
        """The curves of all trials; those of the ended ones are read once."""
        unknown = [trial for trial in trials if trial.number not in self._curves]
        with self._client.db.read() as connection:
            fresh = reading.curves_of(connection, unknown, metric)
        ended = {trial.number for trial in unknown if trial.ended}
        self._curves |= {n: curve for n, curve in fresh.items() if n in ended}
        done = {trial.number for trial in trials if trial.state == State.SUCCEEDED}
        if done and not self._told and not any(self._curves.get(n) for n in done):
            self._say(f"{metric} has no curve in what has succeeded: nothing is pruned by it")
            self._told = True
        return {**self._curves, **fresh}

    @contextmanager
    def _leased(self) -> Iterator[None]:
        self._take()
        try:
            yield
        finally:
            with suppress(DatabaseError), self._client.db.write() as connection:
                life.release(connection, self.sweep_id, self.name)

    def _take(self) -> None:
        lease = self._client.settings.lease
        try:
            with self._client.db.write() as connection:
                life.drive(connection, self.sweep_id, self.name, lease)
        except SweepDrivenError as error:
            if error.driver is None or not self._is_dead(error.driver):
                raise
            with self._client.db.write() as connection:
                life.release(connection, self.sweep_id, error.driver)
                life.drive(connection, self.sweep_id, self.name, lease)

    def _is_dead(self, driver: str) -> bool:
        """Whether a driver was a process of this machine, and is none any more."""
        import psutil

        who, _, rest = driver.partition(" pid ")
        pid = rest.partition(" #")[0]
        here = who.endswith(f"@{self._client.settings.host}")
        return here and pid.isdigit() and not psutil.pid_exists(int(pid))

    def _patiently(
        self, step: Callable[[], tuple[Sweep, list[Trial]]], nap: Callable[[float], None]
    ) -> tuple[Sweep, list[Trial]]:
        """Take a step; where the database is away, again once it is back."""
        told = False
        while True:
            try:
                return step()
            except DatabaseAwayError as error:
                if not told:
                    self._say(f"{error}; going on when it is back")
                told = True
                nap(STEP_S)


def _has_room(sweep: Sweep) -> bool:
    """Whether trials that were added have ended at once, as others had computed them."""
    bound = sweep.trials if sweep.parallel is None else sweep.parallel
    return sweep.submitted < sweep.trials and sweep.unfinished < bound
