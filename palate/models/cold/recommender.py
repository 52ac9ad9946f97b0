"""Ranking what is new: several ways of judging an item by its content, trusted as far as they prove right."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.dataset.ids import Codes
from palate.dataset.schema import Interactions, Items, Users
from palate.errors import BundleFormatError
from palate.features import ContentEncoder
from palate.features.description import Described, Describer, encoder_params
from palate.features.encoder import EncoderParams
from palate.features.facts import Facts
from palate.kernels.content_ridge import Ridge
from palate.models.cold.search import search
from palate.models.cold.shape import Shape
from palate.models.cold.taste import Taste, aligned_users, facts_of_users, fit_taste
from palate.models.cold.views import MAPS, NAMES, RIDGES, Settings, Teller, Views, extended, fit_views
from palate.models.cold.weights import standardised
from palate.models.content import BY_CONTENT
from palate.models.params import within
from palate.models.protocol import Arrays, Capability, Context, Floats, Recommender, Vectors

log = logging.getLogger("palate.models.cold")

_FEWEST = 50
"""With fewer items that somebody has touched there is too little to hide: the weights are even, settings the usual."""


@dataclass(frozen=True)
class ColdStartParams(EncoderParams):
    """Parameters of ColdStart, beside those of its encoder.

    attributes: the weight of the items' attributes, where that of the rest of the content is 1.
    factors: at most so many singular vectors stand for what users did; how many of them count is learned.
    fresh: how far items that nobody has touched are moved up, in standard deviations of the user's scores. That a user
        has not touched an item that was there to be touched says something against it; of a new one nothing is said.
    preference_weight: stated categories or tags count like so many items in the history.
    seed: of the decomposition, and of which items are hidden to learn the weights.
    """

    attributes: float = field(default=0.7, metadata=within(0))
    factors: int = field(default=128, metadata=within(1, 4096))
    fresh: float = field(default=0.5, metadata=within(0))
    preference_weight: float = field(default=2.0, metadata=within(0))
    seed: int = field(default=0, metadata=within(0, 2**32 - 1))


class ColdStart(Recommender):
    """Scores items by their content alone, in several ways (`palate.models.cold.views`), and adds those up.

    Each view's scores are standardised over the items; the sum's weights, and each view's settings, are those that rank
    best when a random fifth of the touched items is hidden and has to be found again. So it depends on the data whether
    likeness of content, a map to what users did, or predicted popularity is trusted. An item without content is never
    recommended; how much an item is used counts for nothing, so that new items stand beside old ones as equals.

    Somebody without a history is served by the stated categories and tags, as items of a history, and by attributes
    (`Context.attributes`), if the users known at `fit` had any (`palate.models.cold.taste`).
    """

    kind: ClassVar[str] = "cold-start"
    capabilities: ClassVar[frozenset[Capability]] = BY_CONTENT
    Params: ClassVar[type[ColdStartParams]] = ColdStartParams
    params: ColdStartParams
    names: ClassVar[tuple[str, ...]] = NAMES
    """The views that are added up."""

    describer: Describer
    described: Described
    """All items."""
    teller: Teller | None
    """None, as `views`, if no item with content has been touched."""
    views: Views | None
    weights: Mapping[str, float]
    """Of each view, learned; they sum to 1."""
    taste: Taste | None

    def _fit(self, interactions: Interactions, items: Items, users: Users | None) -> None:
        params = self.params
        self.describer = Describer.fit(items, encoder_params(params), params.attributes)
        self.described = self.describer.describe(items)
        used = np.bincount(self.seen.indices, minlength=len(self.items)) > 0
        learned = np.flatnonzero(used & self.described.known).astype(np.int32)
        self.teller, self.views, self.taste = None, None, None
        self.weights = dict.fromkeys(self.names, 1 / len(self.names))
        if len(learned) == 0:
            return
        settings, found = Settings(shape=Shape.even(self.described)), None
        if len(learned) >= _FEWEST:
            known = sparse.csr_matrix(self.seen[:, learned])
            found = search(known, self.described.take(learned), self.names, params.factors, params.seed)
        if found is not None:
            settings, self.weights = found
            told = ", ".join(f"{name} {weight:.2f}" for name, weight in self.weights.items() if weight > 0)
            log.info("cold-start: %s; %s", told, settings)
        self.teller, self.views = fit_views(
            self.seen, self.described, learned, self.names, settings, params.factors, params.seed
        )
        if users is not None:
            about = facts_of_users(aligned_users(users, self.users))
            self.taste = fit_taste(self.seen, self.views.basis, about, params.seed)

    def _user_vectors(self, codes: Codes) -> Vectors:
        return (self._rows_seen(codes),)

    def _fold(self, histories: sparse.csr_matrix) -> Vectors:
        binary = sparse.csr_matrix(histories, copy=True)
        binary.data = np.ones_like(binary.data)
        return (binary,)

    def _score(self, vectors: Vectors, contexts: Sequence[Context]) -> tuple[Floats, npt.NDArray[np.bool_]]:
        scores = np.zeros((len(contexts), len(self.items)), np.float32)
        known = self.described.known
        if self.views is None:
            return scores, np.zeros(len(contexts), dtype=bool)
        histories = sparse.csr_matrix(vectors[0], dtype=np.float32)
        histories.resize(len(contexts), len(self.items))
        told = np.asarray(histories @ known.astype(np.float32)) > 0
        likings = self._stated(contexts)
        stated = None
        if likings is not None:
            told = told | likings.known
            stated = self._as_history(likings)
        for name, weight in self.weights.items():
            if weight > 0:
                view = standardised(self.views.scores(name, histories, stated), known)
                scores += np.float32(weight) * view
        if self.params.fresh > 0:
            deviations = scores[:, known].std(axis=1, keepdims=True)
            scores[:, self._untouched] += np.float32(self.params.fresh) * deviations
        if self.taste is not None:
            silent = np.flatnonzero(np.diff(histories.indptr) == 0)
            moved, says = self.taste.factors([contexts[row] for row in silent])
            rows, moved = silent[says], moved[says]
            if len(rows):
                shares = np.pad(self.taste.shares, (0, len(self.items) - len(self.taste.shares)))
                found = standardised(shares + moved @ self.views.basis.T, known)
                both = told[rows][:, None]
                scores[rows] = np.where(both, scores[rows] + found, found)
                told[rows] = True
        scores[:, ~known] = -np.inf
        return scores, told

    @property
    def _untouched(self) -> npt.NDArray[np.intp]:
        """Items that nobody has touched."""
        return np.flatnonzero(np.bincount(self.seen.indices, minlength=len(self.items)) == 0)

    def _stated(self, contexts: Sequence[Context]) -> Described | None:
        """Stated likings as items of the history; None where nobody states any."""
        if self.params.preference_weight == 0 or not any(each.categories or each.tags for each in contexts):
            return None
        return self.describer.prefer([each.categories for each in contexts], [each.tags for each in contexts])

    def _as_history(self, likings: Described) -> tuple[sparse.csr_matrix, dict[str, Floats]]:
        """What the views take for `stated`: as if each liking were `preference_weight` items of the history."""
        assert self.teller is not None  # noqa: S101  (asked only where there are views)
        weight = np.float32(self.params.preference_weight)
        known = weight * likings.known[:, None]
        factors = {name: told[:, :-1] * known for name, told in self.teller.tell(likings).items()}
        return sparse.csr_matrix(likings.content * weight), factors

    def _similar(self, codes: Codes) -> Floats:
        content = self.described.content
        scores = np.ascontiguousarray((content @ content[codes].T.toarray()).T)
        scores[:, ~self.described.known] = -np.inf
        scores[~self.described.known[codes]] = -np.inf
        return np.asarray(scores, dtype=np.float32)

    def _extend(self, fresh: Items) -> None:
        more = self.describer.describe(fresh)
        held = self.described
        self.described = Described(
            sparse.csr_matrix(sparse.vstack([held.content, more.content], format="csr")),
            np.concatenate([held.numbers, more.numbers]),
            held.ends,
        )
        if self.teller is not None and self.views is not None:
            self.views = extended(self.teller, self.views, more)

    # -- as a bundle -----------------------------------------------------------------------------------------------

    def _state(self) -> Arrays:
        params: dict[str, Any] = {"describer": self.describer.to_params(), "weights": dict(self.weights)}
        arrays: dict[str, Any] = {
            "content": self.described.content, "numbers": self.described.numbers, "scale": self.describer.scale,
        }  # fmt: skip
        ids = {"facts": self.describer.facts.labels}
        if self.teller is not None and self.views is not None:
            teller, views = self.teller, self.views
            params["settings"] = asdict(teller.settings)
            arrays |= {"learned": teller.learned, "basis": views.basis, "near": views.near}
            arrays |= {f"{name}_told": told for name, told in views.told.items()}
            for name, ridge in teller.ridges.items():
                arrays |= {
                    f"{name}_marks": ridge.marks.astype(np.int32), f"{name}_weights": ridge.weights,
                    f"{name}_mean": ridge.mean,
                }  # fmt: skip
        if self.taste is not None:
            params["taste"] = self.taste.facts.to_params()
            ids["user_facts"] = self.taste.facts.labels
            arrays |= {
                "taste_mean": self.taste.mean, "taste_weights": self.taste.weights, "taste_shares": self.taste.shares,
            }  # fmt: skip
        return Arrays(params, arrays, ids, {"encoder": self.describer.encoder})

    def _restore(self, state: Arrays) -> None:
        encoder, params, arrays = state.parts["encoder"], state.params, state.arrays
        if not isinstance(encoder, ContentEncoder):
            raise BundleFormatError(f"its encoder must be of kind {ContentEncoder.kind}, not {encoder.kind}.")
        self.describer = Describer.from_parts(encoder, params["describer"], state.ids["facts"], arrays["scale"])
        self.described = Described(sparse.csr_matrix(arrays["content"]), arrays["numbers"], self.describer.ends)
        self.weights, self.teller, self.views, self.taste = dict(params["weights"]), None, None, None
        if "settings" in params:
            self._restore_views(Settings.from_params(params["settings"]), arrays)
        if "taste" in params:
            facts = Facts.from_params(params["taste"], state.ids["user_facts"])
            self.taste = Taste(facts, arrays["taste_mean"], arrays["taste_weights"], arrays["taste_shares"])

    def _restore_views(self, settings: Settings, arrays: Mapping[str, Any]) -> None:
        learned, basis = np.asarray(arrays["learned"]), arrays["basis"]
        mine = self.described.take(learned)
        names, ridges = tuple(self.weights), {}  # a bundle may be older than one of the views
        for name in [name for name in RIDGES if name in names]:
            marks = np.asarray(arrays[f"{name}_marks"])
            among = settings.seen_by(name, mine.take(marks))
            kernel, _ = settings.kernel(name)
            weights, mean = arrays[f"{name}_weights"], arrays[f"{name}_mean"]
            ridges[name] = Ridge(kernel, marks, among.content, among.numbers, weights, mean)
        self.teller = Teller(names, settings, learned, mine, np.asarray(basis)[learned], ridges)
        told = {name: arrays[f"{name}_told"] for name in MAPS if name in names}
        content = self.described.content
        self.views = Views(settings, basis, content, told, sparse.csr_matrix(arrays["near"]), content)


class ContentMap(ColdStart):
    """A linear map from content to the factors of what users did, and nothing else: the simple sibling of ColdStart.

    Ridge regression of the factors of the touched items on their content (Gantner and others, 2010); its penalty and
    the number of factors that count are those that find hidden items best.
    """

    kind: ClassVar[str] = "content-map"
    names: ClassVar[tuple[str, ...]] = ("linear",)
