"""Curves over logarithmic axes as an SVG file that reads well on light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

Point = tuple[float, float]

WIDTH, HEIGHT = 880, 400
_TOP, _BOTTOM = 84, 56
_LEFT, _RIGHT, _BETWEEN = 58, 26, 74
_TICKS = (1, 2, 5)
_CLOSE_TICKS = (1,)  # where an axis spans so much that others would touch
_WIDE_SPAN = 2.5  # decades
_MARGIN = 1.15  # of the figures, around them
_SYMBOLS = "circle", "square", "diamond"

# Inside an <img>, a media query follows the reader's system; without one it is the light look.
_STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", "Noto Sans", sans-serif; fill: var(--ink); }
.title { font-weight: 600; font-size: 14px; }
.tick { font-size: 12px; fill: var(--soft); }
.page { fill: var(--page); }
.grid { stroke: var(--grid); stroke-width: 1; }
.curve { fill: none; stroke-width: 2.2; stroke-linejoin: round; }
.mark { stroke: var(--page); stroke-width: 1.2; }
.c0 { --c: var(--first); } .c1 { --c: var(--second); } .c2 { --c: var(--third); }
.curve { stroke: var(--c); } .mark { fill: var(--c); }
svg { --page: #ffffff; --ink: #1f2328; --soft: #59636e; --grid: #e4e7ea;
      --first: #0f766e; --second: #b45309; --third: #6d4fc4; }
@media (prefers-color-scheme: dark) {
  svg { --page: #14171b; --ink: #e6e8ea; --soft: #9aa4ae; --grid: #2b3138;
        --first: #45c8bb; --second: #f0a04b; --third: #b39df2; }
}
"""


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of one thing measured, by growing x; both coordinates above 0."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Panel:
    """One diagram; at least one curve has points."""

    title: str
    across: str
    curves: Sequence[Curve]


@dataclass(frozen=True, slots=True)
class _Axis:
    """A logarithmic axis from ``low`` to ``high``, drawn from ``begin`` to ``end``, px."""

    low: float
    high: float
    begin: float
    end: float

    @classmethod
    def over(cls, values: Iterable[float], begin: float, end: float) -> _Axis:
        known = list(values)
        return cls(min(known) / _MARGIN, max(known) * _MARGIN, begin, end)

    def place(self, value: float) -> float:
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.begin + share * (self.end - self.begin)

    def ticks(self) -> list[float]:
        span = math.log10(self.high / self.low)
        steps = _CLOSE_TICKS if span > _WIDE_SPAN else _TICKS
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        found = [step * 10.0**power for power in powers for step in steps]
        return [tick for tick in found if self.low <= tick <= self.high]


def draw(title: str, panels: Sequence[Panel]) -> str:
    """The panels side by side as the text of an SVG file; curves of one name share a colour."""
    names = list(dict.fromkeys(curve.name for panel in panels for curve in panel.curves))
    inner = (WIDTH - _LEFT - _RIGHT - _BETWEEN * (len(panels) - 1)) / len(panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{escape(title)}">',
        f"<style>{_STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{HEIGHT}" rx="10"/>',
        *_legend(names),
    ]
    for number, panel in enumerate(panels):
        left = _LEFT + number * (inner + _BETWEEN)
        parts += _panel(panel, names, left, left + inner)
    return "\n".join([*parts, "</svg>", ""])


def _legend(names: Sequence[str]) -> list[str]:
    parts, left = [], float(_LEFT)
    for index, name in enumerate(names):
        parts.append(
            f'<path class="curve c{index}" d="M{left:.0f} 26h26"/>' + _mark(index, left + 13, 26)
        )
        parts.append(f'<text x="{left + 34:.0f}" y="30.5">{escape(name)}</text>')
        left += 34 + 7.2 * len(name) + 30
    return parts


def _panel(panel: Panel, names: Sequence[str], left: float, right: float) -> list[str]:
    points = [point for curve in panel.curves for point in curve.points]
    x = _Axis.over((point[0] for point in points), left, right)
    y = _Axis.over((point[1] for point in points), HEIGHT - _BOTTOM, _TOP)
    parts = [f'<text class="title" x="{left:.0f}" y="{_TOP - 16}">{escape(panel.title)}</text>']
    for tick in x.ticks():
        at = x.place(tick)
        parts.append(f'<path class="grid" d="M{at:.1f} {_TOP}V{HEIGHT - _BOTTOM}"/>')
        parts.append(_label(tick, at, HEIGHT - _BOTTOM + 18, "middle"))
    for tick in y.ticks():
        at = y.place(tick)
        parts.append(f'<path class="grid" d="M{left:.1f} {at:.1f}H{right:.1f}"/>')
        parts.append(_label(tick, left - 8, at + 4, "end"))
    parts.append(
        f'<text class="tick" x="{(left + right) / 2:.0f}" y="{HEIGHT - 14}" '
        f'text-anchor="middle">{escape(panel.across)}</text>'
    )
    for curve in panel.curves:
        parts += _curve(curve, names.index(curve.name), x, y)
    return parts


def _curve(curve: Curve, index: int, x: _Axis, y: _Axis) -> list[str]:
    places = [(x.place(one), y.place(other)) for one, other in curve.points]
    if not places:
        return []
    line = "L".join(f"{across:.1f} {down:.1f}" for across, down in places)
    marks = "".join(_mark(index, across, down) for across, down in places)
    return [f'<path class="curve c{index}" d="M{line}"/>', marks]


def _mark(index: int, x: float, y: float) -> str:
    """Another shape for each curve, so that they can be told apart without colours."""
    kind = f'class="mark c{index}"'
    symbol = _SYMBOLS[index % len(_SYMBOLS)]
    if symbol == "circle":
        return f'<circle {kind} cx="{x:.1f}" cy="{y:.1f}" r="5"/>'
    turn = f' transform="rotate(45 {x:.1f} {y:.1f})"' if symbol == "diamond" else ""
    return f'<rect {kind} x="{x - 4.5:.1f}" y="{y - 4.5:.1f}" width="9" height="9"{turn}/>'


def _label(value: float, x: float, y: float, anchor: str) -> str:
    text = f"{value:g}"
    return f'<text class="tick" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'
