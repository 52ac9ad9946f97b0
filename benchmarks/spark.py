"""A plain local Spark for the benchmarks whose peer is MLlib."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import SparkSession


@contextmanager
def spark_session() -> Iterator[SparkSession]:
    """Spark on all cores of this machine, quiet, stopped at the end."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    session = (
        SparkSession.builder.master("local[*]")
        .appName("palate benchmarks")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "3g")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", str(os.cpu_count() or 2))
        .config("spark.sql.warehouse.dir", "/nonexistent")
        .config("spark.log.level", "ERROR")
        .getOrCreate()
    )
    try:
        yield session
    finally:
        session.stop()


def blas(session: SparkSession) -> str:
    """Which arithmetic MLlib found on this machine; a comparison has to say."""
    try:
        session._jvm.dev.ludovic.netlib.blas.JNIBLAS.getInstance()  # type: ignore[union-attr]
    except Exception:
        return "MLlib found no system BLAS and used its Java one."
    return "MLlib used the system's BLAS."
