"""`selftest`: counts steps and says what the job was given. Proves that a worker works.

It computes nothing of interest, loads nothing and takes `steps` × `pause` seconds.
"""

from __future__ import annotations

import os
import platform
import random
import time
from typing import Any

from cvq.context import Context
from cvq.kinds.builtin.selftest import SelftestSpec


def run(spec: SelftestSpec, ctx: Context) -> dict[str, Any]:
    """Count; return where it ran."""
    print(f"job {ctx.job_id} on {platform.node()}, device {ctx.device}, process {os.getpid()}")
    found = ctx.resume()
    for step in range(found.step + 1 if found else 1, spec.steps + 1):
        time.sleep(spec.pause)
        ctx.metrics(step, value=random.random())  # noqa: S311 - shows that the seed holds
        ctx.progress(step, spec.steps)
        if ctx.checkpoint_due():
            ctx.checkpoint(step)
    with ctx.artifact("selftest.txt") as path:
        path.write_text(f"{spec.steps} steps on {ctx.device}\n")
    return {"steps": spec.steps, "device": ctx.device, "host": platform.node()}
