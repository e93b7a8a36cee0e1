"""The `cvq` command: a table of commands that load when they are used, and the error boundary.

Nothing but Click is imported here, so that `cvq --help` answers at once. A command's line of help
stands in the table; a test holds it equal to the command's own.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple, NoReturn

import click

from .help import Context, fitted


class Entry(NamedTuple):
    """A command: the module under `commands` that has it, and its line of help."""

    module: str
    help: str


SECTIONS: dict[str, dict[str, Entry]] = {
    "Jobs": {
        "submit": Entry("submit", "Queue a job."),
        "run": Entry("run", "Run a job on this machine and follow it to its end."),
        "log-metric": Entry(
            "log_metric", "Record metrics or progress, from a program that is a job."
        ),
        "sweep": Entry("sweep", "Try a kind of job with many values of its parameters."),
        "wait": Entry("wait", "Wait for jobs to end; exit with their outcome."),
        "watch": Entry(
            "watch",
            "Watch jobs live: all of yours that run or wait, some, or a single one with its log.",
        ),
        "cancel": Entry("cancel", "Cancel jobs, queued or running."),
        "retry": Entry("retry", "Queue again what has failed, or was cancelled."),
        "rerun": Entry("rerun", "Submit old jobs anew, with other values where they are given."),
        "verify": Entry(
            "verify",
            "Check that a job's stored files are as they were, or that a proof is true here.",
        ),
    },
    "History": {
        "ls": Entry("ls", "List jobs, the newest first."),
        "batches": Entry("batches", "List batches, the newest first."),
        "results": Entry("results", "Print what came out of a batch, a row for each item."),
        "show": Entry("show", "Show everything known about a job."),
        "stats": Entry(
            "stats",
            "Count jobs, how long they waited and ran, how many succeeded, and their GPU hours.",
        ),
        "compare": Entry("compare", "Show jobs side by side: only what differs between them."),
        "why": Entry(
            "why", "Explain why a job waits, is slow or failed, and what to do about it."
        ),
        "logs": Entry("logs", "Show a job's output."),
        "graph": Entry("graph", "Show what a job was made from, and what was made from it."),
        "metrics": Entry("metrics", "Show the metrics that jobs recorded, and draw their curves."),
        "artifacts": Entry("artifacts", "List the files that a job produced."),
        "get": Entry("get", "Copy the files of a job, or of a batch, here."),
        "preview": Entry("preview", "Show a job's pictures in the terminal."),
        "open": Entry("open", "Open a job's file with the system's viewer."),
        "tag": Entry("tag", "Tag jobs, or list the tags in use."),
        "note": Entry("note", "Write a note on a job, or print it."),
        "rename": Entry("rename", "Give a job another name."),
    },
    "Cleaning up": {
        "prune": Entry("prune", "Remove jobs for good: with their logs, metrics and files."),
        "trash": Entry("trash", "Lay jobs in the trash, list it, or empty it."),
        "restore": Entry("restore", "Take jobs out of the trash."),
        "export": Entry("export", "Write jobs for other tools: JSON lines, TensorBoard, MLflow."),
    },
    "Workers": {
        "up": Entry("up", "Start workers on this machine, or change their number."),
        "down": Entry("down", "Stop this machine's workers and the embedded Redis."),
        "drain": Entry("drain", "Ask workers to leave; their jobs are checkpointed and requeued."),
        "status": Entry("status", "Show queues, workers and running jobs at a glance."),
        "worker": Entry("worker", "Run a worker, which takes jobs and runs them."),
        "workers": Entry("worker", "List workers."),
        "metrics-server": Entry("metrics_server", "Serve figures for Prometheus."),
    },
    "Setup": {
        "kinds": Entry("kinds", "List job kinds, or one kind's fields."),
        "data": Entry("data", "List, fetch and check data sets for training."),
        "samples": Entry("samples", "Write sample pictures and data sets to try every kind with."),
        "config": Entry("config", "Show each setting, its value, and where it comes from."),
        "doctor": Entry("doctor", "Check everything that a job needs."),
        "db": Entry("db", "Create, upgrade or check the database's schema."),
        "completion": Entry("completion", "Print a shell's completion script."),
    },
}
COMMANDS = {name: entry for section in SECTIONS.values() for name, entry in section.items()}

# What acts by the settings. A worker that is started by another command is no command.
_ACTING = {"submit", "run", "sweep", "up", "worker", "doctor"}

COMPLETING = "_CVQ_COMPLETE"  # set by a shell that asks what could be typed next

ENVIRONMENT, INTERNAL, INTERRUPTED, BROKEN_PIPE = 4, 70, 130, 141


class Main(click.Group):
    """Loads a command when it is used, and turns every error into one line and an exit code."""

    context_class = Context

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f".commands.{COMMANDS[cmd_name].module}", __package__)
        return fitted(getattr(module, cmd_name.replace("-", "_")))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or name the nearest one."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(_unknown(args), ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table above, by sections, without importing any command."""
        for title, entries in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, entry.help) for name, entry in entries.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Click itself would report a broken pipe as a failed job, with 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            sys.exit(_leave_pipe())

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> NoReturn:
        """Run a command line and leave with the documented exit code."""
        given = list(sys.argv[1:] if args is None else args)
        plain = given[: given.index("--")] if "--" in given else given
        debug = "--debug" in plain
        words = [word for word in plain if word != "--debug"] + given[len(plain) :]
        extra = {**extra, "standalone_mode": False, "obj": {"debug": debug}}
        if COMPLETING in os.environ:
            from .completing import prepare

            prepare()
        sys.exit(_guarded(lambda: super(Main, self).main(words, *rest, **extra), debug=debug))


def _unknown(args: Sequence[str]) -> str:
    """What to say of a first word that is no command: it may be a kind."""
    import shlex

    from cvq.text import did_you_mean, nearest

    name = args[0]
    if name in (kinds := _kinds()):
        line = shlex.join(args)
        return (
            f"'{name}' is a kind of job, not a command: `cvq submit {line}` queues one, "
            f"`cvq run {line}` runs it here"
        )
    near = nearest(name, [*COMMANDS, *kinds], cutoff=0.5)
    if near in kinds:
        return f"unknown command '{name}': did you mean `cvq submit {near}`?"
    return f"unknown command '{name}'" + (f": {did_you_mean(near)}" if near else "")


def _kinds() -> set[str]:
    """The kinds that there are; none where the settings do not even say that."""
    from cvq.errors import CvqError
    from cvq.kinds import find_kinds
    from cvq.settings import Settings

    try:
        return set(find_kinds(Settings.load())[0])
    except CvqError:
        return set()


def _guarded(run: Any, *, debug: bool) -> int:
    """Run, and return the exit code; every error becomes one line on stderr."""
    import warnings

    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            code = run()
            sys.stdout.flush()
        except BaseException as error:
            if debug and not isinstance(error, SystemExit | click.ClickException):
                from .debugging import trace

                trace()
            return _report(error)
    return code if isinstance(code, int) else 0


def _report(error: BaseException) -> int:
    """Say what went wrong in one line, and where, if that can be drawn; return the exit code."""
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):
        return _leave_pipe()
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, click.ClickException):
        return _report_usage(error)

    from cvq.errors import CvqError

    if isinstance(error, CvqError):
        message = str(error).removesuffix(error.drawing)
        return _say(message.rstrip(), error.exit_code, error.drawing)
    if isinstance(error, UnicodeEncodeError):
        return _say(f"this locale cannot print {error.object!a}: set PYTHONUTF8=1", ENVIRONMENT)
    if isinstance(error, OSError) and error.strerror:
        drop_output()
        where = f"{error.filename}: " if error.filename else ""
        return _say(f"{where}{error.strerror}", ENVIRONMENT)
    what = f"{type(error).__name__}: {error}".splitlines()[0]
    return _say(f"internal error ({what}); `cvq --debug …` shows where", INTERNAL)


def _report_usage(error: click.ClickException) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return error.exit_code
    message = error.format_message().rstrip(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = f" (see `{context.command_path} --help`)" if context else ""
    return _say(message[:1].lower() + message[1:] + hint, error.exit_code)


def _say(message: str, code: int, drawing: str = "") -> int:
    if COMPLETING in os.environ:
        return code  # it would stand in the middle of what is being typed
    from .output import note

    note(f"cvq: error: {' '.join(message.splitlines())}")
    for line in drawing.splitlines():
        note(line)
    return code


def _leave_pipe() -> int:
    """Whoever read our output has gone: leave quietly."""
    drop_output()
    return BROKEN_PIPE


def drop_output() -> None:
    """Let Python's flush at its end meet no second error, with an exit code of its own."""
    with contextlib.suppress(OSError):  # a stdout without a file descriptor needs none of this
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_warning(message: Warning | str, *where: Any, **more: Any) -> None:
    from .output import note

    note(f"cvq: warning: {' '.join(str(message).splitlines())}")


def _tell_unknown_variables() -> None:
    """A line for variables that mean nothing: the database in use may not be the one meant."""
    if not any(name.startswith("CVQ_") for name in os.environ):
        return  # the usual case needs no settings yet
    from cvq.settings import unknown_variables

    from .output import note

    told = [
        f"{name}{f' (did you mean {near}?)' if near else ''}"
        for name, near in unknown_variables().items()
    ]
    if told:
        note(f"cvq: warning: unknown settings: {', '.join(told)}; `cvq config` lists them all")


def _version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from cvq import __version__

        from .output import say

        say(f"cvq {__version__}")
        ctx.exit()


@click.group(
    cls=Main,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="\b\nTry it:  cvq samples pictures"
    "\n         cvq run style-transfer pictures/content.jpg pictures/style.jpg -o painted.png",
)
@click.option(
    "-v", "-V", "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version,
    help="Show the version.",
)  # fmt: skip
@click.option("--debug", is_flag=True, expose_value=False, help="Show a traceback on errors.")
@click.pass_context
def cvq(ctx: click.Context) -> None:
    """Queue computer-vision jobs, run them on workers, and look up their history."""
    if ctx.invoked_subcommand in _ACTING:
        _tell_unknown_variables()


def main() -> NoReturn:
    """The console script."""
    from cvq.surroundings import prepare

    prepare()
    os.environ["TERM"] = os.environ.get("TERM") or "dumb"  # nobody says what it understands
    # Imports make 100,000 lasting objects; looking through them for garbage costs 40 ms.
    gc.set_threshold(100_000, 50, 50)
    atexit.register(gc.freeze)  # and at the end of a process once more, a fifth of its time
    # pydantic otherwise reads the metadata of every installed package, in search of plug-ins.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    cvq.main(prog_name="cvq")


__all__ = ["COMMANDS", "SECTIONS", "cvq", "main"]
