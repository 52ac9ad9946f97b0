"""What every Java that Palate starts for Spark is told, by spark-submit or from Python."""

from __future__ import annotations

from pathlib import Path

_LOGS = Path(__file__).parent / "spark" / "log4j2.properties"

QUIET_LOGS = f"-Dlog4j2.configurationFile={_LOGS.as_uri()}"
"""Errors only, on standard error."""

FAST_ARROW = "-Darrow.enable_unsafe_memory_access=true"
"""Arrow does not look once more at the bounds that Spark's writers keep anyway, number by number: vectors go to Python
in two thirds of the time."""

QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""For data so small that Java's own compiling takes most of the time."""
