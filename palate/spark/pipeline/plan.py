"""Which steps have to run, and why: what each would run on now, compared with the record of what it last ran on."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palate.errors import ParameterError
from palate.settings import Settings
from palate.spark.pipeline.digests import Digests, code_digest
from palate.spark.pipeline.graph import Graph
from palate.spark.pipeline.resolve import Step
from palate.spark.pipeline.state import DONE, FAILED, RUNNING, Record, State

NEW, STALE, FRESH, BROKEN = "never run", "stale", "done", "broken"
_SHOWN = 40


@dataclass(frozen=True)
class Basis:
    """What a step runs on: the values of its options, a digest of each of its inputs, of the code, and of the settings
    that count (where models and metrics are logged to, for a step that logs)."""

    params: Mapping[str, Any]
    inputs: Mapping[str, str | None]
    code: str
    settings: str

    @property
    def fingerprint(self) -> str:
        """One hash of it all."""
        parts = [repr(sorted(self.params.items())), repr(sorted(self.inputs.items())), self.code, self.settings]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Verdict:
    """state: NEW, STALE, FRESH or BROKEN (it failed, or never came to its end). reason: why it has to run, or ""."""

    state: str
    reason: str = ""

    @property
    def runs(self) -> bool:
        return self.state != FRESH


def basis(graph: Graph, step: Step, digests: Digests) -> Basis:
    """What the step would run on now."""
    inputs = {
        name: digests.output(path) if graph.writer(path) else digests.tree(path) for name, path in step.inputs.items()
    }
    return Basis(dict(step.params), inputs, code_digest(step.job), _settings(step))


def _settings(step: Step) -> str:
    if not (step.params.get("register") or step.params.get("log")):
        return ""
    settings = Settings.read()
    return hashlib.sha256(f"{settings.tracking} {settings.model_name}".encode()).hexdigest()


def judge(step: Step, found: Basis, record: Record | None, digests: Digests) -> Verdict:
    """Whether the step has to run on this basis, after what the record says of its last run."""
    if record is None:
        return Verdict(NEW, "never ran")
    if record.status != DONE:
        return Verdict(BROKEN, {RUNNING: "did not finish", FAILED: "failed"}.get(record.status, "has no known end"))
    reason = _difference(step, found, record) or _damage(step, record, digests)
    return Verdict(STALE, reason) if reason else Verdict(FRESH)


def _difference(step: Step, found: Basis, record: Record) -> str:
    if record.job != step.job.name:
        return f"job {record.job} -> {step.job.name}"
    for name in sorted({*found.params, *record.params}):
        before, now = record.params.get(name), found.params.get(name)
        if before != now:
            return f"{name} {_shown(before)} -> {_shown(now)}"
    for name in sorted({*found.inputs, *record.inputs}):
        if found.inputs.get(name) != record.inputs.get(name):
            path = step.inputs.get(name)
            return f"{name} changed" + (f" ({path})" if path else "")
    if found.code != record.code:
        return "code changed"
    return "" if found.settings == record.settings else "tracking server or model name changed"


def _damage(step: Step, record: Record, digests: Digests) -> str:
    for path in step.outputs.values():
        now = digests.output(path)
        if now is None:
            return f"output is gone ({path})"
        if now != record.outputs.get(str(path)):
            return f"output was changed ({path})"
    return ""


def _shown(value: Any) -> str:
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    text = "-" if value is None or text == "" else text
    return text if len(text) <= _SHOWN else f"...{text[-_SHOWN:]}"


def plan(graph: Graph, state: State, digests: Digests, running: Collection[str] = ()) -> dict[str, Verdict]:
    """Every step's verdict as things are. A step is stale, too, if one whose output it reads has to run first.

    running: steps that run whatever their verdict.
    """
    verdicts: dict[str, Verdict] = {}
    for name, step in graph.steps.items():
        sources = [source for path in step.inputs.values() if (source := graph.writer(path))]
        pending = next((one for one in sources if verdicts[one].runs or one in running), None)
        record = state.record(name)
        verdict = judge(step, basis(graph, step, digests), record, digests)
        if pending is not None and not verdict.runs:
            verdict = Verdict(STALE, f"after {pending}")
        verdicts[name] = verdict
    return verdicts


def selected(
    graph: Graph, *, only: Collection[str] = (), until: Collection[str] = (), onward: Collection[str] = ()
) -> list[str]:
    """The steps to look at: `only` these, these and all they need (`until`), these and all that need them (`onward`);
    all where nothing is said. Raises ParameterError for a step that there is not."""
    for option, names in (("--only", only), ("--until", until), ("--from", onward)):
        for name in names:
            if name not in graph.steps:
                hint = f"There are: {', '.join(graph.steps)}."
                raise ParameterError(f"there is no step {name[:80]!r}.", where=option, hint=hint)
    chosen = set(graph.steps)
    if only:
        chosen &= set(only)
    if until:
        chosen &= graph.before(until)
    if onward:
        chosen &= graph.after(onward)
    return [name for name in graph.steps if name in chosen]


def state_of(graph: Graph, folder: Path | None) -> State:
    """Where the state lies unless told: in Palate's home, under the pipeline's name."""
    return State(folder or Settings.read().home.absolute() / "pipelines" / graph.name)
