"""What a search tried and why it chose what it chose: lines for a terminal, and a page that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from palate.files import written_whole
from palate.tuning.trials import Outcome

_WIDTH, _HEIGHT, _MARGIN = 720, 360, 56
_COLOURS = ("#1b6ca8", "#c8553d", "#3a7d44", "#7b4f9d", "#b8860b", "#00798c", "#8d3b72", "#5c5c5c", "#2f2f8f")


@dataclass(frozen=True)
class Story:
    """A search, told.

    outcomes: all trials in order. skipped: kinds not tried or not tuned further, and why. parts: the chosen models.
    blended, alone: NDCG@20 of the blend and of its best part on validation users that the weights were not learned
    from, NaN where there was nothing to compare. seconds: of each stage; budget: seconds there were. facts: counts of
    the data. weights: how much each part counts, by situation. failure: what went wrong with logging.
    """

    outcomes: Sequence[Outcome]
    skipped: Mapping[str, str]
    parts: Sequence[str]
    blended: float
    alone: float
    seconds: Mapping[str, float]
    budget: float
    facts: Mapping[str, int]
    weights: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    failure: str = ""

    @property
    def metrics(self) -> dict[str, float]:
        """As a run logs them."""
        found = {f"seconds_{name.replace(' ', '_')}": value for name, value in self.seconds.items()}
        found |= {"validation_ndcg_blend": self.blended, "validation_ndcg_best_part": self.alone}
        return {name: value for name, value in found.items() if not math.isnan(value)}

    def best_of_each(self) -> list[tuple[Outcome, int]]:
        """The best trial of each kind and how many it had, the best first."""
        kinds = dict.fromkeys(each.candidate.kind for each in self.outcomes)
        found = []
        for kind in kinds:
            own = [each for each in self.outcomes if each.candidate.kind == kind]
            whole = [each for each in own if each.ndcg == each.ndcg and each.candidate.share == 1]
            if whole:
                found.append((max(whole, key=lambda each: each.ndcg), len(own)))
        return sorted(found, key=lambda each: -each[0].ndcg)

    def lines(self) -> list[str]:
        """For a terminal."""
        told = [f"Tried {len(self.outcomes)} settings of {len(self.best_of_each())} kinds, on validation data only:"]
        for best, count in self.best_of_each():
            told.append(
                f"  {best.candidate.kind}: NDCG@20 {best.ndcg:.4f} in {best.fitting:.1f} s ({count} tried), "
                f"{best.candidate.part}"
            )
        told += [f"  {kind}: {why}." for kind, why in self.skipped.items()]
        if not math.isnan(self.blended):
            told.append(f"Blended {self.blended:.4f}, the best part alone {self.alone:.4f}.")
        told.append(f"Chosen: {', '.join(self.parts)}.")
        spent = ", ".join(f"{name} {value:.0f} s" for name, value in self.seconds.items())
        told.append(f"Of a budget of {self.budget:.0f} s: {spent}.")
        return [*told, self.failure] if self.failure else told

    def write(self, path: Path) -> None:
        """The page, whole or not at all. Raises InputError if it cannot be written."""
        with written_whole(path) as file:
            file.write(self.page().encode())

    def page(self) -> str:
        """HTML without links to anything."""
        facts = ", ".join(f"{value:,} {name}" for name, value in self.facts.items())
        spent = ", ".join(f"{name} {value:.1f} s" for name, value in self.seconds.items())
        blended = ""
        if not math.isnan(self.blended):
            blended = (
                f"<p>On validation users left out of learning the weights: NDCG@20 {self.blended:.4f} blended, "
                f"{self.alone:.4f} by the best part alone.</p>"
            )
        parts = "".join(f"<li><code>{escape(part)}</code></li>" for part in self.parts)
        skipped = "".join(f"<li><b>{escape(kind)}</b>: {escape(why)}</li>" for kind, why in self.skipped.items())
        return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>What the search tried</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}}
table{{border-collapse:collapse;width:100%}}th,td{{text-align:left;padding:.2rem .6rem;border-bottom:1px solid #ddd}}
td.n,th.n{{text-align:right;font-variant-numeric:tabular-nums}}code{{font-size:.85em}}
svg{{width:100%;height:auto}}</style></head><body>
<h1>What the search tried</h1>
<p>{facts}. Budget {self.budget:.0f} s: {spent}. All figures are of validation data, cut from the training data.</p>
<h2>Chosen</h2><ul>{parts}</ul>{blended}{self._weights_table()}
<h2>Accuracy and training time</h2>{self._chart()}
<h2>Best of each kind</h2>{_table([best for best, _ in self.best_of_each()])}
{"<h2>Left out</h2><ul>" + skipped + "</ul>" if skipped else ""}
<h2>All trials</h2>{_table(self.outcomes)}
{"<p>" + escape(self.failure) + "</p>" if self.failure else ""}</body></html>
"""

    def _weights_table(self) -> str:
        if not self.weights:
            return ""
        names = list(dict.fromkeys(name for row in self.weights.values() for name in row))
        head = "".join(f'<th class="n">{escape(name)}</th>' for name in names)
        rows = "".join(
            f"<tr><td>{escape(situation)}</td>"
            + "".join(f'<td class="n">{row.get(name, 0.0):.0%}</td>' for name in names)
            + "</tr>"
            for situation, row in self.weights.items()
        )
        return f"<h3>What each part counts</h3><table><tr><th></th>{head}</tr>{rows}</table>"

    def _chart(self) -> str:
        """A point for each trial: seconds to train, on a logarithmic scale, and NDCG@20."""
        held = [each for each in self.outcomes if each.ndcg == each.ndcg]
        if not held:
            return "<p>No trial succeeded.</p>"
        times = [math.log10(max(each.fitting, 1e-3)) for each in held]
        low, high = math.floor(min(times)), max(math.ceil(max(times)), math.floor(min(times)) + 1)
        top = max(each.ndcg for each in held) * 1.05 or 1.0
        kinds = list(dict.fromkeys(each.candidate.kind for each in held))
        colour = {kind: _COLOURS[at % len(_COLOURS)] for at, kind in enumerate(kinds)}

        def across(value: float) -> float:
            return _MARGIN + (value - low) / (high - low) * (_WIDTH - _MARGIN - 130)

        def up(value: float) -> float:
            return _HEIGHT - _MARGIN - value / top * (_HEIGHT - 2 * _MARGIN)

        drawn = []
        for power in range(low, high + 1):
            at = across(power)
            drawn.append(f'<line x1="{at:.1f}" y1="{_MARGIN}" x2="{at:.1f}" y2="{_HEIGHT - _MARGIN}" stroke="#eee"/>')
            drawn.append(
                f'<text x="{at:.1f}" y="{_HEIGHT - _MARGIN + 18}" text-anchor="middle">{10.0**power:g} s</text>'
            )
        for share in (0, 0.25, 0.5, 0.75, 1):
            at = up(share * top)
            drawn.append(f'<line x1="{_MARGIN}" y1="{at:.1f}" x2="{_WIDTH - 130}" y2="{at:.1f}" stroke="#eee"/>')
            drawn.append(f'<text x="{_MARGIN - 6}" y="{at + 4:.1f}" text-anchor="end">{share * top:.3f}</text>')
        for each, when in zip(held, times, strict=True):
            kind = each.candidate.kind
            fill = "none" if each.candidate.share < 1 else colour[kind]
            told = escape(f"{each.candidate.part}: {each.ndcg:.4f}, {each.fitting:.2f} s")
            drawn.append(
                f'<circle cx="{across(when):.1f}" cy="{up(each.ndcg):.1f}" r="4" fill="{fill}" '
                f'stroke="{colour[kind]}"><title>{told}</title></circle>'
            )
        for at, kind in enumerate(kinds):
            y = _MARGIN + 18 * at
            drawn.append(f'<circle cx="{_WIDTH - 115}" cy="{y}" r="4" fill="{colour[kind]}"/>')
            drawn.append(f'<text x="{_WIDTH - 105}" y="{y + 4}">{escape(kind)}</text>')
        told = "NDCG@20 against seconds to train; hollow: a first look on a part of the users"
        return (
            f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" font-size="12" font-family="system-ui,sans-serif">'
            f"<title>{told}</title>{''.join(drawn)}</svg><p>{told}.</p>"
        )


def _table(outcomes: Sequence[Outcome]) -> str:
    rows = "".join(
        f"<tr><td>{escape(each.candidate.kind)}</td><td><code>{escape(str(each.candidate.part))}</code></td>"
        f'<td class="n">{"-" if each.ndcg != each.ndcg else f"{each.ndcg:.4f}"}</td>'
        f'<td class="n">{each.fitting:.2f}</td><td>{escape(_remark(each))}</td></tr>'
        for each in outcomes
    )
    head = '<tr><th>kind</th><th>settings</th><th class="n">NDCG@20</th><th class="n">seconds</th><th></th></tr>'
    return f"<table>{head}{rows}</table>"


def _remark(outcome: Outcome) -> str:
    if outcome.failure:
        return outcome.failure
    if outcome.pruned:
        return "pruned"
    return "first look" if outcome.candidate.share < 1 else ""
