"""The Celery application: one task, `cvq.work`, and the step that ties a worker to its runtime."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from functools import cache
from typing import Any

from celery import Celery, bootsteps, signals
from kombu.entity import Queue

from cvq.broker.queue import (
    CONNECT_TIMEOUT_S,
    TASK,
    Broker,
    broker_queue,
    keepalive_options,
)
from cvq.devices import Slot, find_gpus, make_slots
from cvq.settings import Settings

from .consumer import TALKATIVE
from .runtime import Runtime
from .sparse_log import Sparse

# They would end a process by default.
_MEANINGLESS = [
    number
    for name in ("SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO", "SIGPWR", "SIGSTKFLT")
    if (number := getattr(signal, name, None)) is not None
]
_LEAVE_S = 5.0  # what Celery may need to leave once every job has
_TIMEOUT_S = 5.0


class JobsStep(bootsteps.StartStopStep):
    """Starts the runtime once the pool stands, and ends it before the pool goes."""

    requires = ("celery.worker.components:Pool",)

    def start(self, worker: Any) -> None:
        """Enter the worker and begin its heartbeat."""
        runtime: Runtime = worker.app.cvq_runtime()
        runtime.resize(worker.concurrency)  # celery's own -c may have been given
        runtime.start()
        worker.app.cvq_hang_up()
        for handler in logging.getLogger().handlers:
            handler.addFilter(Sparse(of=TALKATIVE, least=logging.NOTSET))

    def stop(self, worker: Any) -> None:
        """Wait for the running jobs to come to rest."""
        worker.app.cvq_runtime().close()

    terminate = stop


def create_app(
    settings: Settings,
    *,
    slots: list[Slot] | None = None,
    queues: list[str] | None = None,
    burst: bool = False,
    parent: int | None = None,
    stop_with: int | None = None,
    share_gpu: bool = False,
) -> Celery:
    """Make the Celery application of a worker.

    Args:
        settings: where Redis, the database and the store are.
        slots: by default one for each GPU, or one for the CPU.
        queues: by default `default`, this machine's own and, with a GPU, `gpu`.
        burst: leave when nothing is left to do.
        parent: leave when nothing is left to do and this process, the parent, has ended.
        stop_with: leave as at SIGTERM when this process, the parent, has ended.
        share_gpu: let other workers use the same GPUs.

    Raises:
        BrokerError: the embedded Redis does not start.
    """
    slots = slots or make_slots(find_gpus(os.environ))
    queues = queues or served_queues(settings, slots)
    app = Celery("cvq", set_as_current=False)
    app.conf.update(
        broker_url=Broker(settings).celery_url(),
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # a Redis that is away for an hour comes back
        broker_transport_options={
            "socket_timeout": _TIMEOUT_S,
            "socket_connect_timeout": CONNECT_TIMEOUT_S,
            "socket_keepalive": True,
            "socket_keepalive_options": keepalive_options(),
            "ack_emulation": False,  # a message that was lost is sent again
            "priority_steps": [0],
        },
        # Names of cvq's own: another Celery application on the same Redis is not heard.
        control_exchange="cvq",
        event_exchange="cvq.events",
        task_default_exchange="cvq",
        task_queues=[Queue(broker_queue(name)) for name in queues],
        task_default_queue=broker_queue("default"),
        # JSON only, in and out.
        accept_content=["json"],
        task_serializer="json",
        result_serializer="json",
        # The database is the truth; a message only wakes a slot up, and is done with once heard.
        task_ignore_result=True,
        task_acks_late=False,
        task_reject_on_worker_lost=False,
        # Each thread is a slot. A busy worker leaves the messages to the others.
        worker_pool="cvq_workers.consumer:Pool",
        worker_consumer="cvq_workers.consumer:Consumer",
        worker_concurrency=len(slots),
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        # A job outlives the connection to Redis.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=True,
        worker_redirect_stdouts=False,
        worker_log_format="%(asctime)s %(levelname)s %(message)s",
        worker_task_log_format="%(asctime)s %(levelname)s %(message)s",
    )

    @cache
    def runtime() -> Runtime:
        ends = {"parent": parent, "stop_with": stop_with}
        return Runtime(settings, slots, queues, burst=burst, share_gpu=share_gpu, **ends)

    app.cvq_runtime = runtime

    @app.task(name=TASK)
    def work(queue: str) -> None:
        """Run queued jobs until none is left."""
        runtime().work()

    app.steps["worker"].add(JobsStep)

    leaving = threading.Thread(target=lambda: _leave(runtime()), daemon=True)

    @signals.worker_shutting_down.connect(weak=False)
    def drain(**_: Any) -> None:
        runtime().drain()
        with contextlib.suppress(RuntimeError):  # it runs already: a second signal
            leaving.start()

    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN

    def hang_up() -> None:
        """Take SIGHUP as SIGTERM, or not at all (nohup). Celery would start itself anew.

        At SIGUSR1, Celery writes down what each thread does. Signals that mean nothing here, and
        would end the worker with all its jobs, are noted.
        """
        signal.signal(
            signal.SIGHUP, signal.SIG_IGN if ignored else signal.getsignal(signal.SIGTERM)
        )
        for number in _MEANINGLESS:
            signal.signal(number, _note_signal)

    app.cvq_hang_up = hang_up

    # Celery's own lines about messages say nothing that cvq's about jobs do not.
    for name in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return app


def _note_signal(number: int, _frame: object) -> None:
    name = signal.Signals(number).name
    logging.getLogger("cvq.worker").warning("%s means nothing to a worker, which goes on", name)


def _leave(runtime: Runtime) -> None:
    """Leave, also where Celery waits for a Redis that hangs."""
    runtime.close()
    time.sleep(_LEAVE_S)
    logging.getLogger("cvq.worker").warning("Redis hangs: leaving without a word to it")
    os._exit(0)


def served_queues(settings: Settings, slots: list[Slot]) -> list[str]:
    """The queues that a worker with these slots serves by default."""
    gpu = ["gpu"] if any(slot.kind != "cpu" for slot in slots) else []
    return ["default", *gpu, settings.host_queue]


@cache
def default_app() -> Celery:
    """The application that `celery -A cvq_workers` finds, by the settings alone."""
    return create_app(Settings.load())
