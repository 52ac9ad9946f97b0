"""A pipeline's graph as text: for the terminal, for Mermaid (which GitHub and GitLab draw), for Graphviz.

An edge that others imply is left out: who needs the model needs the data, too.
"""

from __future__ import annotations

import html
from collections.abc import Mapping

from rich.table import Table
from rich.text import Text

from palate.spark.pipeline.graph import Graph
from palate.spark.pipeline.plan import BROKEN, FRESH, NEW, STALE, Verdict

COLOURS = {FRESH: "#2e7d4f", STALE: "#b26a00", BROKEN: "#c0362c", NEW: "#6b7280"}
"""Of a border, a dot or a word, dark enough on white."""
TINTS = {FRESH: "#e3f3e8", STALE: "#fdf0d9", BROKEN: "#fbe4e1", NEW: "#f1f2f4"}
"""Of the box behind dark text."""
_SIGNS = {FRESH: ("✓", "green"), STALE: ("●", "yellow"), BROKEN: ("✗", "red"), NEW: ("○", "dim")}


def lanes(graph: Graph) -> dict[str, str]:
    """What stands left of each step's name: its place among the open branches, as `git log --graph` draws them.

    A lane is a step that some later step still waits for.
    """
    edges = graph.edges()
    waiting = {name: {other for other in edges if name in edges[other]} for name in edges}
    open_: list[str | None] = []
    drawn = {}
    for name, needs in edges.items():
        for need in needs:
            waiting[need].discard(name)
        closing = [place for place, lane in enumerate(open_) if lane is not None and not waiting[lane]]
        if closing:
            place = closing[0]
        elif None in open_:
            place = open_.index(None)
        else:
            open_.append(None)
            place = len(open_) - 1
        reached = {index for index, lane in enumerate(open_) if lane in needs} | {place}
        drawn[name] = _line(open_, place, reached, set(closing))
        for index in closing:
            open_[index] = None
        open_[place] = name if waiting[name] else None
        while open_ and open_[-1] is None:
            open_.pop()
    return drawn


def _line(open_: list[str | None], place: int, reached: set[int], closing: set[int]) -> str:
    """One row: the step's own sign, lanes that pass, and the lines to the lanes it needs."""
    left, right = min(reached), max(reached)
    cells = []
    for index, lane in enumerate(open_):
        inside, ends = left < index < right, index in (left, right)
        if index == place:
            cell = "◆"
        elif index in reached and not inside:
            passes = index not in closing
            cell = ("├" if passes else "└") if index == left else ("┤" if passes else "┘")
        elif index in reached:
            cell = "┼" if index not in closing else "┴"
        elif lane is None:
            cell = "─" if inside else " "
        else:
            cell = "┼" if inside and not ends else "│"
        cells.append(cell + ("─" if left <= index < right else " "))
    return "".join(cells).rstrip()


def to_table(graph: Graph, verdicts: Mapping[str, Verdict] | None = None) -> Table:
    """A row per step, in the order in which they run."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for header in ("", "step", "job", "needs"):
        table.add_column(header, no_wrap=header != "needs")
    if verdicts is not None:
        table.add_column("state", overflow="fold")
    drawn, edges = lanes(graph), graph.edges()
    for name, step in graph.steps.items():
        job = "" if step.job.name == name else step.job.name
        cells = [Text(drawn[name]), Text(name, style="bold"), Text(job), Text(", ".join(edges[name]), style="dim")]
        if verdicts is not None:
            verdict = verdicts[name]
            sign, style = _SIGNS[verdict.state]
            told = f": {verdict.reason}" if verdict.reason and verdict.state != NEW else ""
            cells.append(Text(f"{sign} {verdict.state}{told}", style=style))
        table.add_row(*cells)
    return table


def to_mermaid(graph: Graph, verdicts: Mapping[str, Verdict] | None = None) -> str:
    """A flowchart, left to right."""
    number = {name: f"s{index}" for index, name in enumerate(graph.steps)}
    lines = ["flowchart LR"]
    for name, step in graph.steps.items():
        under = "" if step.job.name == name else f"<br/><small>{step.job.name}</small>"
        lines.append(f'    {number[name]}["{name}{under}"]')
    lines += [f"    {number[need]} --> {number[name]}" for name, needs in graph.edges().items() for need in needs]
    for state, names in _by_state(verdicts).items():
        style = state.replace(" ", "_")
        lines.append(f"    classDef {style} fill:{TINTS[state]},stroke:{COLOURS[state]},color:#111827")
        lines.append(f"    class {','.join(number[name] for name in names)} {style}")
    return "\n".join(lines) + "\n"


def to_dot(graph: Graph, verdicts: Mapping[str, Verdict] | None = None) -> str:
    """A digraph for Graphviz."""
    state = {name: held for held, names in _by_state(verdicts).items() for name in names}
    lines = [
        f'digraph "{graph.name}" {{',
        "    rankdir=LR",
        '    node [shape=box, style="rounded,filled", fontname="Helvetica", fillcolor="#ffffff", color="#374151"]',
        '    edge [color="#6b7280"]',
    ]
    for name, step in graph.steps.items():
        under = "" if step.job.name == name else f'<br/><font point-size="10">{html.escape(step.job.name)}</font>'
        held = state.get(name)
        colour = f', fillcolor="{TINTS[held]}", color="{COLOURS[held]}", tooltip="{held}"' if held else ""
        lines.append(f'    "{name}" [label=<<b>{html.escape(name)}</b>{under}>{colour}]')
    lines += [f'    "{need}" -> "{name}"' for name, needs in graph.edges().items() for need in needs]
    return "\n".join([*lines, "}"]) + "\n"


def _by_state(verdicts: Mapping[str, Verdict] | None) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, verdict in (verdicts or {}).items():
        found.setdefault(verdict.state, []).append(name)
    return found
