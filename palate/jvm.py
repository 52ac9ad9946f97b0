"""What every Java that Palate starts for Spark is told, by spark-submit or from Python."""

from __future__ import annotations

import sys
from pathlib import Path

_LOGS = Path(__file__).parent / "spark" / "log4j2.properties"

QUIET_LOGS = f"-Dlog4j2.configurationFile={_LOGS.as_uri()}"
"""Errors only, on standard error."""

FAST_ARROW = "-Darrow.enable_unsafe_memory_access=true"
"""Arrow does not look once more at the bounds that Spark's writers keep anyway, number by number: vectors go to Python
in two thirds of the time."""

QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""For data so small that Java's own compiling takes most of the time."""

CLASSES = Path(sys.prefix, "share", "palate", "spark-classes.jsa")
"""What `palate spark-classes` writes: the classes of a job as Java keeps them in memory, to be shared by later ones
(class data sharing). It goes with this environment's Spark and with the Java that wrote it."""

SILENT_CLASSES = "-Xlog:cds*=off"
"""Where the file does not go with its Spark, Java loads each class by itself, as without it; nobody need know."""


def quick_java() -> str:
    """QUICK, and to take the classes from CLASSES where there is that file."""
    share = CLASSES.is_file() and not any(map(str.isspace, str(CLASSES)))
    return f"{QUICK} -XX:SharedArchiveFile={CLASSES} {SILENT_CLASSES}" if share else QUICK
