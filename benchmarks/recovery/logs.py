"""What a job said last is kept, however it ends."""

from __future__ import annotations

from .measure import (
    PATIENCE_S,
    cluster,
    say,
)


def logs() -> bool:
    """The last line before `os._exit` and before SIGKILL, fifty times each."""
    with cluster(2) as made:
        handles = [
            made.client.submit("mishap", how=how, number=number, retries=0)
            for number in range(50)
            for how in ("last-line-exit", "last-line-kill")
        ]
        for handle in handles:
            handle.wait(PATIENCE_S, check=False)
        kept = sum(
            handle.logs() == [f"the last line of {handle.spec['number']}"] for handle in handles
        )
    return say(f"the last line before a sudden end: kept {kept} of {len(handles)}",
               good=kept == len(handles))  # fmt: skip
