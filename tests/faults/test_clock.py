"""Clocks that jump by a year, while the program runs. Needs the `faketime` program; Debian has it under that name."""

from __future__ import annotations

import csv
import io
import time
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import pytest
from causing import ended, fault, python
from kept import Kept
from test_killed import INDEX

from switchboard.database import Database
from switchboard.feedback import FeedbackStore
from switchboard.settings import Settings
from switchboard.types import Document
from switchboard.ui.documents import DocumentEvents, DocumentParts
from switchboard.ui.shelf import SECONDS, Mine

JUMPS = {"a year back": "-365d", "a year forward": "+365d"}
YEAR = 365 * 24 * 3600


def faked(offset: str, file: Path | None = None) -> dict[str, str]:
    """The environment of a process whose clock is off by `offset`, or by what `file` says at each moment."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if library is None:
        pytest.skip("faketime is not installed (Debian: apt install faketime).")
    shared = {"LD_PRELOAD": str(library), "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_NO_CACHE": "1"}
    if file is None:
        return {**shared, "FAKETIME": offset}
    file.write_text(offset)
    return {**shared, "FAKETIME_TIMESTAMP_FILE": str(file)}


@fault(
    "The index is opened with the clock off by a year, and a killed process's lock file there.",
    "Nothing.",
    "No lock is waited for and none is stale: the system lets go of a killed process's.",
)
@pytest.mark.parametrize("jump", JUMPS)
def test_index_after_a_jump(kept: Kept, jump: str) -> None:
    (kept.data / "index.lock").touch()
    began = time.monotonic()
    env = faked(JUMPS[jump])
    status, out, err = ended(python("import time; print(time.time())\n" + INDEX, kept.knowledge, kept.data, env=env))
    assert status == 0, err
    assert abs(float(out.splitlines()[0]) - time.time()) > YEAR - 86400, "the clock did not jump"
    assert time.monotonic() - began < 60
    assert not [line for line in out.splitlines() if "aside" in line or "Embedding" in line]
    kept.healthy()


@fault(
    "The clock jumps while ratings are written, back and forth.",
    "Nothing: each is stored.",
    "Has every row; those of the jump bear the wrong date.",
)
def test_ratings_while_the_clock_jumps(tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    code = (
        "import sys; from pathlib import Path; from switchboard.types import Answer\n"
        "from switchboard.database import Database; from switchboard.feedback import FeedbackStore\n"
        "store = FeedbackStore(Database.at(Path(sys.argv[1])))\n"
        "for n, jump in enumerate(['+0d', '-365d', '+365d', '-365d', '+0d']):\n"
        "    Path(sys.argv[2]).write_text(jump)\n"
        "    for m in range(5): store.add(f'{n}-{m}', 'q', Answer('rag', 'x', done=True), True)"
    )
    status, _, err = ended(python(code, tmp_path / "feedback.sqlite", clock, env=faked("+0d", clock)))
    assert status == 0, err
    file = io.StringIO(newline="")
    assert FeedbackStore(Database.at(tmp_path / "feedback.sqlite")).export_csv(file) == 25
    years = {row["time"][:4] for row in csv.DictReader(io.StringIO(file.getvalue(), newline=""))}
    assert len(years) == 3, "the clock did not jump"


@fault(
    "The clock jumps while what was left by a killed process lies in the models folder, of the future or the past.",
    "Nothing.",
    "Removes it, whatever its date: it holds the lock, so nobody else can be writing there.",
)
@pytest.mark.parametrize("jump", JUMPS)
def test_left_folders_after_a_jump(tmp_path: Path, jump: str) -> None:
    left = tmp_path / ".model.making-1"
    left.mkdir()
    code = (
        "import sys; from pathlib import Path; from switchboard.files import making\n"
        "with making(Path(sys.argv[1]) / 'model', print) as scratch: print(scratch.parent)"
    )
    status, _, err = ended(python(code, tmp_path, env=faked(JUMPS[jump])))
    assert status == 0, err
    assert not left.exists()


@fault(
    "The clock jumps while a visitor's documents are there.",
    "Back: the documents are there for an hour, as ever, and no longer. Forward: they are gone early, and the shared "
    "ones answer.",
    "Nothing is left to do.",
)
def test_documents_of_a_visitor_after_a_jump(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    index = kept.start()
    document = Document("yours/boats.md", "Boats", "Yours", "", "A rowing boat costs £12 an hour.", "s")
    mine = Mine(index.with_documents([document]), (document,), {document.source: b""})
    parts = DocumentParts(**{field.name: field.name for field in fields(DocumentParts)})
    events = DocumentEvents(parts, SimpleNamespace(knowledge=SimpleNamespace(current=index), settings=Settings()))
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert "Boats" in events.show(mine)["listed"]
    passed = time.monotonic() + SECONDS + 1
    monkeypatch.setattr(time, "monotonic", lambda: passed)
    assert mine.expired
    assert "Boats" not in events.show(mine)["listed"]
    assert "Boats" not in events.show(None)["listed"], "Gradio let go of them early"
    index.close()
