"""What is trained, whatever engine trains it: the parameters, where they start, the objective, the scores.

The linear network is a dot product with biases; the neural one is NeuMF: He, Liao, Zhang, Nie, Hu and Chua, "Neural
Collaborative Filtering", WWW 2017 (equation 12), its two parts trained together from the start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from palate.models.epochs import Parameters

Floats = npt.NDArray[np.float32]

NETWORKS = ("linear", "neural")
OBJECTIVES = ("negatives", "ratings")

USER_TABLES = ("user_factors", "user_bias", "user_inputs")
ITEM_TABLES = ("item_factors", "item_bias", "item_inputs")
"""Parameters with a row for each user or item, of which a batch moves some."""
USERS, ITEMS = "users", "items"
"""Names of a side's tables put side by side, as engines hold them: one look-up and one update instead of three."""

_SPREAD = 0.1
"""The length of random factors at the start."""


@dataclass(frozen=True)
class Definition:
    """One matrix factorization.

    The score of a user and an item is, with p and q their factors, b and c their biases,

        linear: offset + b + c + p.q
        neural: offset + b + c + w.[p * q ; h_L],  h_0 = [p' ; q'],  h_l = max(0, W_l h_(l-1) + v_l)

    p' and q' being factors of their own (`user_inputs`, `item_inputs`) and each layer half as wide as the one before.

    The loss of a row, a user and 1 + `negatives` items, is the sum over the items of log(1 + exp(s)) - t s (objective
    "negatives": t is 1 for the first item, 0 for the others) or (s - t)^2 ("ratings": one item, t its rating), plus
    `regularization` times the squared length of the user's rows of the tables and the mean of that of the items'.
    Adam (Kingma and Ba, 2015) moves the parameters by the sum over a batch, of the tables only the rows that the batch
    touches. (The mean would have gradients no larger than Adam's epsilon, which engines don't treat quite alike.) The
    learning rate falls linearly from epoch to epoch, down to a part in `epochs`.
    """

    network: str
    objective: str
    factors: int
    layers: int
    negatives: int
    regularization: float
    learning_rate: float
    batch_size: int
    epochs: int
    offset: float
    """What is known of the scores before training: the mean rating, or the log odds of a positive row."""

    @property
    def widths(self) -> list[int]:
        """Of the hidden layers, the input first; empty if the network is linear."""
        if self.network == "linear":
            return []
        return [max(1, 2 * self.factors >> layer) for layer in range(self.layers + 1)]

    def ignorance(self, ratings: Floats | None) -> float:
        """The mean loss of a row if all that is known is the offset. ratings: what objective "ratings" learns."""
        if ratings is not None:
            return float(np.square(ratings.astype(np.float64) - self.offset).mean())
        return float((1 + self.negatives) * np.logaddexp(0, self.offset) - self.offset)

    def start(self, n_users: int, n_items: int, rng: np.random.Generator) -> Parameters:
        """The parameters before training."""
        counts = {"user": n_users, "item": n_items}
        made: Parameters = {}
        for side, n in counts.items():
            made[f"{side}_factors"] = _normal(rng, (n, self.factors), _SPREAD / np.sqrt(self.factors))
            made[f"{side}_bias"] = np.zeros((n, 1), np.float32)
        if self.network == "linear":
            return made
        for side, n in counts.items():
            made[f"{side}_inputs"] = _normal(rng, (n, self.factors), _SPREAD)
        widths = self.widths
        for layer, (wide, narrow) in enumerate(pairwise(widths)):
            made[f"hidden_{layer}_weight"] = _normal(rng, (narrow, wide), np.sqrt(2 / wide))  # He and others, 2015
            made[f"hidden_{layer}_bias"] = np.zeros(narrow, np.float32)
        made["output_weight"] = np.concatenate(
            [np.ones(self.factors, np.float32), _normal(rng, (widths[-1],), np.sqrt(1 / widths[-1]))]
        )[None]
        return made

    def packed(self, parameters: Parameters) -> Parameters:
        """The tables of each side as one, USERS and ITEMS: factors, bias, inputs; the rest as it is."""
        sides = {USERS: USER_TABLES, ITEMS: ITEM_TABLES}
        made = {
            side: np.concatenate([parameters[name] for name in names if name in parameters], axis=1)
            for side, names in sides.items()
        }
        return made | {name: values for name, values in parameters.items() if name not in USER_TABLES + ITEM_TABLES}

    def unpacked(self, packed: Parameters) -> Parameters:
        """What `packed` put together, apart."""
        made = {name: values for name, values in packed.items() if name not in (USERS, ITEMS)}
        for side, names in ((USERS, USER_TABLES), (ITEMS, ITEM_TABLES)):
            parts = np.split(packed[side], [self.factors, self.factors + 1], axis=1)
            made |= {name: np.ascontiguousarray(part) for name, part in zip(names, parts, strict=True) if part.shape[1]}
        return made

    def scores(self, users: Mapping[str, Floats], held: Mapping[str, Floats]) -> Floats:
        """`(n, n_items) float32` for users given by their rows of the USER_TABLES; `held` are the parameters."""
        items = held["item_factors"]
        mine = users["user_factors"]
        if self.network == "neural":
            mine = mine * held["output_weight"][0, : self.factors]
        found: Floats = mine @ items.T
        found += users["user_bias"] + held["item_bias"][:, 0] + np.float32(self.offset)
        if self.network == "neural":
            last = held["output_weight"][0, self.factors :]
            first = held["hidden_0_weight"]
            of_items = held["item_inputs"] @ first[:, self.factors :].T  # the first layer is a sum of both sides
            of_users = users["user_inputs"] @ first[:, : self.factors].T + held["hidden_0_bias"]
            for row, mine in enumerate(of_users):
                hidden = np.maximum(of_items + mine, 0)
                for layer in range(1, self.layers):
                    hidden = hidden @ held[f"hidden_{layer}_weight"].T
                    hidden += held[f"hidden_{layer}_bias"]
                    np.maximum(hidden, 0, out=hidden)
                found[row] += hidden @ last
        return found


def _normal(rng: np.random.Generator, shape: tuple[int, ...], deviation: float) -> Floats:
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(deviation)
