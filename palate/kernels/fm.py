"""Training of factorization machines of degree two (Rendle 2010, "Factorization Machines", ICDM), in torch.

    score(x) = w0 + sum_j w_j x_j + 1/2 sum_f ((sum_j v_jf x_j)^2 - sum_j v_jf^2 x_j^2)

The gradient is closed and sparse: with d_i the derivative of the loss by the score of row i and s_i = V'x_i, that of
(w_j, v_j) is sum_i d_i x_ij (1, s_i) - (0, v_j) sum_i d_i x_ij^2. A step touches only the features of its batch, and
two sums over the batch's entries are all its work; autograd would make and keep one more array per operation.

Adam (Kingma & Ba 2015) is applied to those features alone, and each of them corrects its bias by its own number of
steps: a feature seen for the first time late in training then moves by the step size, and not, as with a common count
or with dense moments, by many times that. Weight decay is decoupled (Loshchilov & Hutter 2019).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.engines import import_torch
from palate.kernels.peers import Alone, Peers

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

LOSSES = ("logistic", "squared")
SOLVERS = ("adamW", "gd")

LEAST_STEPS = 30
"""Steps of an epoch that has the rows for it: small data get smaller batches than asked for."""
LEAST_VALIDATION = 20
"""A validation share of fewer rows would stop by chance; none is held out then."""


@dataclass(frozen=True)
class FMOptions:
    """How to train.

    loss: "logistic" (labels 0 and 1) or "squared". factors: width of the factor vectors; 0 leaves a linear model.
    intercept, linear: whether w0 and w are learned. init_std: standard deviation of the first factors.
    solver: "adamW", or "gd": plain gradient descent, its step divided by the square root of the epoch's number.
    step_size: of the solver. decay: of the weights a batch touches: theta -= step_size * decay * theta.
    batch_size: rows of a step, those of all peers together. epochs: at most. fraction: of the rows, drawn anew for
    each epoch. validation: the share of rows held out; training ends after `patience` epochs in which their loss did
    not fall, and the best state is kept. tolerance: training also ends when an epoch changes the training loss by
    less than this share of it. seed: of the first factors, the held-out rows and the order of rows.
    """

    loss: str = "logistic"
    factors: int = 8
    intercept: bool = True
    linear: bool = True
    init_std: float = 0.01
    solver: str = "adamW"
    step_size: float = 0.01
    decay: float = 0.0
    batch_size: int = 1024
    epochs: int = 100
    fraction: float = 1.0
    validation: float = 0.1
    patience: int = 2
    tolerance: float = 1e-6
    seed: int = 0


@dataclass(frozen=True)
class FMFit:
    """What training found.

    intercept; linear `(width,) float32`; factors `(width, factors) float32`; a feature that no training row has is
    all zeros. history: the mean training loss before training, then of each epoch. validation: likewise of the rows
    held out, empty where none were. best: the number of the epoch whose state this is, 0 for the best constant.
    diverged: whether training ended because the loss was no longer a number; the state is the best one before.
    rows: that were learned from.
    """

    intercept: float
    linear: Floats
    factors: Floats
    history: list[float]
    validation: list[float]
    best: int
    diverged: bool
    rows: int


def fit_fm(
    rows: sparse.csr_matrix, labels: npt.ArrayLike, options: FMOptions | None = None, peers: Peers | None = None
) -> FMFit:
    """Trains on rows `(n, width)` and labels `(n,)`, both finite.

    Features are learned at the scale of their root mean square (over entries that are not zero), labels of the
    squared loss as distances from their mean in standard deviations; both are folded back into the weights, which a
    factorization machine allows exactly. So no step size has to know the data's units, and one-hot features stay as
    they are.

    With peers each gives its own rows, any number of them, of the same width; a step sums the gradients of all, so
    that many processes learn what one would, up to the order of rows. Every peer gets the same answer, and the same
    seed, rows and number of peers the same bits. Without any row all weights are zero.
    """
    return _Training(rows, np.asarray(labels, dtype=np.float64), options or FMOptions(), peers or Alone()).run()


@dataclass
class _Batch:
    """Some rows: the features of all their entries, the row of each entry, where each row starts; None is all ones."""

    indices: Any
    owner: Any
    starts: Any
    values: Any
    labels: Any


class _Rows:
    """Rows as tensors; `take` gives some of them."""

    def __init__(self, rows: sparse.csr_matrix, labels: Doubles, scale: Floats | None) -> None:
        torch = import_torch()
        self.torch = torch
        lengths = np.diff(rows.indptr)
        # Rows of one length, as categorical columns give, are cut out of a matrix; others are gathered entry by entry.
        self.fixed = int(lengths[0]) if len(lengths) and lengths[0] > 0 and (lengths == lengths[0]).all() else 0
        indices = torch.from_numpy(np.ascontiguousarray(rows.indices, dtype=np.int32))
        values = None
        if scale is not None:
            values = torch.from_numpy((rows.data / scale[rows.indices]).astype(np.float32))
        if self.fixed:
            indices = indices.view(-1, self.fixed)
            values = None if values is None else values.view(-1, self.fixed)
        self.indices, self.values = indices, values
        self.indptr = torch.from_numpy(rows.indptr.astype(np.int64))
        self.labels = torch.from_numpy(labels.astype(np.float32))
        self.layouts: dict[int, tuple[Any, Any]] = {}

    def take(self, chosen: Any) -> _Batch:
        torch = self.torch
        n = len(chosen)
        if self.fixed:
            indices = self.indices.index_select(0, chosen).view(-1)
            values = None if self.values is None else self.values.index_select(0, chosen).view(-1)
            owner, starts = self._layout(n)
        else:
            first = self.indptr[chosen]
            lengths = self.indptr[chosen + 1] - first
            starts = lengths.cumsum(0) - lengths
            owner = torch.arange(n).repeat_interleave(lengths)
            at = torch.arange(len(owner)) + (first - starts)[owner]
            indices, values = self.indices[at], None if self.values is None else self.values[at]
        return _Batch(indices, owner, starts, values, self.labels.index_select(0, chosen))

    def _layout(self, n: int) -> tuple[Any, Any]:
        """Of `n` rows of one length: the row of each entry, and where each row starts."""
        if n not in self.layouts:
            starts = self.torch.arange(0, n * self.fixed, self.fixed)
            self.layouts[n] = self.torch.arange(n).repeat_interleave(self.fixed), starts
        return self.layouts[n]


def scores(batch: _Batch, inverse: Any, table: Any, intercept: float) -> tuple[Any, Any]:
    """Scores of the rows, `(n,)`, and `(n, 1 + factors)` the sums of x_j (w_j, v_j).

    table: `(features, 1 + factors)`, w first; inverse: the row of `table` for each entry of the batch.
    """
    bag = import_torch().nn.functional.embedding_bag
    sums = bag(inverse, table, batch.starts, mode="sum", per_sample_weights=batch.values)
    squares = table[:, 1:].square().sum(1, keepdim=True)
    weights = None if batch.values is None else batch.values.square()
    norms = bag(inverse, squares, batch.starts, mode="sum", per_sample_weights=weights)
    return intercept + sums[:, 0] + 0.5 * (sums[:, 1:].square().sum(1) - norms[:, 0]), sums


def gradient(batch: _Batch, inverse: Any, table: Any, sums: Any, slope: Any) -> Any:
    """The gradient by `table`, from the slope `(n,)` of the loss by each row's score; see the head of this file."""
    torch = import_torch()
    by_row = sums.clone()
    by_row[:, 0] = 1
    by_row *= slope[:, None]
    by_entry = by_row.index_select(0, batch.owner)
    if batch.values is not None:
        by_entry *= batch.values[:, None]
    found = torch.zeros_like(table).index_add_(0, inverse, by_entry)
    if batch.values is None:
        own = found[:, 0]
    else:
        by_entry = slope.index_select(0, batch.owner) * batch.values.square()
        own = torch.zeros(len(table)).index_add_(0, inverse, by_entry)
    found[:, 1:] -= own[:, None] * table[:, 1:]
    return found


@dataclass
class _State:
    """What training changes, by feature and of the intercept.

    table: `(features, 3, 1 + factors)`: (w, v), and the first and second moments of their gradients. steps: how many
    steps each feature has had.
    """

    table: Any
    steps: Any
    intercept: float = 0.0
    moments: list[float] = field(default_factory=lambda: [0.0, 0.0])
    taken: int = 0


class _Training:
    def __init__(self, rows: sparse.csr_matrix, labels: Doubles, options: FMOptions, peers: Peers) -> None:
        self.torch = import_torch()
        self.options, self.peers, self.width = options, peers, int(rows.shape[1])
        n = len(labels)
        self.random = np.random.default_rng([options.seed, peers.rank])
        counts = np.array([n, rows.nnz, labels.sum()], dtype=np.float64)
        self.total, self.entries, label_sum = map(float, peers.sum(counts).tolist())
        self.scale = self._feature_scale(rows)
        self.shift, self.spread = self._label_scale(labels, label_sum / max(1.0, self.total))
        self.rows = _Rows(rows, (labels - self.shift) / self.spread, self.scale)
        order = self.random.permutation(n)
        held = round(options.validation * n) if options.validation * self.total >= LEAST_VALIDATION else 0
        self.held, self.learned = self._tensor(order[:held]), order[held:]
        sizes = peers.sum(np.array([held, n - held], dtype=np.float64))
        self.n_held, self.n_learned = int(sizes[0]), int(sizes[1])
        steps = np.arange(1, _STEPS_CORRECTED + 1)
        bias = np.stack([1 / (1 - _BETA1**steps), 1 / np.sqrt(1 - _BETA2**steps)], axis=1)
        # By the number of steps, from 0, which none has: what to multiply the first moment and the second's root by.
        self.corrections = self.torch.from_numpy(np.concatenate([np.ones((1, 2)), bias]).astype(np.float32))
        self.places = self.torch.empty(self.width, dtype=self.torch.int64)
        self.state = self._start(label_sum / max(1.0, self.total))

    def _feature_scale(self, rows: sparse.csr_matrix) -> Floats | None:
        """The root mean square of each feature's entries, `(width,)`; None where all entries are one."""
        if all(self.peers.gather(bool((rows.data == 1).all()))):
            return None
        squares = np.bincount(rows.indices, weights=rows.data.astype(np.float64) ** 2, minlength=self.width)
        present = np.bincount(rows.indices, weights=rows.data != 0, minlength=self.width)
        sums = self.peers.sum(np.stack([squares, present]))
        scale = np.sqrt(sums[0] / np.maximum(sums[1], 1))
        return np.where(scale > 0, scale, 1).astype(np.float32)

    def _label_scale(self, labels: Doubles, mean: float) -> tuple[float, float]:
        if self.options.loss == "logistic":
            return 0.0, 1.0
        shift = mean if self.options.intercept else 0.0
        squares = float(self.peers.sum(np.array([((labels - shift) ** 2).sum()]))[0])
        spread = math.sqrt(squares / max(1.0, self.total))
        return shift, spread if spread > 0 else 1.0

    def _start(self, mean: float) -> _State:
        torch, o = self.torch, self.options
        table = torch.zeros(self.width, 3, 1 + o.factors)
        table[:, 0, 1:].normal_(0, o.init_std, generator=torch.Generator().manual_seed(o.seed % 2**63))
        state = _State(table, torch.zeros(self.width, dtype=torch.int64))
        if o.intercept and o.loss == "logistic":  # the best constant; half a row of the other class keeps it finite
            positive = min(max(mean * self.total, 0.5), max(self.total - 0.5, 0.5))
            state.intercept = math.log(positive / max(self.total - positive, 0.5))
        return state

    def run(self) -> FMFit:
        o, state = self.options, self.state
        history, validation = [], []
        best, kept, waited, diverged = 0, self._copy(), 0, False
        if self.n_learned:
            history.append(self._loss(self._tensor(self.learned), self.n_learned))
        if self.n_held:
            validation.append(self._loss(self.held, self.n_held))
        for epoch in range(1, o.epochs + 1 if self.n_learned else 0):
            loss = self._epoch(epoch)
            judged = self._loss(self.held, self.n_held) if self.n_held else loss
            diverged = not (math.isfinite(loss) and math.isfinite(judged)) or not self._finite()
            if diverged:
                break
            history.append(loss)
            if self.n_held:
                validation.append(judged)
                improved = judged < min(validation[:-1])
            else:
                improved = True
            if improved:
                best, kept, waited = epoch, self._copy(), 0
            else:
                waited += 1
            if waited >= o.patience or abs(history[-2] - loss) <= o.tolerance * abs(history[-2]):
                break
        table, intercept = kept
        table[state.steps == 0] = 0
        if not best:  # the first factors are noise
            table.zero_()
        return self._folded(table.numpy().astype(np.float64), intercept, history, validation, best, diverged)

    def _folded(
        self, table: Doubles, intercept: float, history: list[float], validation: list[float], best: int, diverged: bool
    ) -> FMFit:
        """The state in the units of the data."""
        if self.scale is not None:
            table = table / self.scale[:, None]
        square = self.spread**2
        return FMFit(
            self.shift + self.spread * intercept,
            (self.spread * table[:, 0]).astype(np.float32),
            (math.sqrt(self.spread) * table[:, 1:]).astype(np.float32),
            [square * value for value in history],
            [square * value for value in validation],
            best,
            diverged,
            self.n_learned,
        )

    def _copy(self) -> tuple[Any, float]:
        return self.state.table[:, 0].clone(), self.state.intercept

    def _finite(self) -> bool:
        return bool(self.torch.isfinite(self.state.table[:, 0].sum())) and math.isfinite(self.state.intercept)

    def _tensor(self, array: npt.NDArray[Any]) -> Any:
        return self.torch.from_numpy(np.ascontiguousarray(array, dtype=np.int64))

    def _loss(self, chosen: Any, total: int) -> float:
        """The mean loss of the rows, those of all peers together."""
        found, table = 0.0, self.state.table[:, 0].contiguous()
        for part in chosen.split(_ROWS_AT_ONCE):
            batch = self.rows.take(part)
            score, _ = scores(batch, batch.indices.long(), table, self.state.intercept)
            found += float(self._losses(score, batch.labels).double().sum())
        return float(self.peers.sum(np.array([found]))[0]) / total

    def _losses(self, score: Any, labels: Any) -> Any:
        if self.options.loss == "squared":
            return (score - labels).square()
        return self.torch.nn.functional.softplus(score) - labels * score

    def _epoch(self, epoch: int) -> float:
        """One pass over the rows; the mean loss before each step. All peers take equally many steps."""
        o = self.options
        order = self.random.permutation(self.learned)
        order = order[: math.ceil(o.fraction * len(order))]
        drawn = int(self.peers.sum(np.array([len(order)], dtype=np.int64))[0])
        n_steps = max(math.ceil(drawn / o.batch_size), min(drawn, LEAST_STEPS))
        bounds = np.linspace(0, len(order), n_steps + 1).astype(np.int64)
        rate = o.step_size / math.sqrt(epoch) if o.solver == "gd" else o.step_size
        chosen, loss = self._tensor(order), self.torch.zeros((), dtype=self.torch.float64)
        for low, high in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            loss += self._step(self.rows.take(chosen[low:high]), drawn / n_steps, rate)
        return float(self.peers.sum(loss.numpy().reshape(1))[0]) / drawn

    def _step(self, batch: _Batch, size: float, rate: float) -> Any:
        """Moves the state along the mean gradient of a batch of about `size` rows; the sum of its losses."""
        torch, state = self.torch, self.state
        touched, inverse = self._unique(batch.indices)
        held = state.table.index_select(0, touched)
        table = held[:, 0].contiguous()
        score, sums = scores(batch, inverse, table, state.intercept)
        guess = torch.sigmoid(score) if self.options.loss == "logistic" else 2 * score
        target = batch.labels if self.options.loss == "logistic" else 2 * batch.labels
        slope = (guess - target) / size
        found, constant = gradient(batch, inverse, table, sums, slope), float(slope.sum())
        if self.peers.size > 1:
            touched, found, constant = self._exchanged(touched, found, constant)
            held = state.table.index_select(0, touched)
        if not self.options.linear:
            found[:, 0] = 0
        self._move(touched, held, found, rate)
        if self.options.intercept:
            self._move_intercept(constant, rate)
        return self._losses(score, batch.labels).double().sum()

    def _unique(self, indices: Any) -> tuple[Any, Any]:
        """The different ones, ascending, and for each entry which of them it is; by marking, since sorting is slow."""
        torch = self.torch
        indices = indices.long()
        marked = torch.zeros(self.width, dtype=torch.bool).index_fill_(0, indices, True)
        touched = torch.from_numpy(np.flatnonzero(marked.numpy()))
        self.places.index_copy_(0, touched, torch.arange(len(touched)))
        return touched, self.places.index_select(0, indices)

    def _exchanged(self, touched: Any, found: Any, constant: float) -> tuple[Any, Any, float]:
        """The features that any peer touched, and the sums of the gradients; the same bits in every peer."""
        torch = self.torch
        if 4 * self.entries / max(1.0, self.total) * self.options.batch_size >= self.width:
            # Most features are touched: one sum of the whole table costs less than telling which they are.
            dense = torch.zeros(self.width + 1, found.shape[1] + 1)
            dense[touched, 1:], dense[touched, 0], dense[-1, 0] = found, 1, constant
            dense = torch.from_numpy(self.peers.sum(dense.numpy()))
            touched = dense[:-1, 0].nonzero()[:, 0]
            return touched, dense[touched, 1:], float(dense[-1, 0])
        parts = self.peers.gather((touched.numpy(), found.numpy(), constant))
        every = torch.from_numpy(np.concatenate([part[0] for part in parts]))
        touched, inverse = self._unique(every)
        rows = torch.from_numpy(np.concatenate([part[1] for part in parts]))
        summed = torch.zeros(len(touched), rows.shape[1]).index_add_(0, inverse, rows)
        return touched, summed, math.fsum(part[2] for part in parts)

    def _move(self, touched: Any, held: Any, found: Any, rate: float) -> None:
        state, o = self.state, self.options
        steps = state.steps.index_select(0, touched) + 1
        state.steps.index_copy_(0, touched, steps)
        table, first, second = held.unbind(1)
        if o.decay:
            table.mul_(1 - rate * o.decay)
        if o.solver == "gd":
            table.sub_(found, alpha=rate)
        else:
            first.lerp_(found, 1 - _BETA1)
            second.lerp_(found.square_(), 1 - _BETA2)
            corrections = self.corrections.index_select(0, steps.clamp_(max=_STEPS_CORRECTED))
            size = second.sqrt().mul_(corrections[:, 1:]).add_(_EPSILON)
            table.sub_((first * corrections[:, :1]).div_(size), alpha=rate)
        state.table.index_copy_(0, touched, held)

    def _move_intercept(self, slope: float, rate: float) -> None:
        state = self.state
        if self.options.solver == "gd":
            state.intercept -= rate * slope
            return
        state.taken += 1
        first, second = state.moments
        first, second = _BETA1 * first + (1 - _BETA1) * slope, _BETA2 * second + (1 - _BETA2) * slope * slope
        state.moments = [first, second]
        first, second = first / (1 - _BETA1**state.taken), second / (1 - _BETA2**state.taken)
        state.intercept -= rate * first / (math.sqrt(second) + _EPSILON)


_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8
_STEPS_CORRECTED = 20_000
"""After so many steps the bias of both moments is below float32's rounding."""
_ROWS_AT_ONCE = 1 << 16
"""Rows scored at once: a batch of them with five entries takes 20 MB."""
