"""Ratings predicted by matrix factorization with biases, whose priors know what was rated and not only how.

Variational Bayes, as in Lim and Teh, "Variational Bayesian Approach to Movie Rating Prediction", KDD Cup and Workshop
2007; the means of the priors regressed on features, as in Agarwal and Chen, "Regression-based Latent Factor Models",
KDD 2009; the features, as in SVD++ (Koren, "Factorization Meets the Neighborhood", KDD 2008), tell which items a user
rated and which users an item, whatever the ratings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse
from threadpoolctl import threadpool_limits

from palate.dataset.ids import Codes
from palate.dataset.schema import Interactions, Items, Users
from palate.errors import ParameterError
from palate.kernels.posterior import Beliefs, Doubles, Side, posterior, posterior_means
from palate.models.factors import encoded_pairs
from palate.models.params import ModelParams, within
from palate.models.protocol import Arrays, Capability, Context, Floats, Recommender, Signature, Vectors
from palate.models.ratings import Scale, rating_matrix

_WARM_UP = 5
"""Passes before the variances of the priors are learned: until then the factors are near their random start."""
_LEAST = 1e-4
"""Variances are held above it, where that of the ratings is 1."""


@dataclass(frozen=True)
class ExplicitMFParams(ModelParams):
    """Parameters of ExplicitMF.

    factors: width of the embeddings; those that the ratings don't bear out fade by themselves. Memory is
        4 bytes x items x (factors + 1)^2.
    features: how many singular vectors of who rated what the priors' means are regressed on.
    ridge: the penalty of that regression, in rows.
    iterations: passes over users and items.
    rating_weight: in a ranking an item's chance of being picked is multiplied by e to this, for each standard deviation
        of the ratings by which its predicted rating is above the mean; 0 leaves ratings out.
    seed: of the start; the same seed gives the same factors, on any number of threads.

    The defaults were tuned on validation data cut from the training parts of ml-latest-small:
    `python -m benchmarks.explicit_ratings --tune`.
    """

    factors: int = field(default=8, metadata=within(1, 256))
    features: int = field(default=40, metadata=within(1, 4096))
    ridge: float = field(default=100.0, metadata=within(above=0))
    iterations: int = field(default=60, metadata=within(1, 10_000))
    rating_weight: float = field(default=0.7, metadata=within(0))
    seed: int = field(default=0, metadata=within(0, 2**32 - 1))


class ExplicitMF(Recommender):
    """A rating is the mean plus a bias of the user, one of the item, and the dot product of their factors.

    Factors and biases are normal variables. Their prior means are linear in features (the leading singular vectors of
    the normalised matrix of who rated what, and the logarithm of how much was rated), the variances of the priors and
    of the noise are learned: so nothing but the widths and one ridge is left to tune. A user's posterior is computed
    from the items' in closed form: a user of the training data and somebody folded in with the same ratings get the
    same prediction. Who is not known is predicted as somebody who rated nothing.

    `predict` with a column `item` gives ratings. A ranking is another matter: most films that would be rated high will
    never be picked. Items are ranked by how likely they are picked, from the same singular vectors (the ideal low-pass
    filter of `graph-filter`), times what `rating_weight` makes of the predicted rating.
    """

    kind: ClassVar[str] = "explicit-mf"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.PERSONAL, Capability.FOLD_IN_USERS, Capability.SIMILAR_ITEMS}
    )
    Params: ClassVar[type[ExplicitMFParams]] = ExplicitMFParams
    params: ExplicitMFParams

    scale: Scale
    noise: float
    """The variance of a rating about its prediction; as all below, where that of the ratings is 1."""
    user_factors: Doubles
    """Posterior means of the users' factors and, last, of their biases, `(n_users, factors + 1)`."""
    items_side: Side
    """What is believed of the items."""
    axes: Floats
    """The right singular vectors, `(n_items, features)`; zeros for items that nobody rated."""
    spread: Floats
    """The singular values over the root of the number of users, `(features,)`: the size of a user's features."""
    weights: dict[str, Doubles]
    """Of the regressions, `(features + 2, factors + 1)`, by side."""
    precision: Doubles
    """Of the users' prior, `(factors + 1,)`."""

    # -- learning --------------------------------------------------------------------------------------------------

    def _fit(self, interactions: Interactions, items: Items, users: Users | None) -> None:
        params = self.params
        ratings = rating_matrix(interactions)
        self.scale = Scale.of(ratings)
        self.usual_weight = self.scale.mean
        centred = ratings.copy()
        centred.data = self.scale.standardised(ratings.data)
        sides = {"user": centred, "item": sparse.csr_matrix(centred.T)}
        features = dict(zip(sides, self._decompose(), strict=True))
        rng = np.random.default_rng(params.seed)
        width = params.factors + 1
        beliefs = {name: _start(side.shape[0], width, rng) for name, side in sides.items()}
        prior = {name: np.zeros((side.shape[0], width)) for name, side in sides.items()}
        precision = {name: np.r_[np.full(width - 1, 20.0), 4.0] for name in sides}
        rated = {name: np.diff(side.indptr) > 0 for name, side in sides.items()}
        self.weights = {}
        self.noise = 1.0
        with threadpool_limits(1, "blas"):
            for step in range(params.iterations):
                for name, other in (("user", "item"), ("item", "user")):
                    found, errors = posterior(
                        sides[name], Side.of(beliefs[other]), prior[name], precision[name], self.noise
                    )
                    beliefs[name] = found
                    self.weights[name] = _regress(features[name][rated[name]], found.means[rated[name]], params.ridge)
                    prior[name] = features[name] @ self.weights[name]
                    if step >= _WARM_UP:
                        precision[name] = 1 / _variances(found, prior[name], rated[name])
                self.noise = max(_LEAST, errors / ratings.nnz)
        self.items_side, self.precision = Side.of(beliefs["item"]), precision["user"]
        self.user_factors = self._solve(ratings)
        if not np.isfinite(self.user_factors).all():
            raise ParameterError(
                "the factors are not finite numbers.", where=self.kind, hint="Take a larger ridge or fewer factors."
            )

    def _decompose(self) -> tuple[Doubles, Doubles]:
        """Sets `axes` and `spread`; the features of users and of items."""
        from sklearn.utils.extmath import randomized_svd

        lengths, counts = self._lengths(self.seen), np.maximum(self.popularity, 1)
        graph = sparse.csr_matrix(sparse.diags(lengths**-0.5) @ self.seen @ sparse.diags(counts**-0.5))
        width = min(self.params.features, *graph.shape)
        with threadpool_limits(1, "blas"):
            _, sizes, rows = randomized_svd(graph, width, n_iter=4, random_state=self.params.seed)
        self.axes = np.ascontiguousarray(rows.T * (self.popularity > 0)[:, None], dtype=np.float32)
        self.spread = np.maximum(sizes / np.sqrt(len(lengths)), 1e-6).astype(np.float32)
        of_items = self.axes * np.float32(np.sqrt(len(counts)))
        return self._features(self.seen), _with_logarithm(of_items, counts, self._usual["item"])

    @cached_property
    def _usual(self) -> dict[str, float]:
        """The mean logarithm of how much users rated, and of how much items were rated."""
        rows = {"user": self._lengths(self.seen), "item": np.maximum(self.popularity, 1)}
        return {name: float(np.log(counts).mean()) for name, counts in rows.items()}

    # -- users -----------------------------------------------------------------------------------------------------

    def _lengths(self, histories: sparse.csr_matrix) -> Doubles:
        """How many items each row holds, 1 for none."""
        lengths: Doubles = np.maximum(np.diff(histories.indptr), 1).astype(np.float64)
        return lengths

    def _places(self, histories: sparse.csr_matrix) -> Floats:
        """Where the rows lie along the singular vectors, `(n, features)`."""
        pulls = (self.popularity[histories.indices].clip(1) ** -0.5).astype(np.float32)
        rows = sparse.csr_matrix((pulls, histories.indices, histories.indptr), shape=histories.shape)
        places: Floats = (rows @ self.axes) * (self._lengths(histories) ** -0.5)[:, None].astype(np.float32)
        return places

    def _features(self, histories: sparse.csr_matrix) -> Doubles:
        """`(n, features + 2)`."""
        return _with_logarithm(self._places(histories) / self.spread, self._lengths(histories), self._usual["user"])

    def _solve(self, histories: sparse.csr_matrix) -> Doubles:
        """Posterior means of users by the ratings in their histories, `(n, factors + 1)`."""
        centred = histories.copy()
        centred.data = self.scale.standardised(histories.data)
        prior = self._features(histories) @ self.weights["user"]
        return posterior_means(centred, self.items_side, prior, self.precision, self.noise)

    def _user_vectors(self, codes: Codes) -> Vectors:
        seen = self._rows_seen(codes)
        means = self.user_factors[codes].astype(np.float32)
        return means, self._places(seen), (np.diff(seen.indptr) > 0).astype(np.float32)

    def _fold(self, histories: sparse.csr_matrix) -> Vectors:
        held = self.popularity[histories.indices] > 0  # nothing was learned of the others
        starts = np.concatenate([[0], np.cumsum(held)])[histories.indptr]
        known = sparse.csr_matrix((histories.data[held], histories.indices[held], starts), shape=histories.shape)
        return self._solve(known).astype(np.float32), self._places(known), (np.diff(starts) > 0).astype(np.float32)

    # -- scores ----------------------------------------------------------------------------------------------------

    def _score(self, vectors: Vectors, contexts: Sequence[Context]) -> tuple[Floats, npt.NDArray[np.bool_]]:
        means, places, known = (np.asarray(each) for each in vectors)
        items = self.items_side.means
        scores: Floats = places @ (self.axes * np.sqrt(self.popularity)[:, None]).T
        if self.params.rating_weight > 0:
            above = means[:, :-1] @ items[:, :-1].T + means[:, -1:] + items[:, -1]
            scores *= np.exp(np.float32(self.params.rating_weight) * above)
        scores[:, self.popularity == 0] = -np.inf
        return scores, known > 0

    def _similar(self, codes: Codes) -> Floats:
        places = self.axes * self.spread
        lengths = np.linalg.norm(places, axis=1, keepdims=True)
        places = places / np.where(lengths == 0, 1, lengths)
        scores: Floats = places[codes] @ places.T
        untouched = self.popularity == 0
        scores[:, untouched] = -np.inf
        scores[untouched[codes]] = -np.inf
        return scores

    # -- ratings ---------------------------------------------------------------------------------------------------

    def ratings(self, users: Codes, items: Codes) -> Floats:
        """Predicted ratings of pairs of codes, `(n,) float32`, within the scale; a code of -1 is not known."""
        strangers = {name: self._nobody(name) for name in ("user", "item")}
        rows = np.where(users[:, None] >= 0, self.user_factors[users], strangers["user"])
        columns = np.where(items[:, None] >= 0, self.items_side.means[items], strangers["item"])
        found = (rows[:, :-1] * columns[:, :-1]).sum(axis=1) + rows[:, -1] + columns[:, -1]
        return self.scale.clip(found * self.scale.deviation + self.scale.mean)

    def _nobody(self, side: str) -> Doubles:
        """The prior mean of a user who rated nothing, or an item that nobody rated, `(factors + 1,)`."""
        width = len(self.spread)
        features = _with_logarithm(np.zeros((1, width), np.float32), np.ones(1), self._usual[side])
        found: Doubles = (features @ self.weights[side])[0]
        return found

    def signature(self) -> Signature:
        """The column `item` may be left out: which columns come back depends on it."""
        ranking = super().signature()
        item = "int64" if self.items.is_integer else "string"
        outputs = {**ranking.outputs, "prediction": "float"}
        return Signature({**ranking.inputs, "item": item}, outputs, ("item", *outputs))

    def predict(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """With the columns `user` and `item`, the column `prediction`: ratings. With `user` alone, a ranking."""
        if not isinstance(batch, Mapping) or "item" not in batch:
            return super().predict(batch)
        self._require_fitted()
        return {"prediction": self.ratings(*encoded_pairs(batch, self.users, self.items)).tolist()}

    # -- as arrays -------------------------------------------------------------------------------------------------

    def _state(self) -> Arrays:
        side = self.items_side
        return Arrays(
            {"scale": asdict(self.scale), "noise": self.noise},
            {
                "user_factors": self.user_factors,
                "item_means": side.means,
                "item_moments": side.moments,
                "item_crossed": side.crossed,
                "item_spread": side.spread,
                "axes": self.axes,
                "spread": self.spread,
                "precision": self.precision,
                **{f"{name}_weights": values for name, values in self.weights.items()},
            },
        )

    def _restore(self, state: Arrays) -> None:
        held = state.arrays
        self.scale, self.noise = Scale(**state.params["scale"]), float(state.params["noise"])
        self.usual_weight = self.scale.mean
        self.user_factors, self.precision = held["user_factors"], held["precision"]
        self.items_side = Side(*(held[f"item_{name}"] for name in ("means", "moments", "crossed", "spread")))
        self.axes, self.spread = held["axes"], held["spread"]
        self.weights = {name: held[f"{name}_weights"] for name in ("user", "item")}


def _start(n: int, width: int, rng: np.random.Generator) -> Beliefs:
    means = 0.1 * rng.standard_normal((n, width))
    means[:, -1] = 0
    return Beliefs(means, np.repeat(np.float32(0.01) * np.eye(width, dtype=np.float32)[None], n, axis=0))


def _with_logarithm(features: Floats, counts: npt.NDArray[np.floating], usual: float) -> Doubles:
    """Features with a constant and the logarithm of the counts before them."""
    return np.column_stack([np.ones(len(features)), np.log(counts) - usual, features]).astype(np.float64)


def _regress(features: Doubles, targets: Doubles, ridge: float) -> Doubles:
    """Weights of the ridge regression; the constant goes free."""
    penalty = np.full(features.shape[1], ridge)
    penalty[0] = 1e-6
    weights: Doubles = np.linalg.solve(features.T @ features + np.diag(penalty), features.T @ targets)
    return weights


def _variances(beliefs: Beliefs, prior: Doubles, rated: npt.NDArray[np.bool_]) -> Doubles:
    """Of the rows about their prior means, as expected, `(factors + 1,)`."""
    squares = np.square(beliefs.means - prior) + np.einsum("nii->ni", beliefs.covariances)
    variances: Doubles = np.maximum(squares[rated].mean(axis=0), _LEAST)
    return variances
