"""`python -m benchmarks [NAME ...]`: each benchmark in a process of its own, so that none inherits another's threads,
caches or JVM."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from benchmarks.harness import NAMES, find, record
from benchmarks.report import write


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, type=click.Choice(NAMES), metavar="[NAME]...")
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
    """Measure Palate beside its peers."""
    if listing:
        for name in NAMES:
            click.echo(f"{name}: {find(name).claim}")
        return
    if here is not None:
        benchmark = find(names[0])
        here.write_text(json.dumps(record(benchmark, benchmark.run(quick))), encoding="utf-8")
        return
    results, failed = [], []
    for name in names or NAMES:
        entry = _in_a_process(name, quick)
        if entry is None:
            failed.append(name)
            continue
        results.append(entry)
        click.echo(
            f"{name}: {entry['peer']} {entry['peer_seconds']:.3g} s, ours {entry['ours_seconds']:.3g} s, "
            f"{entry['ratio']:.3g} x ({entry['size']})"
        )
        write(output, results, quick)
    if failed:
        click.echo(f"Failed: {', '.join(failed)}", err=True)
        sys.exit(1)
    click.echo(f"Written: {output / 'results.json'} and {output / 'results.md'}")


def _in_a_process(name: str, quick: bool) -> dict[str, Any] | None:
    with tempfile.TemporaryDirectory(prefix="palate-bench-") as folder:
        file = Path(folder) / "result.json"
        command = [sys.executable, "-m", "benchmarks", name, "--here", str(file), *(["--quick"] if quick else [])]
        done = subprocess.run(command, cwd=Path(__file__).parent.parent, check=False)
        if done.returncode or not file.is_file():
            return None
        entry: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return entry


if __name__ == "__main__":
    main()
