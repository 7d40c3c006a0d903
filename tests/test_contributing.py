"""CONTRIBUTING.md does what it says: its examples are taken from the page and run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fakes import EXIT, FIBRE, FakeGenerator, FakeRetriever
from switchboard.errors import KnowledgeError
from switchboard.lora_files import WEIGHTS
from switchboard.modes import MODES, Mode
from switchboard.retrieval import conversion, documents
from switchboard.settings import ROOT, Settings
from switchboard.switch import Switchboard
from switchboard.types import GenerationSettings, Message
from switchboard.ui.frame import summaries
from tiny_model import say
from training_fakes import tiny_model

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
OPEN = "Are you open on Sunday?"


def blocks(heading: str) -> list[str]:
    """The fenced blocks below a heading."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^```\w*\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)


def test_every_example_is_run_here() -> None:
    counts = {heading: len(blocks(heading)) for heading in re.findall(r"^## (.+)$", PAGE, re.MULTILINE)}
    assert counts == {
        "Set up, run, check": 1,
        "What a change looks like": 0,
        "Add a mode": 1,
        "Add a file format": 2,
        "Add a backend": 2,
        "Add an adapter": 1,
    }


def test_the_commands_are_there() -> None:
    (commands,) = blocks("Set up, run, check")
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = {line.split()[0] for line in listed.splitlines()}
    assert set(re.findall(r"^make (\S+)", commands, re.MULTILINE)) <= targets
    assert set(re.findall(r"`make (\S+?)`", PAGE)) <= targets


def test_files_that_it_names_are_there() -> None:
    named = re.findall(r"`((?:src|tests)/\S+?)`", PAGE) + re.findall(r"\]\(([^)#]+)", PAGE)
    assert len(named) > 10
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_a_mode_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    (row,) = blocks("Add a mode")
    mode = eval(row, {"Mode": Mode})
    monkeypatch.setitem(MODES, mode.name, mode)
    generator = FakeGenerator("Fibre 100 costs £27 [1].")
    switchboard = Switchboard(generator, FakeRetriever([FIBRE, EXIT]), "Fernwave Telecom")
    first, *_, last = switchboard.answer([Message("user", "What does Fibre 100 cost?")], "rag-untuned")
    assert first.passages
    assert last.done
    assert last.cited == (1,)
    ((messages, adapter),) = generator.history
    assert adapter is None
    assert FIBRE.text in messages[-1].content
    assert mode.summary in summaries()


def test_a_format_is_a_function_and_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    function, line = blocks("Add a file format")
    names: dict[str, Any] = {**vars(documents), **vars(conversion)}
    exec(function, names)
    for suffix, loader in eval(f"{{{line}}}", names).items():
        monkeypatch.setitem(documents.LOADERS, suffix, loader)
    first = "1\n00:00:01,000 --> 00:00:04,000\nYour router has\ntwo lamps."
    second = "2\n00:00:05,000 --> 00:00:07,000\nBoth are green."
    (tmp_path / "set-up.srt").write_text(f"{first}\n\n{second}\n", encoding="utf-8")
    (document,) = documents.load_folder(tmp_path)
    assert (document.title, document.text) == ("Set up", "Your router has two lamps.\n\nBoth are green.")
    with pytest.raises(KnowledgeError, match="not a text file but a PDF"):
        documents.read_document("set-up.srt", b"%PDF-1.7")


def test_a_backend_is_a_class_and_its_line(tmp_path: Path) -> None:
    backend, line = blocks("Add a backend")
    names: dict[str, Any] = {"Switchboard": Switchboard, "index": FakeRetriever([FIBRE]), "settings": Settings()}
    exec(backend, names)
    switchboard = eval(line, names)
    answers = list(switchboard.answer([Message("user", OPEN)], "base", GenerationSettings(max_tokens=16)))
    assert [answer.text for answer in answers[:3]] == ["Yes,", "Yes, from", "Yes, from 10"]
    assert answers[-1].done
    (*_, other) = switchboard.answer([Message("user", "Do you sell boats?")], "fine-tuned")
    assert other.abstained
    checked = tmp_path / "table.py"
    asked = f"{backend}\n\nfrom switchboard.types import Generator\n\nfits: Generator = TableGenerator({{}})\n"
    checked.write_text(asked, encoding="utf-8")
    types = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent", str(checked)]
    environment = {**os.environ, "MYPYPATH": str(ROOT / "src")}
    done = subprocess.run(types, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_an_adapter_is_a_folder_and_a_command(tmp_path: Path) -> None:
    (commands,) = blocks("Add an adapter")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "SWITCHBOARD_MODEL": str(tiny_model(tmp_path / "tiny")),
        "SWITCHBOARD_QUANTIZATION": "none",
        "SWITCHBOARD_DATA": str(tmp_path / "data"),
    }
    done = subprocess.run(
        ["bash", "-e", "-c", commands], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "my-adapters" / "help-desk" / WEIGHTS).is_file()

    from switchboard.build import load_generator  # noqa: PLC0415
    from switchboard.progress import quietly  # noqa: PLC0415

    settings = Settings(
        model=environment["SWITCHBOARD_MODEL"],
        quantization="none",
        adapters=tmp_path / "my-adapters",
        data=tmp_path / "data",
    )
    generator, _ = load_generator(settings, quietly)
    assert "help-desk" not in generator.refused_adapters
    assert say(generator, [Message("user", OPEN)], "help-desk") != ""
