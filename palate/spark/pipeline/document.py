"""A pipeline's YAML as it is written: strict in its shape, and with the line and column of everything in it.

    name: movies                      # the file's name unless told
    vars: {data: ml-latest-small, factors: 64}
    steps:
      prepare:
        options: {input: "${vars.data}", output: build/prepared}
      als:
        job: train_mf                 # the step's name unless told
        options: {input: "${prepare.output}", output: build/als, set: {factors: "${vars.factors}"}}
        after: [other-step]
        inputs: [more/files]          # what else the step reads

Scalars stay the text that was written, so that `010` and `1e-3` reach a job as they would on its command line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import yaml

from palate.errors import InputError

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}")
_MAX_BYTES = 1 << 20
_MAX_STEPS = 500


@dataclass(frozen=True)
class Mark:
    """A place in a file, counted from 1; or on the command line, where there are no lines."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True)
class Scalar:
    """kind: "text", "bool" or "null"."""

    text: str
    mark: Mark
    kind: str = "text"

    @property
    def truth(self) -> bool:
        return self.text.lower() in ("true", "yes", "on")


Written: TypeAlias = Scalar | list[Scalar] | dict[str, Scalar]


@dataclass(frozen=True)
class WrittenStep:
    """options: name (with `_` for `-`) to where it stands, and its value."""

    name: str
    mark: Mark
    job: Scalar
    options: Mapping[str, tuple[Mark, Written]] = field(default_factory=dict)
    after: tuple[Scalar, ...] = ()
    inputs: tuple[Scalar, ...] = ()


@dataclass(frozen=True)
class Document:
    path: Path
    name: str
    vars: Mapping[str, Scalar]
    steps: Mapping[str, WrittenStep]


def read_document(path: Path) -> Document:
    """Raises InputError, saying file, line and column, for what is no pipeline."""
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InputError(f"cannot be read: {reason}.", where=str(path)) from None
    if len(raw) > _MAX_BYTES:
        raise InputError("is larger than a megabyte; this is no pipeline.", where=str(path))
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = Mark(str(path), mark.line + 1, mark.column + 1) if mark else Mark(str(path))
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InputError(f"is no YAML: {problem}.", where=str(where)) from None
    except RecursionError:
        raise InputError("is nested too deep.", where=str(path)) from None
    if node is None:
        raise InputError("is empty.", where=str(path), hint="A pipeline has `steps`.")
    return _Reader(path).document(node)


def read_scalar(text: str, mark: Mark) -> Scalar:
    """A value from the command line, read as YAML would: `true` is a flag's state, all else is text."""
    if text.lower() in ("true", "false"):
        return Scalar(text, mark, "bool")
    return Scalar(text, mark, "null" if text in ("null", "~") else "text")


class _Reader:
    def __init__(self, path: Path) -> None:
        self.path = path

    def mark(self, node: yaml.Node) -> Mark:
        return Mark(str(self.path), node.start_mark.line + 1, node.start_mark.column + 1)

    def document(self, node: yaml.Node) -> Document:
        entries = self.mapping(node, "a pipeline", ("name", "vars", "steps"))
        if "steps" not in entries:
            raise self.error(node, "there are no steps.")
        name = self.scalar(entries["name"][1]).text if "name" in entries else self.path.stem
        if not NAME.fullmatch(name):
            where = entries["name"][1] if "name" in entries else node
            raise self.error(where, f"a pipeline cannot be called {name[:80]!r}: letters, digits, - and _.")
        values = self.mapping(entries["vars"][1], "vars") if "vars" in entries else {}
        steps = self.mapping(entries["steps"][1], "steps")
        if not steps:
            raise self.error(entries["steps"][1], "there are no steps.")
        if len(steps) > _MAX_STEPS:
            raise self.error(entries["steps"][1], f"{len(steps)} steps are more than {_MAX_STEPS}.")
        return Document(
            self.path,
            name,
            {key: self.scalar(value) for key, (_, value) in values.items()},
            {key: self.step(key, at, value) for key, (at, value) in steps.items()},
        )

    def step(self, name: str, at: yaml.Node, node: yaml.Node) -> WrittenStep:
        if not NAME.fullmatch(name) or name == "vars":
            raise self.error(at, f"a step cannot be called {name[:80]!r}.", "Use letters, digits, '-' and '_'.")
        known = ("job", "options", "after", "inputs")
        entries = {} if self.is_null(node) else self.mapping(node, f"step {name}", known)
        given = self.mapping(entries["options"][1], "options") if "options" in entries else {}
        options: dict[str, tuple[Mark, Written]] = {}
        for key, (key_node, value) in given.items():
            plain = key.replace("-", "_")
            if plain in options:
                raise self.error(key_node, f"the option {plain!r} is given twice.")
            options[plain] = (self.mark(key_node), self.written(value))
        job = self.scalar(entries["job"][1]) if "job" in entries else Scalar(name, self.mark(at))
        lists = {key: tuple(self.scalars(entries[key][1])) if key in entries else () for key in ("after", "inputs")}
        return WrittenStep(name, self.mark(at), job, options, lists["after"], lists["inputs"])

    def mapping(
        self, node: yaml.Node, what: str, known: tuple[str, ...] | None = None
    ) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """Key to (its node, its value's node). Refuses what is no mapping, unknown keys and those given twice."""
        if not isinstance(node, yaml.MappingNode):
            raise self.error(node, f"{what} must be a mapping of names to values.")
        found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key_node, value in node.value:
            key = self.scalar(key_node).text
            if key in found:
                first = found[key][0].start_mark.line + 1
                raise self.error(key_node, f"{key[:80]!r} is there twice; first in line {first}.")
            if known is not None and key not in known:
                raise self.error(key_node, f"{what} has no {key[:80]!r}.", f"It has: {', '.join(known)}.")
            found[key] = (key_node, value)
        return found

    def written(self, node: yaml.Node) -> Written:
        if isinstance(node, yaml.MappingNode):
            return {key: self.scalar(value) for key, (_, value) in self.mapping(node, "the value").items()}
        if isinstance(node, yaml.SequenceNode):
            return self.scalars(node)
        return self.scalar(node)

    def scalars(self, node: yaml.Node) -> list[Scalar]:
        if isinstance(node, yaml.SequenceNode):
            return [self.scalar(each) for each in node.value]
        return [self.scalar(node)]

    def scalar(self, node: yaml.Node) -> Scalar:
        if not isinstance(node, yaml.ScalarNode):
            raise self.error(node, "must be a single value here, not a list or a mapping.")
        kind = {"tag:yaml.org,2002:bool": "bool", "tag:yaml.org,2002:null": "null"}.get(node.tag, "text")
        return Scalar(node.value, self.mark(node), kind)

    def is_null(self, node: yaml.Node) -> bool:
        return isinstance(node, yaml.ScalarNode) and self.scalar(node).kind == "null"

    def error(self, node: yaml.Node, message: str, hint: str | None = None) -> InputError:
        return InputError(message, where=str(self.mark(node)), hint=hint)
