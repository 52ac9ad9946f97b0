"""Values sent to the executors, whose copy on the driver's disk goes when nothing can ask for it any more.

Spark itself forgets a broadcast once the JVM holds neither the value nor a query that reads it, on the executors too;
but the file that pyspark writes for it on the driver stays until the session ends. A model cannot take that file with
it either: what its `transform` gave may be computed when the model is long gone. So each value sent looks for those
that the JVM has let go since.
"""

from __future__ import annotations

import os
import weakref
from contextlib import suppress
from typing import Any, TypeVar

from pyspark import Broadcast, SparkContext
from pyspark.sql import SparkSession

T = TypeVar("T")

_files: weakref.WeakKeyDictionary[SparkContext, dict[str, Any]] = weakref.WeakKeyDictionary()
"""Per running context: the file of each value sent, and the JVM's weak reference to its broadcast."""


def send(spark: SparkSession, value: T) -> Broadcast[T]:
    """A broadcast of the value; removes the files of those that are gone."""
    context: Any = spark.sparkContext
    files = _files.setdefault(context, {})
    for path, reference in list(files.items()):
        if reference.get() is None and files.pop(path, None) is not None:
            with suppress(OSError):
                os.unlink(path)
    sent: Any = context.broadcast(value)
    files[sent._path] = context._jvm.java.lang.ref.WeakReference(sent._jbroadcast)
    return sent  # type: ignore[no-any-return]
