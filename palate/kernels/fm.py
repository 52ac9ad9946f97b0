"""Training of factorization machines of degree two (Rendle 2010, "Factorization Machines", ICDM) by mini-batches.

Rows are cut into batches (`fm_rows`), a batch gives a gradient (`fm_gradient`), which moves the features it touches
(`fm_solver`). Here are the options, the epochs, when to stop, and how many processes sum their gradients.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.engines import import_torch
from palate.kernels.fm_gradient import gradient, losses, scores, slopes
from palate.kernels.fm_rows import Batch, Doubles, Floats, Rows, Units
from palate.kernels.fm_solver import Solver
from palate.kernels.peers import Alone, Peers

LEAST_STEPS = 30
"""Steps of an epoch that has the rows for it: small data get smaller batches than asked for."""
LEAST_VALIDATION = 20
"""A validation share of fewer rows would stop by chance; none is held out then."""
WORTH = 1e-3
"""The share of the validation loss that an epoch has to save for the next to be like it."""
BEGINNING, BEGUN = 8, 0.01
"""Until so many epochs are over, or this share of the constant's loss is saved, none is waited for in vain: small
factors are a saddle, which data whose features only say something in pairs leave slowly, and not downhill at first."""
FINER = 0.1
"""What follows an epoch that saved less: mini-batches of a fixed step end in a noise of that step's size."""


@dataclass(frozen=True)
class FMOptions:
    """How to train.

    loss: "logistic" (labels 0 and 1) or "squared". factors: width of the factor vectors; 0 leaves a linear model.
    intercept, linear: whether w0 and w are learned. init_std: standard deviation of the first factors.
    solver: "adamW", or "gd": plain gradient descent, its step divided by the square root of the epoch's number.
    step_size: of the solver. decay: of the weights a batch touches: theta -= step_size * decay * theta.
    batch_size: rows of a step, those of all peers together. epochs: at most. fraction: of the rows, drawn anew for
    each epoch. validation: the share of rows held out. After an epoch in which their loss did not fall by WORTH,
    training goes back to the best state, and on from there in steps of a tenth; after `patience` such epochs in a row
    it ends. Of the first ones none counts, until something was learned. The best state is kept. tolerance: training
    also ends when an epoch changes the training loss by less than this share of it. seed: of the first factors, the
    held-out rows and the order of rows.
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


class _Training:
    def __init__(self, rows: sparse.csr_matrix, labels: Doubles, options: FMOptions, peers: Peers) -> None:
        self.torch = import_torch()
        self.options, self.peers, self.width = options, peers, int(rows.shape[1])
        n = len(labels)
        self.random = np.random.default_rng([options.seed, peers.rank])
        counts = np.array([n, rows.nnz, labels.sum()], dtype=np.float64)
        self.total, self.entries, label_sum = map(float, peers.sum(counts).tolist())
        mean = label_sum / max(1.0, self.total)
        self.units = Units.of_features(rows, peers)
        if options.loss == "squared":
            self.units = self.units.with_labels(labels, mean if options.intercept else 0.0, self.total, peers)
        self.rows = Rows(rows, labels, self.units)
        order = self.random.permutation(n)
        held = round(options.validation * n) if options.validation * self.total >= LEAST_VALIDATION else 0
        self.held, self.learned = self._tensor(order[:held]), order[held:]
        sizes = peers.sum(np.array([held, n - held], dtype=np.float64))
        self.n_held, self.n_learned = int(sizes[0]), int(sizes[1])
        self.places = self.torch.empty(self.width, dtype=self.torch.int64)
        self.solver = self._start(mean)

    def _start(self, mean: float) -> Solver:
        torch, o = self.torch, self.options
        weights, intercept = torch.zeros(self.width, 1 + o.factors), 0.0
        weights[:, 1:].normal_(0, o.init_std, generator=torch.Generator().manual_seed(o.seed % 2**63))
        if o.intercept and o.loss == "logistic":  # the best constant; half a row of the other class keeps it finite
            positive = min(max(mean * self.total, 0.5), max(self.total - 0.5, 0.5))
            intercept = math.log(positive / max(self.total - positive, 0.5))
        return Solver(weights, intercept, o.solver, o.decay)

    def run(self) -> FMFit:
        o = self.options
        history, validation = [], []
        best, kept, waited, diverged, step = 0, self._copy(), 0, False, o.step_size
        if self.n_learned:
            history.append(self._loss(self._tensor(self.learned), self.n_learned))
        if self.n_held:
            validation.append(self._loss(self.held, self.n_held))
        for epoch in range(1, o.epochs + 1 if self.n_learned else 0):
            loss = self._epoch(step / math.sqrt(epoch) if o.solver == "gd" else step)
            judged = self._loss(self.held, self.n_held) if self.n_held else loss
            diverged = not (math.isfinite(loss) and math.isfinite(judged)) or not self.solver.finite()
            if diverged:
                break
            history.append(loss)
            least = min(validation, default=math.inf)  # without rows held out the last state counts as the best
            validation.extend([judged] if self.n_held else [])
            if judged < least:
                best, kept = epoch, self._copy()
            if judged < (1 - WORTH) * least:
                waited = 0
            elif epoch >= BEGINNING or least < (1 - BEGUN) * validation[0]:
                waited, step = waited + 1, step * FINER
                self.solver.restore(*kept[:2])
            if waited >= o.patience or abs(history[-2] - loss) <= o.tolerance * abs(history[-2]):
                break
        table, intercept, touched = kept
        table[~touched] = 0
        if not best:  # the first factors are noise
            table.zero_()
        intercept, linear, factors = self.units.folded(intercept, table.numpy().astype(np.float64))
        square = self.units.spread**2
        history, validation = [square * value for value in history], [square * value for value in validation]
        return FMFit(intercept, linear, factors, history, validation, best, diverged, self.n_learned)

    def _copy(self) -> tuple[Any, float, Any]:
        """The weights, the intercept, and which features have had a step."""
        return self.solver.weights.clone(), self.solver.intercept, self.solver.steps > 0

    def _tensor(self, array: npt.NDArray[Any]) -> Any:
        return self.torch.from_numpy(np.ascontiguousarray(array, dtype=np.int64))

    def _loss(self, chosen: Any, total: int) -> float:
        """The mean loss of the rows, those of all peers together."""
        found, table = 0.0, self.solver.weights.contiguous()
        for part in chosen.split(_ROWS_AT_ONCE):
            batch = self.rows.take(part)
            score, _ = scores(batch, batch.indices.long(), table, self.solver.intercept)
            found += float(losses(self.options.loss, score, batch.labels).double().sum())
        return float(self.peers.sum(np.array([found]))[0]) / total

    def _epoch(self, rate: float) -> float:
        """One pass over the rows in steps of size `rate`; the mean loss before each. All peers take equally many."""
        o = self.options
        order = self.random.permutation(self.learned)
        order = order[: math.ceil(o.fraction * len(order))]
        drawn = int(self.peers.sum(np.array([len(order)], dtype=np.int64))[0])
        n_steps = max(math.ceil(drawn / o.batch_size), min(drawn, LEAST_STEPS))
        bounds = np.linspace(0, len(order), n_steps + 1).astype(np.int64)
        chosen, loss = self._tensor(order), self.torch.zeros((), dtype=self.torch.float64)
        for low, high in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            loss += self._step(self.rows.take(chosen[low:high]), drawn / n_steps, rate)
        return float(self.peers.sum(loss.numpy().reshape(1))[0]) / drawn

    def _step(self, batch: Batch, size: float, rate: float) -> Any:
        """Moves the weights along the mean gradient of a batch of about `size` rows; the sum of its losses."""
        loss, solver = self.options.loss, self.solver
        touched, inverse = self._unique(batch.indices)
        held = solver.table.index_select(0, touched)
        table = held[:, 0].contiguous()
        score, sums = scores(batch, inverse, table, solver.intercept)
        slope = slopes(loss, score, batch.labels) / size
        found, constant = gradient(batch, inverse, table, sums, slope), float(slope.sum())
        if self.peers.size > 1:
            touched, found, constant = self._exchanged(touched, found, constant)
            held = solver.table.index_select(0, touched)
        if not self.options.linear:
            found[:, 0] = 0
        solver.move(touched, held, found, rate)
        if self.options.intercept:
            solver.move_intercept(constant, rate)
        return losses(loss, score, batch.labels).double().sum()

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


_ROWS_AT_ONCE = 1 << 16
"""Rows scored at once: a batch of them with five entries takes 20 MB."""
