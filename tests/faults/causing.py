"""How faults are caused: damage to files, processes that are killed, and what a visitor is told meanwhile."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from switchboard.database import Database
from switchboard.feedback import FeedbackStore
from switchboard.settings import ROOT
from switchboard.ui.chat import ChatEvents, Parts
from switchboard.ui.conversation import new_conversation
from test_hostile_files import CLEANED, REFUSED

ROWS: dict[str, list[tuple[dict[str, object], dict[str, str]]]] = defaultdict(list)
"""Of each test its cases, and what its `fault` mark says."""
_HEAD = """# Faults

What was caused, what a visitor sees of it, and what the next start does. Each row is a test in `tests/faults` and each
case of it is counted by `make test-faults`, which causes all of them, for real: files are damaged on the disk,
processes are killed with SIGKILL, and full and read-only disks are file systems of their own, mounted for the purpose
(that takes root; without it those cases are skipped). This table is written by `make faults-table` from the tests' own
words, and a test checks that it is current. Broken and hostile files are in `tests/test_hostile_files.py`; servers that
are gone, slow, busy or send rubbish in `tests/test_remote.py` (the model's), `tests/test_chroma_server.py` and
`tests/test_database.py`; all of these run along.

"""


def fault(cause: str, sees: str, then: str) -> Any:
    """Mark a test with its row of docs/faults.md."""
    return pytest.mark.fault(cause=cause, sees=sees, then=then)


def table() -> str:
    """docs/faults.md."""
    heads = ("fault", "cases", "how it is caused", "what the visitor sees", "what the next start does")
    lines = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    for name, cases in ROWS.items():
        words = cases[0][1]
        values = [", ".join(dict.fromkeys(str(case[name]) for case, _ in cases)) for name in cases[0][0]]
        count = f"{len(cases)}: {' × '.join(values)}" if values else "1"
        lines.append(
            f"| {name.removeprefix('test_').replace('_', ' ')} | {count} | {words['cause']} | {words['sees']} | "
            f"{words['then']} |"
        )
    total = sum(len(cases) for cases in ROWS.values())
    faults = f"{_HEAD}{total} cases in {len(ROWS)} rows.\n\n" + "\n".join(lines)
    refused = [(f"{case} (`{name}`)", f"refused: “… {reason} …”") for case, name, _, reason in REFUSED]
    cleaned = [(f"{case} (`{name}`)", "read; what could do harm is gone") for case, name, *_ in CLEANED]
    files = "\n".join(f"| {_in_table(file)} | {_in_table(outcome)} |" for file, outcome in (*refused, *cleaned))
    count = f"{len(REFUSED)} are refused with a reason and {len(CLEANED)} cleaned; the index stays as it was."
    return f"{faults}\n\n## Broken and hostile files\n\n{count}\n\n| file | outcome |\n| --- | --- |\n{files}\n"


def _in_table(text: str) -> str:
    """A text, or a pattern that it matches, as one cell."""
    return text.replace("\\", "").replace("|", " or ").replace("\n", " ")


def _flipped(at: float) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        data = bytearray(path.read_bytes())
        start = int(len(data) * at)
        for n in range(start, min(start + 16, len(data))):
            data[n] ^= 0xFF
        path.write_bytes(data)

    return damage


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _noise(path: Path) -> None:
    path.write_bytes(random.Random(7).randbytes(max(64, path.stat().st_size)))


DAMAGES: dict[str, Callable[[Path], None]] = {
    "first bytes flipped": _flipped(0),
    "bytes flipped in the middle": _flipped(0.5),
    "last bytes flipped": _flipped(0.97),
    "cut in half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]) and None,
    "emptied": lambda path: path.write_bytes(b"") and None,
    "noise": _noise,
    "a folder in its place": _folder,
    "gone": Path.unlink,
}


class Page:
    """The chat's own handlers over something that answers; `warned` is what the page pops up."""

    def __init__(self, running: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.warned: list[str] = []
        monkeypatch.setattr("switchboard.ui.chat.gr.Warning", self.warned.append)
        parts = Parts("transcript", "sources", "memory", "live", "question", "mode")
        feedback = FeedbackStore(Database.at(running.settings.data / "feedback.sqlite"))

        def answer(conversation: Any, mode: str, settings: Any, retriever: Any = None) -> Any:
            return running.switchboard.over(retriever).answer(conversation, mode, settings)

        self.events = ChatEvents(parts, answer, feedback, running)

    def ask(self, question: str, mode: str) -> dict[str, Any]:
        """The turn as the browser keeps it: its `state`, `error` and `answer`."""
        *_, last = self.events.generate(new_conversation().asked(question, mode), 3, 0.0, 16)
        self._memory = last["memory"]
        turn: dict[str, Any] = self._memory["current"]["turns"][-1]
        return turn

    def rate(self, liked: bool) -> None:
        """Rate the last answer."""
        turn = self._memory["current"]["turns"][-1]["id"]
        self.events.rate(self._memory, type("Event", (), {"turn": turn, "liked": liked})())


def sentence(text: str) -> bool:
    """Whether it is plain and no traceback."""
    return text.endswith(".") and "\n" not in text and "Traceback" not in text and "Error:" not in text


def environment(**more: str) -> dict[str, str]:
    """This process's, with the package and the tests' fakes to import, and `more`."""
    path = os.pathsep.join(map(str, (ROOT / "src", ROOT / "tests", ROOT / "tests" / "faults")))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **more}


def python(code: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """A process of its own that runs `code`."""
    more = options.pop("env", {})
    command = [*options.pop("before", ()), sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(
        command,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def ended(process: subprocess.Popen[str], seconds: float = 120) -> tuple[int, str, str]:
    """Exit status, output and errors of a process that is waited for."""
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


def kill(process: subprocess.Popen[Any]) -> None:
    """SIGKILL, and wait until it is gone."""
    process.kill()
    process.communicate()
    assert process.returncode == -9


def until(condition: Callable[[], bool], process: subprocess.Popen[Any], seconds: float = 120) -> None:
    """Wait until something is so; fails where the process ends before."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, (process.stderr.read() if process.stderr else "")[-2000:]
        assert time.monotonic() < deadline
        time.sleep(0.005)


class App:
    """app.py in a process of its own."""

    def __init__(self, folder: Path, data: Path, **more: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._log = folder / f"log-{port}.txt"
        with self._log.open("w") as sink:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "app.py")],
                cwd=folder,
                env={**os.environ, "SWITCHBOARD_DATA": str(data), "PORT": str(port), **more},
                stdout=sink,
                stderr=subprocess.STDOUT,
                text=True,
            )

    @property
    def log(self) -> str:
        """All it has said."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def ready(self, seconds: float = 200) -> App:
        """Wait until it answers."""
        until(lambda: "Ready." in self.log, self.process, seconds)
        with urlopen(self.url, timeout=10) as response:
            assert response.status == 200
        return self

    def gone(self) -> bool:
        """Whether nothing answers any more."""
        try:
            urlopen(self.url, timeout=2)
        except (URLError, OSError):
            return True
        return False

    def end(self) -> None:
        """Stop it as a person would."""
        self.process.terminate()
        self.process.wait(30)


def copied_data(folder: Path) -> Path:
    """This checkout's data folder with models that share their bytes and an index of its own."""
    data = folder / "data"
    shutil.copytree(ROOT / ".switchboard" / "models", data / "models", copy_function=os.link)
    shutil.copytree(ROOT / ".switchboard" / "index", data / "index")
    return data
