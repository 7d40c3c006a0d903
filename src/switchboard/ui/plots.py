"""Plots as HTML and SVG in the page's colours: bars with intervals, points on axes. Every bar can be pressed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from switchboard.ui.markup import plain


@dataclass(frozen=True)
class Bar:
    """One share, from 0 to 1, with its 95 % interval; None where nothing counts.

    `about` names what stands behind it: what the page sends when the bar is pressed; without it there is nothing.
    """

    mode: str
    label: str
    value: float | None
    interval: tuple[float, float] = (0.0, 0.0)
    about: str = ""


@dataclass(frozen=True)
class Point:
    """A point of a mode at x and y, in the axes' units, with what it says when pointed at."""

    mode: str
    x: float
    y: float
    title: str
    label: str = ""
    interval: tuple[float, float] | None = None


def bars(title: str, note: str, rows: Sequence[Bar]) -> str:
    """A group of horizontal bars on one scale from 0 to 100 %."""
    lines = "".join(f"<li>{_bar(row)}</li>" for row in rows if row.value is not None)
    return (
        f'<section class="bars"><h3>{plain(title)}</h3><p class="bars-note">{plain(note)}</p><ul>{lines}</ul></section>'
    )


def _bar(row: Bar) -> str:
    value = row.value or 0.0
    low, high = row.interval
    says = f"{row.label}: {value:.0%}, 95 % interval {low:.0%} to {high:.0%}."
    drawn = (
        f'<span class="bar-label">{plain(row.label)}</span>'
        f'<span class="bar-track"><span class="bar-fill" style="width:{value * 100:.1f}%"></span>'
        f'<span class="bar-range" style="left:{low * 100:.1f}%;width:{(high - low) * 100:.1f}%"></span></span>'
        f'<span class="bar-value">{value * 100:.0f} %</span>'
    )
    mode = plain(row.mode)
    if not row.about:
        return f'<div class="bar-row" data-mode="{mode}" title="{plain(says)}">{drawn}</div>'
    says += " Show the questions."
    return (
        f'<button type="button" class="bar-row" data-action="behind" data-mode="{mode}" '
        f'data-about="{plain(row.about)}" aria-label="{plain(says)}" title="{plain(says)}">{drawn}</button>'
    )


_WIDTH, _HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 18, 14, 44


@dataclass(frozen=True)
class Axes:
    """Two axes from 0; `x_max` and `y_max` are their ends, the texts their names and how ticks are written."""

    x_name: str
    y_name: str
    x_max: float
    y_max: float
    x_tick: str = "{:g}"
    y_tick: str = "{:g}"

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a point stands in the picture, in its pixels."""
        across = _LEFT + min(x / (self.x_max or 1.0), 1.0) * (_WIDTH - _LEFT - _RIGHT)
        up = _HEIGHT - _BOTTOM - min(y / (self.y_max or 1.0), 1.0) * (_HEIGHT - _TOP - _BOTTOM)
        return round(across, 1), round(up, 1)


def scatter(title: str, axes: Axes, points: Sequence[Point]) -> str:
    """Points with their labels, and intervals along y where there are any."""
    return _figure(title, axes, "".join(_point(axes, point, points) for point in points))


def _point(axes: Axes, point: Point, others: Sequence[Point]) -> str:
    x, y = axes.at(point.x, point.y)
    whisker = label = ""
    if point.interval:
        (_, low), (_, high) = axes.at(point.x, point.interval[0]), axes.at(point.x, point.interval[1])
        whisker = f'<line class="whisker" x1="{x}" x2="{x}" y1="{low}" y2="{high}"/>'
    if point.label:
        # Near the right edge the label stands before its point.
        turned = x > _WIDTH * 0.75
        place = f'x="{x - 12}" text-anchor="end"' if turned else f'x="{x + 12}"'
        label = f'<text {place} y="{y + 5 + _aside(axes, point, others)}">{plain(point.label)}</text>'
    circle = f'<circle cx="{x}" cy="{y}" r="{7 if point.label else 4}"><title>{plain(point.title)}</title></circle>'
    return f'<g data-mode="{plain(point.mode)}">{whisker}{circle}{label}</g>'


def _aside(axes: Axes, point: Point, others: Sequence[Point]) -> int:
    """How far a label moves down, or up, out of the way of another point's."""
    x, y = axes.at(point.x, point.y)
    places = [axes.at(other.x, other.y) for other in others if other.label and other != point]
    near = [down for across, down in places if abs(across - x) < 110 and abs(down - y) < 18]
    if not near:
        return 0
    return 11 if y >= max(near) else -11


def lines(title: str, axes: Axes, rows: Sequence[tuple[str, str, Sequence[tuple[float, float]]]]) -> str:
    """A line for each (mode, label, points), named at its end in the legend below."""
    drawn = []
    for mode, label, points in rows:
        path = " ".join(f"{x},{y}" for x, y in (axes.at(*point) for point in points))
        drawn.append(
            f'<g data-mode="{plain(mode)}"><polyline points="{path}"><title>{plain(label)}</title></polyline></g>'
        )
    legend = "".join(f'<span class="chip" data-mode="{plain(mode)}">{plain(label)}</span>' for mode, label, _ in rows)
    return _figure(title, axes, "".join(drawn), f'<p class="legend">{legend}</p>')


def _figure(title: str, axes: Axes, marks: str, below: str = "") -> str:
    ticks = []
    for part in range(5):
        x, y = axes.at(axes.x_max * part / 4, axes.y_max * part / 4)
        floor = _HEIGHT - _BOTTOM
        ticks.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')
        ticks.append(f'<text class="tick" x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">')
        ticks.append(f"{plain(axes.y_tick.format(axes.y_max * part / 4))}</text>")
        ticks.append(f'<text class="tick" x="{x}" y="{floor + 18}" text-anchor="middle">')
        ticks.append(f"{plain(axes.x_tick.format(axes.x_max * part / 4))}</text>")
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    return (
        f'<figure class="plot"><figcaption>{plain(title)}</figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{plain(title)}">{"".join(ticks)}{marks}'
        f'<text class="tick" x="{middle}" y="{_HEIGHT - 6}" text-anchor="middle">{plain(axes.x_name)}</text></svg>'
        f'<p class="axis-note">{plain(axes.y_name)}</p>{below}</figure>'
    )
