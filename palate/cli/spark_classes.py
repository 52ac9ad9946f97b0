"""`palate spark-classes`: the Java classes of a Spark job, kept so that later jobs need not load them one by one.

Java's class data sharing, by way of a dynamic archive (JEP 350): https://openjdk.org/jeps/350.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import tempfile
from pathlib import Path

import click

from palate.cli.job import job_command
from palate.doctor import require_java
from palate.errors import InputError, PalateError
from palate.jvm import CLASSES, FAST_ARROW, QUICK, QUIET_LOGS, SILENT_CLASSES


@click.command("spark-classes")
def spark_classes() -> None:
    """Let --quick Spark jobs start in two thirds of the time.

    Runs the job `prepare` on a few lines, and keeps the classes that its Java has loaded (some 190 MB) in this
    environment. Run it again after Spark or Java changed; a file that no longer fits is not used.
    """
    require_java()
    size = write_classes(CLASSES)
    click.echo(f"{CLASSES}  {size / 1e6:.0f} MB")


def write_classes(path: Path) -> int:
    """Writes the archive, and returns its bytes. Raises InputError where it cannot be written, PalateError if the job
    fails."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.touch()
        beside.unlink()
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}.", where=str(path.parent)) from error
    try:
        with tempfile.TemporaryDirectory(prefix="palate-classes-") as folder:
            data = Path(folder, "data")
            data.mkdir()
            pairs = [f"u{row % 20},i{row * row % 23},{row % 5 + 1},{row}" for row in range(160)]
            Path(data, "interactions.csv").write_text("\n".join(["user,item,rating,timestamp", *pairs, ""]))
            Path(data, "items.csv").write_text("id,title,categories\ni1,one,a|b\ni2,two,b\n")
            java = f"{QUIET_LOGS} {FAST_ARROW} {QUICK} -XX:ArchiveClassesAtExit={beside} {SILENT_CLASSES}"
            command, environment = job_command(
                "prepare",
                ["--input", str(data), "--output", str(Path(folder, "prepared"))],
                master="local[2]",
                conf={"spark.driver.extraJavaOptions": java},
            )
            ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if ran.returncode or not beside.is_file():
            last = (ran.stderr.strip() or "Java wrote no archive.").splitlines()[-1]
            raise PalateError(f"the job whose classes are to be kept failed: {last}", where="prepare")
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return path.stat().st_size
