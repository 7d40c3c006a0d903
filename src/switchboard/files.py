"""Writing folders so that a reader sees the whole of one or none of it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import uuid
from pathlib import Path

MANIFEST = "manifest.json"
_ABANDONED_SECONDS = 24 * 3600


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def replace_folder(made: Path, target: Path) -> None:
    """Put the finished folder `made` in the place of `target`.

    `made` is moved beside `target` first, so that the last step is one rename on one file system: whoever is killed on
    the way leaves the old folder, or none, but never a half. What such a one left beside it is removed a day later.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = target.parent / f".{target.name}.{uuid.uuid4().hex}"
    shutil.move(made, staged)
    if target.exists():
        doomed = target.parent / f".{target.name}.{uuid.uuid4().hex}"
        os.replace(target, doomed)
        os.replace(staged, target)
        shutil.rmtree(doomed, ignore_errors=True)
    else:
        os.replace(staged, target)
    for left in target.parent.glob(f".{target.name}.*"):
        if time.time() - left.stat().st_mtime > _ABANDONED_SECONDS:
            shutil.rmtree(left, ignore_errors=True)


def write_manifest(folder: Path, **facts: str) -> None:
    """Record each file's digest, and some facts, so that `intact` can tell a damaged folder."""
    files = {
        path.relative_to(folder).as_posix(): sha256_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    (folder / MANIFEST).write_text(json.dumps({"files": files, **facts}, indent=1), encoding="utf-8")


def intact(folder: Path, **facts: str) -> bool:
    """Whether the folder has a manifest with these facts and every file is as it says."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files = manifest["files"]
        return all(manifest.get(key) == value for key, value in facts.items()) and all(
            sha256_of(folder / name) == digest for name, digest in files.items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
