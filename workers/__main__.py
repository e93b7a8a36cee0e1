"""`python -m cvq_workers`: one worker process, as `cvq worker` and `cvq up` start it."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from typing import Any

import click

from cvq.devices import ALL, MOST_SLOTS, Slot, chosen, find_gpus, make_slots, shared_out
from cvq.errors import CvqError, SetupError, UsageError
from cvq.settings import Settings
from cvq.surroundings import prepare
from cvq.text import UNPRINTABLE, clean, clean_lines


@click.command()
@click.option("--gpus", default=ALL, help="all, none, or numbers and UUIDs.")
@click.option("--slots-per-gpu", type=click.IntRange(1, MOST_SLOTS), help="Jobs on each GPU.")
@click.option("--cpu-slots", type=click.IntRange(0, MOST_SLOTS), help="Jobs on the processor.")
@click.option("--slots", type=click.IntRange(1, MOST_SLOTS), help="Jobs at a time, altogether.")
@click.option("--share-gpu", is_flag=True, help="Let other workers use the same GPUs.")
@click.option("--queues", help="Queues to serve, separated by commas.")
@click.option("--name", help="Name of the worker in Celery's tools.")
@click.option("--lease", type=float, help="Seconds after which a silent worker has lost its jobs.")
@click.option("--log-level", default="info", help="debug, info, warning or error.")
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", help="Of lines."
)
@click.option("--metrics-port", type=click.IntRange(0, 65_535), help="Where Prometheus asks.")
@click.option("--metrics-host", default="127.0.0.1", help="At which address it listens for it.")
@click.option("--burst", is_flag=True, help="Leave when nothing is queued any more.")
@click.option("--parent", type=int, help="The same, once this process has ended.")
@click.option("--stop-with", type=int, help="Leave as at SIGTERM once this process has ended.")
def main(
    gpus: str,
    slots_per_gpu: int | None,
    cpu_slots: int | None,
    slots: int | None,
    share_gpu: bool,
    queues: str | None,
    name: str | None,
    lease: float | None,
    log_level: str,
    log_format: str,
    metrics_port: int | None,
    metrics_host: str,
    burst: bool,
    parent: int | None,
    stop_with: int | None,
) -> None:
    """Run one worker until it is told to stop."""
    prepare()
    keep_log_clean()
    try:
        settings = Settings.load(**({} if lease is None else {"lease": lease}))
        places = _slots(gpus, slots_per_gpu, cpu_slots, slots)
        from .app import create_app  # Celery, only once the arguments are right

        served = [part.strip() for part in (queues or "").split(",") if part.strip()]
        if queues is not None and not served:
            raise UsageError(f"--queues '{queues}' names no queue")
        app = create_app(
            settings,
            slots=places,
            queues=served or None,
            burst=burst,
            parent=parent,
            stop_with=stop_with,
            share_gpu=share_gpu,
        )
        app.cvq_runtime().check()
        if metrics_port is not None:
            _serve_figures(app.cvq_runtime().worker, metrics_port, metrics_host)
        _allow_root()
    except CvqError as error:
        click.echo(f"cvq: error: {clean(error)}", err=True)
        sys.exit(error.exit_code)
    if log_format == "json":
        _log_as_json()
    node = name or f"cvq-{os.getpid()}"
    arguments = ["worker", "-n", f"{node}@{settings.host}", "-l", log_level]
    arguments += ["--heartbeat-interval", "10"]  # of Celery's own, which only Flower reads
    app.worker_main(["-q", *arguments, "--without-gossip", "--without-mingle"])
    if not app.cvq_runtime().started:  # Celery itself would leave with 0
        sys.exit(SetupError.exit_code)


def _slots(gpus: str, per_gpu: int | None, on_cpu: int | None, count: int | None) -> list[Slot]:
    """The slots that were asked for.

    Raises:
        UsageError: there is no such GPU, or the options contradict each other.
    """
    if count is not None and (per_gpu is not None or on_cpu is not None):
        raise UsageError("give either --slots, or --slots-per-gpu and --cpu-slots")
    slots = make_slots(chosen(gpus, find_gpus(os.environ)), per_gpu=per_gpu or 1, on_cpu=on_cpu)
    return slots if count is None else shared_out(slots, count)


def _log_as_json() -> None:
    """Write JSON once Celery has set its loggers up."""
    from celery import signals

    from .json_log import write_json

    def change(logger: logging.Logger, **_: Any) -> None:
        write_json(logger)

    for ready in (signals.after_setup_logger, signals.after_setup_task_logger):
        ready.connect(change, weak=False)


def _serve_figures(worker: Any, port: int, host: str) -> None:
    """Tell Prometheus what this worker does, in a thread of its own.

    Raises:
        SetupError: the port is taken, or the package for it is missing.
    """
    from celery import signals

    from cvq.monitor.gpus import Gpus
    from cvq.monitor.serving import serve

    from .tally import WorkerFigures

    port, _ = serve([WorkerFigures(worker), Gpus()], port, host)
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def tell(**_: Any) -> None:
        logging.getLogger("cvq.worker").info("figures are at http://%s/metrics", place)

    signals.worker_ready.connect(tell, weak=False)  # by when there is a log


def keep_log_clean() -> None:
    """Write out what would steer a terminal: the worker's log has words of jobs in it."""
    make = logging.getLogRecordFactory()

    def cleaned(*args: Any, **more: Any) -> logging.LogRecord:
        record = make(*args, **more)
        text = record.getMessage()
        if UNPRINTABLE.search(text):
            record.msg, record.args = clean_lines(text), ()
        return record

    logging.setLogRecordFactory(cleaned)


def _allow_root() -> None:
    # Celery warns root of pickled messages. cvq accepts JSON only, and containers run as root.
    from celery.platforms import SecurityWarning

    warnings.simplefilter("ignore", SecurityWarning)


if __name__ == "__main__":
    main()
