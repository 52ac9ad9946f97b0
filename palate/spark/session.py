"""The one place where jobs and tests get their SparkSession.

A master and any setting that spark-submit, spark-defaults.conf or a running session gave stay as they are; what is
set here are defaults for one machine.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Mapping
from typing import TYPE_CHECKING

from palate.doctor import require_java
from palate.errors import MissingDependencyError, ParameterError
from palate.jvm import FAST_ARROW, QUIET_LOGS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Python workers are as many as there are cores, so that each computes on one thread."""


def spark_session(name: str, *, master: str | None = None, config: Mapping[str, str] | None = None) -> SparkSession:
    """The running session, or a new one.

    Parameters
    ----------
    name: shown in Spark's own pages.
    master: "local[*]" unless this, or spark-submit, says otherwise.
    config: settings that win over everything else; of a session that runs already only those of SQL can change.

    Raises MissingDependencyError without pyspark or a usable Java, ParameterError when Spark refuses to start.
    """
    try:
        from pyspark import SparkContext
        from pyspark.conf import SparkConf
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise MissingDependencyError(
            f"Spark jobs need {error.name}.", hint="Install it: pip install 'palate[spark]'."
        ) from error
    if "PYSPARK_GATEWAY_PORT" not in os.environ and SparkSession.getActiveSession() is None:
        require_java()  # under spark-submit the JVM runs already
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    for variable in ONE_THREAD:
        os.environ.setdefault(variable, "1")
    if "PYSPARK_GATEWAY_PORT" in os.environ:
        SparkContext._ensure_initialized()  # only then does SparkConf() hold what spark-submit was told
    conf = SparkConf().setAppName(name)
    if master is not None:
        conf.setMaster(master)
    for key, value in _defaults(conf.get("spark.master", "local[*]") or "local[*]").items():
        conf.setIfMissing(key, value)
    for key, value in (config or {}).items():
        conf.set(key, value)
    for logger in ("pyspark", "py4j"):
        logging.getLogger(logger).setLevel(logging.ERROR)
    try:
        session: SparkSession = SparkSession.builder.config(conf=conf).getOrCreate()
    except (PySparkException, RuntimeError) as error:
        raise ParameterError(
            f"Spark did not start: {str(error).splitlines()[0]}", where="spark", hint="Java says above why."
        ) from error
    except Exception as error:
        if type(error).__module__.startswith("py4j"):
            raise ParameterError(f"Spark did not start: {_cause(error)}", where="spark.master") from error
        raise
    session.sparkContext.setLogLevel(conf.get("spark.log.level", "ERROR") or "ERROR")
    return session


def _cause(error: BaseException) -> str:
    """The JVM's own message, without its stack."""
    told = getattr(error, "java_exception", None)
    return str(told.getMessage() if told is not None else error).splitlines()[0][:300]


def _defaults(master: str) -> dict[str, str]:
    local = master.startswith("local")
    values = {
        "spark.master": master,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
        "spark.driver.extraJavaOptions": f"{QUIET_LOGS} {FAST_ARROW}",
        "spark.executor.extraJavaOptions": FAST_ARROW,
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.execution.pyspark.udf.faulthandler.enabled": "true",
    }
    values.update({f"spark.executorEnv.{variable}": "1" for variable in ONE_THREAD})
    if local:
        values |= {
            "spark.driver.memory": "2g",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.sql.shuffle.partitions": str(min(8, 2 * (os.cpu_count() or 1))),
            "spark.sql.warehouse.dir": os.path.join(tempfile.gettempdir(), "palate-spark-warehouse"),
        }
    return values
