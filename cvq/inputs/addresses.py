"""Addresses such as `https://…` where a path was asked for. Pure functions."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

# A Path has one slash where an address had two; a single letter is a drive of Windows.
_ADDRESS = re.compile(r"^([a-z][a-z0-9+.-]+):/+(?=[^/])", re.IGNORECASE)


def address_of(given: str | Path) -> str | None:
    """The address that somebody gave in the place of a path, or None."""
    match = _ADDRESS.match(str(given))
    if match is None:
        return None
    scheme = match[1].lower()
    return f"{scheme}://{'/' if scheme == 'file' else ''}{str(given)[match.end() :]}"


def name_of(address: str) -> str:
    """What a file from this address is called: the last part of its path."""
    return unquote(urlsplit(address).path).rpartition("/")[2] or "picture"


def shown(address: str) -> str:
    """An address without what may be secret in it: password and query."""
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
