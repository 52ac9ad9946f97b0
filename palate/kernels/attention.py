"""A small causal transformer in numpy: what a fitted next-item network needs to answer, without a training engine.

Pre-norm blocks of self-attention and of a two-layer network with ReLU, as in Kang and McAuley, "Self-Attentive
Sequential Recommendation", ICDM 2018.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from palate.kernels.threads import FEW

Floats = npt.NDArray[np.float32]

EPSILON = 1e-6
"""What layer normalisation adds to the variance."""
_FLOATS_AT_ONCE = 1 << 21
_ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Weights:
    """All arrays float32; those of the blocks have a first axis of blocks. Row vectors times matrices.

    positions: `(length, width)`, added to the item at each place. norms: `(blocks, 2, 2, width)`: of attention and of
    the network behind it, scale and shift. attention: `(blocks, width, 3 width)` and `attention_bias`: queries, keys
    and values. out: `(blocks, width, width)` and `out_bias`. up, down: `(blocks, width, width)` and their biases.
    last_norm: `(2, width)`.
    """

    positions: Any
    norms: Any
    attention: Any
    attention_bias: Any
    out: Any
    out_bias: Any
    up: Any
    up_bias: Any
    down: Any
    down_bias: Any
    last_norm: Any

    @classmethod
    def zeros(cls, width: int, blocks: int, length: int) -> Weights:
        square, row = (blocks, width, width), (blocks, width)
        shapes = [(length, width), (blocks, 2, 2, width), (blocks, width, 3 * width), (blocks, 3 * width)]
        shapes += [square, row, square, row, square, row, (2, width)]
        return cls(*(np.zeros(shape, np.float32) for shape in shapes))

    @classmethod
    def start(cls, width: int, blocks: int, length: int, random: np.random.Generator) -> Weights:
        """Random matrices of Glorot's spread, norms that change nothing, biases of zero."""
        weights = cls.zeros(width, blocks, length)
        weights.norms[:, :, 0], weights.last_norm[0] = 1, 1
        weights.positions[:] = random.standard_normal(weights.positions.shape, np.float32) * 0.02
        for matrix in (weights.attention, weights.out, weights.up, weights.down):
            matrix[:] = random.standard_normal(matrix.shape, np.float32) / np.sqrt(np.float32(width))
        return weights

    def arrays(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> Weights:
        return cls(**{field.name: arrays[field.name] for field in fields(cls)})


def encode(weights: Weights, items: Floats, histories: npt.NDArray[np.int32], heads: int) -> Floats:
    """What the network says after the last item of each history, `(n, width) float32`.

    items: `(n_items, width)`, the embeddings. histories: `(n, longest) int32` codes, oldest first, padded behind with
    -1; no longer than the weights have positions. An empty one gives zeros.
    """
    lengths = (histories >= 0).sum(axis=1)
    found = np.zeros((len(histories), items.shape[1]), np.float32)
    order = np.argsort(lengths, kind="stable")  # rows of like length together, so that little is computed in vain
    order = order[lengths[order] > 0]
    longest = int(lengths.max(initial=1))
    step = max(1, min(_ROWS_AT_ONCE, _FLOATS_AT_ONCE // (longest * max(3 * items.shape[1], heads * longest))))
    with threadpool_limits(1, "blas") if len(order) > FEW else nullcontext():  # for a request that costs too much
        for start in range(0, len(order), step):
            rows = order[start : start + step]
            states = _forward(weights, items, histories[rows, : int(lengths[rows[-1]])], heads)
            found[rows] = states[np.arange(len(rows)), lengths[rows] - 1]
    return found


def _forward(weights: Weights, items: Floats, codes: npt.NDArray[np.int32], heads: int) -> Floats:
    """The state behind each place, `(n, longest, width)`; of padding it means nothing."""
    n, longest = codes.shape
    width = items.shape[1]
    size = width // heads
    state: Floats = items[np.maximum(codes, 0)] * np.float32(np.sqrt(width)) + weights.positions[:longest]
    later = np.triu(np.full((longest, longest), -np.inf, np.float32), 1)
    for block in range(len(weights.norms)):
        normal = _normalised(state, *weights.norms[block, 0])
        mixed = normal @ weights.attention[block] + weights.attention_bias[block]
        queries, keys, values = mixed.reshape(n, longest, 3, heads, size).transpose(2, 0, 3, 1, 4)
        scores = queries @ keys.swapaxes(-1, -2) * np.float32(size**-0.5) + later
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        attended = (scores @ values).transpose(0, 2, 1, 3).reshape(n, longest, width)
        state = state + attended @ weights.out[block] + weights.out_bias[block]
        hidden = _normalised(state, *weights.norms[block, 1]) @ weights.up[block] + weights.up_bias[block]
        state = state + np.maximum(hidden, 0) @ weights.down[block] + weights.down_bias[block]
    return _normalised(state, *weights.last_norm)


def _normalised(state: Floats, scale: Floats, shift: Floats) -> Floats:
    centred = state - state.mean(axis=-1, keepdims=True)
    spread = np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + np.float32(EPSILON))
    found: Floats = centred / spread * scale + shift
    return found
