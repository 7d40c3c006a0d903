"""What Hugging Face Spaces sees: front matter, requirements and an app.py that needs no installation."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from switchboard.settings import ROOT


def front_matter() -> dict[str, object]:
    _, block, _ = (ROOT / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    facts = yaml.safe_load(block)
    assert isinstance(facts, dict)
    return facts


def requirements() -> list[str]:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def test_front_matter_is_complete() -> None:
    facts = front_matter()
    assert facts["sdk"] == "gradio"
    assert facts["app_file"] == "app.py"
    assert facts["license"] == "apache-2.0"
    assert isinstance(facts["python_version"], str), "unquoted, 3.10 would be read as 3.1"
    assert len(str(facts["short_description"])) <= 60
    for key in ("title", "emoji", "colorFrom", "colorTo", "models", "tags", "suggested_hardware"):
        assert facts[key], key
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {facts["colorFrom"], facts["colorTo"]} <= colours


def test_sdk_version_is_the_gradio_that_was_tested() -> None:
    pinned = re.search(r"^gradio==(\S+)", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert pinned is not None
    assert front_matter()["sdk_version"] == pinned[1] == version("gradio")


def test_requirements_hold_nothing_that_breaks_a_space() -> None:
    for line in requirements():
        assert not line.startswith("-"), f"{line}: files and paths are not there yet when Spaces installs"
        assert "://" not in line, f"{line}: no addresses"
        assert "@" not in line, f"{line}: no addresses"
        assert "==" not in line, f"{line}: pins belong in constraints.txt"
        assert "+cpu" not in line


def test_requirements_admit_the_tested_versions() -> None:
    from packaging.requirements import Requirement  # noqa: PLC0415
    from packaging.utils import canonicalize_name  # noqa: PLC0415

    pins: dict[str, list[Requirement]] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            pin = Requirement(line)
            pins.setdefault(canonicalize_name(pin.name), []).append(pin)
    for line in requirements():
        wanted = Requirement(line)
        for pin in pins[canonicalize_name(wanted.name)]:
            tested = str(pin.specifier).removeprefix("==")
            assert wanted.specifier.contains(tested), f"{line} does not admit {tested}"


def test_app_imports_from_another_folder_without_an_installation(tmp_path: Path) -> None:
    code = (
        "import importlib.util, sys\n"
        "sys.path = [p for p in sys.path if not p.endswith('/src')]\n"
        "sys.meta_path = [f for f in sys.meta_path if 'editable' not in repr(f).lower()]\n"
        f"spec = importlib.util.spec_from_file_location('app', {str(ROOT / 'app.py')!r})\n"
        "module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)\n"
        "import switchboard; print(switchboard.__file__, callable(module.main))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert str(ROOT / "src") in done.stdout
    assert done.stdout.strip().endswith("True")


@pytest.mark.parametrize("path", sorted((ROOT / "adapters").glob("*/*.safetensors")), ids=lambda p: p.parent.name)
def test_no_file_needs_large_file_storage(path: Path) -> None:
    assert path.stat().st_size < 10_000_000
