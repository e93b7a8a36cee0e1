"""The artifact store: whether it can be written from here."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import CvqError, MissingExtraError, UsageError
from ..settings import masked
from .finding import Finding, ok, problem
from .setup import Setup

_KEYS = ("credential", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "Forbidden")


def store(setup: Setup) -> Iterator[Finding]:
    """The store, into which a small file is written that is removed again."""
    try:
        setup.store.probe()
    except (CvqError, OSError) as error:
        yield _unusable(setup, error)
        return
    yield ok("store", f"{masked(setup.settings.store)} can be written")


def _unusable(setup: Setup, error: Exception) -> Finding:
    said = str(error)
    if isinstance(error, MissingExtraError):
        return problem("store", "extra-missing", said, f"`{said.partition('packages: ')[2]}`")
    if isinstance(error, UsageError):
        fix = "let CVQ_STORE_URL be s3://bucket/prefix or file:///folder, or unset it"
        return problem("store", "store-url", said, fix)
    if setup.settings.store.startswith("file://"):
        folder = setup.settings.store.removeprefix("file://")
        fix = f"let {folder} be a folder that this user may write, with room, or set CVQ_STORE_URL"
        return problem("store", "store-unwritable", said, fix)
    if "bucket" in said.lower():
        bucket = masked(setup.settings.store).partition("://")[2].partition("/")[0]
        return problem("store", "store-bucket", said, f"`aws s3 mb s3://{bucket}`")
    if any(sign in said for sign in _KEYS):
        fix = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to those of who may write there"
        return problem("store", "store-credentials", said, fix)
    fix = "start its server, or correct CVQ_STORE_URL (and AWS_ENDPOINT_URL)"
    return problem("store", "store-away", said, fix)
