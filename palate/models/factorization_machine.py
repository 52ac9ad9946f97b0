"""A factorization machine as a bundle holds it: features in, scores out, in NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.special import expit

from palate.errors import NotFittedError, ParameterError, SchemaError
from palate.features.columns import ColumnEncoder, as_column
from palate.models.dense import dense_column
from palate.models.protocol import Arrays, Signature

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

TASKS = ("classification", "regression")


class FactorizationMachine:
    """Scores rows by the machine of degree two (Rendle 2010, "Factorization Machines", equation 1):

        w0 + sum_j w_j x_j + sum_{j<k} <v_j, v_k> x_j x_k

    Parameters
    ----------
    intercept: w0. linear: w, `(n_features,) float32`. factors: v, `(n_features, factors) float32`.
    task: "classification" (the score is the probability of label 1) or "regression" (the score is the value).
    encoder: makes the last features from named columns; without it a row is one vector, the column `features`.

    A row is then the vector's numbers, if the encoder leaves any feature to it, followed by the encoder's.
    """

    kind: ClassVar[str] = "fm"

    def __init__(
        self,
        intercept: float = 0.0,
        linear: npt.ArrayLike | None = None,
        factors: npt.ArrayLike | None = None,
        task: str = "regression",
        encoder: ColumnEncoder | None = None,
    ) -> None:
        if task not in TASKS:
            raise ParameterError(f"it must be one of {', '.join(TASKS)}, not {task!r}.", where="task")
        self.task, self.encoder, self.intercept = task, encoder, float(intercept)
        if linear is None or factors is None:
            return
        self.linear: Floats = np.asarray(linear, dtype=np.float32)
        self.factors: Floats = np.asarray(factors, dtype=np.float32)
        if self.linear.ndim != 1 or self.factors.ndim != 2 or len(self.linear) != len(self.factors):
            shapes = f"{self.linear.shape} and {self.factors.shape}"
            raise SchemaError(f"must have shapes (n,) and (n, factors), not {shapes}.", where="linear and factors")
        if not (np.isfinite(self.intercept) and np.isfinite(self.linear).all() and np.isfinite(self.factors).all()):
            raise SchemaError("holds a value that is not finite.", where="intercept, linear or factors")
        if self.n_vector < 0:
            raise SchemaError(
                f"the columns make {len(self.linear) - self.n_vector} features, the model has {len(self.linear)}.",
                where="encoder",
            )

    @property
    def n_features(self) -> int:
        """Features of a row, the vector's and the columns'."""
        self._require_fitted()
        return len(self.linear)

    @property
    def n_vector(self) -> int:
        """How many of the features are the column `features`; 0 if there is no such column."""
        return self.n_features - (self.encoder.width if self.encoder is not None else 0)

    @property
    def takes_vector(self) -> bool:
        return self.encoder is None or self.n_vector > 0

    def raw(self, rows: sparse.csr_matrix | npt.NDArray[Any]) -> Doubles:
        """The machine's value for rows `(n, n_features)`, `(n,)`; of a classification, the log odds of label 1."""
        self._require_fitted()
        if rows.shape[1] != self.n_features:
            raise SchemaError(
                f"rows have {rows.shape[1]} features, the model takes {self.n_features}.", where="features"
            )
        found = np.empty(rows.shape[0], dtype=np.float64)
        linear, factors = self.linear.astype(np.float64), self.factors.astype(np.float64)
        squares = np.square(factors).sum(axis=1)
        for start in range(0, rows.shape[0], _ROWS_AT_ONCE):
            part = rows[start : start + _ROWS_AT_ONCE].astype(np.float64)
            square = part**2 if isinstance(part, np.ndarray) else part.power(2)
            found[start : start + _ROWS_AT_ONCE] = part @ linear + 0.5 * (
                np.square(part @ factors).sum(axis=1) - square @ squares
            )
        return found + self.intercept

    def score(self, rows: sparse.csr_matrix | npt.NDArray[Any]) -> Doubles:
        """Probabilities of label 1, or values, `(n,)`, for rows `(n, n_features)`."""
        raw = self.raw(rows)
        return np.asarray(expit(raw)) if self.task == "classification" else raw

    def rows(self, batch: Mapping[str, Any]) -> sparse.csr_matrix | Floats:
        """Columns of the signature as rows `(n, n_features)`. Raises SchemaError naming the column at fault."""
        blocks: list[Any] = []
        if self.takes_vector:
            blocks.append(dense_column(batch, "features", self.n_vector))
        if self.encoder is not None:
            held = self.encoder
            columns = {
                name: as_column(batch[name], name, number=name in held.numbers) for name in held.inputs if name in batch
            }
            blocks.append(held.encode(columns))
        if len({block.shape[0] for block in blocks}) > 1:
            raise SchemaError("columns are of different lengths.", where="features")
        return (
            blocks[0]
            if len(blocks) == 1
            else sparse.csr_matrix(sparse.hstack([sparse.csr_matrix(blocks[0]), blocks[1]]))
        )

    def signature(self) -> Signature:
        inputs = {"features": "list<float>"} if self.takes_vector else {}
        if self.encoder is not None:
            inputs |= self.encoder.inputs
        outputs = {"score": "float"}
        if self.task == "classification":
            outputs["predicted_label"] = "int32"
        return Signature(inputs, outputs)

    def predict(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Columns of the signature to `score`, and the more likely label of a classification.

        A category that training did not see, or a null one, counts for nothing. Raises SchemaError for a missing
        column, a number that is null or not finite, or a vector of another width.
        """
        scores = self.score(self.rows(batch))
        answer: dict[str, Any] = {"score": scores.tolist()}
        if self.task == "classification":
            answer["predicted_label"] = (scores > 0.5).astype(int).tolist()
        return answer

    def to_arrays(self) -> Arrays:
        self._require_fitted()
        params: dict[str, Any] = {"task": self.task, "intercept": self.intercept}
        ids = {}
        if self.encoder is not None:
            params["numbers"] = {name: list(scale) for name, scale in self.encoder.numbers.items()}
            params["categories"] = list(self.encoder.categories)
            ids = {f"category-{place}": held for place, held in enumerate(self.encoder.categories.values())}
        return Arrays(params, {"linear": self.linear, "factors": self.factors}, ids)

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        params, encoder = arrays.params, None
        if "categories" in params:
            categories = {name: arrays.ids[f"category-{place}"] for place, name in enumerate(params["categories"])}
            encoder = ColumnEncoder({name: (m, s) for name, (m, s) in params["numbers"].items()}, categories)
        return cls(params["intercept"], arrays.arrays["linear"], arrays.arrays["factors"], params["task"], encoder)

    def _require_fitted(self) -> None:
        if not hasattr(self, "factors"):
            raise NotFittedError(
                "the fm model is not fitted yet.", hint="Make one with palate.spark.FMClassifier or FMRegressor."
            )


_ROWS_AT_ONCE = 1 << 16
"""Rows scored at once: 16 factors of them are 8 MB of float64."""
