"""Advice to install more can be typed as it stands, wherever this cvq came from."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from cvq.errors import MissingExtraError
from cvq.installing import install_hint


@pytest.fixture
def origin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Says where pip took this cvq from; None is an index."""

    def come_from(url: str | None, **more: Any) -> None:
        folder = tmp_path / "cvq.dist-info"
        folder.mkdir(exist_ok=True)
        (folder / "METADATA").write_text("Name: cvq\nVersion: 1\n")
        if url is not None:
            (folder / "direct_url.json").write_text(json.dumps({"url": url, **more}))
        found = metadata.PathDistribution(folder)
        monkeypatch.setattr(metadata, "distribution", lambda _: found)

    return come_from


def test_from_a_checkout(origin: Any, tmp_path: Path) -> None:
    checkout = tmp_path / "my checkout"
    checkout.mkdir()
    origin(checkout.as_uri(), dir_info={})
    assert install_hint("worker") == f"pip install '{checkout}[worker]'"
    assert str(MissingExtraError("worker", "classify")).endswith(install_hint("worker"))
    origin(checkout.as_uri(), dir_info={"editable": True})
    assert install_hint("s3") == f"pip install -e '{checkout}[s3]'"
    assert install_hint() == f"pip install -e '{checkout}'"


def test_from_a_checkout_that_is_gone(origin: Any, tmp_path: Path) -> None:
    origin((tmp_path / "gone").as_uri(), dir_info={})
    assert install_hint("worker") == "pip install '.[worker]' in a checkout of cvq"


def test_from_a_wheel(origin: Any, tmp_path: Path) -> None:
    wheel = tmp_path / "cvq-1-py3-none-any.whl"
    wheel.touch()
    origin(wheel.as_uri(), archive_info={})
    assert install_hint("worker") == f"pip install 'cvq[worker] @ {wheel.as_uri()}'"


def test_from_a_repository_or_a_server(origin: Any) -> None:
    origin("https://lab/cvq.git", vcs_info={"vcs": "git"})
    assert install_hint("worker") == "pip install 'cvq[worker] @ git+https://lab/cvq.git'"
    origin("https://lab/cvq-1-py3-none-any.whl", archive_info={})
    assert install_hint("s3") == "pip install 'cvq[s3] @ https://lab/cvq-1-py3-none-any.whl'"


@pytest.mark.parametrize("text", [None, "{half", "[]"])
def test_from_an_index_or_unknown(origin: Any, tmp_path: Path, text: str | None) -> None:
    origin(None)
    if text is not None:
        (tmp_path / "cvq.dist-info" / "direct_url.json").write_text(text)
    assert install_hint("worker") == "pip install --upgrade 'cvq[worker]'"
