"""`cvq graph`: as a tree, as JSON, and in the language of Graphviz."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from past import Past
from steps import opened

from .conftest import Cli


@pytest.fixture
def past(home: Path) -> Iterator[Past]:
    with opened() as database:
        yield Past(database, home)


def test_a_graph_is_a_tree(run: Cli, past: Past) -> None:
    model = past.job(files={"model:m": "w"}, inputs={"data": past.input("x")}, name="mine")
    answer = past.job(inputs={"model": past.model(model)})
    lines = run("graph", model).out.splitlines()
    assert lines[0] == f"job {model} selftest mine (succeeded)"
    assert re.fullmatch(r"    data: input [0-9a-f]{12} a.png", lines[2])
    assert lines[1::2] == ["  made from", "  used by"]
    assert lines[4] == f"    model of: job {answer} selftest (succeeded)"
    alone = past.job()
    assert run("graph", alone).out.splitlines()[1:] == [
        "nothing was used for it, and nothing uses it"
    ]
    assert "no job 99" in run("graph", 99, code=2).err


def test_any_name_is_quoted(run: Cli, past: Past) -> None:
    odd = past.job(name='a "b" \\N\n[bold]x\x1b[31m', files={"model:m": "w"})
    past.job(inputs={"model": past.model(odd)})
    out = run("graph", odd, "--dot").out
    assert r"a \"b\" \\N\\x0a[bold]x\\x1b[31m" in out
    assert out.startswith("digraph cvq {\n")
    assert f'"job {odd}" -> "job {odd + 1}" [label="model of"];' in out
    shape = run("graph", odd, "--json").json
    assert shape["job"] == odd
    assert shape["links"] == [{"from": f"job {odd}", "to": f"job {odd + 1}", "how": "model of"}]
    assert {node["id"] for node in shape["nodes"]} == {f"job {odd}", f"job {odd + 1}"}
