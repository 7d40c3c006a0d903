"""The pages that are made from the code and from measurements are what those make; `make docs` makes them anew."""

from __future__ import annotations

import doctest
import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

from switchboard.settings import ROOT

DOCS = ROOT / "docs"
STALE = "is not what the code makes; run make docs"


def tool(name: str) -> ModuleType:
    """A script of docs/tools as a module."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_is_that_of_the_code() -> None:
    drawn = tool("architecture")
    picture = drawn.picture(drawn.imports())
    assert (DOCS / "architecture.svg").read_text(encoding="utf-8") == picture, STALE
    shown = {text.text for text in ElementTree.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")}
    assert {"ui", "retrieval", "generation", "switch", "modes · types · errors"} <= shown


def test_rooms_in_a_circle_are_not_drawn() -> None:
    draw = tool("architecture")
    with pytest.raises(ValueError, match="in a circle: one, two"):
        draw.arrows({"one": {"two"}, "two": {"one"}, "three": {"one"}})
    with pytest.raises(ValueError, match="stands on types, which imports one"):
        draw.arrows({"one": set(), "types": {"one"}})
    # An arrow is left out where others lead to the same room.
    assert draw.arrows({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == {"a": ["b"], "b": ["c"], "c": []}


def test_the_reference_is_what_the_docstrings_say() -> None:
    reference = tool("reference")
    page = reference.page()
    assert (DOCS / "api.md").read_text(encoding="utf-8") == page, STALE
    for name in ("/chat", "/search", "Answer", "Generator", "SWITCHBOARD_MODEL", "AdapterError"):
        assert name in page
    serving = (ROOT / "src" / "switchboard" / "ui" / "serving.py").read_text(encoding="utf-8")
    assert all(path in page for path in re.findall(r'Route\("(/\w+)"', serving))


def test_every_setting_is_in_the_readme() -> None:
    reference = tool("reference")
    assert set(reference.variables()) <= set(reference.said_in_readme())


def test_sizing_follows_from_what_was_measured() -> None:
    sizing = tool("sizing")
    assert (DOCS / "sizing.md").read_text(encoding="utf-8") == sizing.page(), "the figures changed; run make docs"
    assert doctest.testmod(sizing).failed == 0
    bench = json.loads((DOCS / "bench.json").read_text(encoding="utf-8"))
    for turns in sizing.SIZES:
        peak = turns * sizing.BUSIEST_HOUR / 3600
        wanted = sizing.size(turns, bench["product_turn_s"]["switchboard"], 1024)
        # Enough, and one less would not be.
        assert peak * bench["product_turn_s"]["switchboard"] <= sizing.BUSY * wanted.replicas
        assert wanted.replicas == 2 or wanted.load > sizing.BUSY * (wanted.replicas - 1)
    assert "**Not measured; an estimate" in sizing.page().split("## When a GPU")[1]


@pytest.mark.parametrize("page", sorted([*DOCS.glob("*.md"), *ROOT.glob("*.md"), *ROOT.glob("deploy/*.md")]), ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    assert [target for target in targets if target and not (page.parent / target).exists()] == []
