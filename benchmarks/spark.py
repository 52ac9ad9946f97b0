"""A plain local Spark for the benchmarks whose peer is MLlib."""

from __future__ import annotations

import atexit
import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from pyspark.sql import SparkSession

from palate.jvm import FAST_ARROW


@contextmanager
def spark_session() -> Iterator[SparkSession]:
    """Spark on all cores of this machine, quiet, nothing cached at the end; Arrow as docs/stages.md advises. A process
    has one, which ends with it."""
    session = _session()
    try:
        yield session
    finally:
        session.catalog.clearCache()


@cache
def _session() -> SparkSession:
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    session = (
        SparkSession.builder.master("local[*]")
        .appName("palate benchmarks")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.driver.memory", "3g")
        .config("spark.driver.extraJavaOptions", FAST_ARROW)
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", str(os.cpu_count() or 2))
        .config("spark.log.level", "ERROR")
        .getOrCreate()
    )
    atexit.register(session.stop)
    return session


def blas() -> str:
    """Which arithmetic MLlib finds on this machine; a comparison has to say. It looks for the library by this name."""
    try:
        ctypes.CDLL("libblas.so.3")
    except OSError:
        return "MLlib found no system BLAS (libblas.so.3) and used its Java one."
    return "MLlib had the system's BLAS."
