"""FM and DeepFM over a table: named columns in, a probability or a value out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from palate.engines import ENGINES, chosen_engine
from palate.errors import NotFittedError, ParameterError, SchemaError
from palate.features.fields import FieldEncoder, Rows
from palate.models.deep_fm.definition import NETWORKS, TASKS, Batches, Definition
from palate.models.deep_fm.engines import make_engine
from palate.models.epochs import Parameters, Trained, train
from palate.models.params import ModelParams, one_of, within
from palate.models.protocol import Arrays, Signature

Floats = npt.NDArray[np.float32]

_FEWEST = 20
"""With fewer rows none are put aside for validation."""


@dataclass(frozen=True)
class DeepFMParams(ModelParams):
    """Parameters of DeepFM.

    network: "fm", or "deepfm", which adds a deep part. task: "classification" of labels 0 and 1, or "regression".
    factors: width of the embeddings. hidden, layers: of the deep part.
    regularization: the penalty on the squared embedding and weight of each feature, each time it occurs.
    deep_regularization: that on the squared weights of the deep part's layers, for each row: it keeps the deep part
        from learning by heart what the embeddings tell.
    epochs, batch_size, learning_rate: of Adam; the learning rate falls to 0.
    forget: the share of a row's values that are hidden at random in training, so that rows with unknown ones can be
        scored.
    min_count: a category that fewer rows have is not learned.
    validation: the share of rows put aside, to keep the state of the epoch that does best on them; 0 keeps the state
        of the least loss.
    members: so many machines are trained, each from another start and with other rows put aside; the mean of their
        scores before the sigmoid counts, which is steadier than one's.
    engine: what trains: "torch", "mxnet", or "auto", the first that is installed. A trained model needs neither.
    seed: of the start, the rows put aside, and the batches.
    """

    network: str = field(default="deepfm", metadata=one_of(*NETWORKS))
    task: str = field(default="classification", metadata=one_of(*TASKS))
    factors: int = field(default=16, metadata=within(1, 4096))
    hidden: int = field(default=64, metadata=within(1, 65_536))
    layers: int = field(default=2, metadata=within(1, 8))
    regularization: float = field(default=3e-4, metadata=within(above=0))
    deep_regularization: float = field(default=1e-3, metadata=within(0))
    epochs: int = field(default=15, metadata=within(1, 10_000))
    batch_size: int = field(default=1024, metadata=within(1, 1 << 20))
    learning_rate: float = field(default=0.005, metadata=within(above=0))
    forget: float = field(default=0.05, metadata=within(0, 0.95))
    min_count: int = field(default=1, metadata=within(1))
    validation: float = field(default=0.1, metadata=within(0, 0.5))
    members: int = field(default=4, metadata=within(1, 100))
    engine: str = field(default="auto", metadata=one_of("auto", *ENGINES))
    seed: int = field(default=0, metadata=within(0, 2**32 - 1))


class DeepFM:
    """Predicts a label from categories, lists of categories, numbers and moments (`palate.models.deep_fm.definition`).

    A value that training did not see, a null, and a column that is not given count for nothing; some values are
    forgotten in training, so that the machine knows rows of that kind.
    """

    kind: ClassVar[str] = "deepfm"
    Params: ClassVar[type[DeepFMParams]] = DeepFMParams

    encoder: FieldEncoder
    members: tuple[Parameters, ...]
    """The parameters of each machine."""
    definition: Definition
    losses: tuple[tuple[float, ...], ...]
    """The mean loss of each epoch, for each machine."""

    def __init__(self, params: DeepFMParams | None = None, /, **values: Any) -> None:
        try:
            self.params = params if params is not None else DeepFMParams(**values)
        except TypeError:
            known = {entry.name for entry in dataclasses.fields(DeepFMParams)}
            wrong = sorted(set(values) - known)
            raise ParameterError(
                f"{self.kind} has no parameter {wrong[0]!r}.", hint=f"It has: {', '.join(sorted(known))}."
            ) from None
        except ParameterError as error:
            raise ParameterError(error.message, where=f"{self.kind}.{error.where}", hint=error.hint) from None

    def fit(self, columns: Mapping[str, Sequence[Any]], labels: npt.ArrayLike, kinds: Mapping[str, str]) -> Self:
        """Learn from equally long columns, and a label for each row.

        kinds: of each column that counts, "category", "list" (of categories), "number" or "moment" (seconds since 1970
            UTC, of which the hour and the weekday count).

        Raises SchemaError for labels that are not finite, of a classification other than 0 and 1, or all alike; and
        as FieldEncoder does. MissingDependencyError if the engine is not installed.
        """
        encoder = FieldEncoder.fit(columns, kinds, self.params.min_count)
        return self._fit(encoder, encoder.encode(columns), checked_labels(labels, self.params.task))

    def _fit(self, encoder: FieldEncoder, rows: Rows, labels: Floats) -> Self:
        params = self.params
        if len(labels) != len(rows):
            raise SchemaError(f"{len(labels)} labels for {len(rows)} rows.", where="labels")
        name = chosen_engine(self.kind, params.engine)
        mean = float(labels.mean(dtype=np.float64))
        offset = float(np.log(mean / (1 - mean))) if params.task == "classification" else mean
        self.encoder, self.definition = encoder, _definition(params, encoder, offset)
        trained = [self._trained(rows, labels, name, member) for member in range(params.members)]
        self.members = tuple(each.parameters for each in trained)
        self.losses = tuple(each.losses for each in trained)
        return self

    def _trained(self, rows: Rows, labels: Floats, engine: str, member: int) -> Trained:
        params = self.params
        rng = np.random.default_rng([params.seed, member])
        start = self.definition.start(rng)
        order = rng.permutation(len(rows))
        count = int(len(rows) * params.validation) if len(rows) >= _FEWEST else 0
        aside, rest = order[:count], order[count:]
        batches = Batches(rows.take(rest), labels[rest], params.batch_size, params.forget, rng)
        judged, wanted = rows.take(aside), labels[aside]

        def badness(parameters: Parameters) -> float:
            scores = self.definition.scores(parameters, judged).astype(np.float64)
            if params.task == "regression":
                return float(np.mean(np.square(scores - wanted)))
            return float(np.mean(np.logaddexp(0, scores) - wanted * scores))

        running = make_engine(engine, self.definition, start)
        judge = badness if count else None
        return train(self.kind, running, params.epochs, params.learning_rate, batches.epoch, len(rest), judge)

    def score(self, columns: Mapping[str, Sequence[Any]]) -> Floats:
        """Probabilities of label 1, or values, `(n,) float32`."""
        self._require_fitted()
        rows = self.encoder.encode(columns)
        raw = np.mean([self.definition.scores(each, rows) for each in self.members], axis=0)
        return (
            np.asarray(expit(raw), np.float32) if self.params.task == "classification" else np.asarray(raw, np.float32)
        )

    # -- as an artifact --------------------------------------------------------------------------------------------

    def signature(self) -> Signature:
        self._require_fitted()
        inputs = {}
        for each in self.encoder.fields:
            kind = "int64" if each.ids.is_integer else "string"
            named = {"number": "float", "moment": "double", "list": f"list<{kind}>", "category": kind}
            inputs[each.name] = named[each.kind]
        outputs = {"score": "float"}
        if self.params.task == "classification":
            outputs["predicted_label"] = "int32"
        return Signature(inputs, outputs)

    def predict(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Any of the signature's columns to `score`, and the more likely label of a classification."""
        scores = self.score(batch)
        answer: dict[str, Any] = {"score": scores.tolist()}
        if self.params.task == "classification":
            answer["predicted_label"] = (scores > 0.5).astype(int).tolist()
        return answer

    def to_arrays(self) -> Arrays:
        self._require_fitted()
        ids = {f"field-{place}": each.ids for place, each in enumerate(self.encoder.fields)}
        params = {
            "params": dataclasses.asdict(self.params), "fields": self.encoder.to_params(),
            "offset": self.definition.offset, "losses": [list(each) for each in self.losses],
        }  # fmt: skip
        arrays = {f"{place}_{name}": held for place, each in enumerate(self.members) for name, held in each.items()}
        return Arrays(params, arrays, ids)

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        model = cls(**arrays.params["params"])
        fields = arrays.params["fields"]
        model.encoder = FieldEncoder.from_params(fields, [arrays.ids[f"field-{place}"] for place in range(len(fields))])
        model.definition = _definition(model.params, model.encoder, float(arrays.params["offset"]))
        model.members = tuple(
            {
                name.partition("_")[2]: np.asarray(held)
                for name, held in arrays.arrays.items()
                if name.partition("_")[0] == str(place)
            }
            for place in range(model.params.members)
        )
        model.losses = tuple(map(tuple, arrays.params["losses"]))
        return model

    def _require_fitted(self) -> None:
        if not hasattr(self, "members"):
            raise NotFittedError(f"the {self.kind} model is not fitted yet.", hint="Call fit(columns, labels) first.")


def _definition(params: DeepFMParams, encoder: FieldEncoder, offset: float) -> Definition:
    return Definition(
        params.network, params.task, max(encoder.width, 1), tuple(encoder.slots), params.factors, params.hidden,
        params.layers, params.regularization, offset, params.deep_regularization,
    )  # fmt: skip


def checked_labels(labels: npt.ArrayLike, task: str) -> Floats:
    """`(n,) float32`. Raises SchemaError as `DeepFM.fit` says."""
    try:
        values = np.asarray(labels, dtype=np.float64)
    except (TypeError, ValueError):
        raise SchemaError("must be numbers.", where="labels") from None
    if values.ndim != 1 or not len(values):
        raise SchemaError(f"must be one number for each row, not of shape {values.shape}.", where="labels")
    if not np.isfinite(values).all():
        raise SchemaError(
            "there is a label that is not finite.", where=f"labels: row {int(np.argmin(np.isfinite(values)))}"
        )
    if task == "classification":
        if not np.isin(values, (0, 1)).all():
            row = int(np.argmin(np.isin(values, (0, 1))))
            raise SchemaError(f"must be 0 or 1, not {values[row]:g}.", where=f"labels: row {row}")
        if (values == values[0]).all():
            raise SchemaError(
                f"all rows have the label {values[0]:g}: there is nothing to tell apart.", where="labels",
                hint="Give rows of both labels.",
            )  # fmt: skip
    return values.astype(np.float32)
