"""The colours: each pair that stands on the page reaches its contrast, in light and in dark."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from switchboard.modes import MODES
from switchboard.ui import theme


@pytest.mark.parametrize("table", [theme.LIGHT, theme.DARK], ids=["light", "dark"])
@pytest.mark.parametrize("pair", theme.PAIRS, ids=lambda pair: f"{pair[0]} on {pair[1]}")
def test_contrast(table: Mapping[str, str], pair: tuple[str, str, float]) -> None:
    text, ground, least = pair
    assert theme.contrast(table[text], table[ground]) >= least


def test_contrast_of_known_pairs() -> None:
    assert theme.contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert theme.contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)
    assert theme.contrast("#123456", "#123456") == 1.0


def test_both_tables_have_the_same_names() -> None:
    assert theme.LIGHT.keys() == theme.DARK.keys()


def test_every_mode_has_its_colours() -> None:
    for mode in MODES:
        assert mode in theme.LIGHT
        assert f"{mode}-soft" in theme.LIGHT


def test_the_style_sheet_uses_only_colours_there_are() -> None:
    css = (Path(theme.__file__).parent / "page.css").read_text(encoding="utf-8")
    used = {part.split(")")[0] for part in css.split("var(--sb-")[1:]}
    assert used <= theme.LIGHT.keys()


def test_nothing_comes_from_the_network() -> None:
    made = theme.SwitchboardTheme()
    assert not any("http" in (sheet or "") for sheet in made._stylesheets)
    folder = Path(theme.__file__).parent
    for name in ("page.css", "page.js"):
        text = (folder / name).read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text
        assert "https:" not in text
