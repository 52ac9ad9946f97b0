"""The demo's report: for people on the terminal, and as JSON."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from palate.demo.checks import calls
from palate.demo.plan import SERVED, Plan
from palate.demo.steps import State
from palate.files import written_whole
from palate.spark.prepared import Prepared


def to_dict(plan: Plan, state: State) -> dict[str, Any]:
    """Everything the report says. Holds the token of this run: write it for the owner's eyes only."""
    return {
        "data": str(state.data),
        "facts": Prepared(plan.prepared).card,
        "scores": [dataclasses.asdict(score) for score in state.scores],
        "cold_start": None if state.cold is None else dataclasses.asdict(state.cold),
        "versions": state.versions,
        "seconds": state.seconds,
        "urls": {
            "api": plan.api,
            "dashboard_link": state.dashboard_link,
            "labeling": plan.labeling,
            "label_link": state.label_link,
            "mlflow": plan.mlflow,
        },
        "token": state.token,
    }


def write(plan: Plan, state: State) -> None:
    """`demo.json`, readable by its owner alone."""
    with written_whole(plan.summary, private=True) as file:
        file.write(json.dumps(to_dict(plan, state), indent=2, ensure_ascii=False).encode())


def show(plan: Plan, state: State, console: Console) -> None:
    """Metrics beside popularity, the cold start, where time went, five requests and the URLs."""
    console.print()
    console.print(_block("How good", _scores(state)))
    if state.cold is not None:
        console.print(_block("How cold", _cold(state)))
    console.print(_block("Where time went", _seconds(state)))
    console.print(Text("Try it", "bold"))
    console.print(f"  TOKEN={state.token}", highlight=False, markup=False, soft_wrap=True)
    for call in calls(plan):
        console.print(f"  # {call.says}", style="dim", highlight=False, markup=False)
        console.print(f"  {call.curl(plan.api)}", highlight=False, markup=False, soft_wrap=True)
    console.print()
    console.print(Text("Open it", "bold"))
    for name, url in _urls(plan, state):
        console.print(f"  {name:<30}{url}", highlight=False, markup=False, soft_wrap=True)
    console.print()


def _block(title: str, content: Any) -> Group:
    return Group(Text(title, "bold"), Padding(content, (0, 0, 1, 2)))


def _scores(state: State) -> Table:
    base = next((score for score in state.scores if score.model == "popularity"), None)
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("model", no_wrap=True)
    for name in ("NDCG@10", "±", "× popular", "Recall@20", "coverage", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    for score in state.scores:
        table.add_row(
            score.model + {SERVED: " ★"}.get(score.model, ""),
            f"{score.ndcg:.4f}",
            f"{(score.interval[1] - score.interval[0]) / 2:.4f}",
            f"{score.ndcg / base.ndcg:.2f}" if base is not None and base.ndcg > 0 else "–",
            f"{score.recall:.4f}",
            f"{score.coverage:.0%}",
            f"{score.seconds:.1f}",
        )
    table.caption = "★ is the champion, which the API serves; ± is half of a 95 % interval."
    table.caption_justify = "left"
    return table


def _cold(state: State) -> Text:
    cold = state.cold
    if cold is None:
        return Text("")
    lines = [
        f"{cold.items:.1%} of the held-out interactions are with items that training has never seen,",
        f"{cold.users:.1%} are of new users; {cold.thin_users:.1%} of all users have next to no history.",
    ]
    if cold.lift is not None:
        lines.append(f"Content ranks items that nobody has touched {cold.lift:.1f} times better than chance (NDCG@20).")
    return Text("\n".join(lines))


def _seconds(state: State) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    total = sum(state.seconds.values())
    longest = max(state.seconds.values(), default=1.0)
    for name, seconds in state.seconds.items():
        table.add_row(name, f"{seconds:5.1f} s", Text("▇" * round(24 * seconds / longest), "cyan"))
    table.add_row("together", f"{total:5.1f} s", "")
    return table


def _urls(plan: Plan, state: State) -> list[tuple[str, str]]:
    return [
        ("recommendation API", f"{plan.api}/docs"),
        ("its dashboard (signs you in, once)", state.dashboard_link),
        ("labeling (signs you in, once)", state.label_link),
        ("MLflow", plan.mlflow),
        ("what was written", str(plan.home)),
    ]
