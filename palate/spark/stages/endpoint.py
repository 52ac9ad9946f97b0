"""EndpointModel: a Transformer whose arithmetic happens elsewhere, at a model endpoint that the executors call.

Each task cuts its rows into requests of `batchSize` and keeps up to `maxInFlight` of them on the way; answers are put
back in the order of the rows. A filter on the answer is not pushed below the call, so that no row is asked twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, TypeAlias, cast

import pyarrow as pa
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasInputCol, HasOutputCol, HasOutputCols
from pyspark.ml.util import MLWriter
from pyspark.sql import DataFrame
from pyspark.sql import functions as f
from pyspark.sql.pandas.functions import arrow_udf
from pyspark.sql.types import StructField, StructType

from palate.client.calls import Caller, Limiter, Policy, service_url
from palate.client.endpoints import CONTENT_TYPES, FIELDS, Endpoint, key_of_environment
from palate.errors import ParameterError, RemoteError
from palate.spark.stages.base import NativeTransformer, Stage, above, at_least, one_of
from palate.spark.stages.columns import by_row
from palate.spark.stages.endpoint_rows import (
    Output,
    Request,
    declared_outputs,
    in_order,
    outputs_of_kind,
    requests_of,
    spark_type,
)
from palate.spark.stages.features import require_features, sent
from palate.spark.stages.tasks import slots

Ask: TypeAlias = Callable[[Iterator[pa.Array]], Iterator[pa.Array]]


class Secret:
    """A value that is used and never shown: not printed, not explained, not saved."""

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "********"


def _secret(value: Any) -> Secret:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable():
        raise TypeError("a key is printable ASCII text.")
    return Secret(value)


def _getters(cls: type) -> type:
    """Gives each Param that the class declares its getter; base.py makes the setters."""
    for name in [name for name, value in vars(cls).items() if isinstance(value, Param)]:

        def getter(self: Any, name: str = name) -> Any:
            return self.getOrDefault(name)

        getter.__doc__ = f"Gets the value of {name} or its default value."
        setattr(cls, "get" + name[0].upper() + name[1:], getter)
    return cls


@_getters
class _EndpointParams(HasInputCol, HasOutputCol, HasOutputCols):
    endpointUrl: Param[str] = Param(
        Params._dummy(), "endpointUrl", "address of the server, http://host:port", TypeConverters.toString
    )
    endpointName: Param[str] = Param(
        Params._dummy(), "endpointName", "name of the endpoint there", TypeConverters.toString
    )
    kind: Param[str] = Param(
        Params._dummy(), "kind", "kind of the model: " + ", ".join(FIELDS) + "; asked from the server unless set",
        TypeConverters.toString,
    )  # fmt: skip
    outputSchema: Param[str] = Param(
        Params._dummy(), "outputSchema",
        "fields of the answer and their Spark types, as DDL ('score double'), for models of no known kind",
        TypeConverters.toString,
    )  # fmt: skip
    contentType: Param[str] = Param(
        Params._dummy(), "contentType", "form of requests: csv, json or jsonlines", TypeConverters.toString
    )
    batchSize: Param[int] = Param(Params._dummy(), "batchSize", "rows per request, at most", TypeConverters.toInt)
    maxInFlight: Param[int] = Param(
        Params._dummy(), "maxInFlight", "requests on the way at the same time, per task", TypeConverters.toInt
    )
    requestsPerSecond: Param[float] = Param(
        Params._dummy(), "requestsPerSecond", "requests per second of all tasks together, at most; 0 is no limit",
        TypeConverters.toFloat,
    )  # fmt: skip
    timeout: Param[float] = Param(
        Params._dummy(), "timeout", "seconds that the server may stay silent", TypeConverters.toFloat
    )
    maxRetries: Param[int] = Param(
        Params._dummy(), "maxRetries", "how often a request is sent again after 429, 5xx or no answer",
        TypeConverters.toInt,
    )  # fmt: skip
    backoff: Param[float] = Param(
        Params._dummy(), "backoff", "seconds before the first retry, doubled for each further one",
        TypeConverters.toFloat,
    )  # fmt: skip
    maxBackoff: Param[float] = Param(
        Params._dummy(), "maxBackoff", "seconds between two retries, at most (Retry-After may ask for more)",
        TypeConverters.toFloat,
    )  # fmt: skip
    apiKey: Param[Secret] = Param(
        Params._dummy(), "apiKey", "key for the server; unless set, that of the environment PALATE_ENDPOINT_KEY",
        _secret,
    )  # fmt: skip

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._setDefault(
            contentType="csv", batchSize=500, maxInFlight=4, requestsPerSecond=0.0, timeout=60.0, maxRetries=5,
            backoff=0.2, maxBackoff=20.0,
        )  # fmt: skip


class EndpointModel(NativeTransformer, _EndpointParams):
    """Adds what a deployed model says of `inputCol`: VectorUDT, array<float> or array<double>.

    The answer of a k-means is closest_cluster (int) and distance_to_cluster (double), of a PCA projection (VectorUDT),
    of a factorization machine score and, for classification, predicted_label (double); other models answer with their
    own columns. `outputCol` takes the first field, `outputCols` as many as it names.

    Which fields there are is known before any row is sent: from `outputSchema`, else from `kind`, else the server is
    asked, each time that `transform` is called. Raises ParameterError for what is missing or does not fit, SchemaError
    for null, ragged or non-finite vectors, RemoteError for what the server refuses, or does not answer in spite of all
    retries; the latter two name task and rows.
    """

    checks: ClassVar = {
        "endpointUrl": lambda value: None if service_url(value) else "",
        "kind": one_of(*FIELDS),
        "contentType": one_of(*CONTENT_TYPES),
        "batchSize": at_least(1),
        "maxInFlight": at_least(1),
        "requestsPerSecond": at_least(0),
        "timeout": above(0),
        "maxRetries": at_least(0),
        "backoff": at_least(0),
        "maxBackoff": at_least(0),
    }

    def _added(self) -> list[StructField]:
        return [StructField(name, output.spark) for name, output in self._outputs().items()]

    def _transform(self, dataset: DataFrame) -> DataFrame:
        self._check()
        column = self.required("inputCol")
        require_features(dataset, column)
        outputs = self._outputs()
        taken = next((name for name in outputs if name in dataset.columns), None)
        if taken is not None:
            raise ParameterError(f"there is a column {taken!r} already.", where=self._named("outputCol"))
        asked = self._asking(slots(dataset), list(outputs.values()), column)
        # A struct even for one field; and nondeterministic, so that Spark neither doubles the call nor moves it.
        kind = StructType([StructField(f"f{number}", each.told) for number, each in enumerate(outputs.values())])
        answer = cast("Any", arrow_udf)(asked, returnType=kind).asNondeterministic()(sent(dataset, column))
        made = f"__{self.uid}"
        fields = {
            name: output.column(f.col(f"`{made}`.f{number}")) for number, (name, output) in enumerate(outputs.items())
        }
        return by_row(dataset).withColumn(made, answer).withColumns(fields).drop(made)

    def write(self) -> MLWriter:
        shown = self.copy()
        shown.clear(shown.apiKey)
        return Stage.write(shown)

    def _named(self, param: str) -> str:
        return f"{type(self).__name__}.{param}"

    def _key(self) -> str | None:
        return self.getOrDefault("apiKey").reveal() if self.isDefined("apiKey") else key_of_environment()

    def _policy(self) -> Policy:
        return Policy(*(self.getOrDefault(name) for name in ("maxRetries", "backoff", "maxBackoff", "timeout")))

    def _outputs(self) -> dict[str, Output]:
        """What each new column is made of."""
        fields = self._fields()
        names = self.getOrDefault("outputCols") if self.isSet("outputCols") else [self.getOrDefault("outputCol")]
        if self.isSet("outputCols") and self.isSet("outputCol"):
            raise ParameterError("cannot be set beside outputCol.", where=self._named("outputCols"))
        if not names or len(names) > len(fields) or len(set(names)) < len(names):
            raise ParameterError(
                f"must be 1 to {len(fields)} different names, not {names}.",
                where=self._named("outputCols"),
                hint=f"The answer has: {', '.join(each.field.name for each in fields)}.",
            )
        return dict(zip(names, fields, strict=False))

    def _fields(self) -> list[Output]:
        """The fields of the answer. Raises RemoteError if the server has to be asked and cannot be."""
        if self.isDefined("outputSchema"):
            return declared_outputs(self.getOrDefault("outputSchema"), self._named("outputSchema"))
        if self.isDefined("kind"):
            return outputs_of_kind(self.getOrDefault("kind"))
        caller = Caller(self.required("endpointUrl"), self._key(), self._policy())
        try:
            told = Endpoint(caller, self.required("endpointName")).describe()
        finally:
            caller.close()
        if told.get("kind") in FIELDS:
            return outputs_of_kind(told["kind"])
        try:
            ddl = ", ".join(f"`{name}` {spark_type(kind)}" for name, kind in told["outputs"].items())
        except (KeyError, AttributeError, TypeError):
            raise RemoteError(
                f"the endpoint says no outputs that Spark knows: {told.get('outputs')}.",
                where=self.getOrDefault("endpointName"),
                hint="Set outputSchema.",
            ) from None
        return declared_outputs(ddl, self._named("outputSchema"))

    def _asking(self, tasks: int, outputs: list[Output], column: str) -> Ask:
        """What the tasks run. It holds plain values only, the key among them, which Spark ships to the executors."""
        url, name = self.required("endpointUrl"), self.required("endpointName")
        key, policy = self._key(), self._policy()
        rate, at_once = self.getOrDefault("requestsPerSecond") / tasks, self.getOrDefault("maxInFlight")
        size, content_type = self.getOrDefault("batchSize"), self.getOrDefault("contentType")

        def ask(arrays: Iterator[pa.Array]) -> Iterator[pa.Array]:
            limiter = Limiter(rate)
            caller = Caller(url, key or key_of_environment(), policy, limiter=limiter, connections=at_once)
            endpoint = Endpoint(caller, name)

            def one(request: Request) -> pa.Array:
                try:
                    found = endpoint.ask(request.block, content_type, tuple(each.field for each in outputs))
                except RemoteError as error:
                    place = f"{column}: task {request.task}, rows {request.start} to {request.end}"
                    raise RemoteError(error.message, where=place, hint=error.hint, code=error.code) from None
                made = [each.convert(values) for each, values in zip(outputs, found, strict=True)]
                return pa.StructArray.from_arrays(made, names=[f"f{number}" for number in range(len(made))])

            yield from in_order(one, requests_of(arrays, column, size), at_once, caller.close)

        ask.__annotations__ = {"arrays": Iterator[pa.Array], "return": Iterator[pa.Array]}
        return ask
