"""`cvq sweep KIND …`: many jobs of a kind, each with other values; and what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from cvq.errors import UnknownKindError, UsageError
from cvq.text import did_you_mean, nearest, percent

from .. import estimates, options, resolving, sweep_follow, sweep_table, sweeping
from ..debugging import spared
from ..display import Form, display, display_list, form
from ..formats import clean, count, states
from ..from_spec import KindGroup
from ..output import dump, hint, note, say, say_each, show_csv, show_md, show_table
from ..submitting import packing
from ..widths import whole

if TYPE_CHECKING:
    from cvq.client import Client
    from cvq.estimates import Estimate
    from cvq.kinds.kind import Kind
    from cvq.parse import Reference
    from cvq.sweep import Sweep, Trial
    from cvq.sweeps.handle import SweepHandle
    from cvq.sweeps.importance import Importance
    from cvq.sweeps.starting import Plan

_FIRST = 5  # trials that a dry run names


class SweepGroup(KindGroup):
    """A command, or a kind: a word that is both is the command; `start` takes any kind."""

    made_of = sweeping.SweepCommand

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """A command, or the sweeping one of a kind."""
        if cmd_name in self.commands:
            return self.commands[cmd_name]
        try:
            command = super().get_command(ctx, cmd_name)
        except UnknownKindError:
            if near := nearest(cmd_name, self.commands):
                raise UsageError(
                    f"no command or kind '{cmd_name}': {did_you_mean(near)}"
                ) from None
            raise
        # There is one seed, of the draws and of each job.
        command.params = [p for p in command.params if p.name != "spec_seed"]
        return command

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands, then the known kinds."""
        return [*self.commands, *super().list_commands(ctx)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands, then the kinds."""
        if self.commands:
            with formatter.section("Commands"):
                formatter.write_dl(
                    [(name, each.get_short_help_str(200)) for name, each in self.commands.items()]
                )
        super().format_commands(ctx, formatter)


def _start(kind: Kind, values: dict[str, Any], common: dict[str, Any]) -> None:
    from cvq.client import Client

    client = Client()
    asked = sweeping.asked(client, values, common)
    if common["wait"] and common["detach"]:
        raise UsageError("--wait and --detach cannot be combined: give one")
    space = asked.pop("space")
    if common["dry_run"]:
        _dry_run(client, kind, space, asked, common)
        return
    with packing() as on_pack:
        handle = client.sweep(kind.name, space, on_pack=on_pack, **asked)
    needs_driver = handle.sweep.stalled and not common["detach"]
    follows = common["wait"] or common["timeout"] is not None or needs_driver
    if not (follows and (common["as_json"] or common["quiet"])):
        _tell(handle, common, follows=follows)
    if common["detach"] and handle.sweep.stalled:
        log = sweeping.go_on_in_background(client, handle.id)
        note(f"it goes on in the background, and writes to {whole(log)}")
    if follows:
        asked_for = {name: common[name] for name in ("timeout", "quiet", "as_json")}
        sweep_follow.follow(handle, drive=True, **asked_for)


def _tell(handle: SweepHandle, common: dict[str, Any], *, follows: bool) -> None:
    from cvq.sweeps import shapes

    sweep = handle.sweep
    if common["as_json"]:
        dump(shapes.sweep(sweep))
    elif common["quiet"]:
        say(sweep.id)
    else:
        (note if follows else say)(_started_line(sweep) + _known(sweep))
        if not follows:
            hint(f"`cvq watch --sweep {sweep.id}` follows it, `cvq sweep show {sweep.id}` ranks "
                 f"the trials, `cvq sweep cancel {sweep.id}` stops it")  # fmt: skip


def _started_line(sweep: Sweep) -> str:
    parts = [f"sweep {sweep.id}: {count(sweep.trials, 'trial')} of {clean(sweep.kind)}"]
    if sweep.parallel is not None and sweep.parallel < sweep.trials:
        parts.append(f"{sweep.parallel} at a time")
    if sweep.metric:
        parts.append(f"{_goal(sweep.direction)} {clean(sweep.metric)} is best")
    return ", ".join(parts)


def _known(sweep: Sweep) -> str:
    """What there is to say of trials that have ended as they were entered."""
    known = sweep.states.get("succeeded", 0)
    return f"; {known} known from earlier jobs (--no-cache computes anew)" if known else ""


def _goal(direction: str | None) -> str:
    return "highest" if direction == "max" else "lowest"


def _dry_run(
    client: Client, kind: Kind, space: Any, asked: dict[str, Any], common: dict[str, Any]
) -> None:
    from cvq.sweeps.space import label

    plan = client.check_sweep(kind.name, space, **asked)
    told = _cost(client, plan)
    if common["as_json"]:
        dump({**_planned(plan), "estimate": None if told is None else told.to_json()})
        return
    sweep, named = plan.sweep, plan.known[:_FIRST]
    at_once = f", {sweep.parallel} at a time" if len(plan.first) < sweep.trials else ""
    say(f"{count(sweep.trials, 'trial')} of {clean(sweep.kind)}{at_once}:")
    for trial in named:
        say(f"  {trial.number}: {clean(label(plan.space, trial.params))}")
    if (more := sweep.trials - len(named)) > 0:
        suggested = ", as these suggest" if sweep.method == "optuna" else ""
        say(f"  … and {more} more{suggested}")
    estimates.tell(told)
    note("nothing was queued")


def _planned(plan: Plan) -> dict[str, Any]:
    names = ("kind", "method", "trials", "parallel", "metric", "direction", "seed")
    first = [{"params": each.params, "spec": each.job.spec} for each in plan.known[:_FIRST]]
    return {**{name: getattr(plan.sweep, name) for name in names}, "first": first}


def _cost(client: Client, plan: Plan) -> Estimate | None:
    """An estimate is beside what a dry run is for: where it fails, there is none."""
    from cvq.sweeps.cost import cost

    with spared(), client.db.read() as connection:
        return cost(connection, plan)
    return None


sweep = SweepGroup(
    "sweep",
    action=_start,
    common=sweeping.options,
    help="Try a kind of job with many values of its parameters.\n\nEvery trial is a job. A grid "
    "and random draws are queued at once. With --parallel, --prune or --optuna this command adds "
    "and prunes trials as others end; when it is stopped, what is queued goes on, and "
    "`cvq sweep resume` goes on with the rest. `cvq sweep KIND --help` lists a kind's options.",
    epilog="\b\nExamples:"
    "\n  cvq sweep fmnist-cnn --grid learning_rate=0.1,0.01 --grid epochs=5,10"
    "\n  cvq sweep fmnist-cnn --random 20 learning_rate=log:1e-4:1e-1 epochs=int:5:20"
    "\n  cvq sweep fmnist-cnn --optuna 30 learning_rate=log:1e-4:1e-1 --prune median"
    "\n  cvq sweep show @",
)

_sweep = click.argument("reference", metavar="SWEEP", type=options.SWEEP)


@sweep.command(epilog="\b\nExamples:\n  cvq sweep show @\n  cvq sweep show 3 --minimize val_loss")
@_sweep
@click.option("--maximize", metavar="METRIC", help="Rank by another metric: highest is best.")
@click.option("--minimize", metavar="METRIC", help="Rank by another metric: lowest is best.")
@options.limited("trials")
@options.as_json
@options.as_csv
@options.as_md
@options.quiet
def show(
    reference: Reference,
    maximize: str | None,
    minimize: str | None,
    limit: int,
    everything: bool,
) -> None:
    """Rank the trials of a sweep, and say which parameters matter.

    SWEEP is a number, @ (your last) or @~1. The best is first; trials that were pruned or have
    failed come behind those that may still win, and those without a metric last.
    """
    from cvq.client import Client
    from cvq.sweeps import shapes

    client = Client()
    handle = client.sweep_of(resolving.resolve_sweeps(client, [reference])[0])
    ranking = handle.ranked(maximize=maximize, minimize=minimize)
    metric = maximize or minimize or handle.sweep.metric
    found = handle.importance(ranking)
    most = len(ranking) if everything else limit
    rows = sweep_table.placed(ranking[:most])
    columns = _columns(client, handle, metric)
    display(
        rows,
        json=lambda _: shapes.ranking(handle.sweep, ranking[:most], found, metric),
        csv=lambda rows: show_csv(columns(True), rows),
        md=lambda rows: show_md(columns(False), rows),
        quiet=lambda rows: say_each(row.trial.job for row in rows if row.trial.job),
        text=lambda rows: _show(handle, columns(False), rows, found, metric),
    )
    if len(ranking) > most:
        note(f"… {len(ranking) - most} more: -n {len(ranking)} or --all")


def _columns(client: Client, handle: SweepHandle, metric: str | None) -> Any:
    from cvq import queries

    with client.db.read() as connection:
        now = queries.database_time(connection)
    return lambda whole: sweep_table.trial_columns(handle.space, metric, now, whole=whole)


def _show(
    handle: SweepHandle,
    columns: Sequence[Any],
    rows: Sequence[sweep_table.Placed],
    found: Importance | None,
    metric: str | None,
) -> None:
    sweep = handle.sweep
    name = f" ({clean(sweep.name)})" if sweep.name else ""
    say(f"sweep {sweep.id}{name}: {clean(sweep.kind)}, {sweep.method}, "
        f"{count(sweep.trials, 'trial')}, {_states(sweep)}")  # fmt: skip
    show_table(columns, rows)
    if found is not None:
        shares = ", ".join(f"{clean(n)} {percent(share)}" for n, share in found.shares.items())
        say(f"importance for {clean(metric)}: {shares}  [{found.method}, {found.trials} trials]")
    best = _best(rows)
    if best is not None and best.job is not None:
        hint(f"`cvq show {best.job}` shows the best trial's job")
    if metric is None and sweep.done:
        hint("`--maximize METRIC` or `--minimize METRIC` ranks them")
    if sweep.stalled:
        note(f"nobody goes on with it: `cvq sweep resume {sweep.id}` does")


def _best(rows: Sequence[sweep_table.Placed]) -> Trial | None:
    first = rows[0].trial if rows else None
    return first if first is not None and first.value is not None else None


def _states(sweep: Sweep) -> str:
    counted = states(sweep.states)
    return counted if sweep.state in sweep.states else f"{sweep.state}: {counted}"


@sweep.command(epilog="\b\nExample:\n  cvq sweep resume 3")
@_sweep
@options.timeout
@options.form("--json", form=Form.JSON, help="Print the sweep as JSON, at the end.")
@options.form("-q", "--quiet", form=Form.QUIET, help="Print the id only, at the end.")
def resume(reference: Reference, timeout: float | None) -> None:
    """Go on with a sweep whose command was stopped, and follow it to its end.

    It goes on where it was: no trial is lost or tried twice. One goes on at a time.
    """
    from cvq.client import Client

    client = Client()
    handle = client.sweep_of(resolving.resolve_sweeps(client, [reference])[0])
    asked = form()
    if asked is Form.TEXT and handle.sweep.stage != "cancelled":
        note(_resumed_line(handle.sweep))
    sweep_follow.follow(
        handle, timeout=timeout, resume=True,
        quiet=asked is Form.QUIET, as_json=asked is Form.JSON,
    )  # fmt: skip


def _resumed_line(sweep: Sweep) -> str:
    line = f"{_started_line(sweep)}, {sweep.done} done"
    left = sweep.trials - sweep.submitted
    return f"{line}, {left} to come" if left else line


@sweep.command(epilog="\b\nExample:\n  cvq sweep cancel 3")
@_sweep
@options.yes
@options.as_json
@options.quiet
def cancel(reference: Reference, yes: bool) -> None:
    """Cancel a sweep: its unfinished trials, and those still to come."""
    from cvq.client import Client

    client = Client()
    sweeping.cancel(client, resolving.resolve_sweeps(client, [reference]), yes=yes)


@sweep.command(epilog="\b\nExamples:\n  cvq sweep ls\n  cvq sweep ls --user ada --json")
@options.users("sweeps")
@options.limited()
@options.as_json
@options.as_csv
@options.as_md
@options.quiet
def ls(user: Sequence[list[str]], limit: int, everything: bool) -> None:
    """List sweeps, the newest first."""
    from cvq.client import Client
    from cvq.sweeps import reading

    client = Client()
    users = resolving.flat(user)
    with client.db.read() as connection:
        found = reading.last_sweeps(connection, users, None if everything else limit)
    display_list(sweep_table.listing(client), found)


start = SweepGroup(
    "start",
    action=_start,
    common=sweeping.options,
    help="Start a sweep of a kind, also of one that is called as a command here.",
)
sweep.add_command(start)
