"""The walls that hold the house up: who may import what."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from switchboard.settings import ROOT

PACKAGE = ROOT / "src" / "switchboard"

ONLY_IN = {
    "gradio": ("ui/",),
    "chromadb": ("retrieval/store.py", "retrieval/server.py"),
    "openai": ("generation/remote.py",),
    "sentence_transformers": ("retrieval/embedding.py",),
    "bm25s": ("retrieval/lexical.py", "words.py"),
    "torch": ("generation/", "training/", "retrieval/reranker.py", "retrieval/packed_bert.py", "bench/"),
    "peft": ("generation/stock.py", "training/"),
    "bitsandbytes": ("generation/stock.py", "training/"),
    "numba": ("generation/fast/",),
    "pypdf": ("retrieval/conversion.py",),
    "mammoth": ("retrieval/conversion.py",),
    "markdownify": ("retrieval/conversion.py",),
    "bs4": ("retrieval/conversion.py",),
    "limits": ("limits.py",),
    "prometheus_client": ("metrics.py",),
    "starlette": ("ui/",),
    "uvicorn": ("ui/",),
    "charset_normalizer": ("retrieval/formats.py",),
    "sqlalchemy": ("database.py", "conversations.py", "feedback.py", "votes.py", "retrieval/shared.py"),
    "switchboard.ui": ("ui/",),
    "switchboard.build": (
        "cli.py",
        "starting.py",
        "evaluation/memory.py",
        "training/support_check.py",
        "bench/command.py",
        "training/measure.py",
        "training/calibrate_decline.py",
        "training/calibrate_replies.py",
    ),
}
"""What may be imported only below these paths of the package."""


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_stays_behind_its_wall(library: str) -> None:
    trespassers = [
        where
        for path in modules()
        if not (where := path.relative_to(PACKAGE).as_posix()).startswith(ONLY_IN[library])
        and any(name == library or name.startswith(f"{library}.") for name in imports_of(path))
    ]
    assert trespassers == []


def test_types_and_errors_build_on_the_standard_library_alone() -> None:
    assert {name for name in imports_of(PACKAGE / "errors.py") if name != "__future__.annotations"} == {"__future__"}
    ours = {name for name in imports_of(PACKAGE / "types.py") if name.startswith("switchboard")}
    assert ours == {"switchboard.errors", "switchboard.errors.SettingsError"}


def test_retrieval_and_generation_do_not_know_each_other_nor_the_page() -> None:
    for room, others in {
        "retrieval": ("generation", "training", "ui"),
        "generation": ("retrieval", "training", "ui"),
    }.items():
        for path in (PACKAGE / room).rglob("*.py"):
            assert not [n for n in imports_of(path) for other in others if n.startswith(f"switchboard.{other}")], path


def test_the_environment_is_read_in_one_place() -> None:
    readers = [
        path.relative_to(PACKAGE).as_posix()
        for path in modules()
        for line in path.read_text(encoding="utf-8").splitlines()
        if ("os.environ" in line and "setdefault" not in line) or "os.getenv" in line
    ]
    assert set(readers) == {"settings.py"}


def test_no_duration_goes_by_the_clock_on_the_wall() -> None:
    """That one may jump: limits, waits and ages go by the monotonic clock. Dates here are shown, stored or named."""
    dates = {"ui/conversation.py", "feedback.py", "votes.py", "files.py", "training/card.py", "evaluation/report.py"}
    dates |= {"conversations.py", "retrieval/shared.py"}
    wall = re.compile(r"time\.time\(\)|datetime\.now\(|time\.strftime\(|st_mtime\b")
    found = {p.relative_to(PACKAGE).as_posix() for p in modules() if wall.search(p.read_text(encoding="utf-8"))}
    # By the wall go two libraries: `limits` counts by it, and Gradio notes by it when a session was last used.
    theirs = {"limits.py", "ui/sessions.py"}
    assert found <= dates | theirs


def test_every_module_class_and_function_has_a_docstring() -> None:
    missing = []
    for path in modules():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        public = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name[0] != "_"]
        missing += [f"{path.name}: {getattr(n, 'name', 'module')}" for n in [tree, *public] if not ast.get_docstring(n)]
    assert missing == []


def test_the_readmes_file_list_is_true() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    listing = readme.split("## The house")[1].split("```")[1]
    named = {line.split()[0] for line in listing.splitlines() if line.strip()}
    for name in named:
        path = name.rstrip("/").replace("<name>", "reader")
        assert (ROOT / path).exists() or (PACKAGE / path).exists(), f"the README names {name}, which is not there"
    for path in PACKAGE.iterdir():
        if not path.name.startswith("__") and path.suffix in {".py", ""}:
            assert path.name in {n.rstrip("/") for n in named}, f"the README's file list lacks {path.name}"
