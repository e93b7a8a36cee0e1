"""What `cvq doctor` says of injected faults, and of odd, healthy set-ups.

python -m benchmarks.doctor [NAME…]

Each is brought about with real servers and workers, and looked at by the command itself. Exits
with 1 where a fault is not named with its fix, or a healthy set-up is blamed.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from functools import cache

from .faults import FAULTS, may_mount
from .healthy import HEALTHY
from .services import Postgres, postgres
from .situations import Situation, examined, judged, place


def main() -> None:
    """Look at all of them."""
    wanted = sys.argv[1:]
    with ExitStack() as stack:

        @cache
        def server() -> Postgres:
            return stack.enter_context(postgres())

        def is_right(situation: Situation) -> bool:
            with place(server) as where, situation.made(where) as environ:
                wrong = judged(situation, examined(environ, where.home))
            verdict = "right" if not wrong else "WRONG"
            print(f"{verdict:<6} {situation.name}", *wrong, sep="\n       ", flush=True)
            return not wrong

        faults = [each for each in FAULTS if each.fault != "disk-full" or may_mount()]
        results = [
            [is_right(each) for each in some if not wanted or each.name in wanted]
            for some in (faults, HEALTHY)
        ]
    named, calm = results
    print(f"faults named with their fix  {sum(named)} of {len(named)} (all, 12 at least)")
    print(f"false alarms                 {len(calm) - sum(calm)} in {len(calm)} (0)")
    sys.exit(0 if all(named) and all(calm) else 1)


if __name__ == "__main__":
    main()
