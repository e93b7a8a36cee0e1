"""Whether all is there that jobs need, what is wrong, and what to do about it.

    for finding in examine(Settings.load()):
        print(finding.level, finding.check, finding.text, finding.fix)

Each group of checks is a module: it looks, and judges what it has seen. Nothing is changed but
what every use of cvq makes: a home folder, and the mark by which a store is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from ..errors import CvqError
from ..settings import Settings, without_secrets
from ..text import one_line
from . import broker, database, files, fleet, gpus, machine, software, store
from .finding import Finding as Finding
from .finding import Level as Level
from .finding import problem
from .remedies import REMEDIES as REMEDIES
from .remedies import Remedy as Remedy
from .setup import Setup as Setup

Check = Callable[[Setup], Iterator[Finding]]

CHECKS: Mapping[str, Check] = {
    "python": software.python,
    "packages": software.packages,
    "kinds": software.kinds,
    "home": machine.home,
    "disk": machine.disk,
    "gpu": gpus.gpu,
    "weights": files.weights,
    "data": files.data,
    "redis": broker.redis_server,
    "database": database.database,
    "store": store.store,
    "workers": fleet.workers,
    "scratch": fleet.leftovers,
}
"""What is looked at, in this order: a later check may build upon what an earlier has found."""


def examine(settings: Settings | None = None) -> Iterator[Finding]:
    """Look at everything, one check after the other.

    Args:
        settings: read from the environment and `cvq.toml` when not given.
    """
    try:
        setup = Setup(settings or Settings.load())
    except CvqError as error:
        yield problem("settings", "settings-wrong", str(error), "`cvq config` shows all settings")
        return
    try:
        for name in CHECKS:
            yield from check(name, setup)
    finally:
        setup.close()


def check(name: str, setup: Setup) -> Iterator[Finding]:
    """One of `CHECKS`; what goes wrong in it is a finding, too."""
    setup.failed.discard(name)
    try:
        for finding in CHECKS[name](setup):
            if finding.level is Level.PROBLEM:
                setup.failed.add(name)
            yield finding
    except Exception as error:  # whatever it is, the other checks go on
        setup.failed.add(name)
        said = one_line(str(error)) or type(error).__name__
        given = setup.settings
        for url in (given.database_url, given.broker_url, given.store_url):
            said = without_secrets(said, url)
        what = f"{type(error).__name__}: {said}"
        yield problem(name, f"{name}-unknown", what, "correct what it names, or tell cvq's makers")
