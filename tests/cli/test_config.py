"""`cvq config`: what is set, from where, and no secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from cvq.settings import known_settings, masked

from .conftest import Cli


def test_each_setting_with_its_source(
    run: Cli, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cvq.toml").write_text("lease = 60\ngrace = 5\n")
    monkeypatch.setenv("CVQ_GRACE", "7")
    monkeypatch.setenv("CVQ_LEASES", "7")
    said = run("config", "--json")
    rows = {row["setting"]: row for row in said.json}
    assert set(rows) == set(known_settings())
    assert (rows["home"]["value"], rows["home"]["source"]) == (str(home), "CVQ_HOME")
    assert (rows["lease"]["value"], rows["lease"]["source"]) == ("60", "cvq.toml")
    assert (rows["grace"]["value"], rows["grace"]["source"]) == ("7", "CVQ_GRACE")
    assert rows["database_url"]["value"] == f"sqlite:///{home}/cvq.db"
    assert rows["broker_url"]["value"] == "the embedded Redis"
    assert rows["user"]["source"] == "default"
    assert said.err == "CVQ_LEASES is not a setting: did you mean CVQ_LEASE?\n"
    assert run("config", "lease", "-q").out == "60\n"
    [_, line] = run("config", "lease").out.splitlines()
    assert line.split() == [*["lease", "cvq.toml", "60", "s"], *rows["lease"]["meaning"].split()]
    assert (rows["max_pixels"]["unit"], rows["user"]["unit"]) == ("pixels", None)
    assert all(row["meaning"] for row in rows.values())
    assert "no setting 'leese': did you mean 'lease'?" in run("config", "leese", code=2).err


def test_no_secret_is_shown(run: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CVQ_DATABASE_URL", "postgresql://ada:geh/e:im@db/cvq?password=geheim")
    monkeypatch.setenv("CVQ_BROKER_URL", "redis://:geh/eim@db:6379/0?password=geheim")
    monkeypatch.setenv("CVQ_STORE_URL", "s3://key:geheim@bucket/prefix?secret=geheim")
    for form in ([], ["--json"], ["--csv"], ["-q"]):
        out = run("config", *form).out
        assert "geh" not in out
        assert "s3://***@bucket/prefix?***" in out
    monkeypatch.setenv("CVQ_DATABASE_URL", "geheim://ada:geheim@x")
    assert "ada" not in run("config").out


def test_masked() -> None:
    assert masked("file:///home/a@b/store?x") == "file:///home/a@b/store?x"
    assert masked("s3://bucket/prefix") == "s3://bucket/prefix"
    assert masked("s3://a:b@c@bucket") == "s3://***@bucket"


def test_the_version_has_a_short_name(run: Cli) -> None:
    assert run("-v").out == run("--version").out


def test_a_setting_has_the_name_of_its_variable_too(run: Cli) -> None:
    assert run("config", "CVQ_LEASE", "-q").out == run("config", "lease", "-q").out == "30\n"
    assert "did you mean 'lease'?" in run("config", "CVQ_LEASES", code=2).err


@pytest.mark.parametrize(
    "words", [["submit", "selftest"], ["submit", "selftest", "--json"], ["doctor"]]
)
def test_what_acts_by_settings_tells_a_variable_that_is_mistyped(
    run: Cli, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CVQ_DATABSE_URL", "postgresql://ada:geheim@db/cvq")
    monkeypatch.setenv("CVQ_XYZ", "1")
    said = run(*words, code=None)
    [line] = [line for line in said.err.splitlines() if "unknown settings" in line]
    assert line == (
        "cvq: warning: unknown settings: CVQ_DATABSE_URL (did you mean CVQ_DATABASE_URL?), "
        "CVQ_XYZ; `cvq config` lists them all"
    )
    assert "CVQ_" not in said.out
    assert "unknown settings" not in run("ls").err
    monkeypatch.delenv("CVQ_DATABSE_URL")
    monkeypatch.delenv("CVQ_XYZ")
    assert "unknown settings" not in run(*words, code=None).err


@pytest.mark.parametrize(
    ("words", "first", "second"),
    [
        ("ls --json --csv", "--json", "--csv"),
        ("ls --csv -q", "--csv", "--quiet"),
        ("workers --csv --json", "--csv", "--json"),
        ("config --json -q", "--json", "--quiet"),
        ("kinds --json --csv", "--json", "--csv"),
        ("artifacts 1 --csv -q", "--csv", "--quiet"),
        ("metrics 1 --json --csv", "--json", "--csv"),
        ("get 1 --json -q", "--json", "--quiet"),
        ("cancel 1 -q --json", "--quiet", "--json"),
    ],
)
def test_an_answer_has_one_form(run: Cli, words: str, first: str, second: str) -> None:
    said = run(*words.split(), code=2)
    assert f"{first} and {second} cannot be combined: give one" in said.err
    assert said.out == ""
