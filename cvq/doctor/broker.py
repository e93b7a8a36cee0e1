"""Redis: whether it answers, takes what is written, and keeps it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..broker.embedded import redis_binary, stop_redis
from ..errors import BrokerError
from ..settings import without_secrets
from ..text import one_line, size
from .finding import Finding, note, ok, problem
from .reach import silence_at
from .setup import Setup

if TYPE_CHECKING:
    import redis

_OLDEST = (6, 0)
_ALMOST = 0.95  # of the memory that it may take
_EMBEDDED_FIX = "`cvq down`, then look into {log}; `cvq doctor --fix` starts it anew"
_PASSWORD = ("NOAUTH", "WRONGPASS", "invalid username", "invalid password", "Authentication")
# What it says to a write that it refuses: the fault, and what to do.
_REFUSALS = {
    "READONLY": (
        "redis-read-only", "it is a copy of another, and takes no writes",
        "let CVQ_BROKER_URL name the master: `redis-cli INFO replication` there says which it is",
    ),
    "read only replica": (
        "redis-read-only", "it is a copy of another, and takes no writes",
        "let CVQ_BROKER_URL name the master: `redis-cli INFO replication` there says which it is",
    ),
    "OOM": (
        "redis-full", "its memory is full, and it takes no more",
        "`redis-cli CONFIG SET maxmemory 512mb` there, or remove what others keep in it",
    ),
    "maxmemory": (
        "redis-full", "its memory is full, and it takes no more",
        "`redis-cli CONFIG SET maxmemory 512mb` there, or remove what others keep in it",
    ),
    "MISCONF": (
        "redis-cannot-save", "it cannot save to its disk, and so takes no writes",
        "make room on its disk, or `redis-cli CONFIG SET stop-writes-on-bgsave-error no` there: "
        "cvq needs nothing of it kept",
    ),
    "snapshot": (
        "redis-cannot-save", "it cannot save to its disk, and so takes no writes",
        "make room on its disk, or `redis-cli CONFIG SET stop-writes-on-bgsave-error no` there: "
        "cvq needs nothing of it kept",
    ),
    "NOPERM": (
        "redis-forbidden", "this user may not write what cvq writes",
        "allow its user `~cvq* ~_kombu* ~unacked* &* +@all` (`redis-cli ACL SETUSER …`)",
    ),
}  # fmt: skip


def redis_server(setup: Setup) -> Iterator[Finding]:
    """Redis, which is left as it was found: an embedded one that was stopped is stopped again."""
    if setup.broker.embedded:
        yield _embedded(setup)
        return
    try:
        client = setup.broker.connect()
    except BrokerError as error:
        yield _unreachable(setup, error)
        return
    refused = _refusal(client, setup.settings.broker_url)
    if refused:
        fault, said, fix = refused
        yield problem("redis", fault, f"{setup.broker}: {said}", fix)
        return
    yield from judge(str(setup.broker), look_at(client))


def _embedded(setup: Setup) -> Finding:
    home = setup.settings.home
    try:
        binary = redis_binary()
        was_up = not setup.broker.is_stopped()
        setup.broker.connect()
    except BrokerError as error:
        return problem(
            "redis", "redis-embedded", str(error), _EMBEDDED_FIX.format(log=home / "redis.log"),
            "restart-redis",
        )  # fmt: skip
    if was_up:
        return ok("redis", f"the embedded Redis answers ({binary})")
    stop_redis(home)
    return ok("redis", f"the embedded Redis starts when it is needed ({binary})")


def _unreachable(setup: Setup, error: BrokerError) -> Finding:
    """Why a server cannot be asked: nobody is there, or it does not let us in."""
    said = str(error)
    url = setup.settings.broker_url or ""
    if any(sign in said for sign in _PASSWORD):
        return problem(
            "redis", "redis-password", f"{setup.broker} does not take the password, or wants one",
            "put its password into CVQ_BROKER_URL: redis://:PASSWORD@host:6379/0 "
            "(`redis-cli CONFIG GET requirepass` there shows it)",
        )  # fmt: skip
    if "unknown command" in said and "HELLO" in said:
        return _too_old(str(setup.broker), "before 6.0")
    parts = urlsplit(url)
    if parts.scheme in ("redis", "rediss") and parts.hostname:
        if silence := silence_at(parts.hostname, parts.port or 6379):
            fix = f"{silence.fix}; or unset CVQ_BROKER_URL, and cvq starts one itself"
            return problem("redis", f"redis-{silence.fault}", silence.text, fix)
        if _is_about_tls(said):
            return problem(
                "redis", "redis-tls", said,
                "let CVQ_BROKER_URL begin with rediss:// where the server speaks TLS, and with "
                "redis:// where it does not; `?ssl_ca_certs=FILE` names its own certificate",
            )  # fmt: skip
    return problem("redis", "redis-silent", said, "start it anew, or correct CVQ_BROKER_URL")


def _is_about_tls(said: str) -> bool:
    return any(sign in said for sign in ("SSL", "certificate", "Connection closed", "reset"))


def _refusal(client: redis.Redis, url: str | None) -> tuple[str, str, str] | None:
    """What a server says to a write, as fault, text and fix; None where it takes it."""
    import redis

    try:
        client.set(f"cvq.doctor.{secrets.token_hex(4)}", "1", px=1000)
    except redis.RedisError as error:
        said = str(error)
        for sign, answer in _REFUSALS.items():
            if sign in said:
                return answer
        said = one_line(without_secrets(said, url))
        return "redis-refuses", said, "correct its configuration, or give cvq another server"
    return None


@dataclass(frozen=True)
class Redis:
    """What a server says of itself; None where it keeps it to itself."""

    version: str | None = None
    policy: str | None = None
    most: int = 0
    used: int = 0
    mode: str | None = None
    persists: bool | None = None


def look_at(client: redis.Redis) -> Redis:
    """Ask a server about itself."""
    import redis

    try:
        said: Mapping[str, Any] = client.info()
    except redis.RedisError:  # not everybody may ask
        return Redis()
    return Redis(
        version=str(said.get("valkey_version") or said.get("redis_version") or "") or None,
        policy=said.get("maxmemory_policy"),
        most=int(said.get("maxmemory", 0)),
        used=int(said.get("used_memory", 0)),
        mode=said.get("redis_mode"),
        persists=_persists(client, said),
    )


def _persists(client: redis.Redis, said: Mapping[str, Any]) -> bool | None:
    import redis

    try:
        save: Any = client.config_get("save")
    except redis.RedisError:
        return None
    return bool(save.get("save")) or bool(said.get("aof_enabled"))


def judge(name: str, server: Redis) -> Iterator[Finding]:
    """What there is to say of a server that answers and takes writes."""
    found = list(_wrong_with(name, server))
    yield from found or [ok("redis", f"{name} answers{_told(server)}")]


def _wrong_with(name: str, server: Redis) -> Iterator[Finding]:
    if server.mode == "cluster":
        yield problem(
            "redis", "redis-cluster", f"{name} is a Redis Cluster, which Celery cannot use",
            "give cvq a server that is no part of a cluster, or unset CVQ_BROKER_URL",
        )  # fmt: skip
    if server.version and _numbers(server.version) < _OLDEST:
        yield _too_old(name, f"Redis {server.version}")
    # Of those that end by themselves cvq has none in it: `volatile-…` takes nothing of its.
    if server.most and (server.policy or "").startswith("allkeys"):
        yield note(
            "redis", "redis-evicts",
            f"{name} removes keys of anybody when its memory is full ({server.policy}), also the "
            "messages that wake workers: jobs would begin later",
            "`redis-cli CONFIG SET maxmemory-policy noeviction` there, or give cvq a server of "
            "its own",
            "stop-evictions",
        )  # fmt: skip
    elif server.most and server.used > _ALMOST * server.most:
        yield note(
            "redis", "redis-nearly-full",
            f"{name} uses {size(server.used)} of {size(server.most)}",
            "`redis-cli CONFIG SET maxmemory 512mb` there, or remove what others keep in it",
        )  # fmt: skip


def _too_old(name: str, version: str) -> Finding:
    return problem(
        "redis", "redis-old", f"{name} is {version}, and Celery's client needs 6.0",
        "upgrade it (Valkey serves, too), or unset CVQ_BROKER_URL, and cvq starts one itself",
    )  # fmt: skip


def _told(server: Redis) -> str:
    words = [server.version] if server.version else []
    if server.persists is not None:
        kept = "kept on its disk" if server.persists else "kept in memory alone"
        words.append(f"{kept}; cvq needs no more" if not server.persists else kept)
    return f" ({', '.join(words)})" if words else ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
