"""The worker: a Celery application whose slots run each job in a process of its own.

`celery -A cvq_workers worker` and `cvq worker` start the same thing. The application is made on
first use, so that importing this package costs nothing.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name in ("app", "celery"):
        from .app import default_app

        return default_app()
    raise AttributeError(f"module 'cvq_workers' has no attribute '{name}'")
