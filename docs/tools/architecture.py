"""Draw docs/architecture.svg from the imports of the code: python docs/tools/architecture.py

A room is a package or a module at the top of src/switchboard, or app.py. An arrow goes from a room to one that it
imports, unless that one is reached by other arrows too. All arrows lead down, so the rooms form no circle. What every
room may import is the ground they stand on, without arrows.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path
from textwrap import wrap

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "src"))

from switchboard.ui.theme import DARK, LIGHT  # noqa: E402

PACKAGE = ROOT / "src" / "switchboard"
PICTURE = ROOT / "docs" / "architecture.svg"

LIBRARIES = {
    "gradio": "Gradio",
    "torch": "PyTorch",
    "peft": "PEFT",
    "bitsandbytes": "bitsandbytes",
    "transformers": "transformers",
    "numba": "Numba",
    "openai": "openai",
    "chromadb": "Chroma",
    "bm25s": "bm25s",
    "sentence_transformers": "sentence-transformers",
    "sqlalchemy": "SQLAlchemy",
    "prometheus_client": "prometheus-client",
}
"""What is named in the rooms that import it."""

GROUND = ("modes", "types", "errors")
"""What every room may import: these import nothing else of ours."""

COLOURS = {"ui": "rag", "generation": "fine-tuned", "training": "fine-tuned", "retrieval": "combined"}
"""The rooms that wear a colour of the page; all others are grey."""

GAP, BETWEEN, MARGIN, LINE, BEND = 18, 46, 24, 16, 8
"""Pixels between neighbours, between rows and around all; the height of a line of text; half a passing arrow."""


@dataclass
class Box:
    """A room, or where an arrow passes a row: `x` is its middle, and it has no `lines`."""

    name: str
    row: int
    lines: tuple[str, ...] = ()
    x: float = 0.0

    @property
    def width(self) -> float:
        """In pixels, by the number of letters."""
        return max(64.0, 8.0 * len(self.name), 6.4 * max(map(len, self.lines), default=0)) + 22 if self.lines else BEND

    @property
    def height(self) -> float:
        """In pixels."""
        return LINE * len(self.lines) + 14


def imports() -> dict[str, set[str]]:
    """Room -> what it imports when it runs: rooms, and libraries of LIBRARIES."""
    found: dict[str, set[str]] = {}
    for path in sorted([ROOT / "app.py", *PACKAGE.rglob("*.py")]):
        room = path.name if path.parent == ROOT else path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if not room.startswith("__"):
            found.setdefault(room, set()).update(_imported(ast.parse(path.read_text(encoding="utf-8"))) - {room})
    return found


def _imported(node: ast.AST) -> set[str]:
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return set()
    names: list[str] = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module:
        names = [node.module] if node.module != "switchboard" else [f"switchboard.{alias.name}" for alias in node.names]
    rooms = {name.split(".")[1] for name in names if name.startswith("switchboard.")}
    libraries = {name.split(".")[0] for name in names} & set(LIBRARIES)
    return (rooms | libraries).union(*map(_imported, ast.iter_child_nodes(node)))


def arrows(found: Mapping[str, set[str]]) -> dict[str, list[str]]:
    """Room -> the rooms below it that no other arrow leads to. Raises ValueError where rooms form a circle."""
    for room in set(GROUND) & set(found):
        if above := found[room] - set(GROUND):
            raise ValueError(f"Every room stands on {room}, which imports {', '.join(sorted(above))}.")
    below = {room: (names & set(found)) - set(GROUND) for room, names in found.items() if room not in GROUND}
    reached: dict[str, set[str]] = {room: set() for room in below}
    for room in below:
        todo = [room]
        while todo:
            new = below[todo.pop()] - reached[room]
            reached[room] |= new
            todo += new
    if circle := [room for room in below if room in reached[room]]:
        raise ValueError(f"These rooms import each other in a circle: {', '.join(circle)}.")
    return {
        room: sorted(one for one in under if not any(one in reached[other] for other in under))
        for room, under in below.items()
    }


def laid_out(found: Mapping[str, set[str]]) -> tuple[list[list[Box]], list[list[Box]]]:
    """The rows of boxes, the lowest first, and each arrow as the boxes it goes through."""
    down = arrows(found)
    up: dict[str, list[str]] = {room: [one for one in down if room in down[one]] for room in down}
    depth = dict.fromkeys(down, 0)
    for _ in down:
        depth = {room: 1 + max((depth[one] for one in down[room]), default=-1) for room in down}
    # As near to what leads to it as its own arrows allow, so that these are short.
    top = max(depth.values())
    row = {room: top if not up[room] else depth[room] for room in down}
    for _ in down:
        row = {room: min((row[one] for one in up[room]), default=top + 1) - 1 for room in down}
    boxes = {room: Box(room, row[room], (room, *_libraries(found[room]))) for room in down}
    rows: list[list[Box]] = [[] for _ in range(top + 1)]
    for box in boxes.values():
        rows[box.row].append(box)
    ways = []
    for room, under in down.items():
        for one in under:
            bends = [Box(f"{room} {one}", number) for number in range(row[room] - 1, row[one], -1)]
            for bend in bends:
                rows[bend.row].append(bend)
            ways.append([boxes[room], *bends, boxes[one]])
    _arrange(rows, ways)
    return rows, ways


def _libraries(names: set[str]) -> Iterable[str]:
    return wrap(", ".join(shown for name, shown in LIBRARIES.items() if name in names), 26, break_on_hyphens=False)


def _arrange(rows: list[list[Box]], ways: list[list[Box]]) -> None:
    """Order the rows so that few arrows cross, and move boxes below and above what they are joined to."""
    joined: dict[int, list[Box]] = {}
    for way in ways:
        for upper, lower in pairwise(way):
            joined.setdefault(id(upper), []).append(lower)
            joined.setdefault(id(lower), []).append(upper)
    for row in rows:
        _spread(row, {})
    for turn in range(60):
        for row in rows if turn % 2 else reversed(rows):
            side = -1 if turn % 2 else 1
            aims = {}
            for box in row:
                near = [one.x for one in joined.get(id(box), ()) if turn > 40 or one.row == box.row + side]
                aims[id(box)] = sum(near) / len(near) if near else box.x
            if turn <= 40:
                row.sort(key=lambda box: (aims[id(box)], box.name))
            _spread(row, aims)


def _spread(row: list[Box], aims: Mapping[int, float]) -> None:
    """Place the boxes of a row as near to their aims as their order and widths allow."""
    right = left = 0.0
    forth, back = [], []
    for number, box in enumerate(row):
        aim = aims.get(id(box), box.x)
        right = max(aim, right + box.width / 2 + GAP) if number else aim
        forth.append(right)
        right += box.width / 2
    for number, box in enumerate(reversed(row)):
        aim = aims.get(id(box), box.x)
        left = min(aim, left - box.width / 2 - GAP) if number else aim
        back.append(left)
        left -= box.width / 2
    for box, one, other in zip(row, forth, reversed(back), strict=True):
        box.x = (one + other) / 2


def picture(found: Mapping[str, set[str]]) -> str:
    """The drawing, as SVG that follows the reader's light or dark mode."""
    rows, ways = laid_out(found)
    heights = [max(box.height for box in row) for row in rows]
    left = min(box.x - box.width / 2 for row in rows for box in row) - MARGIN
    width = max(box.x + box.width / 2 for row in rows for box in row) - left + MARGIN
    middle, y = [0.0] * len(rows), float(MARGIN)
    for number in reversed(range(len(rows))):
        middle[number] = y + heights[number] / 2
        y += heights[number] + BETWEEN
    drawn = [_arrow(way, middle, heights, left) for way in ways]
    drawn.append(
        f'<g class="base room"><rect x="{MARGIN}" y="{y - BETWEEN / 2:.0f}" width="{width - 2 * MARGIN:.0f}" '
        f'height="30" rx="8"/><text x="{width / 2:.0f}" y="{y - BETWEEN / 2 + 20:.0f}" class="name">'
        f"{escape(' · '.join(GROUND))}</text></g>"
    )
    height = y - BETWEEN / 2 + 30 + MARGIN
    drawn += [_box(box, box.x - left, middle[box.row]) for row in rows for box in row if box.lines]
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title">\n'
        '<title id="title">The rooms of Switchboard, and which imports which</title>\n'
        f"<style>{_style()}</style>\n"
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0.5 8 4 0 7.5z" class="tip"/></marker></defs>\n'
        '<rect class="paper" width="100%" height="100%" rx="12"/>\n' + "\n".join(drawn) + "\n</svg>\n"
    )


def _arrow(way: list[Box], middle: list[float], heights: list[float], left: float) -> str:
    first, *bends, last = way
    x, y = first.x - left, middle[first.row] + first.height / 2
    path = f"M{x:.0f} {y:.0f}"
    for box in [*bends, last]:
        half = (box.height if box.lines else heights[box.row]) / 2
        to, end = box.x - left, middle[box.row] - half - (0 if not box.lines else 1)
        path += f"C{x:.0f} {(y + end) / 2:.0f} {to:.0f} {(y + end) / 2:.0f} {to:.0f} {end:.0f}"
        x, y = to, middle[box.row] + half
        if not box.lines:
            path += f"V{y:.0f}"
    kind = COLOURS.get(first.name, "base")
    return f'<path d="{path}" class="arrow {kind}" marker-end="url(#tip)"/>'


def _box(box: Box, x: float, y: float) -> str:
    kind = COLOURS.get(box.name, "base")
    top = y - box.height / 2
    text = "".join(
        f'<text x="{x:.0f}" y="{top + 19 + LINE * number:.0f}" class="{"more" if number else "name"}">'
        f"{escape(line)}</text>"
        for number, line in enumerate(box.lines)
    )
    room = "room" if (PACKAGE / box.name).is_dir() else "module"
    return (
        f'<g class="{kind} {room}"><rect x="{x - box.width / 2:.0f}" y="{top:.0f}" width="{box.width:.0f}" '
        f'height="{box.height:.0f}" rx="8"/>{text}</g>'
    )


def _style() -> str:
    def rules(table: Mapping[str, str]) -> str:
        kinds = "".join(
            f".{kind} rect{{fill:{table[f'{kind}-soft']};stroke:{table[kind]}}}.{kind} .name{{fill:{table[kind]}}}"
            f".arrow.{kind}{{stroke:{table[kind]}}}"
            for kind in ("base", "fine-tuned", "rag", "combined")
        )
        plain = f".module.base rect{{fill:{table['surface']};stroke:{table['edge']}}}"
        return (
            f".paper{{fill:{table['paper']}}}{kinds}{plain}.module.base .name{{fill:{table['ink']}}}"
            f".more{{fill:{table['muted']}}}.tip{{fill:{table['muted']}}}"
        )

    return (
        "text{font:13px system-ui,sans-serif;text-anchor:middle}.room .name{font-weight:700;font-size:15px}"
        ".more{font-size:11.5px}.arrow{fill:none;stroke-width:1.2;opacity:.75}.room rect{stroke-width:1.5}"
        f"{rules(LIGHT)}@media(prefers-color-scheme:dark){{{rules(DARK)}}}"
    )


if __name__ == "__main__":
    PICTURE.write_text(picture(imports()), encoding="utf-8")
