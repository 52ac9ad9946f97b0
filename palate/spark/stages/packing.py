"""A column of arrays as the bytes of its rows, on the driver: an expression that the JVM computes by showing memory.

Spark writes an array to Arrow number by number, which took half of the time of a fit of PCA, and most of the first ones
of a session, before the JVM has compiled that. But an array of numbers lies in a row of Spark's as `UnsafeArrayData`: a
word with their count, words with a bit for each that is null, and the numbers, padded to whole words. That memory is
shown to Spark as a string, which it copies as a whole. It is no text, and nothing reads it as such: blocks.py finds the
numbers in it again, and the nulls, for which looking here, number by number, took as long as all the rest. An array
that lies otherwise, as in a batch of Parquet's, is laid out so first.

Spark's SQL has no word for this; the expressions are those of which Spark's encoders for Java objects are made.
"""

from __future__ import annotations

from typing import Any

from pyspark.sql import Column
from pyspark.sql import functions as f

from palate.spark.stages.blocks import HOLED


def as_bytes(jvm: Any, column: Column, *, double: bool) -> Column | None:
    """The rows of a column of arrays of doubles, or of floats, as blocks.py reads them; null for null.

    None where the JVM has no such expressions.
    """
    try:
        return _made(jvm, column, double)
    except (TypeError, AttributeError):  # py4j's way to say that there is no such class or method
        return None


def without_nulls(values: Column, kind: str) -> Column:
    """Whether no element of an array of `kind` (float, double) is null, in one fast pass: of an array with a null and
    without NaN it is unknown, which is null, whether it contains NaN. Null of no array, too."""
    return f.array_contains(values, f.lit(float("nan")).cast(kind)).isNotNull()


def _made(jvm: Any, column: Column, double: bool) -> Column:
    catalyst, types = jvm.org.apache.spark.sql.catalyst.expressions, jvm.org.apache.spark.sql.types
    columns, platform = jvm.org.apache.spark.sql.classic.ExpressionUtils, jvm.org.apache.spark.unsafe.Platform
    class_named, of_class = jvm.java.lang.Class.forName, types.ObjectType

    def several(*given: Any) -> Any:
        held = jvm.java.util.ArrayList()
        for each in given:
            held.add(each)
        return jvm.org.apache.spark.api.python.PythonUtils.toSeq(held)

    def expression(given: Column) -> Any:
        return columns.expression(given._jc)

    def typed(name: str) -> Any:
        return types.DataType.fromDDL(name)

    # Null if what they are called with is, which it may be, and always the same for the same array.
    rules = True, True, True

    def call(target: Any, name: str, to: Any, *arguments: Any) -> Any:
        return catalyst.objects.Invoke(target, name, to, several(*arguments), several(), *rules)

    def static(of: Any, name: str, to: Any, *arguments: Any) -> Any:
        none = jvm.scala.Option.empty()
        return catalyst.objects.StaticInvoke(of, to, name, several(*arguments), several(), *rules, none)

    laid_out = class_named("org.apache.spark.sql.catalyst.expressions.UnsafeArrayData")
    anything = of_class(class_named("java.lang.Object"))

    def shown(base: Any, offset: Any, size: Any) -> Column:
        text = class_named("org.apache.spark.unsafe.types.UTF8String")
        return Column(columns.column(static(text, "fromAddress", typed("string"), base, offset, size)))

    array = expression(column)
    the_class = catalyst.Literal(laid_out, of_class(class_named("java.lang.Class")))
    lies = Column(columns.column(call(the_class, "isInstance", typed("boolean"), array)))
    as_it_lies = call(the_class, "cast", of_class(laid_out), array)
    there = shown(
        call(as_it_lies, "getBaseObject", anything),
        call(as_it_lies, "getBaseOffset", typed("bigint")),
        call(as_it_lies, "getSizeInBytes", typed("int")),
    )

    take, kind, size = ("toDoubleArray", "[D", 8) if double else ("toFloatArray", "[F", 4)
    numbers = call(array, take, of_class(class_named(kind)))
    count = f.size(column).cast("bigint")
    words = 1 + f.ceil(count / 64) + f.ceil(count * size / 8)
    made = shown(
        call(static(laid_out, "fromPrimitiveArray", of_class(laid_out), numbers), "getBaseObject", anything),
        expression(f.lit(platform.LONG_ARRAY_OFFSET).cast("bigint")),
        expression((words * 8).cast("int")),
    )
    whole = without_nulls(column, "double" if double else "float")
    # A single float, with its padding, could be a double; so it comes as four bytes.
    alone = f.lit(False) if double else f.size(column) == 1
    first = shown(numbers, expression(f.lit(platform.FLOAT_ARRAY_OFFSET).cast("bigint")), expression(f.lit(4)))
    return (
        f.when(lies & ~alone, there)
        .when(whole & ~alone, made)
        .when(whole, first)
        .when(column.isNotNull(), f.lit(HOLED))
    )
