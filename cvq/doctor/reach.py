"""Whether something listens at an address, apart from what it says."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass

_PATIENCE_S = 3.0


@dataclass(frozen=True)
class Silence:
    """Why nobody answers at an address.

    Attributes:
        fault: `host` (the name means nothing), `refused` (nothing listens) or `silent` (whatever
            is sent there disappears).
        text, fix: for people.
    """

    fault: str
    text: str
    fix: str


def silence_at(host: str, port: int) -> Silence | None:
    """Why a connection cannot be made, or None where it can.

    Args:
        host: a name or an address of IPv4 or IPv6, without brackets.
        port: a number.
    """
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        with contextlib.closing(socket.create_connection((host, port), _PATIENCE_S)):
            return None
    except socket.gaierror:
        return Silence(
            "host",
            f"no machine is called {host}",
            f"correct the name in the URL; `getent hosts {host}` tells whether it is known here",
        )
    except TimeoutError:
        return Silence(
            "silent",
            f"{place} swallows what is sent there",
            f"open the port {port} in the firewall of {host}, or correct the URL",
        )
    except OSError as error:
        return Silence(
            "refused",
            f"nothing listens at {place} ({error.strerror or error})",
            f"start the server on {host} and let it listen on port {port}",
        )
