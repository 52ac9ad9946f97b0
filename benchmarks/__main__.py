"""`python -m benchmarks [NAME ...]`: each benchmark in a process of its own, so that none inherits another's threads,
caches or JVM. A quick run, which compares nothing, takes one for all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from benchmarks.harness import NAMES, ON_REQUEST, find, record
from benchmarks.report import write
from palate.jvm import quick_java


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, type=click.Choice([*NAMES, *ON_REQUEST]), metavar="[NAME]...")
@click.option("--quick", is_flag=True, help="Tiny sizes: shows that it runs, compares nothing.")
@click.option(
    "--output",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    default=Path(__file__).parent,
    help="The folder for results.json and results.md; benchmarks/ unless told.",
)
@click.option("--list", "listing", is_flag=True, help="Name the benchmarks and what they claim.")
@click.option("--here", type=click.Path(path_type=Path), hidden=True, help="Run one, in this process.")
def main(names: tuple[str, ...], quick: bool, output: Path, listing: bool, here: Path | None) -> None:
    """Measure Palate beside its peers. Only when they are named: serving, which needs wrk, and
    labeling_page, which needs Chromium."""
    if listing:
        for name in NAMES:
            click.echo(f"{name}: {find(name).claim}")
        return
    if here is not None:
        with open(here, "w", encoding="utf-8") as file:
            for name in names:
                benchmark = find(name)
                print(json.dumps(record(benchmark, benchmark.run(quick))), file=file, flush=True)
        return
    results: list[dict[str, Any]] = []
    chosen = names or NAMES
    for together in [chosen] if quick else [(name,) for name in chosen]:
        for entry in _in_a_process(together, quick):
            results.append(entry)
            click.echo(
                f"{entry['name']}: {entry['peer']} {entry['peer_seconds']:.3g} s, ours {entry['ours_seconds']:.3g} s, "
                f"{entry['ratio']:.3g} x ({entry['size']})"
            )
            write(output, results, quick)
    failed = [name for name in chosen if name not in {entry["name"] for entry in results}]
    if failed:
        click.echo(f"Failed: {', '.join(failed)}", err=True)
        sys.exit(1)
    click.echo(f"Written: {output / 'results.json'} and {output / 'results.md'}")


def _in_a_process(names: tuple[str, ...], quick: bool) -> list[dict[str, Any]]:
    """The entries of those that did not fail before one that did."""
    with tempfile.TemporaryDirectory(prefix="palate-bench-") as folder:
        file = Path(folder) / "results.jsonl"
        command = [sys.executable, "-m", "benchmarks", *names, "--here", str(file), *(["--quick"] if quick else [])]
        java = {"JDK_JAVA_OPTIONS": quick_java()} if quick else {}  # sizes at which compiling takes most of the time
        subprocess.run(command, cwd=Path(__file__).parent.parent, env={**os.environ, **java}, check=False)
        return [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.is_file() else []


if __name__ == "__main__":
    main()
