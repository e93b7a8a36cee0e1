"""Settings: which source wins, what is refused, and what is never shown."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from cvq import Settings
from cvq.errors import SetupError, UsageError
from cvq.settings import without_secrets


@pytest.fixture
def user_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own cvq.toml; the working directory is another, empty folder."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setattr(
        "platformdirs.user_config_dir", lambda *_: str(tmp_path / "config" / "cvq")
    )
    file = tmp_path / "config" / "cvq" / "cvq.toml"
    file.parent.mkdir(parents=True)
    return file


def test_the_environment_beats_the_folder_beats_the_user(
    user_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Settings.load().lease == 30.0
    user_file.write_text("lease = 41\ngrace = 41\nmax_pixels = 41")
    assert Settings.load().lease == 41.0
    Path("cvq.toml").write_text("lease = 42\ngrace = 42")
    monkeypatch.setenv("CVQ_LEASE", "43")
    settings = Settings.load()
    assert (settings.lease, settings.grace, settings.max_pixels) == (43.0, 42.0, 41)
    assert Settings.load(lease=44).lease == 44.0


@pytest.mark.parametrize(("key", "near"), [("databse_url", "database_url"), ("leese", "lease")])
def test_an_unknown_key_names_the_nearest(user_file: Path, key: str, near: str) -> None:
    Path("cvq.toml").write_text(f'{key} = "x"')
    with pytest.raises(UsageError, match=f"'{key}', did you mean '{near}'"):
        Settings.load()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CVQ_LEASE", "0"),
        ("CVQ_LEASE", "nan"),
        ("CVQ_LEASE", "inf"),
        ("CVQ_LEASE", "soon"),
        ("CVQ_LEASE", ""),
        ("CVQ_GRACE", "-1"),
        ("CVQ_MAX_PIXELS", "0"),
        ("CVQ_MAX_PIXELS", "1.5"),
        ("CVQ_START_METHOD", "thread"),
        ("CVQ_HOME", ""),
        ("CVQ_USER", ""),
        ("CVQ_USER", "u" * 101),
        ("CVQ_HOST", ""),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_its_name(
    user_file: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=name) as caught:
        Settings.load()
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["DATABASE_URL", "BROKER_URL", "STORE_URL", "START_METHOD"])
def test_an_empty_variable_is_no_variable(
    user_file: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    # As container tools pass on what is not set.
    monkeypatch.setenv(f"CVQ_{name}", "")
    assert getattr(Settings.load(), name.lower()) is None


@pytest.mark.parametrize("content", [b"lease = ", b"\xff\xfe", b"lease = [1"])
def test_a_file_that_is_not_toml(user_file: Path, content: bytes) -> None:
    user_file.write_bytes(content)
    with pytest.raises(UsageError, match=r"cvq\.toml.* cannot be read"):
        Settings.load()


def test_a_file_that_may_not_be_read(user_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # By force: root may read everything.
    def deny(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    user_file.touch()
    monkeypatch.setattr(Path, "open", deny)
    monkeypatch.setattr("builtins.open", deny)
    with pytest.raises(UsageError, match=r"cvq\.toml cannot be read.*Permission denied"):
        Settings.load()


def test_lists_are_separated_by_commas(user_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CVQ_KINDS", "one, two.three ,")
    monkeypatch.setenv("CVQ_PRELOAD", "")
    settings = Settings.load()
    assert settings.kinds == ["one", "two.three"]
    assert settings.preload == []
    Path("cvq.toml").write_text('kinds = ["a", "b"]')
    monkeypatch.delenv("CVQ_KINDS")
    assert Settings.load().kinds == ["a", "b"]


def test_passwords_are_not_shown() -> None:
    settings = Settings.load(
        database_url="postgresql://u:secret@h/x", broker_url="redis://:secret@h"
    )
    assert "secret" not in repr(settings)
    assert "secret" not in str(settings)


def test_the_home_is_absolute_and_everything_else_lies_in_it(
    user_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CVQ_HOME", "here")
    settings = Settings.load()
    assert settings.home == Path.cwd() / "here"
    assert settings.store == f"file://{Path.cwd()}/here/store"
    monkeypatch.setenv("CVQ_HOME", "~/there")
    assert Settings.load().home == Path("~/there").expanduser()


def test_settings_do_not_change() -> None:
    settings = Settings.load()
    with pytest.raises(FrozenInstanceError):
        settings.lease = 5.0  # type: ignore[misc]


def test_nothing_is_read_at_import(tmp_path: Path) -> None:
    (tmp_path / "cvq.toml").write_text("this is = = no toml")
    program = "import cvq, cvq.settings, cvq.client, cvq.kinds, cvq.broker.queue, cvq.db"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"CVQ_LEASE": "nonsense"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_user_without_name_and_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As in a container under a number of its own."""
    import pwd

    def nobody(_uid: int) -> None:
        raise KeyError("uid not found")

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "LOGNAME", "USER", "LNAME",
                 "USERNAME", "CVQ_HOME"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SetupError, match=r"^user uid-\d+ has no home folder: set CVQ_HOME"):
        Settings.load()
    monkeypatch.setenv("CVQ_HOME", "~/there")
    with pytest.raises(UsageError, match=r"CVQ_HOME\) '~/there': there is no such home folder"):
        Settings.load()
    monkeypatch.setenv("CVQ_HOME", str(tmp_path))
    assert Settings.load().user == f"uid-{os.getuid()}"


@pytest.mark.parametrize(
    ("said", "url", "shown"),
    [
        ("no s3://ann:hunter2@lab/x here", None, "no s3://***@lab/x here"),
        ("two ftp://a:b@c and http://d:p@ss/w@e/f", None, "two ftp://***@c and http://***@e/f"),
        ("it says hunter/2 twice: hunter%2F2", "ftp://ann:hunter%2F2@host/x",
         "it says *** twice: ***"),
        ("refused: key=AKIA77", "s3://lab?secret_key=AKIA77&anon=true", "refused: key=***"),
        ("mail ann@lab", "s3://lab/cvq", "mail ann@lab"),
        ("file:///me@work/x is gone", "file:///me@work", "file:///me@work/x is gone"),
    ],
)  # fmt: skip
def test_no_secret_of_an_address_is_told(said: str, url: str | None, shown: str) -> None:
    assert without_secrets(said, url) == shown
