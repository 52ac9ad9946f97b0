"""What every stage shares: Params and their setters, checks at construction, `save` and `load`.

A stage takes its Params from pyspark.ml's own mixins, so that names, documentation, getters and defaults are the
same; what Palate adds is declared beside them. A subclass says

    class PCA(NativeEstimator, _PCAParams):        # NativeEstimator first
        checks = {"k": at_least(1)}                # what a value has to be, told at construction
        def _fit(self, dataset): ...               # -> a NativeModel

and gets the keyword-only constructor, `setParams`, a getter and a setter per Param, `copy`, `write` and `read`. A saved
stage is Spark ML's `metadata/`, naming the class by its public path, and for a model `bundle/` beside it.
"""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self, TypeVar

from pyspark.errors import PySparkException
from pyspark.ml.base import Estimator, Model, Transformer
from pyspark.ml.param import Param, Params
from pyspark.ml.util import DefaultParamsReader, DefaultParamsWriter, MLReadable, MLReader, MLWritable, MLWriter
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructField, StructType
from pyspark.sql.utils import is_remote

from palate.errors import BundleDamagedError, BundleFormatError, CapabilityError, ParameterError
from palate.models.protocol import Artifact
from palate.spark.stages.files import exists, fetch_bundle, require_free, store_bundle

PUBLIC = "palate.spark"
"""Where users import stages from, and the path by which saved ones name their class, for ever."""

OUTPUTS = ("outputCol", "predictionCol", "rawPredictionCol", "probabilityCol")
"""The Params that name what `transform` adds."""

_METADATA = {"class": str, "uid": str, "sparkVersion": str, "paramMap": dict, "defaultParamMap": dict}
"""What `load` needs of the metadata."""

Check = Callable[[Any], str | None]
"""What is wrong with a value, or None."""
M = TypeVar("M", bound="NativeModel")


def at_least(low: float) -> Check:
    return lambda value: None if value >= low else f"must be at least {low:g}, not {value!r}."


def above(low: float) -> Check:
    return lambda value: None if value > low else f"must be above {low:g}, not {value!r}."


def between(low: float, high: float) -> Check:
    return lambda value: None if low <= value <= high else f"must lie in [{low:g}, {high:g}], not {value!r}."


def one_of(*choices: str) -> Check:
    return lambda value: None if value in choices else f"must be one of {', '.join(choices)}, not {value!r}."


def _declared(cls: type) -> list[str]:
    return sorted({name for name in dir(cls) if isinstance(inspect.getattr_static(cls, name), Param)})


def _setter(cls: type, param: str, name: str) -> Callable[[Any, Any], Any]:
    def setter(self: Any, value: Any) -> Any:
        return self._set(**{param: value})

    setter.__name__ = name
    setter.__qualname__ = f"{cls.__name__}.{name}"
    setter.__doc__ = f"Sets the value of :py:attr:`{param}`."
    return setter


def _getter(cls: type, param: str, name: str) -> Callable[[Any], Any]:
    def getter(self: Any) -> Any:
        return self.getOrDefault(param)

    getter.__name__ = name
    getter.__qualname__ = f"{cls.__name__}.{name}"
    getter.__doc__ = f"Gets the value of {param} or its default value."
    return getter


class Stage(Params, MLWritable, MLReadable[Any]):
    """Params by keyword, checked; saved without pickle. Raises CapabilityError under Spark Connect.

    checks: Param name to what its value has to be.
    """

    checks: ClassVar[Mapping[str, Check]] = {}

    def __init_subclass__(cls, **values: Any) -> None:
        """Names the class by its public path and gives it a getter and a setter per Param."""
        super().__init_subclass__(**values)
        if cls.__module__.startswith("palate.spark.stages.") and not cls.__name__.startswith(("_", "Native")):
            cls.__module__ = PUBLIC
        for name in _declared(cls):
            for verb, make in (("get", _getter), ("set", _setter)):
                method = verb + name[0].upper() + name[1:]
                if not hasattr(cls, method):
                    setattr(cls, method, make(cls, name, method))

    def __init__(self, **values: Any) -> None:
        if is_remote():
            what = f"{type(self).__name__} needs the driver's JVM, which Spark Connect does not give."
            raise CapabilityError(what, where="Spark Connect", hint="Run it in a session of Spark Classic.")
        super().__init__()
        if self.hasParam("seed"):  # pyspark's own default is another one in every process
            self._setDefault(seed=zlib.crc32(type(self).__name__.encode()))
        self.setParams(**values)

    def setParams(self, **values: Any) -> Self:
        """Sets Params by keyword; None leaves one as it is. Raises ParameterError for an unknown name."""
        for name in values:
            if not self.hasParam(name):
                known = ", ".join(param.name for param in self.params)
                what = f"{type(self).__name__} has no Param {name!r}."
                raise ParameterError(what, where=name, hint=f"It has: {known}.")
        return self._set(**{name: value for name, value in values.items() if value is not None})

    def _set(self, **values: Any) -> Self:
        try:
            super()._set(**values)
        except TypeError as error:
            raise ParameterError(str(error), where=type(self).__name__) from None
        self._check(values)
        return self

    def _check(self, names: Mapping[str, Any] | None = None) -> None:
        """Raises ParameterError for a value (of `names`, else of all Params) that its check refuses."""
        for name, check in self.checks.items():
            if (names is None or name in names) and self.isDefined(name):
                wrong = check(self.getOrDefault(name))
                if wrong is not None:
                    raise ParameterError(wrong, where=f"{type(self).__name__}.{name}")

    def required(self, name: str) -> Any:
        """The value of a Param that has to be set. Raises ParameterError if it is not."""
        if not self.isDefined(name):
            raise ParameterError("must be set.", where=f"{type(self).__name__}.{name}")
        return self.getOrDefault(name)

    def write(self) -> MLWriter:
        return _Writer(self)

    @classmethod
    def read(cls) -> MLReader[Any]:
        return _Reader(cls)


class Adding(Stage):
    """A stage that adds columns."""

    def _added(self) -> list[StructField]:
        """The columns that `transform` adds, in their order."""
        raise NotImplementedError

    def transformSchema(self, schema: StructType) -> StructType:
        """What `transform` makes of rows of this schema, which stays as it is: it may be a frame's own."""
        return StructType([*schema.fields, *self._added()])


class NativeEstimator(Stage, Estimator["NativeModel"]):
    """Fits a NativeModel. `fit` checks all Params first, those of a param map included."""

    def fit(self, dataset: DataFrame, params: Any = None) -> Any:
        if not params:
            self._check()
        return super().fit(dataset, params)

    def copy(self, extra: Any = None) -> Self:
        made = super().copy(extra)
        made._check()
        return made


class NativeModel(Adding, Model):
    """Holds the fitted artifact, which is what `save` writes and a service can load (`palate.bundle`).

    artifact: kind names the class of `palate.models` that is meant. shown: what `repr` tells of the model, as of
    pyspark.ml's.
    """

    artifact: Artifact
    shown: ClassVar[tuple[str, ...]] = ()

    def __init__(self, artifact: Artifact | None = None, **values: Any) -> None:
        super().__init__(**values)
        if artifact is not None:
            self.artifact = artifact

    def __repr__(self) -> str:
        told = [f"uid={self.uid}"]
        for name in self.shown:
            value = self.getOrDefault(name) if self.hasParam(name) else getattr(self, name, None)
            told.append(f"{name}={str(value).lower() if isinstance(value, bool) else value}")
        return f"{type(self).__name__}: {', '.join(told)}"

    def transform(self, dataset: DataFrame, params: Any = None) -> DataFrame:
        """As pyspark.ml's. Raises ParameterError if a column that it would add is there already."""
        stage = self.copy(params) if params else self
        for name in OUTPUTS:
            if stage.hasParam(name) and stage.isDefined(name) and stage.getOrDefault(name) in dataset.columns:
                taken = f"there is a column {stage.getOrDefault(name)!r} already."
                raise ParameterError(
                    taken, where=f"{type(self).__name__}.{name}", hint="Give another name, or drop it."
                )
        return super(NativeModel, stage).transform(dataset)

    def _of(self, estimator: Stage) -> Self:
        """The model as `estimator` fitted it: its uid and the Params both have."""
        self._resetUid(estimator.uid)
        estimator._copyValues(self)
        return self


class NativeTransformer(Adding, Transformer):
    """A stage that is not fitted."""


class _Writer(MLWriter):
    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage = stage

    def format(self, source: str) -> Self:
        """As of pyspark.ml's KMeansModel; raises ParameterError for "pmml" and all else but "internal"."""
        if source != "internal":
            hint = "Leave format() out: the bundle that save() writes can be served without Spark."
            raise ParameterError(f"stages are not written as {source!r}.", where="format", hint=hint)
        return self

    def saveImpl(self, path: str) -> None:
        """The metadata come last: what was cut off before is nothing that `load` would take."""
        require_free(self.sparkSession, path)
        if isinstance(self.stage, NativeModel):
            store_bundle(self.sparkSession, self.stage.artifact, f"{path}/bundle")
        DefaultParamsWriter.saveMetadata(self.stage, path, self.sparkSession)


class _Reader(MLReader[Any]):
    def __init__(self, cls: type[Stage]) -> None:
        super().__init__()
        self.cls = cls

    def load(self, path: str) -> Any:
        metadata = _metadata(self.sparkSession, path)
        expected = f"{PUBLIC}.{self.cls.__name__}"
        if metadata["class"] != expected:
            raise BundleFormatError(f"this is a {metadata['class']}, not a {expected}.", where=path)
        stage: Any = self.cls()
        if isinstance(stage, NativeModel):
            stage.artifact = fetch_bundle(self.sparkSession, f"{path}/bundle")
        stage._resetUid(metadata["uid"])
        for name in (*metadata["paramMap"], *metadata["defaultParamMap"]):
            if not stage.hasParam(name):
                raise BundleFormatError(f"a {expected} has no Param {name!r} in this version of Palate.", where=path)
        DefaultParamsReader.getAndSetParams(stage, metadata)
        return stage


def _metadata(spark: SparkSession, path: str) -> dict[str, Any]:
    """What Spark ML says of a saved stage. Raises BundleDamagedError if it is not there, or not whole."""
    if not exists(spark, f"{path}/metadata"):
        what = "there are no metadata: no stage was saved here, or its saving was cut off."
        raise BundleDamagedError(what, where=path)
    try:
        metadata: dict[str, Any] = DefaultParamsReader.loadMetadata(path, spark)
        if all(isinstance(metadata[name], kind) for name, kind in _METADATA.items()):
            return metadata
    except (TypeError, ValueError, KeyError, PySparkException):  # no line, no JSON, no such keys, no such checksum
        pass
    raise BundleDamagedError("the metadata are not whole.", where=path, hint="Save the stage again.")
