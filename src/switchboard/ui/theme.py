"""The look: one table of colours for light and dark, handed to Gradio's theme and to the page's own style sheet."""

from __future__ import annotations

from collections.abc import Mapping

import gradio as gr

LIGHT: Mapping[str, str] = {
    "paper": "#f6f5f1",
    "surface": "#ffffff",
    "sunken": "#eeece6",
    "ink": "#1a1c20",
    "muted": "#5a5e66",
    "line": "#dedbd3",
    "edge": "#85837b",
    "mark": "#fbe9a9",
    "danger": "#a3282b",
    "danger-soft": "#fbeaea",
    "base": "#4d5663",
    "base-soft": "#e9ebee",
    "fine-tuned": "#8a4700",
    "fine-tuned-soft": "#faecd9",
    "rag": "#0a6460",
    "rag-soft": "#daeeec",
    "combined": "#5940a8",
    "combined-soft": "#ebe6f9",
    "on-accent": "#ffffff",
}
DARK: Mapping[str, str] = {
    "paper": "#121417",
    "surface": "#1a1d21",
    "sunken": "#22262b",
    "ink": "#eceae5",
    "muted": "#a3a8b0",
    "line": "#2e3339",
    "edge": "#717780",
    "mark": "#5c4a12",
    "danger": "#ff9c98",
    "danger-soft": "#3a1e1f",
    "base": "#b7c0cc",
    "base-soft": "#2a2f36",
    "fine-tuned": "#f0b469",
    "fine-tuned-soft": "#382814",
    "rag": "#6fd0c8",
    "rag-soft": "#14312f",
    "combined": "#bcacf6",
    "combined-soft": "#2a2444",
    "on-accent": "#121417",
}

PAIRS: tuple[tuple[str, str, float], ...] = (
    *((text, ground, 4.5) for text in ("ink", "muted", "danger") for ground in ("paper", "surface", "sunken")),
    *((mode, ground, 4.5) for mode in ("base", "fine-tuned", "rag", "combined") for ground in ("paper", "surface")),
    *((mode, f"{mode}-soft", 4.5) for mode in ("base", "fine-tuned", "rag", "combined")),
    *(("on-accent", mode, 4.5) for mode in ("base", "fine-tuned", "rag", "combined")),
    *((text, f"{mode}-soft", 4.5) for text in ("ink", "muted") for mode in ("fine-tuned", "rag", "combined")),
    ("ink", "mark", 4.5),
    ("danger", "danger-soft", 4.5),
    ("edge", "surface", 3.0),
    ("edge", "paper", 3.0),
)
"""Which colour stands on which, and the contrast it needs: 4.5 for text, 3 for what bounds a control (WCAG 2.2 AA)."""


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two #rrggbb colours, from 1 to 21, by WCAG 2.2's formula."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def tokens_css() -> str:
    """The tables as custom properties: `--sb-ink` and so on, for the page and for `.dark`."""
    return f":root {{{properties(LIGHT)}}}\n.dark {{{properties(DARK)}}}\n"


def properties(table: Mapping[str, str]) -> str:
    """A table as custom properties."""
    return " ".join(f"--sb-{name}: {colour};" for name, colour in table.items())


class SwitchboardTheme(gr.themes.Base):  # type: ignore[misc]
    """Gradio's Base with our colours, the fonts that Gradio carries, and nothing from the network.

    Regular and bold alone: the semi-bold file that Gradio 6.31 carries holds only a part of the alphabet.
    """

    def __init__(self) -> None:
        super().__init__(
            font=(gr.themes.LocalFont("IBM Plex Sans", weights=(400, 700)), "system-ui", "sans-serif"),
            font_mono=(gr.themes.LocalFont("IBM Plex Mono", weights=(400, 700)), "ui-monospace", "monospace"),
            radius_size=gr.themes.sizes.radius_lg,
        )
        self.name = "switchboard"
        self.set(**{name: f"var(--sb-{token})" for name, token in _GRADIO.items()})
        self.set(
            block_border_width="0px",
            block_shadow="none",
            block_label_border_width="0px",
            input_shadow="none",
            input_shadow_focus="none",
            shadow_drop="none",
            button_large_padding="0 18px",
            layout_gap="0px",
            slider_color="var(--accent)",
            slider_color_dark="var(--accent)",
        )


_GRADIO_NAMES = {
    "body_background_fill": "paper",
    "background_fill_primary": "surface",
    "background_fill_secondary": "sunken",
    "body_text_color": "ink",
    "body_text_color_subdued": "muted",
    "block_background_fill": "surface",
    "block_label_background_fill": "surface",
    "block_label_text_color": "muted",
    "block_title_text_color": "ink",
    "block_info_text_color": "muted",
    "border_color_primary": "line",
    "border_color_accent": "edge",
    "input_background_fill": "surface",
    "input_border_color": "edge",
    "input_placeholder_color": "muted",
    "button_secondary_background_fill": "surface",
    "button_secondary_text_color": "ink",
    "button_secondary_border_color": "edge",
    "error_background_fill": "danger-soft",
    "error_text_color": "danger",
}
_GRADIO = {f"{name}{suffix}": token for name, token in _GRADIO_NAMES.items() for suffix in ("", "_dark")}


def _luminance(colour: str) -> float:
    channels = (int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
