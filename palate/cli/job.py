"""`palate job NAME [arguments]`: starts spark-submit, as a process, on one of the scripts of spark_jobs.

Which jobs there are, and their line of help, is read from that folder: a new script is a new job.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import click

from palate.errors import MissingDependencyError, ParameterError
from palate.jvm import FAST_ARROW, QUICK, QUIET_LOGS, quick_java

_STDERR = 2


def jobs() -> dict[str, tuple[Path, str]]:
    """Name to (script, one line of help), in alphabetical order."""
    spec = importlib.util.find_spec("spark_jobs")
    folders = list(spec.submodule_search_locations or []) if spec else []
    scripts = sorted(path for folder in folders for path in Path(folder).glob("[!_]*.py"))
    return {path.stem: (path, _first_line(path)) for path in scripts}


def _first_line(script: Path) -> str:
    return (ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or "").split("\n")[0]


def spark_submit() -> Path:
    """The spark-submit of SPARK_HOME, else the one that came with pyspark. Raises MissingDependencyError."""
    home = os.environ.get("SPARK_HOME")
    if home:
        path = Path(home, "bin", "spark-submit")
        if not path.is_file():
            raise MissingDependencyError(f"there is no {path}.", where="SPARK_HOME", hint="Correct it, or unset it.")
        return path
    spec = importlib.util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise MissingDependencyError("Spark is not installed.", hint="Install it: pip install 'palate[spark]'.")
    return Path(spec.origin).parent / "bin" / "spark-submit"


def job_command(
    name: str,
    arguments: Sequence[str] = (),
    *,
    master: str | None = None,
    conf: Mapping[str, str] | None = None,
    quick: bool = False,
) -> tuple[list[str], dict[str, str]]:
    """The command line and the environment that run a job; for `subprocess`.

    quick: for data so small that the JVM's own compiling takes most of the time (measured on 100,000 interactions:
    `prepare` takes half the processor time); on large data it is the slower way.
    The driver and the workers run this interpreter unless PYSPARK_PYTHON says otherwise. Raises ParameterError for a
    job that does not exist, MissingDependencyError without Spark.
    """
    known = jobs()
    if name not in known:
        raise ParameterError(f"there is no job {name[:80]!r}.", where="job", hint=f"There are: {', '.join(known)}.")
    java = " ".join([QUIET_LOGS, FAST_ARROW, *([quick_java()] if quick else [])])  # a `--conf` of the caller's wins
    command = [str(spark_submit()), "--conf", f"spark.driver.extraJavaOptions={java}"]
    if quick:
        here = (master or "local").startswith("local")  # elsewhere the classes are not
        command += ["--conf", f"spark.executor.extraJavaOptions={FAST_ARROW} {quick_java() if here else QUICK}"]
    if master is not None:
        command += ["--master", master]
    for key, value in (conf or {}).items():
        command += ["--conf", f"{key}={value}"]
    environment = dict(os.environ)
    environment.setdefault("PYSPARK_PYTHON", sys.executable)
    environment.setdefault("PYSPARK_DRIVER_PYTHON", environment["PYSPARK_PYTHON"])
    return [*command, str(known[name][0]), *arguments], environment


class _JobHelp(click.Command):
    """Adds the list of jobs to the help."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Jobs"):
            formatter.write_dl([(name, line) for name, (_, line) in jobs().items()])


Function = TypeVar("Function", bound=Callable[..., Any])


def spark_options(command: Function) -> Function:
    """--master, --conf (as `conf`), --driver-memory, --quick: what spark-submit is told."""
    for option in (
        click.option("--quick", is_flag=True, help="For small data: Java compiles less, and starts sooner."),
        click.option("--driver-memory", metavar="SIZE", default="2g", show_default=True, help="The driver's memory."),
        click.option("--conf", metavar="KEY=VALUE", multiple=True, help="A setting for Spark; repeatable."),
        click.option(
            "--master", metavar="URL", help="Spark's master; local[*] unless spark-defaults.conf says otherwise."
        ),
    ):
        command = option(command)
    return command


def spark_settings(conf: Sequence[str], driver_memory: str) -> dict[str, str]:
    """`KEY=VALUE` texts as a mapping, with the driver's memory. Raises ParameterError for one that is none."""
    settings = {"spark.driver.memory": driver_memory}
    for setting in conf:
        key, separator, value = setting.partition("=")
        if not separator or not key:
            raise ParameterError(f"{setting[:80]!r} is not KEY=VALUE.", where="--conf")
        settings[key] = value
    return settings


@click.command(
    cls=_JobHelp,
    no_args_is_help=True,
    context_settings={"allow_interspersed_args": False, "ignore_unknown_options": False},
)
@spark_options
@click.argument("name")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def job(
    master: str | None,
    conf: tuple[str, ...],
    driver_memory: str,
    quick: bool,
    name: str,
    arguments: tuple[str, ...],
) -> None:
    """Run a Spark job; `palate job NAME --help` tells its arguments."""
    settings = spark_settings(conf, driver_memory)
    command, environment = job_command(name, arguments, master=master, conf=settings, quick=quick)
    sys.exit(run_job(command, environment))


def run_job(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Runs it to its end; a SIGTERM sent here is passed on, and Ctrl-C reaches it through the terminal."""
    # spark-submit merges the job's two streams into its standard output. A job writes nothing but its help there.
    to_stdout = any(argument in ("-h", "--help") for argument in command)
    with subprocess.Popen(command, env=environment, stdout=None if to_stdout else _STDERR) as process:

        def pass_on(number: int, frame: FrameType | None) -> None:
            process.send_signal(number)

        before = signal.signal(signal.SIGTERM, pass_on)
        try:
            while True:
                try:
                    code = process.wait()
                    return code if code >= 0 else 128 - code
                except KeyboardInterrupt:
                    continue  # spark-submit got it too; wait for its clean end
        finally:
            signal.signal(signal.SIGTERM, before)
