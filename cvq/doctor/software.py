"""Python, the packages that cvq needs, and the kinds that plug-ins bring."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from collections.abc import Iterator
from importlib.util import find_spec

from ..installing import install_hint
from ..settings import Settings
from ..text import join
from .finding import Finding, note, ok, problem
from .setup import Setup


def python(_setup: Setup) -> Iterator[Finding]:
    """Which Python this is."""
    yield ok("python", f"{platform.python_version()}, {sys.executable}")


def packages(setup: Setup) -> Iterator[Finding]:
    """Whether all is installed that cvq and this set-up need, in versions that do."""
    found = list(_wrong_packages(setup.settings))
    if found:
        yield from found
    elif has_torch():
        yield ok("packages", "all that a worker needs is installed")
    else:
        yield ok(
            "packages",
            "jobs can be submitted and asked for; to run them here, too: "
            f"{install_hint('worker')}",
        )


def has_torch() -> bool:
    """Whether PyTorch is installed, without loading it."""
    return find_spec("torch") is not None


def _wrong_packages(settings: Settings) -> Iterator[Finding]:
    if wrong := unmet(None):
        yield problem("packages", "package-missing", _said(wrong), f"`{install_hint()}`")
    for extra in needed_extras(settings):
        if wrong := unmet(extra):
            yield problem(
                "packages", "extra-missing", f"{_said(wrong)}, for {_PURPOSE[extra]}",
                f"`{install_hint(extra)}`",
            )  # fmt: skip
    if has_torch() and (wrong := unmet("worker")):
        yield note(
            "packages", "worker-incomplete",
            f"{_said(wrong)}: jobs that need it are left to other workers",
            f"`{install_hint('worker')}`",
        )  # fmt: skip


_PURPOSE = {"postgres": "the database", "s3": "the artifact store"}


def needed_extras(settings: Settings) -> list[str]:
    """The extras that what is configured cannot do without."""
    database, store = settings.database_url or "", settings.store_url or ""
    wanted = {"postgres": database.startswith("postgres"), "s3": store.startswith(("s3:", "s3a:"))}
    return [extra for extra, is_wanted in wanted.items() if is_wanted]


def _said(wrong: dict[str, str]) -> str:
    return join([f"{name} {what}" for name, what in wrong.items()])


def unmet(extra: str | None) -> dict[str, str]:
    """What cvq (or one of its extras) requires and does not find: by name, what is wrong."""
    from packaging.requirements import Requirement

    wrong: dict[str, str] = {}
    for text in importlib.metadata.requires("cvq") or ():
        requirement = Requirement(text)
        marker = requirement.marker
        always = marker is None or marker.evaluate({"extra": ""})
        if always if extra else not always:
            continue
        if extra and marker is not None and not marker.evaluate({"extra": extra}):
            continue
        if what := _wrong_with(requirement.name, requirement.specifier):
            wrong[requirement.name] = what
    return wrong


def _wrong_with(name: str, wanted: object) -> str | None:
    from packaging.specifiers import SpecifierSet

    assert isinstance(wanted, SpecifierSet)
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "is not installed"
    if wanted.contains(version, prereleases=True):
        return None
    return f"is {version}, and has to be {wanted}"


def kinds(setup: Setup) -> Iterator[Finding]:
    """Whether the plug-ins can be loaded that bring kinds of their own."""
    from ..kinds import find_kinds

    known, broken = find_kinds(setup.settings)
    for what, error in broken.items():
        yield note(
            "kinds", "kind-broken", f"{what} cannot be loaded: {error}",
            "install it where this cvq is, or take it out of CVQ_KINDS",
        )  # fmt: skip
    if not broken:
        yield ok("kinds", f"{len(known)} can be submitted")
