"""People who label without a pause: turns a second over HTTP, and what must hold of every answer afterwards.

A turn submits an answer and fetches the next task. The service is `palate label serve --workers 2`; the load runs
beside it on the same machine. However slow that is, each load ends at its time: the whole takes about a minute and a
half.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from benchmarks.annotators import Load, label
from benchmarks.harness import Benchmark, Timing
from benchmarks.labeling_house import House, house, postgresql_programs

PROMISE = 800.0
"""Turns a second."""
PEOPLE = 32
ANSWER = {"choices": ["Drama"]}
_SPELL = 12.0
"""Seconds that people label without a pause; half of it in two calls a turn."""


def run(quick: bool) -> Timing:
    """On each database: without a pause, until no task is left, in two calls a turn, with a second of thought."""
    tasks, people, few = (20, 4, 10) if quick else (10_000, PEOPLE, 500)
    loads: dict[str, dict[str, Load]] = {}
    for name in ("sqlite", "postgresql"):
        if name == "postgresql" and (quick or postgresql_programs() is None):
            continue
        with house(name) as service:
            service.start(workers=1 if quick else 2)
            loads[name] = {
                "": turns(service, tasks, people, spell=_SPELL),
                "to the end": turns(service, few, people),
                "two calls": turns(service, tasks, people, spell=_SPELL / 2, calls=2),
                "thought": turns(service, tasks, people, each=3 if quick else 8, calls=2, thought=0.1 if quick else 1),
            }
    took = loads["sqlite"][""]
    return Timing(
        (1000 / PROMISE,),
        (1000 / took.pace,),
        f"1,000 turns of {people} people, {tasks:,} tasks, overlap 3, SQLite",
        quality(loads),
        "The peer is the promise: 800 turns a second. All answers that were acknowledged are stored, each once, and no "
        "task has more than its overlap, also of 500 tasks that were labeled to the end. A turn is one call unless "
        "told; the next task after a second of thought is timed by itself.",
    )


def turns(
    service: House,
    tasks: int,
    people: int,
    *,
    each: int = 1_000_000,
    spell: float = 60.0,
    calls: int = 1,
    thought: float = 0.0,
) -> Load:
    """A new project's turns: so many of each of the people, in so many seconds, as long as there are tasks. Raises
    RuntimeError if anything of what must hold does not.
    """
    project = service.project(tasks, 3)
    tokens, names = service.people(people)
    end = time.monotonic() + spell
    load = label(
        service.port,
        project,
        tokens,
        ANSWER,
        turns=each,
        calls=calls,
        thought=thought,
        until=lambda: time.monotonic() > end,
    )
    check(service, project, load, names)
    return load


def check(service: House, project: int, load: Load, names: list[str], *, exactly: bool = True) -> None:
    broken = service.broken(project, [(task, names[who]) for task, who in load.answered], exactly=exactly)
    if broken:
        raise RuntimeError("; ".join(broken))


def quality(loads: Mapping[str, Mapping[str, Load]]) -> dict[str, dict[str, float]]:
    """Turns a second, and the milliseconds within which 99 of 100 next tasks came, beside what is promised."""
    longest = {"sqlite": 150.0, "postgresql": 100.0}
    found = {}
    for name, kinds in loads.items():
        for kind, load in kinds.items():
            if kind == "to the end":  # when little is left most people are told so: that is no turn
                continue
            title = f"{name}, {kind}" if kind else name
            if kind != "thought":
                found[f"{title}: turns a second"] = {"peer": PROMISE, "ours": round(load.pace, 1)}
            most = 30.0 if kind == "thought" else longest[name]
            found[f"{title}: p99 ms"] = {"peer": most, "ours": round(load.quantile(0.99), 1)}
    return found


BENCHMARK = Benchmark(
    "labeling_turns",
    "32 people who label without a pause get at least 800 turns a second",
    "the promise",
    run,
)
