"""A pipeline's graph as SVG: steps in layers from left to right, edges as curves that keep clear of the boxes.

The layered method of Sugiyama, Tagawa & Toda (1981) in small: a step's layer is its longest way from the start; an
edge over several layers gets a bend in each; layers are ordered by the mean place of their neighbours, a few times in
each direction; then each layer is moved to where its neighbours are.
"""

from __future__ import annotations

import html
import itertools
from collections.abc import Mapping
from statistics import fmean

from palate.spark.pipeline.drawing import COLOURS
from palate.spark.pipeline.graph import Graph
from palate.spark.pipeline.plan import NEW, Verdict

Node = tuple[str, int]
"""A step in its layer, or the bend of an edge ("from>to") in a layer that it passes."""

_WIDTH, _HEIGHT, _ACROSS, _DOWN, _BEND, _MARGIN = 188, 62, 76, 26, 18, 28
_SWEEPS = 8
_STYLE = """
    .box { fill: #ffffff; stroke: #cbd2da; stroke-width: 1.2 }
    .edge { fill: none; stroke: #98a2b0; stroke-width: 1.6 }
    .tip { fill: #98a2b0 }
    text { font-family: system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; fill: #1c2430 }
    .name { font-size: 14px; font-weight: 600 }
    .job, .legend { font-size: 11.5px; fill: #5b6675 }
    .why { font-size: 11px }
    @media (prefers-color-scheme: dark) {
      .paper { fill: #14181e } .box { fill: #1d232b; stroke: #3b4553 } text { fill: #e6eaf0 }
      .job, .legend { fill: #9aa6b5 } .edge { stroke: #6a7686 } .tip { fill: #6a7686 }
    }
"""


def to_svg(graph: Graph, verdicts: Mapping[str, Verdict] | None = None) -> str:
    """The whole picture, a file of its own; with verdicts each box says its step's state."""
    layers, chains = layered(graph.edges())
    ordered(layers, chains)
    middle = placed(layers, chains)
    states = list(dict.fromkeys(verdict.state for verdict in (verdicts or {}).values()))
    width = 2 * _MARGIN + len(layers) * _WIDTH + (len(layers) - 1) * _ACROSS
    bottom = max(y + _size(node) / 2 for node, y in middle.items()) + _MARGIN
    height = bottom + (26 if states else 0)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}" width="{width}" '
        f'height="{height:.0f}" role="img" aria-label="Pipeline {html.escape(graph.name)}">',
        f"<style>{_STYLE}</style>",
        f'<rect class="paper" width="{width}" height="{height:.0f}" fill="#fafbfc"/>',
        *(_edge(chain, middle) for chain in chains),
    ]
    for name, step in graph.steps.items():
        layer = next(index for index, nodes in enumerate(layers) if (name, index) in nodes)
        job = f"job {step.job.name}"
        parts.append(_box(name, job, _left(layer), middle[name, layer], verdicts[name] if verdicts else None))
    left = _MARGIN
    for state in states:
        parts.append(f'<circle cx="{left + 5}" cy="{bottom}" r="4.5" fill="{COLOURS[state]}"/>')
        parts.append(f'<text class="legend" x="{left + 15}" y="{bottom + 4:.0f}">{html.escape(state)}</text>')
        left += 40 + 7 * len(state)
    return "\n".join([*parts, "</svg>"]) + "\n"


def layered(needs: Mapping[str, tuple[str, ...]]) -> tuple[list[list[Node]], list[list[Node]]]:
    """Layers of nodes, and every edge as the chain of nodes that it passes. `needs`: in topological order."""
    depth: dict[str, int] = {}
    for name, before in needs.items():
        depth[name] = 1 + max((depth[need] for need in before), default=-1)
    layers: list[list[Node]] = [[] for _ in range(1 + max(depth.values()))]
    for name, layer in depth.items():
        layers[layer].append((name, layer))
    chains = []
    for name, before in needs.items():
        for need in before:
            bends = [(f"{need}>{name}", layer) for layer in range(depth[need] + 1, depth[name])]
            for bend in bends:
                layers[bend[1]].append(bend)
            chains.append([(need, depth[need]), *bends, (name, depth[name])])
    return layers, chains


def ordered(layers: list[list[Node]], chains: list[list[Node]]) -> None:
    """Sorts each layer, in place, by the mean place of its neighbours in the layer before, then after, and so on; of
    all the orders on the way the one with the fewest crossings is kept. Begun twice: bends last, and bends first."""
    best, fewest = [list(layer) for layer in layers], crossings(layers, chains)
    for bends_first in (False, True):
        for layer in layers:
            layer.sort(key=lambda node: (">" in node[0]) is not bends_first)
        for sweep in range(_SWEEPS):
            neighbours = _neighbours(chains, back=sweep % 2 == 0)
            for layer in layers if sweep % 2 == 0 else reversed(layers):
                place = {node: index for each in layers for index, node in enumerate(each)}
                means = {node: fmean(place[n] for n in neighbours.get(node, [node])) for node in layer}
                layer.sort(key=means.__getitem__)
            found = crossings(layers, chains)
            if found < fewest:
                best, fewest = [list(layer) for layer in layers], found
    for layer, order in zip(layers, best, strict=True):
        layer[:] = order


def crossings(layers: list[list[Node]], chains: list[list[Node]]) -> int:
    """How many pairs of edges cross."""
    place = {node: index for layer in layers for index, node in enumerate(layer)}
    segments: dict[int, list[tuple[int, int]]] = {}
    for chain in chains:
        for start, end in itertools.pairwise(chain):
            segments.setdefault(start[1], []).append((place[start], place[end]))
    return sum(
        (a[0] - b[0]) * (a[1] - b[1]) < 0
        for of_layer in segments.values()
        for index, a in enumerate(of_layer)
        for b in of_layer[:index]
    )


def placed(layers: list[list[Node]], chains: list[list[Node]]) -> dict[Node, float]:
    """Each node's middle, from the top: near its neighbours', and no two of a layer too close."""
    middle = {node: float(index * (_HEIGHT + _DOWN)) for layer in layers for index, node in enumerate(layer)}
    for sweep in range(2 * _SWEEPS):
        neighbours = _neighbours(chains, back=sweep % 2 == 0)
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            wanted = [fmean(middle[n] for n in neighbours.get(node, [node])) for node in layer]
            ys: list[float] = []
            for index, (node, want) in enumerate(zip(layer, wanted, strict=True)):
                least = ys[-1] + _apart(layer[index - 1], node) if ys else want
                ys.append(max(want, least))
            shift = fmean(want - y for want, y in zip(wanted, ys, strict=True))
            middle.update({node: y + shift for node, y in zip(layer, ys, strict=True)})
    top = min(y - _size(node) / 2 for node, y in middle.items())
    return {node: y - top + _MARGIN for node, y in middle.items()}


def _neighbours(chains: list[list[Node]], *, back: bool) -> dict[Node, list[Node]]:
    found: dict[Node, list[Node]] = {}
    for chain in chains:
        for start, end in itertools.pairwise(chain):
            node, other = (end, start) if back else (start, end)
            found.setdefault(node, []).append(other)
    return found


def _size(node: Node) -> float:
    return _BEND if ">" in node[0] else _HEIGHT


def _apart(one: Node, other: Node) -> float:
    return (_size(one) + _size(other)) / 2 + _DOWN


def _left(layer: int) -> float:
    return _MARGIN + layer * (_WIDTH + _ACROSS)


def _edge(chain: list[Node], middle: Mapping[Node, float]) -> str:
    """One curve from the right side of the first box, straight through the layers it passes, to an arrow's tip."""
    y = middle[chain[0]]
    path = [f"M {_left(chain[0][1]) + _WIDTH:.1f} {y:.1f}"]
    for node in chain[1:]:
        left, before, y = _left(node[1]), y, middle[node]
        start = left - _ACROSS
        end = left if ">" in node[0] else left - 7
        half = (start + end) / 2
        path.append(f"C {half:.1f} {before:.1f} {half:.1f} {y:.1f} {end:.1f} {y:.1f}")
        if ">" in node[0]:
            path.append(f"L {left + _WIDTH:.1f} {y:.1f}")
    tip = f"M {left:.1f} {y:.1f} l -9 -4.5 l 0 9 z"
    return f'<path class="edge" d="{" ".join(path)}"/><path class="tip" d="{tip}"/>'


def _box(name: str, job: str, left: float, middle: float, verdict: Verdict | None) -> str:
    top = middle - _HEIGHT / 2
    parts = [
        f"<g><title>{html.escape(f'{name} ({job})' + (f': {verdict.reason}' if verdict and verdict.reason else ''))}"
        f'</title><rect class="box" x="{left}" y="{top:.1f}" width="{_WIDTH}" height="{_HEIGHT}" rx="9"/>'
    ]
    lines = [("name", name, 24), ("job", job, 28)]
    if verdict is not None:
        parts.append(
            f'<rect x="{left}" y="{top + 12:.1f}" width="4" height="{_HEIGHT - 24}" rx="2" '
            f'fill="{COLOURS[verdict.state]}"/>'
        )
        told = verdict.reason if verdict.reason and verdict.state != NEW else verdict.state
        lines.append(("why", told, 29))
    step = _HEIGHT / (len(lines) + 0.55)
    for row, (style, text, most) in enumerate(lines):
        shown = text if len(text) <= most else text[: most - 1] + "…"
        colour = f' style="fill: {COLOURS[verdict.state]}"' if verdict is not None and style == "why" else ""
        y = top + step * (row + 1) + 1
        parts.append(f'<text class="{style}" x="{left + 16}" y="{y:.1f}"{colour}>{html.escape(shown)}</text>')
    return "".join(parts) + "</g>"
