"""The Python client: what the command line does, as a library.

Its powers are cut along what one does: a new one is a thin method in `submitting.py`,
`sweeping.py`, `sharing.py`, `asking.py`, `acting.py`, `describing.py` or `cleaning.py`, over a
function in a module of its own.
"""

from __future__ import annotations

from .acting import Acting
from .cleaning import Cleaning
from .describing import Describing
from .rerunning import Rerunning
from .sharing import Sharing
from .sweeping import Sweeping


class Client(Sweeping, Rerunning, Sharing, Acting, Describing, Cleaning):
    """Submits jobs and asks for their history.

    Args:
        settings: read from the environment and `cvq.toml` when not given.
    """


__all__ = ["Client"]
