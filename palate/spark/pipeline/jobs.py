"""The jobs that a step can name: the scripts that `palate job` finds, and the options of the commands behind them.

An option whose metavar is DIR, FILE or PATH is a place: one called `output...` is written to, all others are read.
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import click

from palate.cli.job import jobs
from palate.errors import ParameterError

Value: TypeAlias = str | bool | list[str] | dict[str, str]
"""What an option is given: a text, a flag's state, the texts of a repeatable option, or its NAME=VALUE pairs."""

PLACES = ("DIR", "FILE", "PATH")
OVERWRITE = "overwrite"
NOT_A_STEP = ("pipeline",)


@dataclass(frozen=True)
class Job:
    """One job. options: by their long name with `_` for `-`; not among them are help and `overwrite`, which a
    pipeline decides itself."""

    name: str
    script: Path
    command: click.Command

    @cached_property
    def options(self) -> dict[str, click.Option]:
        known = {option_name(one): one for one in self.command.params if isinstance(one, click.Option)}
        return {name: one for name, one in known.items() if name not in ("help", OVERWRITE)}

    @cached_property
    def overwrites(self) -> bool:
        """Whether it has an --overwrite."""
        return any(isinstance(one, click.Option) and option_name(one) == OVERWRITE for one in self.command.params)

    @cached_property
    def sources(self) -> tuple[Path, ...]:
        """The files that define it: the script, and the module of the command."""
        module = inspect.getsourcefile(self.command.callback) if self.command.callback else None
        return (self.script, Path(module)) if module else (self.script,)

    def reads(self, name: str) -> bool:
        return is_place(self.options[name]) and not self.writes(name)

    def writes(self, name: str) -> bool:
        return is_place(self.options[name]) and name.startswith("output")

    def words(self, values: Mapping[str, Value]) -> list[str]:
        """The command line that gives these values. Raises ParameterError for a value of the wrong shape."""
        return [word for name, value in values.items() for word in _words(self.options[name], value)]

    def parsed(self, words: Sequence[str]) -> dict[str, Any]:
        """Every option's value after defaults. Raises click.UsageError as the command itself would."""
        with self.command.make_context(self.name, list(words)) as context:
            found = {option_name(one): context.params.get(one.name or "") for one in self.options.values()}
        return {name: _plain(value) for name, value in found.items()}


def option_name(option: click.Option) -> str:
    """ "--max-rejects" as a step has it: max_rejects."""
    return max(option.opts, key=len).lstrip("-").replace("-", "_")


def is_place(option: click.Option) -> bool:
    return option.metavar in PLACES or isinstance(option.type, click.Path)


def takes_pairs(option: click.Option) -> bool:
    """Whether it is repeatable and each of its values is NAME=VALUE."""
    return option.multiple and "=" in (option.metavar or "")


def job_names() -> list[str]:
    return [name for name in jobs() if name not in NOT_A_STEP]


def find_job(name: str) -> Job:
    """The job of that name. Raises ParameterError, naming those there are."""
    if name in NOT_A_STEP:
        raise ParameterError("a pipeline cannot be a step.")
    if name not in jobs():
        raise ParameterError(f"there is no job {name[:80]!r}.", hint=f"There are: {', '.join(job_names())}.")
    return Job(name, jobs()[name][0], find_command(name))


def find_command(name: str) -> click.Command:
    """The command that the script of a job runs."""
    script = jobs()[name][0]
    spec = importlib.util.spec_from_file_location(f"palate_job_{name}", script)
    if spec is None or spec.loader is None:
        raise ParameterError("it cannot be imported.", where=str(script))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    commands = [value for value in vars(module).values() if isinstance(value, click.Command)]
    if len(commands) != 1:
        raise ParameterError(f"it holds {len(commands)} commands; a job is one.", where=str(script))
    return commands[0]


def _words(option: click.Option, value: Value) -> list[str]:
    flag = max(option.opts, key=len)
    if option.is_flag:
        if not isinstance(value, bool):
            raise ParameterError("is a flag: true or false.")
        return [flag] if value else list(option.secondary_opts[:1])
    if isinstance(value, dict):
        if not takes_pairs(option):
            raise ParameterError("takes no mapping.")
        value = [f"{name}={text}" for name, text in value.items()]
    if isinstance(value, list):
        if option.multiple:
            return [word for text in value for word in (flag, text)]
        if "," not in (option.metavar or ""):
            raise ParameterError("takes one value, not a list.")
        value = ",".join(value)
    if isinstance(value, bool):
        value = str(value).lower()
    return [flag, value] if not value.startswith("-") else [f"{flag}={value}"]


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
