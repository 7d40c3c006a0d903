"""Users: read from pairs or a file, checked by hash, and never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from switchboard import users as module
from switchboard.errors import SettingsError
from switchboard.settings import Settings
from switchboard.users import Users, hashed

SECRET = "correct horse"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_N", 2**4)


def test_pairs_plain_and_hashed() -> None:
    users = Users.read(f"ann:{SECRET}, bob:{hashed('x:$y')}")
    assert users
    assert users.allow("ann", SECRET)
    assert users.allow("bob", "x:$y")
    assert not users.allow("bob", SECRET)
    assert not users.allow("ann", "")
    assert not users.allow("nobody", SECRET)
    assert not users.allow("", "")


def test_a_file_of_them_whose_passwords_may_have_commas(tmp_path: Path) -> None:
    file = tmp_path / "users.txt"
    file.write_text(f"ann:one, two\n\nbob:{hashed(SECRET)}\n", encoding="utf-8")
    users = Users.read(str(file))
    assert users.allow("ann", "one, two")
    assert users.allow("bob", SECRET)


def test_nobody_has_to_log_in_unless_there_are_users() -> None:
    assert not Users.read("")
    assert not Users.read("  ")
    assert not Settings().users


@pytest.mark.parametrize(
    "value",
    [
        f"ann{SECRET}",
        f":{SECRET}",
        f"ann:,bob:{SECRET}",
        f"ann:{SECRET},ann:{SECRET}",
        f"ann:scrypt$16$8$1${SECRET}",
        "ann:scrypt$99999999999$8$1$c2FsdA==$a2V5",
        f"ann:scrypt$17$8$1$c2FsdA==${SECRET}",
        ",",
    ],
)
def test_what_is_wrong_is_said_without_the_password(value: str) -> None:
    with pytest.raises(SettingsError, match="SWITCHBOARD_USERS") as error:
        Settings.from_environment({"SWITCHBOARD_USERS": value})
    assert SECRET not in str(error.value)
    assert "python -m switchboard password" in str(error.value) or "twice" in str(error.value)


def test_neither_passwords_nor_hashes_are_shown() -> None:
    line = hashed(SECRET)
    settings = Settings.from_environment({"SWITCHBOARD_USERS": f"ann:{SECRET},bob:{line}"})
    shown = repr(settings) + str(settings) + repr(settings.users)
    assert SECRET not in shown
    assert line.split("$")[-1] not in shown
    assert SECRET not in repr(vars(settings.users))


def test_a_name_that_is_not_there_takes_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    users = Users.read(f"ann:{SECRET}")
    work: list[str] = []
    derive = module._derived
    monkeypatch.setattr(module, "_derived", lambda password, *rest: work.append(password) or derive(password, *rest))
    users.allow("nobody", "guess")
    users.allow("ann", "guess")
    assert work == ["guess", "guess"]
