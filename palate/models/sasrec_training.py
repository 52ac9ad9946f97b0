"""How SASRec learns: mini-batches in torch, on a GPU where torch sees one."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from palate.dataset.ids import Codes
from palate.engines import import_torch
from palate.errors import ParameterError
from palate.kernels.attention import EPSILON, Floats, Weights, encode
from palate.models.sequences import PADDING, Ordered

if TYPE_CHECKING:
    from palate.models.sasrec import SASRecParams

_log = logging.getLogger("palate.models")

_SPREAD = 0.1  # of random embeddings
_ENOUGH = 50
"""Fewer histories that can spare their last item say too little about when to stop."""
_HELD_BACK = 2000
_CUTOFF = 10
_BETAS = (0.9, 0.98)  # of Adam, as in the paper
_LOST = 3.0
"""Training whose loss is by so much larger than that of guessing has diverged."""
_PROBED = 500
"""Stretches of histories by which a state is judged that no held-back items tell of."""


@dataclass(frozen=True)
class Trained:
    """What a run of training left behind: the best weights it had, and after how many passes it had them."""

    weights: Weights
    items: Floats
    epochs: int
    diverged: bool


def train(histories: Ordered, n_items: int, params: SASRecParams) -> tuple[Weights, Floats, dict[str, Any]]:
    """Weights, items, and how it went, from histories over the codes 0 to n_items - 1.

    The items are `(n_items, factors + 1)`: the embedding, and what is added to each score. Raises ParameterError if
    training diverges before it has learned anything, MissingDependencyError without torch.
    """
    learner = _Learner(n_items, params)
    _log.info("sasrec: training on %s", learner.device_name)
    epochs, known = params.epochs, {"device": learner.device_name}
    chosen = _held_back(histories, params)
    if chosen is not None:
        first = learner.run(histories.before_last(chosen), epochs, _Validation(histories, chosen, params))
        epochs = first.epochs
        if first.diverged:
            _log.warning("sasrec: training diverged after %d passes; the best weights before that stay", epochs)
            return first.weights, first.items, {**known, "epochs": epochs, "diverged": True}
    last = learner.run(histories, epochs)
    if last.diverged:
        _log.warning("sasrec: training diverged after %d passes; the best weights before that stay", last.epochs)
    return last.weights, last.items, {**known, "epochs": last.epochs, "diverged": last.diverged}


def _held_back(histories: Ordered, params: SASRecParams) -> npt.NDArray[np.bool_] | None:
    """The histories whose last item tells when to stop, `(n_histories,)`, or None if there are too few."""
    able = np.flatnonzero(histories.lengths >= 3)
    if params.patience == 0 or len(able) < _ENOUGH:
        return None
    chosen = np.zeros(len(histories), dtype=bool)
    chosen[np.random.default_rng(params.seed).permutation(able)[:_HELD_BACK]] = True
    return chosen


class _Validation:
    """NDCG of the held-back items, each ranked among all that its history lacks."""

    def __init__(self, histories: Ordered, chosen: npt.NDArray[np.bool_], params: SASRecParams) -> None:
        rows = np.flatnonzero(chosen)
        starts, ends = histories.starts[:-1][rows], histories.starts[1:][rows] - 1
        self._wanted = histories.codes[ends]
        self._before = [histories.codes[start:end] for start, end in zip(starts, ends, strict=True)]
        counts = np.minimum(ends - starts, params.length)
        self._inputs, self._heads = histories.rows(ends - counts, counts), params.heads

    def __call__(self, weights: Weights, items: Floats) -> float:
        vectors = encode(weights, items[:, :-1], self._inputs, self._heads)
        total = 0.0
        for vector, wanted, before in zip(vectors, self._wanted, self._before, strict=True):
            scores = items[:, :-1] @ vector + items[:, -1]
            mark = scores[wanted]
            scores[before] = -np.inf
            better = int((scores > mark).sum())
            total += 1 / math.log2(better + 2) if better < _CUTOFF else 0.0
        return total / len(vectors)


class _Learner:
    """Training from the same start, as often as asked."""

    def __init__(self, n_items: int, params: SASRecParams) -> None:
        self._torch = import_torch()
        self._n_items, self._params = n_items, params
        gpu = self._torch.cuda.is_available()
        self._device = self._torch.device("cuda" if gpu else "cpu")
        self.device_name = self._torch.cuda.get_device_name(self._device) if gpu else "cpu"

    def run(self, histories: Ordered, epochs: int, validation: _Validation | None = None) -> Trained:
        """At most `epochs` passes; the state that was best on validation, or, without that, had the least loss."""
        params = self._params
        random = np.random.default_rng(params.seed)
        start = Weights.start(params.factors, params.blocks, params.length, random)
        table = random.standard_normal((self._n_items, params.factors), np.float32) * np.float32(_SPREAD)
        popular = np.log(np.bincount(histories.codes, minlength=self._n_items) + 1.0).astype(np.float32)
        best: Trained | None = None
        best_gain = -math.inf
        probe = list(self._batches(histories, np.random.default_rng(params.seed), _PROBED))
        with _seeded(self._torch, self._device, params.seed):
            begin = {"items": table, "popular": popular - popular.mean(), **start.arrays()}
            held = {name: self._learned(array) for name, array in begin.items()}
            adam = self._torch.optim.Adam(held.values(), lr=params.learning_rate, betas=_BETAS)
            for epoch in range(1, epochs + 1):
                for batch in self._batches(histories, random):
                    adam.zero_grad()
                    self._loss(held, batch, params.dropout, random).backward()
                    adam.step()
                loss = self._probed(held, probe)
                state = {name: tensor.detach().cpu().numpy().copy() for name, tensor in held.items()}
                if not loss < math.log(self._n_items) + _LOST or not _finite(state):
                    return self._cut_short(best, loss)
                items = np.column_stack([state.pop("items"), state.pop("popular")])
                now = Trained(Weights(**state), items, epoch, False)
                gain = -loss if validation is None else validation(now.weights, items)
                _log.debug("sasrec: pass %d, loss %.4f, gain %.4f", epoch, loss, gain)
                if gain > best_gain:
                    best, best_gain = now, gain
                elif validation is not None and best is not None and epoch - best.epochs >= params.patience:
                    break
        assert best is not None  # noqa: S101 - there is one pass at least
        return best

    def _cut_short(self, best: Trained | None, loss: float) -> Trained:
        if best is None:
            raise ParameterError(
                f"training diverged in its first pass (loss {loss:g}).",
                where="sasrec.learning_rate",
                hint="Take a smaller one.",
            )
        return Trained(best.weights, best.items, best.epochs, True)

    def _learned(self, array: Floats) -> Any:
        return self._torch.tensor(array, device=self._device, requires_grad=True)

    def _batches(
        self, histories: Ordered, random: np.random.Generator, most: int | None = None
    ) -> Iterator[tuple[Any, Any]]:
        """Codes of items and of those that follow them, `(stretches, longest)` tensors, padded behind with -1."""
        params = self._params
        starts, lengths = (found[:most] for found in histories.windows(params.length, random))
        for at in range(0, len(starts), params.batch):
            part = slice(at, at + params.batch)
            rows = _mixed(histories.rows(starts[part], lengths[part] + 1), params.shuffle, random)
            wanted = rows[:, 1:]
            codes = np.where(wanted == PADDING, PADDING, rows[:, :-1])
            yield self._tensor(codes), self._tensor(wanted)

    def _tensor(self, codes: Codes) -> Any:
        return self._torch.from_numpy(codes).to(self._device).long()

    def _probed(self, held: dict[str, Any], probe: list[tuple[Any, Any]]) -> float:
        """The mean loss on some batches, nothing left out, and always the same negatives drawn."""
        random = np.random.default_rng(self._params.seed)
        with self._torch.no_grad():
            return float(np.mean([float(self._loss(held, batch, 0.0, random)) for batch in probe]))

    def _loss(self, held: dict[str, Any], batch: tuple[Any, Any], dropout: float, random: np.random.Generator) -> Any:
        """The mean of -log softmax of the items that follow.

        Where negatives are drawn, the softmax's sum over all other items is estimated by theirs, each counted as often
        as it stands for others.
        """
        torch, params = self._torch, self._params
        codes, wanted = batch
        real = wanted != PADDING
        states, wanted = forward(torch, held, codes, params.heads, dropout)[real], wanted[real]
        if self._n_items <= params.negatives:
            return torch.nn.functional.cross_entropy(states @ held["items"].T + held["popular"], wanted)
        drawn = torch.from_numpy(random.integers(0, self._n_items, params.negatives)).to(self._device)
        target = (states * held["items"][wanted]).sum(-1, keepdim=True) + held["popular"][wanted, None]
        others = states @ held["items"][drawn].T + held["popular"][drawn] + math.log(self._n_items / params.negatives)
        others = others.masked_fill(drawn == wanted[:, None], -torch.inf)
        return (torch.logsumexp(torch.cat([target, others], 1), 1) - target[:, 0]).mean()


def forward(torch: Any, held: dict[str, Any], codes: Any, heads: int, dropout: float = 0.0) -> Any:
    """The state behind each place, `(n, longest, width)`, as `palate.kernels.attention` has it; with dropout.

    held: `items` and the arrays of Weights, as tensors. codes: `(n, longest)`, padded behind with -1.
    """
    do = torch.nn.functional
    n, longest = codes.shape
    width = held["items"].shape[1]
    state = held["items"][codes.clamp(min=0)] * width**0.5 + held["positions"][:longest]
    state = do.dropout(state, dropout)
    for block in range(len(held["norms"])):
        norms = held["norms"][block]
        normal = do.layer_norm(state, (width,), norms[0, 0], norms[0, 1], EPSILON)
        mixed = normal @ held["attention"][block] + held["attention_bias"][block]
        queries, keys, values = mixed.reshape(n, longest, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        attended = do.scaled_dot_product_attention(queries, keys, values, is_causal=True)  # dropout would be slow here
        attended = attended.transpose(1, 2).reshape(n, longest, width)
        state = state + do.dropout(attended @ held["out"][block] + held["out_bias"][block], dropout)
        normal = do.layer_norm(state, (width,), norms[1, 0], norms[1, 1], EPSILON)
        hidden = do.dropout(do.relu(normal @ held["up"][block] + held["up_bias"][block]), dropout)
        state = state + do.dropout(hidden @ held["down"][block] + held["down_bias"][block], dropout)
    return do.layer_norm(state, (width,), held["last_norm"][0], held["last_norm"][1], EPSILON)


def _finite(state: dict[str, Floats]) -> bool:
    return all(bool(np.isfinite(array).all()) for array in state.values())


def _mixed(rows: Codes, share: float, random: np.random.Generator) -> Codes:
    """The rows, padded behind, of which about this share is in random order."""
    if share == 0:
        return rows
    chosen = np.flatnonzero(random.random(len(rows)) < share)
    keys = np.where(rows[chosen] == PADDING, 2.0, random.random(rows[chosen].shape))
    mixed = rows.copy()
    mixed[chosen] = np.take_along_axis(rows[chosen], np.argsort(keys, axis=1), axis=1)
    return mixed


@contextmanager
def _seeded(torch: Any, device: Any, seed: int) -> Iterator[None]:
    """Dropout drawn by this seed; the caller's random state stays as it was."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
