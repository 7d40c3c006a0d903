"""Writing folders so that a reader sees the whole of one or none of it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from switchboard.errors import StorageError, first_line
from switchboard.progress import Report

MANIFEST = "manifest.json"
_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.EIO}
_DISK_WORDS = re.compile(
    r"no space left|disk i/o|disk is full|read-?only (file|database)|permission denied|unable to open database",
    re.IGNORECASE,
)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_checksum(file: Path) -> None:
    """Note a file's digest beside it, as `sha256sum` writes it, so that `damaged` can tell when it has changed."""
    _checksum(file).write_text(f"{sha256_of(file)}  {file.name}\n", encoding="utf-8")


def drop_checksum(file: Path) -> None:
    """Forget the digest of a file that will be written anew."""
    _checksum(file).unlink(missing_ok=True)


def damaged(file: Path) -> bool:
    """Whether a file is another one than its digest says; one without a digest is taken as it is."""
    noted = _checksum(file)
    return noted.is_file() and noted.read_text(encoding="utf-8", errors="replace").split()[:1] != [sha256_of(file)]


def _checksum(file: Path) -> Path:
    return file.with_name(f"{file.name}.sha256")


@contextmanager
def making(target: Path, report: Report) -> Iterator[Path]:
    """A scratch folder beside `target`, for whoever makes that; it is gone afterwards.

    One process makes it at a time, and the others wait; so what lies there at the beginning was left by a killed one,
    and is removed. Raises StorageError where the disk is full or cannot be written.
    """
    with storing(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target, report):
            for left in target.parent.glob(f".{target.name}.making-*"):
                shutil.rmtree(left, ignore_errors=True)
            scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.making-", dir=target.parent))
            try:
                yield scratch
            finally:
                shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def _alone(target: Path, report: Report) -> Iterator[None]:
    """Hold the lock on making `target`. The system lets go of a killed process's."""
    lock = FileLock(target.parent / f".{target.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        report(f"Another process is making {target}: waiting for it ...")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def replace_folder(made: Path, target: Path) -> None:
    """Put the finished folder `made`, which lies in the scratch folder of `making`, in the place of `target`.

    Each step is a rename on one file system: whoever is killed on the way leaves the old folder, or none, but never a
    half. The old one goes with the scratch folder.
    """
    if target.exists():
        os.replace(target, made.with_name(f"{made.name}-replaced"))
    os.replace(made, target)


def aside_of(path: Path) -> Path:
    """A dated name beside a damaged file or folder, to set it aside under; nothing is there yet."""
    dated = f"{path.stem}-damaged-{time.strftime('%Y%m%d-%H%M%S')}"
    names = (f"{dated}{more}{path.suffix}" for more in ("", *(f"-{n}" for n in range(2, 1000))))
    return next(aside for name in names if not (aside := path.with_name(name)).exists())


@contextmanager
def storing(where: Path) -> Iterator[None]:
    """Raise StorageError, which says what to do, where what is done here fails for the disk's sake."""
    try:
        yield
    except Exception as error:
        if isinstance(error, StorageError) or not is_of_the_disk(error):
            raise
        raise StorageError(
            f"{where} cannot be written ({first_line(error)}). See that the folder in SWITCHBOARD_DATA can be "
            "written and has room, and start again."
        ) from error


def is_of_the_disk(error: BaseException) -> bool:
    """Whether the disk is to blame: it is full, or not to be written to. Libraries say so in types of their own."""
    return getattr(error, "errno", None) in _OF_THE_DISK or bool(_DISK_WORDS.search(str(error)))


def write_manifest(folder: Path, **facts: str) -> None:
    """Record each file's digest, and some facts, so that `intact` can tell a damaged folder."""
    files = {
        path.relative_to(folder).as_posix(): sha256_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and MANIFEST not in path.name
    }
    part = folder / f".{MANIFEST}.part"
    try:
        part.write_text(json.dumps({"files": files, **facts}, indent=1), encoding="utf-8")
        part.replace(folder / MANIFEST)
    finally:
        part.unlink(missing_ok=True)


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
