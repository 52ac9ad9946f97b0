"""Personal and content scores as one: whoever and whatever is little known is judged by content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.dataset.ids import Codes
from palate.dataset.schema import Interactions, Items, Users
from palate.errors import BundleFormatError
from palate.models.als import ALS, ALSParams
from palate.models.content import ContentParams, ContentSimilarity
from palate.models.params import ModelParams, within
from palate.models.popularity import Popularity
from palate.models.protocol import Arrays, Capability, Context, Floats, Recommender, Vectors

_Model = TypeVar("_Model", bound=Recommender)


@dataclass(frozen=True)
class BlendParams(ModelParams):
    """Parameters of Blend.

    content: how boldly content speaks: the deviation of its standardised scores, where that of the personal ones is 1.
        What is only predicted deserves less; 0.6 and more let so many untouched items in that the rest suffers.
    popular: the weight of standardised popularity for a user of whom one item is known; it fades as the history grows.
    user_half: with so many items in the history, a user is half known.
    item_half: with so many users, an item is half known.
    factors, regularization, alpha, iterations: of the personal part, as ALS has them.
    dims: of the content part, as ContentSimilarity has it.
    half_life_days: of the popularity behind both, as Popularity has it.
    seed: of all parts.

    The defaults were tuned on validation data cut from the training part of ml-latest-small, for users with long
    and with short histories and for cold items: `python -m benchmarks.tune_models blend`.
    """

    content: float = field(default=0.5, metadata=within(0))
    popular: float = field(default=1.0, metadata=within(0))
    user_half: float = field(default=2.0, metadata=within(0))
    item_half: float = field(default=1.0, metadata=within(0))
    factors: int = field(default=ALSParams.factors, metadata=within(1, 4096))
    regularization: float = field(default=ALSParams.regularization, metadata=within(above=0))
    alpha: float = field(default=ALSParams.alpha, metadata=within(above=0))
    iterations: int = field(default=ALSParams.iterations, metadata=within(1, 10_000))
    dims: int = field(default=ContentParams.dims, metadata=within(1, 4096))
    half_life_days: float = field(default=0.0, metadata=within(0))
    seed: int = field(default=0, metadata=within(0, 2**32 - 1))


class Blend(Recommender):
    """ALS, content and popularity in one model that can do all that any of them can.

    The scores of both rankers are standardised over the items each row can rank (mean 0, deviation 1), content's then
    scaled by `content`. Of a user with `h` items and an item with `c` users, the personal score has the weight
    `h / (h + user_half) * c / (c + item_half)`, the content score the rest: so an item of today is ranked by what it
    is, and somebody who only stated what they like is served by content. A short history says little of its own, so
    standardised popularity is added with the weight `popular * user_half / (h + user_half)`, to users with a history.
    Whoever is not known at all gets what is popular, in their segment if that is given.

    Similar items: the cosines of both, weighted by how well known the two items are.
    """

    kind: ClassVar[str] = "blend"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(Capability)
    Params: ClassVar[type[BlendParams]] = BlendParams
    params: BlendParams

    personal: ALS
    content: ContentSimilarity
    popular: Popularity

    def _fit(self, interactions: Interactions, items: Items, users: Users | None) -> None:
        params = self.params
        self.personal = ALS(
            factors=params.factors,
            regularization=params.regularization,
            alpha=params.alpha,
            iterations=params.iterations,
            seed=params.seed,
        ).fit(interactions, items, users)
        self.content = ContentSimilarity(dims=params.dims, seed=params.seed).fit(interactions, items, users)
        self.popular = Popularity(half_life_days=params.half_life_days).fit(interactions, items, users)
        self.usual_weight = self.personal.usual_weight

    def _user_vectors(self, codes: Codes) -> Vectors:
        history = np.diff(self.seen.indptr)[codes] * (codes >= 0)
        return *self.personal._user_vectors(codes), *self.content._user_vectors(codes), history.astype(np.float32)

    def _fold(self, histories: sparse.csr_matrix) -> Vectors:
        history = np.diff(histories.indptr).astype(np.float32)
        # The personal part knows the items of the training data only, which come first.
        trained = sparse.csr_matrix(histories[:, : len(self.personal.items)])
        return *self.personal._fold(trained), *self.content._fold(histories), history

    def _score(self, vectors: Vectors, contexts: Sequence[Context]) -> tuple[Floats, npt.NDArray[np.bool_]]:
        factors, sums, history = vectors
        first, knows_first = self.personal._score((factors,), contexts)
        second, knows_second = self.content._score((sums,), contexts)
        first[~knows_first] = -np.inf
        second[~knows_second] = -np.inf
        familiar = _saturation(np.asarray(history), self.params.user_half)
        second = np.float32(self.params.content) * _standardised(second)
        scores = _mixed(self._widened(_standardised(first)), second, familiar[:, None] * self._item_familiarity)
        scores += (np.float32(self.params.popular) * (1 - familiar) * knows_first)[:, None] * self._standing
        known = knows_first | knows_second
        others = np.flatnonzero(~known)
        if len(others) and len(self.popular.segment_ids):
            by_segment, known[others] = self.popular._score((), [contexts[row] for row in others])
            scores[others] = self._widened(by_segment, 0)
        return scores, known

    def _fallback(self, contexts: Sequence[Context]) -> Floats:
        return self._widened(np.atleast_2d(self.popular._fallback(contexts)), 0)

    @property
    def popularity(self) -> Floats:
        """The scores of whoever is not known at all, `(n_items,)`."""
        overall: Floats = self._widened(self.popular.popularity[None], 0)[0]
        return overall

    @cached_property
    def _item_familiarity(self) -> Floats:
        """How well each item is known, from 0 (nobody touched it) towards 1, `(n_items,)`."""
        users = np.bincount(self.seen.indices, minlength=len(self.items))
        return _saturation(users, self.params.item_half)

    @cached_property
    def _standing(self) -> Floats:
        """Standardised popularity; 0, the average, for items folded in since, `(n_items,)`."""
        standing: Floats = self._widened(_standardised(self.popular.popularity[None]), 0)[0]
        return standing

    def _widened(self, scores: Floats, fill: float = -np.inf) -> Floats:
        """Scores of the items of the training data, with columns for those folded in since."""
        more = len(self.items) - scores.shape[1]
        return np.pad(scores, ((0, 0), (0, more)), constant_values=fill) if more else scores

    def _similar(self, codes: Codes) -> Floats:
        second = self.content._similar(codes)
        first = np.full_like(second, -np.inf)
        trained = codes < len(self.personal.items)
        if trained.any():
            first[trained] = self._widened(self.personal._similar(codes[trained]))
        return _mixed(first, second, self._item_familiarity[codes][:, None] * self._item_familiarity)

    def _extend(self, fresh: Items) -> None:
        self.content = self.content.fold_in_items(fresh)
        self.__dict__.pop("_item_familiarity", None)
        self.__dict__.pop("_standing", None)

    def _state(self) -> Arrays:
        parts = {"personal": self.personal, "content": self.content, "popular": self.popular}
        return Arrays({"usual_weight": self.usual_weight}, parts=parts)

    def _restore(self, state: Arrays) -> None:
        self.personal = _part(state, "personal", ALS)
        self.content = _part(state, "content", ContentSimilarity)
        self.popular = _part(state, "popular", Popularity)
        self.usual_weight = float(state.params["usual_weight"])


def _part(state: Arrays, name: str, expected: type[_Model]) -> _Model:
    part = state.parts[name]
    if not isinstance(part, expected):
        raise BundleFormatError(f"the part {name!r} of a blend must be of kind {expected.kind}, not {part.kind}.")
    return part


def _saturation(count: npt.NDArray[np.number], half: float) -> Floats:
    """`count / (count + half)`: 0 at 0, a half at `half`, towards 1 beyond."""
    counted = count.astype(np.float32)
    return np.asarray(counted / np.maximum(counted + half, 1e-9), dtype=np.float32)


def _standardised(scores: Floats) -> Floats:
    """Each row with mean 0 and deviation 1 over what it ranks; -inf stays."""
    ranked = scores > -np.inf
    counts = np.maximum(ranked.sum(axis=1, keepdims=True), 1)
    filled = np.where(ranked, scores, 0)
    means = filled.sum(axis=1, keepdims=True) / counts
    filled -= means
    filled *= ranked
    deviations = np.sqrt(np.einsum("ij,ij->i", filled, filled)[:, None] / counts)
    filled /= np.where(deviations > 0, deviations, 1)
    filled[~ranked] = -np.inf
    return filled.astype(np.float32, copy=False)


def _mixed(first: Floats, second: Floats, share: Floats) -> Floats:
    """`share * first + (1 - share) * second`; where one is silent (-inf), the other alone."""
    either = np.where(first > -np.inf, first, second)
    other = np.where(second > -np.inf, second, first)
    silent = either == -np.inf
    either[silent] = other[silent] = 0
    mixed: Floats = other + share * (either - other)
    mixed[silent] = -np.inf
    return mixed
