"""Pictures given by their address: fetched at submission, within bounds, and without secrets."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from cvq import Client
from cvq.errors import InvalidInputError, SetupError
from cvq.inputs.addresses import address_of, name_of, shown
from cvq.inputs.fetching import fetch


def png() -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(content, "PNG")
    return content.getvalue()


class Pictures(BaseHTTPRequestHandler):
    """A picture, and answers that one would not like to get."""

    asked: list[tuple[str, str | None]]
    release: threading.Event

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers.get("Authorization")))
        path = self.path.partition("?")[0]
        if path.startswith("/hop/"):
            left = int(path.rpartition("/")[2])
            self.answer(302, location=f"/hop/{left - 1}" if left else "/shoe.png")
        elif path == "/out":
            self.answer(302, location="file:///etc/passwd")
        elif path == "/drip":
            self.answer(200, length=1000)
            self.wfile.write(b"x")
            self.release.wait(60)
        elif path in ("/cut.png", "/huge.png"):
            self.answer(200, png(), length=10**3 if path == "/cut.png" else 10**15)
        elif path == "/page.png":
            self.answer(200, b"<html>")
        elif path.endswith(".png"):
            self.answer(200, png())
        else:
            self.answer(503 if path == "/busy" else 404)

    def answer(
        self, code: int, body: bytes = b"", *, location: str = "", length: int | None = None
    ) -> None:
        self.send_response(code)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("NO_PROXY", "*")
    Pictures.asked, Pictures.release = [], threading.Event()
    with ThreadingHTTPServer(("127.0.0.1", 0), Pictures) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"127.0.0.1:{listening.server_port}"
        Pictures.release.set()
        listening.shutdown()
        thread.join()


def test_an_address_is_told_from_a_path() -> None:
    assert address_of("https://a/b.png") == address_of(Path("https://a/b.png"))
    assert address_of("HTTP://a/b.png") == "http://a/b.png"
    for path in ("a/b.png", "/a/b.png", "c:/a.png", "a:b.png", "~/a.png", "http:", "./http://a"):
        assert address_of(path) is None
    assert name_of("https://a/b/my%20shoe.png?token=1") == "my shoe.png"
    assert name_of("https://a/") == name_of("https://a") == "picture"
    assert shown("https://me:secret@a:81/b.png?token=1#x") == "https://a:81/b.png"


def test_a_picture_is_fetched_and_kept_like_any_other(client: Client, server: str) -> None:
    address = f"http://me:pass%21word@{server}/shop/shoe.png?token=secret"
    job = client.submit("style-transfer", content=address, style=[address]).job
    assert job.spec["content"]["name"] == "shoe.png"
    assert "secret" not in str(job.spec)
    assert "word" not in str(job.spec)
    kept = client.artifacts.fetch_input(job.spec["content"]["sha256"], client.settings.home)
    assert kept.read_bytes() == png()
    assert Pictures.asked[0] == ("/shop/shoe.png?token=secret", "Basic bWU6cGFzcyF3b3Jk")


def test_redirections_are_followed_a_few_times_without_the_password(
    server: str, tmp_path: Path
) -> None:
    found = fetch(f"http://me:word@{server}/hop/2", tmp_path / "a")
    assert found.read_bytes() == png()
    assert [word for _, word in Pictures.asked] == ["Basic bWU6d29yZA==", None, None, None]
    with pytest.raises(InvalidInputError, match="cannot be fetched: 302"):
        fetch(f"http://{server}/hop/9", tmp_path / "b")


@pytest.mark.parametrize(
    ("address", "error", "said"),
    [
        ("http://SERVER/none", InvalidInputError, "http://SERVER/none cannot be fetched: 404"),
        ("http://u:secret@SERVER/busy?secret", SetupError, "http://SERVER/busy cannot be .* 503"),
        ("http://SERVER/out", InvalidInputError, "/out cannot be fetched: 302 .* not allowed"),
        ("http://SERVER/page.png", InvalidInputError, "SERVER/page.png is not a picture that cvq"),
        ("http://127.0.0.1:1/a.png", SetupError, "cannot be fetched: .*refused"),
        (
            "http://u:secret@host:port/a.png",
            InvalidInputError,
            "host:port/a.png is not an address",
        ),
        ("ftp://u:secret@host/a.png", InvalidInputError, "ftp://host/a.png: only http and https"),
        ("http://SERVER/cut.png", SetupError, r"/cut.png was cut off \d+ bytes before its end"),
        ("http://SERVER/huge.png", InvalidInputError, "/huge.png is larger than 256 MiB"),
        ("file:///a/b%20c", InvalidInputError, "file:///a/b%20c: give the file's path, as /a/b c"),
        ("s3://bucket/a.png", InvalidInputError, "only http and https are fetched"),
    ],
)
def test_what_cannot_be_fetched_is_told_in_a_line(
    client: Client, server: str, address: str, error: type[Exception], said: str
) -> None:
    address, said = address.replace("SERVER", server), said.replace("SERVER", server)
    with pytest.raises(error, match=said) as caught:
        client.submit("style-transfer", content=address, style=[address])
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert client.jobs() == []


def test_an_address_may_be_typed_as_browsers_show_it(server: str, tmp_path: Path) -> None:
    fetch(f"http://{server}/große/my shoe%21.png?a=ä b&c=%20", tmp_path / "a")
    assert Pictures.asked[0][0] == "/gro%C3%9Fe/my%20shoe%21.png?a=%C3%A4%20b&c=%20"


def test_a_file_that_is_too_large_is_left(server: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="is larger than 0 MiB"):
        fetch(f"http://{server}/a.png", tmp_path / "a", most_bytes=20)


def test_a_server_that_drips_holds_up_nobody_for_ever(server: str, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"/drip was not here within 0\.2s"):
        fetch(f"http://{server}/drip", tmp_path / "a", seconds=0.2)


def test_only_pictures_are_fetched(client: Client) -> None:
    with pytest.raises(InvalidInputError, match=r"http://a/b\.zip: only pictures are fetched"):
        client.check("fmnist-mlp", data="http://a/b.zip")
