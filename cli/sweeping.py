"""What `cvq sweep KIND` takes besides a kind's values, and the sweep that a reference means."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cvq.errors import SetupError, UsageError
from cvq.states import State
from cvq.text import join

from . import formats, submitting
from .choosing import agreed
from .display import display
from .from_spec import PREFIX, KindCommand
from .options import DURATION, count
from .output import note, say_each

if TYPE_CHECKING:
    from cvq.client import Client
    from cvq.kinds.kind import Kind
    from cvq.sweep import Sweep

_METHODS = ("--grid", "--random", "--optuna")
_ASSIGNMENT = re.compile(r"([^\W\d][\w-]*)(\.[\w.-]+)?=.*", re.DOTALL)


class SweepCommand(KindCommand):
    """The command that sweeps one kind; what is written NAME=VALUES is of the space."""

    heading = "Options of the sweep and its jobs"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; each further NAME=VALUES of a `--grid` or `--random N` is a parameter."""
        return super().parse_args(ctx, list(self._spaced(args)))

    def _spaced(self, args: Sequence[str]) -> Iterator[str]:
        valued = self.valued_options()
        fields = {(p.name or "").removeprefix(PREFIX) for p in self.params} | {"seed"}
        before, listed, plain = "", False, True
        to_the_end = not self.context_settings.get("allow_interspersed_args", True)
        for word in args:
            plain = plain and word != "--"
            match = _ASSIGNMENT.fullmatch(word)
            if before not in valued and match and plain:
                if listed or match[1].replace("-", "_") in fields:
                    yield "--space"
            elif before not in valued:
                listed = word.startswith(_METHODS)
                # The words of a program are no parameters.
                plain = plain and (word.startswith("-") or not to_the_end)
            yield word
            before = word


def options(kind: Kind) -> list[click.Parameter]:
    """The options of a sweep."""
    return [
        *_space_options(),
        *_going_options(),
        *submitting.describing_options(),
        *submitting.queueing_options(),
        click.Option(["--wait"], is_flag=True, help="Follow the sweep to its end."),
        click.Option(
            ["--detach"], is_flag=True,
            help="Go on with the sweep in the background, where somebody has to.",
        ),
        click.Option(
            ["--timeout"], type=DURATION, metavar="DURATION", help="Wait at most this long."
        ),
        *submitting.form_options(json="Print the sweep as JSON.", quiet="Print the id only."),
        click.Option(
            ["--dry-run"], is_flag=True,
            help="Check everything, print what would be tried, queue nothing.",
        ),
    ]  # fmt: skip


def _space_options() -> list[click.Parameter]:
    return [
        click.Option(
            ["--grid"], multiple=True, metavar="NAME=VALUES",
            help="Try every combination: --grid lr=0.1,0.01 epochs=5,10.",
        ),
        click.Option(
            ["--random"], type=count(1), metavar="N",
            help="Try N points drawn at random: --random 20 lr=log:1e-4:1e-1 epochs=int:5:20.",
        ),
        click.Option(
            ["--optuna"], type=count(1), metavar="N",
            help="Try N points that Optuna suggests, each by what those before have shown.",
        ),
        click.Option(
            ["--space"], multiple=True, metavar="NAME=VALUES",
            help="A parameter: values, or log:LOW:HIGH, int:LOW:HIGH[:STEP], float:LOW:HIGH. "
            "The option's name may be left out.",
        ),
    ]  # fmt: skip


def _going_options() -> list[click.Parameter]:
    return [
        click.Option(["--maximize"], metavar="METRIC", help="Highest is best."),
        click.Option(
            ["--minimize"], metavar="METRIC",
            help="Lowest is best.  [default: the kind's first metric with a goal]",
        ),
        click.Option(
            ["--parallel"], type=count(1), metavar="N",
            help="At most N trials at a time.  [default: all; with --optuna, one for each slot]",
        ),
        click.Option(
            ["--prune"], type=click.Choice(["median"]),
            help="Cancel a trial that is worse than the median of the others.",
        ),
        click.Option(
            ["--warm-up"], type=count(1), metavar="N",
            help="Values of the metric that a trial records before it is pruned.  [default: 3]",
        ),
        click.Option(
            ["--seed"], type=int, metavar="N",
            help="Seed of what is drawn, and of each job.  [default: 0]",
        ),
        click.Option(
            ["--max-jobs"], type=count(1), metavar="N",
            help="Refuse a sweep of more trials.  [default: 1000]",
        ),
    ]  # fmt: skip


def asked(client: Client, values: dict[str, Any], common: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked for, as keywords of `Client.sweep`.

    Raises:
        UsageError: not one method, or an option that does not go with another.
    """
    given = [name for name in ("grid", "random", "optuna") if common[name]]
    if len(given) > 1:
        raise UsageError(f"--{given[0]} and --{given[1]} cannot be combined: give one")
    if not given:
        raise UsageError(
            "how is it to be searched? Give --grid NAME=VALUES, or --random N or --optuna N with "
            "NAME=log:LOW:HIGH"
        )
    if common["warm_up"] is not None and common["prune"] is None:
        raise UsageError("--warm-up is for pruning: give --prune median")
    words = ("maximize", "minimize", "parallel", "prune", "warm_up", "seed", "max_jobs")
    own = {name: common[name] for name in words if common[name] is not None}
    seed = values.pop("seed", None)  # of a file
    if seed is not None:
        own.setdefault("seed", seed)
    from cvq.sweeps.space import assignment

    space = [assignment(text) for text in (*common["grid"], *common["space"])]
    more = submitting.client_options(client, common)
    number = {} if given == ["grid"] else {"trials": common[given[0]]}
    return {"space": space, "method": given[0], **number, **own, **more, **values}


def go_on_in_background(client: Client, number: int) -> Path:
    """Start a process that goes on with a sweep; return where it writes.

    Raises:
        SetupError: it cannot be started.
    """
    log = client.settings.home / "logs" / f"sweep-{number}.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            subprocess.Popen(
                [sys.executable, "-P", "-m", "cvq_cli", "sweep", "resume", str(number)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        raise SetupError(
            f"sweep {number} is there, and nobody can be started who goes on with it ({error}): "
            f"`cvq sweep resume {number}` does"
        ) from error
    return log


def cancel(client: Client, numbers: Sequence[int], *, yes: bool) -> None:
    """Cancel whole sweeps, each in one step, and say what that was; a person is asked."""
    from cvq.sweeps import shapes

    handles = [client.sweep_of(number) for number in numbers]
    left = sum(each.sweep.trials - each.sweep.done for each in handles if not each.sweep.finished)
    of = join([f"sweep {number}" for number in numbers])
    if left > 1 and not agreed(f"Cancel {left} trials of {of}?", yes=yes):
        note("nothing was cancelled")
        return
    done = [(handle.cancel(), handle.sweep) for handle in handles]
    display(
        done,
        json=lambda done: [shapes.sweep(sweep) for _, sweep in done],
        quiet=lambda done: say_each(sweep.id for _, sweep in done),
        text=lambda done: say_each(_cancelled(*each) for each in done),
    )


def _cancelled(number: int, sweep: Sweep) -> str:
    running = sweep.states.get(State.RUNNING, 0)
    if not number and sweep.done >= sweep.submitted:
        return f"sweep {sweep.id} had already ended"
    stopping = f", {running} of them running, which will stop" if running else ""
    return f"sweep {sweep.id}: {formats.count(number, 'trial')} cancelled{stopping}"
