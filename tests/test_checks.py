"""One list of checks: what CI runs, `make check` runs, and pre-commit runs before."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from switchboard.settings import ROOT


def recipe(target: str) -> str:
    """What make would run for a target."""
    made = ["make", "--dry-run", "--always-make", "--no-print-directory", target]
    return subprocess.run(made, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def hooks() -> list[dict[str, Any]]:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repo["repo"] for repo in config["repos"]] == ["local"], "others are fetched from the network"
    return list(config["repos"][0]["hooks"])


def programs(text: str) -> set[str]:
    """The linters that are called, with the word after it for ruff: `ruff check`, `ruff format`, `mypy`."""
    return set(re.findall(r"\.venv/bin/(ruff \w+|mypy)", text))


def test_ci_and_pre_commit_check_the_same() -> None:
    checked = programs(recipe("check"))
    assert checked == {"ruff check", "ruff format", "mypy"}
    assert programs(recipe("test")) == checked
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert programs("\n".join(hook["entry"] for hook in hooks())) == checked


def test_every_hook_is_a_program_of_the_environment() -> None:
    missing = [
        hook["id"]
        for hook in hooks()
        if not (Path(sys.executable).parent / Path(hook["entry"].split()[0]).name).exists()
    ]
    assert missing == []
    assert {hook["language"] for hook in hooks()} == {"system"}
