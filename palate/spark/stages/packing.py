"""A column of arrays as the bytes of their numbers, on the driver: the JVM shows their memory, which is copied at once.

Spark writes an array to Arrow number by number, which took half of the time of a fit of PCA, and most of the first ones
of a session, before the JVM has compiled that. But an array of numbers lies in a row of Spark's as `UnsafeArrayData`: a
word with their count, words with a bit for each that is null, and the numbers. The memory of these is shown to Spark as
a string, which it copies as a whole. It is no text, and nothing reads it as such: blocks.py makes numbers of it again.
Whether one is null is seen in the words of bits; to look number by number took as long as all the rest. An array that
lies otherwise, as in a batch of Parquet's, is looked through so, and copied out first.

Spark's SQL has no word for this; the expressions are those of which Spark's encoders for Java objects are made.
"""

from __future__ import annotations

from typing import Any

from pyspark.sql import Column
from pyspark.sql import functions as f

from palate.spark.stages.blocks import HOLED

_WORD = 8


def as_bytes(jvm: Any, column: Column, *, double: bool) -> Column | None:
    """The numbers of a column of arrays as they lie in memory: of floats a string, of doubles binary; null for null,
    HOLED for an array of which an element is null.

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
    class_named, of_class, typed = jvm.java.lang.Class.forName, types.ObjectType, types.DataType.fromDDL

    def several(*given: Any) -> Any:
        held = jvm.java.util.ArrayList()
        for each in given:
            held.add(each)
        return jvm.org.apache.spark.api.python.PythonUtils.toSeq(held)

    def expression(given: Column) -> Any:
        return columns.expression(given._jc)

    # Null if what they are called with is, which it may be, and always the same for the same array.
    rules = True, True, True

    def call(target: Any, name: str, to: Any, *arguments: Any) -> Any:
        return catalyst.objects.Invoke(target, name, to, several(*arguments), several(), *rules)

    def static(of: str, name: str, to: str, *arguments: Any) -> Column:
        none, given = jvm.scala.Option.empty(), several(*arguments)
        return Column(
            columns.column(
                catalyst.objects.StaticInvoke(class_named(of), typed(to), name, given, several(), *rules, none)
            )
        )

    def shown(base: Any, offset: Column, size: Column) -> Column:
        memory = base, expression(offset.cast("bigint")), expression(size)
        return static("org.apache.spark.unsafe.types.UTF8String", "fromAddress", "string", *memory)

    take, kind, width = ("toDoubleArray", "[D", 8) if double else ("toFloatArray", "[F", 4)
    array, count = expression(column), f.size(column)

    laid_out = class_named("org.apache.spark.sql.catalyst.expressions.UnsafeArrayData")
    the_class = catalyst.Literal(laid_out, of_class(class_named("java.lang.Class")))
    lies = Column(columns.column(call(the_class, "isInstance", typed("boolean"), array)))
    as_it_lies = call(the_class, "cast", of_class(laid_out), array)
    base = call(as_it_lies, "getBaseObject", of_class(class_named("java.lang.Object")))
    bits = Column(columns.column(call(as_it_lies, "getBaseOffset", typed("bigint")))) + _WORD
    words = f.shiftright(count.cast("bigint") + 63, 6)
    memory = base, expression(bits), expression(words)
    null = static("org.apache.spark.unsafe.bitset.BitSetMethods", "anySet", "boolean", *memory)
    there = shown(base, bits + words * _WORD, count * width)

    start = platform.DOUBLE_ARRAY_OFFSET if double else platform.FLOAT_ARRAY_OFFSET
    copied = shown(call(array, take, of_class(class_named(kind))), f.lit(start), count * width)
    whole = without_nulls(column, "double" if double else "float")
    found = f.when(lies, f.when(~null, there).otherwise(HOLED)).when(whole, copied)
    made = found.when(column.isNotNull(), HOLED)
    return made.cast("binary") if double else made
