"""Attempts that failed are tried again at once, but where a test is about the pause."""

from __future__ import annotations

import pytest

from cvq.lifecycle import retries


@pytest.fixture(autouse=True)
def _no_backoff(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "backoff" not in request.node.name:
        monkeypatch.setattr(retries, "_backoff", lambda attempt: -1.0)
