"""One real Spark session for every test of this folder; it is the whole run's, for a JVM has only one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    pytest.importorskip("pyspark", reason="needs pyspark: pip install 'palate[spark]'")
    from palate.spark.session import spark_session

    session = spark_session("palate tests", master="local[2]", config={"spark.sql.shuffle.partitions": "3"})
    yield session
    session.stop()
