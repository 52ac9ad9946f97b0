"""How the gradient of a batch moves the weights of the features it touches, and the intercept.

Adam (Kingma & Ba 2015) is applied to those features alone, and each of them corrects its bias by its own number of
steps: a feature seen for the first time late in training then moves by the step size, and not, as with a common count
or with dense moments, by many times that. Weight decay is decoupled (Loshchilov & Hutter 2019).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from palate.engines import import_torch

SOLVERS = ("adamW", "gd")


class Solver:
    """What training changes, and how.

    weights: the first `(features, 1 + factors)`, w first. solver: "adamW", or "gd": plain gradient descent. decay: of
    the weights a step touches: theta -= rate * decay * theta.

    table: `(features, 3, 1 + factors)`: the weights, and the first and second moments of their gradients. steps: how
    many steps each feature has had.
    """

    def __init__(self, weights: Any, intercept: float, solver: str, decay: float) -> None:
        torch = import_torch()
        self.adam, self.decay, self.intercept = solver == "adamW", decay, intercept
        self.table = torch.zeros(len(weights), 3, weights.shape[1])
        self.table[:, 0] = weights
        self.steps = torch.zeros(len(weights), dtype=torch.int64)
        self.moments, self.taken = (0.0, 0.0), 0
        steps = np.arange(1, _STEPS_CORRECTED + 1)
        bias = np.stack([1 / (1 - _BETA1**steps), 1 / np.sqrt(1 - _BETA2**steps)], axis=1)
        # By the number of steps, from 0, which none has: what to multiply the first moment and the second's root by.
        self.corrections = torch.from_numpy(np.concatenate([np.ones((1, 2)), bias]).astype(np.float32))

    @property
    def weights(self) -> Any:
        """`(features, 1 + factors)`, a view."""
        return self.table[:, 0]

    def restore(self, weights: Any, intercept: float) -> None:
        """Goes back to earlier weights. What is known of the gradients stays."""
        self.table[:, 0], self.intercept = weights, intercept

    def finite(self) -> bool:
        return bool(self.weights.sum().isfinite()) and math.isfinite(self.intercept)

    def move(self, touched: Any, held: Any, found: Any, rate: float) -> None:
        """A step of size `rate` of the features `touched`, whose gradient is `found` (spoilt by it) and whose rows of
        `table` are `held`."""
        steps = self.steps.index_select(0, touched) + 1
        self.steps.index_copy_(0, touched, steps)
        weights, first, second = held.unbind(1)
        if self.decay:
            weights.mul_(1 - rate * self.decay)
        if not self.adam:
            weights.sub_(found, alpha=rate)
        else:
            first.lerp_(found, 1 - _BETA1)
            second.lerp_(found.square_(), 1 - _BETA2)
            corrections = self.corrections.index_select(0, steps.clamp_(max=_STEPS_CORRECTED))
            size = second.sqrt().mul_(corrections[:, 1:]).add_(_EPSILON)
            weights.sub_((first * corrections[:, :1]).div_(size), alpha=rate)
        self.table.index_copy_(0, touched, held)

    def move_intercept(self, slope: float, rate: float) -> None:
        """A step of size `rate` of the intercept, which does not decay."""
        if not self.adam:
            self.intercept -= rate * slope
            return
        self.taken += 1
        first, second = self.moments
        first, second = _BETA1 * first + (1 - _BETA1) * slope, _BETA2 * second + (1 - _BETA2) * slope * slope
        self.moments = first, second
        first, second = first / (1 - _BETA1**self.taken), second / (1 - _BETA2**self.taken)
        self.intercept -= rate * first / (math.sqrt(second) + _EPSILON)


_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8
_STEPS_CORRECTED = 20_000
"""After so many steps the bias of both moments is below float32's rounding."""
