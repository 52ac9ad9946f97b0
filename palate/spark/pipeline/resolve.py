"""Steps resolved: `--set` put in, references replaced, options and their values checked against the job's own.

`${vars.NAME}` is a variable, `${STEP.OPTION}` the value that another step's option has. Relative paths start at the
pipeline's root. `$${` is a plain `${`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from palate.errors import InputError, PalateError, ParameterError
from palate.spark.job import local_path
from palate.spark.pipeline.document import Document, Mark, Scalar, Written, WrittenStep, read_scalar
from palate.spark.pipeline.jobs import Job, Value, takes_pairs

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)\}?")


@dataclass(frozen=True)
class Step:
    """words: the job's command line. params: the value of every option, defaults included; paths are absolute.

    inputs: what it reads, by option (or `inputs`, `inputs[1]`). outputs: what it writes, by option. needs: the steps
    that run before it, in their order.
    """

    name: str
    mark: Mark
    job: Job
    words: tuple[str, ...]
    params: Mapping[str, Any]
    inputs: Mapping[str, Path]
    outputs: Mapping[str, Path]
    needs: tuple[str, ...]


class Resolver:
    """Fills in references, step after step."""

    def __init__(self, document: Document, jobs: Mapping[str, Job], root: Path) -> None:
        self.document, self.jobs, self.root = document, jobs, root
        self.vars: dict[str, str] = {}
        for name, scalar in document.vars.items():  # in their order, so that one can refer to those above
            self.vars[name] = self.filled(scalar, {})

    def step(self, name: str, needs: list[str], done: Mapping[str, Step]) -> Step:
        written, job = self.document.steps[name], self.jobs[name]
        values: dict[str, Value] = {}
        marks = {}
        for option, (mark, given) in written.options.items():
            if option not in job.options:
                close = get_close_matches(option, job.options, 1)
                hint = f"Did you mean {close[0]}?" if close else f"It has: {', '.join(job.options)}."
                raise InputError(f"the job {job.name} has no option {option[:80]!r}.", where=str(mark), hint=hint)
            value = self.value(job, option, given, done)
            if value is not None:
                values[option] = value
                marks[option] = mark
        words: list[str] = []
        for option, value in values.items():
            with _placed(marks[option], f"{option}: "):
                words += job.words({option: value})
        params = _parsed(job, words, written, marks)
        places = {key: Path(str(value)) for key, value in params.items() if value is not None and job.reads(key)}
        for index, scalar in enumerate(written.inputs):
            places["inputs" if not index else f"inputs[{index}]"] = self.place(self.filled(scalar, done), scalar.mark)
        outputs = {key: Path(str(value)) for key, value in params.items() if value is not None and job.writes(key)}
        return Step(name, written.mark, job, tuple(words), params, places, outputs, tuple(needs))

    def value(self, job: Job, option: str, given: Written, done: Mapping[str, Step]) -> Value | None:
        """What the option gets, None for its default."""
        if isinstance(given, dict):
            return {key: self.filled(scalar, done) for key, scalar in given.items() if scalar.kind != "null"}
        if isinstance(given, list):
            return [self.filled(scalar, done) for scalar in given]
        if given.kind == "null":
            return None
        text = self.filled(given, done)
        if job.options[option].is_flag:
            scalar = given if text == given.text else read_scalar(text, given.mark)
            if scalar.kind != "bool":
                raise InputError(f"{option}: is a flag: true or false, not {text[:80]!r}.", where=str(given.mark))
            return scalar.truth
        return str(self.place(text, given.mark)) if job.reads(option) or job.writes(option) else text

    def place(self, text: str, mark: Mark) -> Path:
        with _placed(mark):
            return local_path(text if "://" in text or text.startswith("file:") else self.root / text, "path")

    def filled(self, scalar: Scalar, done: Mapping[str, Step]) -> str:
        """The text with its references replaced."""

        def one(match: re.Match[str]) -> str:
            if match[1] is None:
                return "${"
            scope, _, name = _reference(match, scalar).partition(".")
            if scope != "vars":
                return self.option(scope, name, done, scalar.mark)
            if name not in self.vars:
                later = " It is defined further down." if name in self.document.vars else ""
                hint = f"There are: {', '.join(self.vars) or 'none'}.{later}"
                raise InputError(f"there is no variable {name[:80]!r}.", where=str(scalar.mark), hint=hint)
            return self.vars[name]

        return _REFERENCE.sub(one, scalar.text)

    def option(self, step: str, option: str, done: Mapping[str, Step], mark: Mark) -> str:
        if step not in done:
            raise InputError("a variable cannot refer to a step.", where=str(mark))
        option = option.replace("-", "_")
        job = self.jobs[step]
        if option not in job.options:
            hint = f"It has: {', '.join(job.options)}."
            raise InputError(f"the job {job.name} of step {step} has no {option[:80]!r}.", where=str(mark), hint=hint)
        value = done[step].params[option]
        if value is None or isinstance(value, list):
            what = "is not given" if value is None else "is a list"
            raise InputError(f"the option {option} of step {step} {what}, so nothing can refer to it.", where=str(mark))
        return str(value).lower() if isinstance(value, bool) else str(value)


def _reference(match: re.Match[str], scalar: Scalar) -> str:
    inner = str(match[1]).strip()
    if not match[0].endswith("}"):
        raise InputError("a reference has no end: } is missing.", where=str(scalar.mark))
    if not re.fullmatch(r"[\w-]+\.[\w-]+", inner):
        hint = "Write ${vars.NAME} or ${STEP.OPTION}; $${ for a plain ${."
        raise InputError(f"{match[0][:80]!r} is no reference.", where=str(scalar.mark), hint=hint)
    return inner


def references(written: WrittenStep) -> list[tuple[str, Mark]]:
    """The steps that the values of this one refer to, each time with the place."""
    found = list(written.inputs)
    for _, value in written.options.values():
        found += [value] if isinstance(value, Scalar) else value.values() if isinstance(value, dict) else value
    named = [
        (_reference(match, scalar).partition(".")[0], scalar.mark)
        for scalar in found
        for match in _REFERENCE.finditer(scalar.text)
        if match[1] is not None
    ]
    return [(name, mark) for name, mark in named if name != "vars"]


def _parsed(job: Job, words: list[str], written: WrittenStep, marks: Mapping[str, Mark]) -> dict[str, Any]:
    try:
        return job.parsed(words)
    except click.UsageError as error:
        param = getattr(error, "param", None)
        name = next((key for key, option in job.options.items() if option is param), "")
        message = error.format_message().rstrip(".") + "."
        where = marks.get(name, written.mark)
        raise InputError(f"step {written.name}: {message}", where=str(where)) from None


def overridden(document: Document, jobs: Mapping[str, Job], settings: Sequence[str]) -> Document:
    variables, steps = dict(document.vars), dict(document.steps)
    for setting in settings:
        name, separator, text = setting.partition("=")
        mark = Mark(f"--set {name}")
        if not separator or not name:
            raise ParameterError(f"{setting[:80]!r} is not NAME=VALUE.", where="--set")
        scope, _, rest = name.partition(".")
        scalar = read_scalar(text, mark)
        if not rest or scope == "vars":
            variable = rest or scope
            if variable not in variables:
                hint = f"There are: {', '.join(variables) or 'none'}. A step's option is STEP.OPTION=VALUE."
                raise InputError(f"there is no variable {variable[:80]!r}.", where=str(mark), hint=hint)
            variables[variable] = scalar
        elif scope not in steps:
            raise InputError(
                f"there is no step {scope[:80]!r}.", where=str(mark), hint=f"There are: {', '.join(steps)}."
            )
        else:
            steps[scope] = _with_option(steps[scope], jobs[scope], rest, scalar)
    return dataclasses.replace(document, vars=variables, steps=steps)


def _with_option(written: WrittenStep, job: Job, name: str, scalar: Scalar) -> WrittenStep:
    option, _, key = name.replace("-", "_").partition(".")
    if option not in job.options and not key and "set" in job.options and takes_pairs(job.options["set"]):
        option, key = "set", option
    value: Written = scalar
    if key:
        value = {**_pairs(written.options[option][1] if option in written.options else []), key: scalar}
    return dataclasses.replace(written, options={**written.options, option: (scalar.mark, value)})


def _pairs(written: Written) -> dict[str, Scalar]:
    """NAME=VALUE texts as a mapping."""
    if isinstance(written, dict):
        return written
    listed = [written] if isinstance(written, Scalar) else written
    parts = [(scalar.text.partition("="), scalar) for scalar in listed]
    return {name: dataclasses.replace(scalar, text=text) for (name, _, text), scalar in parts}


class _placed:
    """Gives a ParameterError raised in its block the place in the file."""

    def __init__(self, mark: Mark, prefix: str = "") -> None:
        self.mark, self.prefix = mark, prefix

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, PalateError):
            raise InputError(f"{self.prefix}{error.message}", where=str(self.mark), hint=error.hint) from None
