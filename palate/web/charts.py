"""Charts as inline SVG, made on the server: no script, no style attribute, colours from the page's own classes.

Every chart has a title that says in words what it shows, for who cannot see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 640, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 14, 12, 28
_LEVELS = 5
_DOTS = 30
"""More points than this need no dots to be told apart."""


@dataclass(frozen=True)
class Line:
    """One line: its name, its points, and which of the page's colours (1 to 6) it has; dashed for what was promised."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: int = 1
    dashed: bool = False


def lines(
    title: str, series: Sequence[Line], across: Sequence[str], *, percent: bool = False, top: float | None = None
) -> Markup:
    """Lines over the same steps.

    across: what stands below, spread from the first step to the last. percent: values are shares from 0 to 1; the
    scale ends at 1, and begins where they do. top: they are shares of which the scale shows those from 0 to this one.
    """
    xs = [x for one in series for x, _ in one.points]
    ys = [y for one in series for _, y in one.points]
    if not xs:
        return Markup("")
    low, high = (min(0.0, *ys), 1.0) if percent else (0.0, _nice(max(ys)))
    if top is not None:
        low, high, percent = 0.0, top, True
    elif percent:
        low = max(0.0, _floor(min(ys)))
    left, right = min(xs), max(xs)

    def at(x: float, y: float) -> str:
        share = (x - left) / (right - left) if right > left else 0.5
        return f"{_LEFT + share * _wide():.1f},{_TOP + (1 - (y - low) / (high - low)) * _tall():.1f}"

    parts = [_grid(low, high, percent), _below(across)]
    for one in series:
        where = " ".join(at(x, y) for x, y in one.points)
        kind = f"line c{one.colour}{' dashed' if one.dashed else ''}"
        parts.append(Markup('<polyline class="{}" points="{}"/>').format(kind, where))
        if not one.dashed and len(one.points) <= _DOTS:
            for x, y in one.points:
                told = _percent(y) if percent else _number(y)
                dot = Markup('<circle class="dot c{}" cx="{}" cy="{}" r="3"><title>{}: {}</title></circle>')
                parts.append(dot.format(one.colour, *at(x, y).split(","), one.name, told))
    return _figure(title, parts, [(one.name, one.colour, one.dashed) for one in series])


def bars(title: str, rows: Sequence[tuple[str, float, str]]) -> Markup:
    """Bars that lie: a name, a value from 0 on, and the text beside it, each."""
    if not rows:
        return Markup("")
    most = max(value for _, value, _ in rows) or 1.0
    tall, label = 26, 190
    parts = []
    for place, (name, value, told) in enumerate(rows):
        y = place * tall
        long = (WIDTH - label - 90) * value / most
        short = name if len(name) <= 26 else name[:25] + "…"
        bar = Markup(
            '<text class="name" x="{}" y="{}">{}<title>{}</title></text>'
            '<rect class="bar c1" x="{}" y="{}" width="{}" height="16" rx="3"/>'
            '<text class="value" x="{}" y="{}">{}</text>'
        )
        parts.append(
            bar.format(
                label - 10,
                y + 17,
                short,
                name,
                label,
                y + 5,
                f"{max(long, 1):.1f}",
                f"{label + long + 8:.1f}",
                y + 17,
                told,
            )
        )
    return _svg(title, parts, len(rows) * tall + 4)


def intervals(title: str, rows: Sequence[tuple[str, float, float, float]]) -> Markup:
    """Shares with the interval that each may lie in: a name, the low end, the share and the high end."""
    if not rows:
        return Markup("")
    most = rounded(max(high for _, _, _, high in rows))
    tall, label, room = 34, 130, WIDTH - 130 - 260
    foot = len(rows) * tall + 6

    def at(share: float) -> str:
        return f"{label + room * share / most:.1f}"

    parts = []
    for step in range(_LEVELS):
        share = most * step / (_LEVELS - 1)
        line = Markup(
            '<line class="grid" x1="{0}" x2="{0}" y1="0" y2="{1}"/>'
            '<text class="below" x="{0}" y="{2}" text-anchor="middle">{3}</text>'
        )
        parts.append(line.format(at(share), foot, foot + 20, _percent(share)))
    for place, (name, low, share, high) in enumerate(rows):
        y = place * tall + tall // 2
        row = Markup(
            '<text class="name" x="{}" y="{}">{}<title>{}</title></text>'
            '<line class="span c1" x1="{}" x2="{}" y1="{}" y2="{}"/><circle class="dot c1" cx="{}" cy="{}" r="5"/>'
            '<text class="value" x="{}" y="{}">{}</text>'
        )
        short = name if len(name) <= 12 else name[:11] + "…"
        told = f"{100 * share:.2f} % ({100 * low:.2f}–{100 * high:.2f})"
        ends = at(low), at(high), y, y, at(share), y
        parts.append(row.format(label - 10, y + 4, short, name, *ends, WIDTH - 236, y + 4, told))
    return _svg(title, parts, foot + 28)


def _figure(title: str, parts: Sequence[Markup], legend: Sequence[tuple[str, int, bool]]) -> Markup:
    keys = Markup("").join(
        Markup('<li class="key c{}{}">{}</li>').format(colour, " dashed" if dashed else "", name)
        for name, colour, dashed in legend
    )
    shown = Markup('<ul class="legend">{}</ul>').format(keys) if len(legend) > 1 else Markup("")
    return _svg(title, parts, HEIGHT) + shown


def _svg(title: str, parts: Sequence[Markup], tall: int) -> Markup:
    whole = Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>')
    return whole.format(WIDTH, tall, escape(title), Markup("").join(parts))


def _grid(low: float, high: float, percent: bool) -> Markup:
    made = []
    for step in range(_LEVELS):
        share = step / (_LEVELS - 1)
        y = f"{_TOP + (1 - share) * _tall():.1f}"
        value = low + share * (high - low)
        told = _percent(value) if percent else _number(value)
        line = Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/><text class="tick" x="{}" y="{}">{}</text>')
        made.append(line.format(_LEFT, WIDTH - _RIGHT, y, y, _LEFT - 8, f"{float(y) + 4:.1f}", told))
    return Markup("").join(made)


def _below(names: Sequence[str]) -> Markup:
    made = []
    for place, name in enumerate(names):
        share = place / (len(names) - 1) if len(names) > 1 else 0.5
        anchor = "start" if share == 0 else "end" if share == 1 else "middle"
        text = Markup('<text class="below" x="{}" y="{}" text-anchor="{}">{}</text>')
        made.append(text.format(f"{_LEFT + share * _wide():.1f}", HEIGHT - 6, anchor, name))
    return Markup("").join(made)


def _wide() -> int:
    return WIDTH - _LEFT - _RIGHT


def _tall() -> int:
    return HEIGHT - _TOP - _BOTTOM


def _nice(value: float) -> float:
    """A round number that is no less."""
    size = 4.0
    while size < value:
        for factor in (1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0):
            if size * factor >= value and (size * factor) % 4 == 0:
                return size * factor
        size *= 10
    return size


def rounded(share: float) -> float:
    """A share that divides well into the levels, and is no less."""
    for top in (0.004, 0.008, 0.02, 0.04, 0.08, 0.12, 0.2, 0.4, 0.6, 0.8):
        if share <= top:
            return top
    return 1.0


def _floor(value: float) -> float:
    return int(value * 10) / 10 if value < 1 else 0.9


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %" if round(1000 * value) % 10 == 0 else f"{100 * value:.1f} %"


def _number(value: float) -> str:
    return f"{value:,.0f}"
