"""A job kind for the tests, loaded by CVQ_KINDS: it leaves the files that it is told to."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from cvq import Kind, Spec


class File(BaseModel):
    """A file: what it is called, and how it is made."""

    name: str
    text: str | None = ""
    role: str = "result"
    link: bool = False


class PublishSpec(Spec):
    """What to leave."""

    files: list[File] = Field(default=[], description="In this order.")
    previews: int = Field(0, description="How many times one preview replaces another.")
    until: str | None = Field(None, description="Go on until there is a file of this name.")


def run(spec: PublishSpec, ctx: Any) -> dict[str, Any]:
    for file in spec.files:
        with ctx.artifact(file.name, role=file.role) as path:
            if file.link:
                path.symlink_to("/etc/hostname")
            elif file.text is not None:
                path.write_text(file.text)
    for number in range(spec.previews):
        with ctx.artifact("preview.txt", role="preview") as path:
            path.write_text(f"{number} " * 1000)
        ctx.confirm()
    while spec.until and not Path(spec.until).exists():
        time.sleep(0.02)
    return {"files": len(spec.files)}


KIND = Kind(name="publish", spec=PublishSpec, run="publish:run", summary="Leave files.")
