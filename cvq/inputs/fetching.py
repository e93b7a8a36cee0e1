"""Pictures by their address: fetched where a job is submitted, bounded in size, time and hops."""

from __future__ import annotations

import base64
import http.client
import itertools
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit

from ..errors import CvqError, InvalidInputError, SetupError
from ..text import exactly, one_line
from .addresses import shown

MOST_BYTES = 256 << 20
SECONDS = 60.0  # for all of it: a server that drips must hold up no submission
_SILENT = 20.0  # seconds
_MOST_HOPS = 5
_BLOCK = 64 << 10
_AS_IT_IS = "%/:?@!$&'()*+,;=~"  # blanks and ö are typed as browsers show them


def fetch(
    address: str, target: Path, *, most_bytes: int = MOST_BYTES, seconds: float = SECONDS
) -> Path:
    """Fetch what lies at an address into a file, by http or https.

    Raises:
        InvalidInputError: another scheme, refused by the server, or too large.
        SetupError: the server cannot be reached, or takes too long.
    """
    parts = urlsplit(address)
    if parts.scheme == "file":
        raise InvalidInputError(
            f"{shown(address)}: give the file's path, as {unquote(parts.path)}"
        )
    if parts.scheme not in ("http", "https"):
        raise InvalidInputError(
            f"{shown(address)}: only http and https are fetched; download the file, and give "
            "its path"
        )
    ended = threading.Event()
    failed: list[CvqError] = []

    def work() -> None:
        try:
            _fetch(parts, target, most_bytes, ended)
        except CvqError as error:
            failed.append(error)

    # Each wait for bytes is bounded, and so many of them are not: hence a thread to leave behind.
    thread = threading.Thread(target=work, name="cvq-fetch", daemon=True)
    thread.start()
    thread.join(seconds)
    ended.set()
    if thread.is_alive():
        raise SetupError(f"{shown(address)} was not here within {exactly(seconds)}")
    if failed:
        raise failed[0]
    return target


def _fetch(parts: SplitResult, target: Path, most: int, ended: threading.Event) -> None:
    what = shown(urlunsplit(parts))
    try:
        with _opener().open(_request(parts), timeout=_SILENT) as answer, target.open("wb") as file:
            if (answer.length or 0) > most:
                raise InvalidInputError(f"{what} is larger than {most >> 20} MiB")
            for _ in itertools.takewhile(lambda _: not ended.is_set(), itertools.count()):
                block = answer.read1(_BLOCK)
                if not block:
                    break
                file.write(block)
                if file.tell() > most:
                    raise InvalidInputError(f"{what} is larger than {most >> 20} MiB")
            if answer.length and not ended.is_set():  # what is left of what was announced
                raise SetupError(f"{what} was cut off {answer.length} bytes before its end")
    except urllib.error.HTTPError as error:
        error.close()
        told = f"{what} cannot be fetched: {error.code} {one_line(error.reason)}"
        raise (InvalidInputError if error.code < 500 else SetupError)(told) from None
    except urllib.error.URLError as error:
        reason = getattr(error.reason, "strerror", None) or error.reason
        raise SetupError(f"{what} cannot be fetched: {reason}") from None
    except http.client.InvalidURL:
        raise InvalidInputError(f"{what} is not an address that can be fetched") from None
    except (OSError, http.client.HTTPException) as error:
        raise SetupError(f"{what} cannot be fetched: {type(error).__name__}: {error}") from None
    except (ValueError, UnicodeError):  # of the address, which may have a password in it
        raise InvalidInputError(f"{what} is not an address that can be fetched") from None


def _request(parts: SplitResult) -> urllib.request.Request:
    host = parts.netloc.rpartition("@")[2]
    path, query = (quote(part, safe=_AS_IT_IS) for part in (parts.path or "/", parts.query))
    request = urllib.request.Request(  # noqa: S310, the scheme was looked at
        urlunsplit((parts.scheme, host, path, query, "")),
        headers={"User-Agent": "cvq", "Accept": "image/*, */*;q=0.5"},
    )
    if parts.username is not None:
        word = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        # Not sent on to where the server may point.
        request.add_unredirected_header(
            "Authorization", f"Basic {base64.b64encode(word.encode()).decode()}"
        )
    return request


class _Hops(urllib.request.HTTPRedirectHandler):
    """Follows a few redirections, and urllib none to files."""

    max_redirections = _MOST_HOPS
    inf_msg = "it leads on and on: "


def _opener() -> urllib.request.OpenerDirector:
    opener = urllib.request.OpenerDirector()
    handlers: list[Any] = [
        urllib.request.ProxyHandler(), urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(), urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(), urllib.request.UnknownHandler(), _Hops(),
    ]  # fmt: skip
    for handler in handlers:
        opener.add_handler(handler)
    return opener
