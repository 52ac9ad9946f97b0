"""What is trained, whatever engine trains it: FM (Rendle, "Factorization Machines", ICDM 2010) and DeepFM (Guo, Tang,
Ye, Li and He, "DeepFM: A Factorization-Machine based Neural Network for CTR Prediction", IJCAI 2017)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from palate.features.fields import Rows
from palate.models.epochs import Parameters

Floats = npt.NDArray[np.float32]

NETWORKS = ("fm", "deepfm")
TASKS = ("classification", "regression")
_SPREAD = 0.1
"""The length of a feature's factors at the start."""
_ROWS_AT_ONCE = 1 << 12


@dataclass(frozen=True)
class Definition:
    """One machine over rows of slots, each a feature j of a field with a value x.

    fm: s = offset + sum_j w_j x_j + sum_{j<k} <v_j, v_k> x_j x_k
    deepfm: s + o' h_L,  h_0 = [e_1 ; ... ; e_F],  e_f = sum of v_j x_j over the slots of field f,
            h_l = max(0, W_l h_(l-1) + b_l), all of `hidden` width

    The loss of a row is log(1 + exp(s)) - y s ("classification") or (s - y)^2 ("regression"), plus `regularization`
    times the sum over its slots of |v_j|^2 + w_j^2, x_j being other than 0, plus `deep_regularization` times the sum of
    |W_l|^2 and |o|^2, which every row uses. Adam moves the parameters by the sum over
    a batch: the mean's gradients are no larger than Adam's epsilon, which engines do not treat quite alike.
    """

    network: str
    task: str
    width: int
    slots: tuple[int, ...]
    """The field of each slot."""
    factors: int
    hidden: int
    layers: int
    regularization: float
    offset: float
    """The log odds of label 1 in training, or the mean of the values."""
    deep_regularization: float = 0.0

    @property
    def deep_weights(self) -> list[str]:
        """Names of the parameters that `deep_regularization` is for."""
        if self.network == "fm":
            return []
        return [*(f"hidden_{layer}_weight" for layer in range(self.layers)), "output"]

    @property
    def n_fields(self) -> int:
        return max(self.slots) + 1

    @property
    def gather(self) -> Floats:
        """`(fields, slots) float32`: 1 where a slot belongs to a field."""
        found = np.zeros((self.n_fields, len(self.slots)), np.float32)
        found[np.array(self.slots), np.arange(len(self.slots))] = 1
        return found

    def start(self, rng: np.random.Generator) -> Parameters:
        """The parameters before training."""
        made: Parameters = {
            "linear": np.zeros((self.width, 1), np.float32),
            "factors": _normal(rng, (self.width, self.factors), _SPREAD / np.sqrt(self.factors)),
            "offset": np.full(1, self.offset, np.float32),
        }
        if self.network == "fm":
            return made
        wide = self.n_fields * self.factors
        for layer in range(self.layers):
            made[f"hidden_{layer}_weight"] = _normal(rng, (self.hidden, wide), np.sqrt(2 / wide))
            made[f"hidden_{layer}_bias"] = np.zeros(self.hidden, np.float32)
            wide = self.hidden
        made["output"] = _normal(rng, (1, wide), np.sqrt(1 / wide))
        return made

    def scores(self, parameters: Parameters, rows: Rows) -> Floats:
        """s of each row, `(n,) float32`, as every loaded model computes it, without the engine that trained it."""
        from palate.kernels.machine_loops import add_up

        found = np.full(len(rows), parameters["offset"][0], np.float32)
        fields = np.array(self.slots)
        deep = self.network == "deepfm"
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            codes, values, scores = rows.codes[part], np.asarray(rows.values[part], np.float32), found[part]
            embedded = np.zeros((len(codes) if deep else 0, self.n_fields, self.factors), np.float32)
            add_up(codes, values, fields, parameters["linear"], parameters["factors"], scores, embedded)
            if deep:
                scores += self.deep(parameters, embedded.reshape(len(codes), -1))
        return found

    def deep(self, held: Parameters, hidden: Floats, first: int = 0) -> Floats:
        """o' h_L of each row, `(n,)`, from what layer `first` reads, `(n, width)`."""
        for layer in range(first, self.layers):
            hidden = hidden @ held[f"hidden_{layer}_weight"].T
            hidden += held[f"hidden_{layer}_bias"]
            np.maximum(hidden, 0, out=hidden)
        return np.asarray((hidden @ held["output"].T)[:, 0])


@dataclass(frozen=True)
class Batch:
    """codes: `(n, slots) int32`. values, labels: `(n, slots)` and `(n,) float32`."""

    codes: npt.NDArray[np.int32]
    values: Floats
    labels: Floats


@dataclass(frozen=True)
class Batches:
    """Epochs over rows. forget: the share of slots that are emptied at random, so that the machine learns to do
    without; what is left stays as it is."""

    rows: Rows
    labels: Floats
    batch_size: int
    forget: float
    rng: np.random.Generator

    def epoch(self) -> Iterator[Batch]:
        order = self.rng.permutation(len(self.rows))
        for start in range(0, len(order), self.batch_size):
            part = order[start : start + self.batch_size]
            values = self.rows.values[part]
            if self.forget:
                values = values * (self.rng.random(values.shape, dtype=np.float32) >= self.forget)
            yield Batch(self.rows.codes[part], values.astype(np.float32), self.labels[part])


def _normal(rng: np.random.Generator, shape: tuple[int, ...], deviation: float) -> Floats:
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(deviation)
