"""The graph of a pipeline: its steps in an order in which they can run, and the rules that hold between them.

A step needs the steps that it refers to (see `palate.spark.pipeline.resolve`) and those of its `after`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from palate.errors import InputError, ParameterError
from palate.spark.pipeline.document import Document, Mark, WrittenStep
from palate.spark.pipeline.jobs import Job, find_job, job_names
from palate.spark.pipeline.resolve import Resolver, Step, overridden, references


@dataclass(frozen=True)
class Graph:
    """steps: in an order in which each comes after those it needs; that of the file where this leaves a choice."""

    name: str
    path: Path
    root: Path
    vars: Mapping[str, str]
    steps: Mapping[str, Step]

    def before(self, names: Iterable[str]) -> set[str]:
        """These steps and all that they need."""
        return _closure(names, lambda name: self.steps[name].needs)

    def after(self, names: Iterable[str]) -> set[str]:
        """These steps and all that need them."""
        return _closure(names, lambda name: [each.name for each in self.steps.values() if name in each.needs])

    def edges(self) -> dict[str, tuple[str, ...]]:
        """Each step's `needs` without those that others of them need anyhow: what a drawing shows."""
        implied = {name: self.before(step.needs) for name, step in self.steps.items()}
        return {
            name: tuple(need for need in step.needs if not any(need in implied[other] for other in step.needs))
            for name, step in self.steps.items()
        }

    def writer(self, path: Path) -> str | None:
        """The step whose output `path` is, or lies in."""
        return next(
            (each.name for each in self.steps.values() for out in each.outputs.values() if _in(path, out)), None
        )


def build(document: Document, settings: Sequence[str] = (), root: Path | None = None) -> Graph:
    """Resolves and checks everything. settings: `NAME=VALUE` for a variable, `STEP.OPTION=VALUE` for an option, or
    for a parameter that the option `set` of the step's job takes.

    root: where relative paths start; the file's folder unless told. Raises InputError, saying file, line and column.
    """
    jobs = {name: _found(written) for name, written in document.steps.items()}
    document = overridden(document, jobs, settings)
    needs = {name: _needs(document, written) for name, written in document.steps.items()}
    builder = Resolver(document, jobs, (root or document.path.parent).absolute())
    order = _ordered(needs, document)
    steps: dict[str, Step] = {}
    for name in order:
        steps[name] = builder.step(name, [each for each in order if each in needs[name]], steps)
    graph = Graph(document.name, document.path.absolute(), builder.root, builder.vars, steps)
    _check_places(graph)
    return graph


def _found(written: WrittenStep) -> Job:
    try:
        return find_job(written.job.text)
    except ParameterError as error:
        close = get_close_matches(written.job.text, job_names(), 1)
        hint = f"Did you mean {close[0]}?" if close else error.hint
        raise InputError(error.message, where=str(written.job.mark), hint=hint) from None


def _needs(document: Document, written: WrittenStep) -> dict[str, Mark]:
    """The steps that this one refers to or names in `after`, and where it does."""
    found: dict[str, Mark] = {}
    for name, mark in [*references(written), *((scalar.text, scalar.mark) for scalar in written.after)]:
        if name not in document.steps:
            close = get_close_matches(name, document.steps, 1)
            hint = f"Did you mean {close[0]}?" if close else f"There are: {', '.join(document.steps)}."
            raise InputError(f"there is no step {name[:80]!r}.", where=str(mark), hint=hint)
        found.setdefault(name, mark)
    return found


def _ordered(needs: Mapping[str, Mapping[str, Mark]], document: Document) -> list[str]:
    """Depth first, in the order of the file. Raises InputError showing a cycle as a path."""
    order: list[str] = []

    def visit(name: str, path: list[str]) -> None:
        if name in order:
            return
        if name in path:
            cycle = [*path[path.index(name) :], name]
            mark = needs[cycle[-2]][name]
            raise InputError(f"the steps need each other in a circle: {' -> '.join(cycle)}.", where=str(mark))
        for other in sorted(needs[name], key=list(document.steps).index):
            visit(other, [*path, name])
        order.append(name)

    for name in document.steps:
        visit(name, [])
    return order


def _check_places(graph: Graph) -> None:
    """Raises InputError where two steps write to one place, or one reads what another writes and does not say so."""
    written: list[tuple[Step, Path]] = []
    for step in graph.steps.values():
        for path in step.outputs.values():
            for other, there in written:
                if _in(path, there) or _in(there, path):
                    raise InputError(f"steps {other.name} and {step.name} both write to {path}.", where=str(step.mark))
            written.append((step, path))
    for step in graph.steps.values():
        for option, path in step.inputs.items():
            for other, there in written:
                if _in(there, path) and there != path:
                    raise InputError(
                        f"step {other.name} writes to {there}, inside what step {step.name} reads ({option}).",
                        where=str(other.mark),
                    )
                if _in(path, there) and other.name not in graph.before(step.needs):
                    named = next(name for name, out in other.outputs.items() if out == there)
                    raise InputError(
                        f"step {step.name} reads what {other.name} writes, and does not say so ({option}: {path}).",
                        where=str(step.mark),
                        hint=f"Write ${{{other.name}.{named}}}.",
                    )


def _in(path: Path, folder: Path) -> bool:
    return path == folder or folder in path.parents


def _closure(names: Iterable[str], next_: Callable[[str], Iterable[str]]) -> set[str]:
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo.extend(next_(name))
    return found
