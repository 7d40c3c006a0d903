"""A PostgreSQL server of one's own, from whatever the machine has installed (Debian: apt install postgresql)."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def _program(name: str) -> str:
    found = shutil.which(name) or next(map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))), None)
    return found or pytest.fail(f"PostgreSQL's {name} is not installed: apt install postgresql")


@contextmanager
def postgres(folder: Path, port: int) -> Iterator[str]:
    """A server in `folder`; yields the URL of its database. It refuses to run as root, so root runs it as postgres."""
    initdb, control = _program("initdb"), _program("pg_ctl")
    as_user = {}
    if os.geteuid() == 0:
        account = pwd.getpwnam("postgres")
        folder.mkdir(parents=True, exist_ok=True)
        os.chown(folder, account.pw_uid, account.pw_gid)
        for above in folder.parents[:3]:  # pytest lets nobody else into its own
            above.chmod(above.stat().st_mode | 0o055)
        as_user = {"user": account.pw_uid, "group": account.pw_gid}
    data = folder / "data"

    def run(*command: str) -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder, **as_user)  # type: ignore[call-overload]

    run(initdb, "-D", str(data), "-U", "switchboard", "-A", "trust", "-E", "UTF8", "--no-locale")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    run(control, "-D", str(data), "-o", options, "-l", str(folder / "log"), "-w", "start")
    try:
        yield f"postgresql://switchboard:secret@127.0.0.1:{port}/postgres"
    finally:
        run(control, "-D", str(data), "-m", "immediate", "stop")
