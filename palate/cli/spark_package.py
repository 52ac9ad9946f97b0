"""`palate spark-package`: what a bare cluster needs, as files that spark-submit ships."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from palate.packaging import ARCHIVES, machine, write_environment, write_package


@click.command("spark-package")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("dist"),
    show_default=True,
    metavar="DIR",
    help="Where the files go.",
)
@click.option(
    "--extra",
    "extras",
    multiple=True,
    default=("torch",),
    show_default=True,
    help="An extra of palate that the executors need too, such as text; repeatable.",
)
@click.option(
    "--compress",
    type=click.Choice(list(ARCHIVES)),
    default="gzip",
    show_default=True,
    help="none: three times as large, but each executor starts some seconds sooner on a fast network.",
)
@click.option("--only-palate", is_flag=True, help="Write palate.zip alone.")
def spark_package(output: Path, extras: tuple[str, ...], compress: str, only_palate: bool) -> None:
    """Write what the executors of a bare cluster need.

    \b
    DIR/palate.zip                    palate alone, for --py-files, where its dependencies are installed
    DIR/palate-environment.tar.gz     palate and all it needs, for --archives; the interpreter is the cluster's
    """
    output.mkdir(parents=True, exist_ok=True)
    package = write_package(output)
    click.echo(f"{package}  {package.stat().st_size / 1e6:.1f} MB")
    if only_palate:
        return
    environment = write_environment(output, ("spark", *extras), compress=compress)
    click.echo(f"{environment}  {environment.stat().st_size / 1e6:.0f} MB, for {machine()}")
    click.echo(
        f"\nspark-submit --archives {environment}#palate-environment \\\n"
        "  --conf spark.executorEnv.PYTHONPATH=palate-environment \\\n"
        f"  --conf spark.pyspark.python=python{sys.version_info.major}.{sys.version_info.minor} \\\n"
        f"  --conf spark.pyspark.driver.python={sys.executable} \\\n"
        "  your_job.py"
    )
