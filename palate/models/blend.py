"""Several models as one that has learned how much to trust each: what a hybrid is here, for warm, thin and cold."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.dataset.ids import Codes
from palate.dataset.schema import Interactions, Items, Users
from palate.errors import BundleFormatError, ParameterError
from palate.models.blend_lists import lists_of
from palate.models.blend_sums import add, mixed, standards_of
from palate.models.blend_v1 import is_first_format, modernised
from palate.models.params import ModelParams, within
from palate.models.part_list import Part, fitted, read_parts, write_parts
from palate.models.popularity import Popularity
from palate.models.protocol import Arrays, Capability, Context, Floats, Histories, Recommender, Vectors
from palate.models.trust import COVERS, PART_TERMS, Known, Scale, Trust, rule_of_thumb
from palate.models.trust_learning import Comparison, Lists, compared, joined, learn, natural, safest, simple_shares
from palate.models.validation import FEWEST, Validation, cuts_of, told

_TYPICAL = 3.0
"""A standardised score that is worth recommending; at it the weight of a part is told."""


@dataclass(frozen=True)
class BlendParams(ModelParams):
    """Parameters of Blend.

    parts: the models, as `kind` or `kind(parameter=value,...)`, with commas between them; a kind may come twice.
        Popularity, where it is one, answers for who is not known, in their segment if that is given.
    holdout: the share of each user's history, the last where there are times, that the weights are learned from; 0
        leaves the rule of thumb in force.
    users: from so many of the users, drawn at random, the weights are learned.
    seed: of the draw, and of those parts that have one and are not told theirs.
    """

    parts: str = "als,content,popularity"
    holdout: float = field(default=0.1, metadata=within(0, 0.9))
    users: int = field(default=4000, metadata=within(1))
    seed: int = field(default=0, metadata=within(0, 2**32 - 1))


class Blend(Recommender):
    """Its parts' scores, standardised over the items each row can rank, with learned weights added up.

    To learn the weights, the parts are fitted to what is left when validation data is cut from the interactions; then
    they are fitted again, to all. A part's weight depends on the number of the user's items and on that of the item's
    users (`palate.models.trust`): so an item of today is ranked by what it is, somebody who only stated what they
    like is served by content, and a well-known user by whoever is right about well-known users. Beside natural
    validation data the lists include histories cut short, and, if a part ranks new items, hidden items.

    Whoever is not known at all gets what is popular, in their segment if that is given. Similar items: the
    similarities of the first part that has them and of the first that ranks new items, by how new the two items are.
    """

    kind: ClassVar[str] = "blend"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(Capability)
    Params: ClassVar[type[Any]] = BlendParams
    params: Any

    parts: dict[str, Recommender]
    """The fitted models under their kinds, a second one of a kind as `kind-2`."""
    trust: Trust

    def __init__(self, params: Any = None, /, **values: Any) -> None:
        super().__init__(params, **values)
        chosen = self._named_parts()
        if chosen:
            try:
                made = [part.make() for part in chosen]
            except ParameterError as error:
                raise ParameterError(
                    error.message, where=f"{self.kind}.parts: {error.where}", hint=error.hint
                ) from None
            self.capabilities = _capabilities(made)  # type: ignore[misc]

    def _named_parts(self) -> list[Part]:
        """The parts that the parameters name."""
        try:
            return read_parts(self.params.parts)
        except ParameterError as error:
            raise ParameterError(error.message, where=f"{self.kind}.{error.where}", hint=error.hint) from None

    # -- learning --------------------------------------------------------------------------------------------------

    def _fit(self, interactions: Interactions, items: Items, users: Users | None) -> None:
        self._fit_parts(self._named_parts(), interactions, items, users)

    def _fit_parts(self, chosen: list[Part], interactions: Interactions, items: Items, users: Users | None) -> None:
        """Learns the weights, then fits the parts to everything."""
        self.trust = self._learned(chosen, interactions, items, users)
        self._take(fitted(chosen, interactions, items, users, self.params.seed), interactions)

    def _take(self, parts: dict[str, Recommender], interactions: Interactions) -> None:
        self.parts = parts
        self.capabilities = _capabilities(list(parts.values()))  # type: ignore[misc]
        weights = interactions.matrix().data
        self.usual_weight = float(weights.mean(dtype=np.float64)) if len(weights) else 1.0
        for name in ("rankers", "item_counts", "strength", "_items_known", "_popular", "popularity"):
            self.__dict__.pop(name, None)

    def _learned(self, chosen: list[Part], interactions: Interactions, items: Items, users: Users | None) -> Trust:
        """The weights, from validation data; the rule of thumb where there is too little."""
        news = [_ranks_new(part.make()) for part in chosen if _ranks(part.make())]
        rule = self._rule_of(news)
        if not self.params.holdout or not news:
            return rule
        hide = any(news) and len(news) > 1 and told(items)
        cuts = cuts_of(interactions, self.params.holdout, self.params.seed, hide=hide)
        lists = self._lists(chosen, cuts, rule, items, users, self.params.users)
        return rule if lists is None else self._trust_from(lists, news, ahead=False)[0]

    def _rule_of(
        self, ranks_new: list[bool], lists: Lists | None = None, shares: Sequence[float] | None = None
    ) -> Trust:
        """The rule of thumb. lists: they tell what each part counts in the simplest blend, unless `shares` does, and
        how strongly what covers the new speaks."""
        scales = Scale.of(np.diff(self.seen.indptr)), Scale.of(_users_of(self.seen))
        if lists is None:
            return rule_of_thumb(ranks_new, *scales, shares)
        some = natural(lists)
        found = simple_shares(some) if shares is None else shares
        return safest(some, [rule_of_thumb(ranks_new, *scales, found, cover) for cover in COVERS])

    def _trust_from(self, cuts: Sequence[Lists], ranks_new: list[bool], *, ahead: bool) -> tuple[Trust, Comparison]:
        """Weights as far from the rule of thumb as cross-validation says. cuts, ahead: as `compared` takes them."""
        found = compared(cuts, lambda some: self._rule_of(ranks_new, some), ahead=ahead)
        lists = joined(cuts)
        return learn(lists, self._rule_of(ranks_new, lists), found.strength), found

    def _lists(
        self,
        chosen: list[Part],
        cuts: Sequence[Validation],
        rule: Trust,
        items: Items,
        users: Users | None,
        limit: int,
    ) -> list[Lists] | None:
        """What weights are learned from: of each cut, the lists of at most `limit` users, by a blend of these parts
        that is fitted to what the cut leaves to learn from. None if that is too little."""
        found = []
        for cut in cuts:
            before = Blend(parts=write_parts(chosen), seed=self.params.seed)
            before.items, before.users, before.seen = self.items, self.users, cut.train.matrix(binary=True)
            before._take(fitted(chosen, cut.train, items, users, self.params.seed), cut.train)
            found.append(lists_of(before, cut, rule, limit, self.params.seed))
        return found if sum(map(len, found)) >= FEWEST else None

    # -- what it is made of ----------------------------------------------------------------------------------------

    @cached_property
    def rankers(self) -> list[Recommender]:
        """The parts with rankings of their own for a user, in the order of the weights."""
        return [part for part in self.parts.values() if _ranks(part)]

    @cached_property
    def item_counts(self) -> npt.NDArray[np.int64]:
        """How many users touched each item, `(n_items,)`."""
        return _users_of(self.seen)

    @cached_property
    def strength(self) -> Floats:
        """How popular each item is by the popularity part, or else by its number of users, `(n_items,)`."""
        if self._popular is None:
            return self.item_counts.astype(np.float32)
        popularity: Floats = self._widened(self._popular.popularity[None], 0)[0]
        return popularity

    @cached_property
    def _popular(self) -> Popularity | None:
        return next((part for part in self.parts.values() if isinstance(part, Popularity)), None)

    @cached_property
    def _items_known(self) -> Known:
        return self.trust.items(self.item_counts, self.strength)

    def weights(self, history: int, item_users: int) -> dict[str, float]:
        """How much each ranker counts for a user with so many items and an item with so many users; shares of 1.

        The slope of the score at a standardised score of 3; a negative one takes away. A part that could not say
        anything of such an item (nobody has touched it, and it learns from interactions only) counts nothing.
        """
        users = self.trust.users(np.array([history]))
        items = self.trust.items(np.array([item_users]), np.array([item_users]))
        names = [name for name, part in self.parts.items() if _ranks(part)]
        slopes = [
            float(self.trust.of_users(row, users)[0] + self.trust.of_items(row, items)[0])
            + float(self.trust.parts[row, PART_TERMS.index("root")]) / (2 * math.sqrt(_TYPICAL))
            if item_users or _ranks_new(self.parts[name])
            else 0.0
            for row, name in enumerate(names)
        ]
        total = sum(map(abs, slopes)) or 1.0
        return {name: slope / total for name, slope in zip(names, slopes, strict=True)}

    def histories_of(self, codes: Codes) -> sparse.csr_matrix:
        """Histories of users of the training data as `_fold` takes them, each item of the usual weight."""
        rows = sparse.csr_matrix(self.seen[codes])
        rows.data = np.full_like(rows.data, self.usual_weight)
        return rows

    # -- ranking ---------------------------------------------------------------------------------------------------

    def _user_vectors(self, codes: Codes) -> Vectors:
        history = np.diff(self.seen.indptr)[codes] * (codes >= 0)
        return (history.astype(np.float32), *[v for part in self.rankers for v in part._user_vectors(codes)])

    def _fold(self, histories: sparse.csr_matrix) -> Vectors:
        return self._folded(histories, lambda part, own: part._fold(own))

    def _fold_in(self, histories: Histories, matrix: sparse.csr_matrix) -> Vectors:
        return self._folded(matrix, lambda part, own: part._fold_in(histories, own))

    def _folded(self, matrix: sparse.csr_matrix, fold: Callable[[Recommender, sparse.csr_matrix], Vectors]) -> Vectors:
        vectors: list[Any] = [np.diff(matrix.indptr).astype(np.float32)]
        for part in self.rankers:
            if part.can(Capability.FOLD_IN_USERS):  # it may know the items of the training data only, which come first
                vectors += fold(part, sparse.csr_matrix(matrix[:, : len(part.items)]))
            else:
                vectors += part._user_vectors(np.full(matrix.shape[0], -1, np.int32))
        return tuple(vectors)

    def _heard(self, vectors: Vectors, contexts: Sequence[Context]) -> list[tuple[Floats, npt.NDArray[np.bool_]]]:
        """What each ranker says: scores of its own items, and which rows it knows."""
        found, at = [], 1
        for part in self.rankers:
            width = len(part._user_vectors(np.empty(0, np.int32)))
            found.append(part._score(vectors[at : at + width], contexts))
            at += width
        return found

    def standard_scores(self, vectors: Vectors, contexts: Sequence[Context]) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Standardised scores `(n_rankers, n, n_items)`, -inf where silent; and which rows each knows."""
        said = self._heard(vectors, contexts)
        scores = np.full((len(said), len(contexts), len(self.items)), -np.inf, np.float32)
        for row, (found, _) in enumerate(said):
            means, scales = standards_of(found)
            heard = found > -np.inf  # an item that it is silent on times a scale of 0 would be no number
            np.multiply(found - means[:, None], scales[:, None], out=scores[row, :, : found.shape[1]], where=heard)
        return scores, np.stack([known for _, known in said]) if said else np.zeros((0, len(contexts)), bool)

    def _score(self, vectors: Vectors, contexts: Sequence[Context]) -> tuple[Floats, npt.NDArray[np.bool_]]:
        said = self._heard(vectors, contexts)
        users = self.trust.users(np.asarray(vectors[0]))
        total = self.trust.shared_score(users, self._items_known, self.item_counts)
        known = np.zeros(len(contexts), dtype=bool)
        by_history = np.zeros(len(contexts), dtype=bool)
        for part, (_, knows) in zip(self.rankers, said, strict=True):
            known |= knows
            by_history |= knows & (not _ranks_new(part))
        if not all(map(_ranks_new, self.rankers)):  # who only states what they like gets that, not what is popular
            total[known & ~by_history] = 0
        heard = np.zeros(total.shape, dtype=bool)
        for row, (scores, knows) in enumerate(said):
            means, scales = standards_of(scores)
            by_user, by_item = self.trust.of_users(row, users), self.trust.of_items(row, self._items_known)
            root, silent = map(float, self.trust.parts[row, 5:7])
            add(scores, (means, scales, knows), (by_user, by_item, root, silent), total, heard)
        total[~heard] = -np.inf
        others = np.flatnonzero(~known)
        if len(others) and self._popular is not None and len(self._popular.segment_ids):
            by_segment, known[others] = self._popular._score((), [contexts[row] for row in others])
            total[others] = self._widened(by_segment, 0)
        return total, known

    def _fallback(self, contexts: Sequence[Context]) -> Floats:
        if self._popular is None:
            return self.popularity
        return self._widened(np.atleast_2d(self._popular._fallback(contexts)), 0)

    @cached_property
    def popularity(self) -> Floats:
        """The scores of whoever is not known at all, `(n_items,)`."""
        return self.strength

    def _widened(self, scores: Floats, fill: float = -np.inf) -> Floats:
        """Scores of the items of the training data, with columns for those folded in since."""
        more = len(self.items) - scores.shape[1]
        return np.pad(scores, ((0, 0), (0, more)), constant_values=fill) if more else scores

    def _similar(self, codes: Codes) -> Floats:
        able = [part for part in self.parts.values() if part.can(Capability.SIMILAR_ITEMS)]
        first = next((part for part in able if not _ranks_new(part)), None)
        second = next((part for part in able if _ranks_new(part)), None)
        if first is None or second is None:
            return self._similar_by(first or second, codes)
        known = 1 - self._items_known.new
        return mixed(self._similar_by(first, codes), self._similar_by(second, codes), known[codes][:, None] * known)

    def _similar_by(self, part: Recommender | None, codes: Codes) -> Floats:
        found = np.full((len(codes), len(self.items)), -np.inf, np.float32)
        if part is not None:
            held = codes < len(part.items)
            if held.any():
                found[held] = self._widened(part._similar(codes[held]))
        return found

    def _extend(self, fresh: Items) -> None:
        self.parts = {
            name: part.fold_in_items(fresh) if part.can(Capability.FOLD_IN_ITEMS) else part
            for name, part in self.parts.items()
        }
        for name in ("rankers", "item_counts", "strength", "_items_known", "popularity"):
            self.__dict__.pop(name, None)

    # -- as an artifact --------------------------------------------------------------------------------------------

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        return super().from_arrays(modernised(arrays) if is_first_format(arrays) else arrays)

    def _state(self) -> Arrays:
        scales = [self.trust.user_scale, self.trust.item_scale]
        return Arrays(
            {"usual_weight": self.usual_weight, "order": list(self.parts)},
            {
                "part_weights": self.trust.parts,
                "shared_weights": self.trust.shared,
                "scales": np.array([[s.mean, s.deviation, s.low, s.high] for s in scales]),
            },
            parts=dict(self.parts),
        )

    def _restore(self, state: Arrays) -> None:
        order = state.params.get("order")
        if order is None or set(order) != set(state.parts):
            raise BundleFormatError("its list of parts is not that of its folders.", where=self.kind)
        parts = {}
        for name in order:
            part = state.parts[name]
            if not isinstance(part, Recommender):
                raise BundleFormatError(f"the part {name!r} must be of kind {name}, not {part.kind}.", where=self.kind)
            parts[name] = part
        scales = [Scale(*map(float, row)) for row in np.asarray(state.arrays["scales"])]
        weights = np.asarray(state.arrays["part_weights"]), np.asarray(state.arrays["shared_weights"])
        self.trust = Trust(weights[0], weights[1], scales[0], scales[1])
        self.parts = parts
        self.capabilities = _capabilities(list(parts.values()))  # type: ignore[misc]
        self.usual_weight = float(state.params["usual_weight"])
        if len(self.rankers) != len(weights[0]):
            raise BundleFormatError(f"it has {len(self.rankers)} rankers and weights for {len(weights[0])}.")


def _ranks(part: Recommender) -> bool:
    """Whether it has rankings of their own for users."""
    return part.can(Capability.PERSONAL)


def _ranks_new(part: Recommender) -> bool:
    """Whether it ranks items that nobody has touched."""
    return part.can(Capability.FOLD_IN_ITEMS)


def _capabilities(parts: Sequence[Recommender]) -> frozenset[Capability]:
    """All that any of them can do."""
    return frozenset(capability for part in parts for capability in part.capabilities)


def _users_of(seen: sparse.csr_matrix) -> npt.NDArray[np.int64]:
    """How many users touched each item."""
    return np.bincount(seen.indices, minlength=seen.shape[1])
