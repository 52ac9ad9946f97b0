"""A column of arrays as the bytes of their numbers, on the driver: an expression that the JVM computes by copying.

Spark writes an array to Arrow number by number, which took half of the time of a fit of PCA, and most of the first ones
of a session, before the JVM has compiled that. So the numbers of a row are taken out of it at once
(`ArrayData.toFloatArray`), and their memory is shown to Spark as a string, which it copies as a whole. It is no text,
and nothing reads it as such: blocks.py makes numbers of it again. Spark's SQL has no word for this; the expressions are
those of which Spark's encoders for Java objects are made.
"""

from __future__ import annotations

from typing import Any

from pyspark.sql import Column
from pyspark.sql import functions as f


def as_bytes(jvm: Any, column: Column, *, double: bool) -> Column | None:
    """The numbers of a column of arrays as they lie in memory: of floats a string, of doubles binary; null for null.

    No element may be null. None where the JVM has no such expressions.
    """
    try:
        return _made(jvm, column, double)
    except (TypeError, AttributeError):  # py4j's way to say that there is no such class or method
        return None


def _made(jvm: Any, column: Column, double: bool) -> Column:
    catalyst, types, unsafe = (
        jvm.org.apache.spark.sql.catalyst.expressions.objects,
        jvm.org.apache.spark.sql.types,
        jvm.org.apache.spark.unsafe,
    )
    columns, class_named = jvm.org.apache.spark.sql.classic.ExpressionUtils, jvm.java.lang.Class.forName

    def several(*given: Any) -> Any:
        held = jvm.java.util.ArrayList()
        for each in given:
            held.add(each)
        return jvm.org.apache.spark.api.python.PythonUtils.toSeq(held)

    def expression(given: Column) -> Any:
        return columns.expression(given._jc)

    take, kind, size = ("toDoubleArray", "[D", 8) if double else ("toFloatArray", "[F", 4)
    start = unsafe.Platform.DOUBLE_ARRAY_OFFSET if double else unsafe.Platform.FLOAT_ARRAY_OFFSET
    # Null if the array is, which it may be, and always the same for the same array.
    rules = True, True, True
    numbers = catalyst.Invoke(
        expression(column), take, types.ObjectType(class_named(kind)), several(), several(), *rules
    )
    place = several(numbers, expression(f.lit(start).cast("long")), expression(f.size(column) * size))
    text = types.DataType.fromDDL("string")
    shown = class_named("org.apache.spark.unsafe.types.UTF8String")
    made = Column(
        columns.column(
            catalyst.StaticInvoke(shown, text, "fromAddress", place, several(), *rules, jvm.scala.Option.empty())
        )
    )
    return made.cast("binary") if double else made
