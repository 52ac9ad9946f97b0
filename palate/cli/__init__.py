"""The `palate` command: one module of this package per sub-command, and those of the houses by entry point.

A sub-command is a click command in a module of the same name, listed in `COMMANDS`; it is imported when asked for,
so `palate --help` starts at once. A PalateError ends the command with its message on standard error and its
exit code (2 for bad input); anything else is a bug and shows its traceback.
"""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points

import click

from palate import __version__
from palate.cli.exits import run
from palate.errors import MissingDependencyError, PalateError

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("palate.cli.demo:demo", "Train on real data and leave the services up."),
    "doctor": ("palate.cli.doctor:doctor", "Say what this machine lacks, and how to get it."),
    "job": ("palate.cli.job:job", "Run a Spark job: prepare, segment, train_mf, recommend."),
    "pipeline": ("palate.spark.pipeline.commands:pipeline", "Run a graph of Spark jobs, told in YAML; draw it."),
    "train": ("palate.cli.train:train", "Fit a model to files, without Spark; `auto` searches for the best."),
    "evaluate": ("palate.cli.evaluate:evaluate", "Measure a model by full ranking on held-out data."),
    "recommend": ("palate.cli.recommend:recommend", "Recommend items, from a running service or from a bundle."),
    "bundle": ("palate.cli.bundle:bundle", "Verify or show a model bundle."),
    "features": ("palate.cli.features:features", "Features from events: for training, and for serving."),
    "compile": ("palate.cli.compile:compile", "Make a bundle answer sooner: int8, float16 or an index, as measured."),
    "deploy-pipeline": (
        "palate.cli.deploy:deploy_pipeline",
        "Put each stage of a fitted pipeline behind a model endpoint.",
    ),
    "promote": ("palate.cli.promote:promote", "Move the alias champion or challenger to a model version."),
    "spark-package": ("palate.cli.spark_package:spark_package", "Write what the executors of a bare cluster need."),
    "spark-classes": (
        "palate.cli.spark_classes:spark_classes",
        "Let --quick Spark jobs start in two thirds of the time.",
    ),
    "keys": ("palate.cli.keys:keys", "Make, list and revoke API keys."),
    "people": ("palate.cli.keys:people", "Add, list and disable people who sign in."),
}
"""Name to ("module:attribute", one line of help)."""


class Commands(click.Group):
    """Looks sub-commands up by name, imports only the one that runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *sorted(point.name for point in entry_points(group="palate.commands"))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            module, attribute = COMMANDS[cmd_name][0].split(":")
            found: click.Command = getattr(importlib.import_module(module), attribute)
            return found
        for point in entry_points(group="palate.commands", name=cmd_name):
            try:
                plugin: click.Command = point.load()
            except ImportError as error:
                raise MissingDependencyError(
                    f"`palate {cmd_name}` needs {error.name}.",
                    hint="Install the extra it belongs to: pip install 'palate[serve,labeling]'.",
                ) from error
            return plugin
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, line) for name, (_, line) in COMMANDS.items()]
        for point in sorted(entry_points(group="palate.commands"), key=lambda point: point.name):
            command = None
            try:
                command = self.get_command(ctx, point.name)
            except PalateError as error:
                rows.append((point.name, str(error)))
            if command is not None:
                rows.append((point.name, command.get_short_help_str(80)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="palate")
def palate() -> None:
    """Recommend items and label data on your own machines."""


def main(arguments: list[str] | None = None) -> None:
    """The console script: runs the command, turns errors into exit codes."""
    run(palate, arguments, "palate")
