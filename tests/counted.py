"""A kind whose runs are counted: its answers are shared, and each run leaves a line in a file."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from cvq import Kind, Spec


class CountedSpec(Spec):
    """Leave a line in FOLDER/runs, wait for FOLDER/go, and say how often."""

    folder: str


def run(spec: CountedSpec, ctx: Any) -> dict[str, Any]:
    runs = Path(spec.folder, "runs")
    with runs.open("a") as file:
        file.write(f"{ctx.job_id} {os.getpid()}\n")
    while not Path(spec.folder, "go").exists():
        time.sleep(0.02)
    with ctx.artifact("said.txt") as path:
        path.write_text("done\n")
    return {"said": "done"}


KIND = Kind(name="counted", spec=CountedSpec, run="counted:run", cache=True)
