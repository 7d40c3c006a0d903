"""Two apps with data folders of their own that share a Chroma server and a PostgreSQL: `make test-servers`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from model_server import free_port
from postgres import postgres
from test_chroma_server import Chroma

HERE = Path(__file__).parent
pytestmark = pytest.mark.servers


class App:
    """One of them."""

    def __init__(self, chroma: str, database: str, knowledge: Path, data: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, HERE / "sharing_process.py", chroma, database, knowledge, data],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent / "src")])},
        )

    def do(self, **asked: str) -> Any:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def finds(self, query: str, text: str) -> bool:
        """Whether a search finds the text within five seconds."""
        until = time.monotonic() + 5
        while self.do(find=query) != [text]:
            if time.monotonic() > until:
                return False
            time.sleep(0.1)
        return True


@pytest.fixture
def apps(tmp_path: Path) -> Iterator[list[App]]:
    knowledge = tmp_path / "knowledge"
    knowledge.mkdir()
    (knowledge / "fees.md").write_text("The late fee is five pounds.")
    (knowledge / "router.md").write_text("A red light means no signal.")
    chroma = Chroma(tmp_path / "chroma")
    with postgres(tmp_path / "postgres", free_port()) as database:
        running = [App(chroma.url, database, knowledge, tmp_path / f"data-{n}") for n in range(2)]
        yield running
        for app in running:
            app.process.kill()
            app.process.wait()
    chroma.kill()


def test_what_the_staff_changes_in_one_app_the_other_finds(apps: list[App]) -> None:
    one, other = apps
    assert one.finds("late fee", "The late fee is five pounds.")
    assert other.finds("late fee", "The late fee is five pounds.")
    one.do(add="fees.md", text="The late fee is nine pounds.")
    assert other.finds("late fee", "The late fee is nine pounds.")
    other.do(add="added/boats.md", text="A rowing boat costs twelve pounds.")
    assert one.finds("rowing boat costs", "A rowing boat costs twelve pounds.")
    one.do(remove="added/boats.md")
    one.do(remove="fees.md")
    until = time.monotonic() + 5
    while other.do(find="late fee") == ["The late fee is nine pounds."] and time.monotonic() < until:
        time.sleep(0.1)
    assert other.do(find="late fee") != ["The late fee is nine pounds."]
    assert other.do(find="rowing boat costs") != ["A rowing boat costs twelve pounds."]
