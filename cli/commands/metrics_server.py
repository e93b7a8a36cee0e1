"""`cvq metrics-server`: figures of all queues and workers for Prometheus."""

from __future__ import annotations

from contextlib import closing

import click

from cvq.text import clean

from .. import options
from ..interrupts import Interrupts
from ..output import note

PORT = 9808
_LOOK_EVERY_S = 0.5


@click.command(
    "metrics-server",
    epilog="\b\nExamples:\n  cvq metrics-server"
    "\n  cvq metrics-server --host 0.0.0.0 --port 9100"
    "\n  curl -s localhost:9808/metrics",
)
@click.option(
    "--port", type=options.count(0), default=PORT, show_default=True, metavar="N",
    help="Where it listens; 0 is any that is free.",
)  # fmt: skip
@click.option(
    "--host", default="127.0.0.1", show_default=True, metavar="ADDRESS",
    help="At which of this machine's addresses; 0.0.0.0 is all.",
)  # fmt: skip
def metrics_server(port: int, host: str) -> None:
    """Serve figures for Prometheus.

    Jobs by queue and state, how long they wait and run, failures by reason, workers, slots, and
    this machine's GPUs, at /metrics. One is enough for a database; what is counted begins with
    it. It runs until Ctrl-C. Whoever reaches the port can read the figures.
    """
    from cvq.monitor.figures import Figures
    from cvq.monitor.gpus import Gpus
    from cvq.monitor.serving import serve
    from cvq.settings import Settings

    with Interrupts() as interrupts, closing(Figures(Settings.load())) as figures:
        port, end = serve([figures, Gpus()], port, host)
        try:
            place = f"[{host}]" if ":" in host else host
            note(f"figures are at http://{clean(place)}:{port}/metrics; Ctrl-C stops")
            while True:
                interrupts.sleep(_LOOK_EVERY_S)
        finally:
            end()
