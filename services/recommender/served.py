"""One immutable snapshot of all that an answer is made from: a model with the live catalogue laid over it.

A request reads the snapshot's reference once and works on it to the end; whatever changes meanwhile makes another
snapshot beside it. Nothing here is ever written in place.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from palate.dataset.ids import Codes, IdMap
from palate.dataset.schema import Interactions
from palate.errors import BundleFormatError
from palate.models import recommender_class
from palate.models.als import ALS
from palate.models.popularity import Popularity
from palate.models.protocol import Capability, Context, Recommender
from services.recommender.catalogue import NO_TIME, Catalogue, ItemRow, fits, items_of
from services.recommender.ranker import Mask, Ranked, Ranker


@dataclass(frozen=True)
class Release:
    """A model as it came out of its bundle, with what `/v1/model` says of it."""

    version: str
    model: Recommender
    metrics: Mapping[str, float] = field(default_factory=dict)
    trained: str | None = None
    fingerprint: str | None = None
    loaded: float = field(default_factory=time.time)

    def part(self, kind: str) -> Recommender | None:
        """The recommender of a kind that the model is, or is made of."""
        if self.model.kind == kind:
            return self.model
        for part in self.model.to_arrays().parts.values():
            if isinstance(part, Recommender) and part.kind == kind:
                return part
        return None

    def interactions(self) -> Interactions:
        """The training interactions, as far as the model's `seen` tells."""
        seen = self.model.seen.tocoo()
        users, items = seen.row.astype(np.int32), seen.col.astype(np.int32)
        return Interactions(self.model.users, self.model.items, users, items)


def release(version: str, artifact: object, **about: Any) -> Release:
    """A release of what a bundle held. Raises BundleFormatError if it does not rank items."""
    if not isinstance(artifact, Recommender):
        raise BundleFormatError(f"the {getattr(artifact, 'kind', 'unknown')} in it does not rank items.", where=version)
    return Release(version, artifact, **about)


@dataclass(frozen=True)
class Bases:
    """The models behind the strategies before any live item is folded in; what the bundle lacks is fitted here.

    content is None if nothing says what the items are about.
    """

    personal: Recommender
    content: Recommender | None
    popularity: Recommender

    @classmethod
    def of(cls, base: Release, rows: list[ItemRow]) -> Bases:
        """`rows`: the items of the store, from which a missing content model is fitted."""
        popularity = base.part("popularity")
        if popularity is None:
            popularity = Popularity.of_model(base.model)
        content = base.part("content")
        told = [row for row in rows if any(row.content)]
        if content is None and told:
            content = recommender_class("content")().fit(base.interactions(), items_of(told, base.model.items))
        return cls(base.model, content, popularity)


@dataclass(frozen=True)
class Segments:
    """Popularity within segments, ranked once per snapshot and segment."""

    ranker: Ranker
    nothing_barred: Mask
    _held: dict[int, Ranked] = field(default_factory=dict)

    def ranked(self, segment: int) -> Ranked | None:
        """All items by popularity in the segment; None if the model does not know it."""
        if not self.ranker.can(Capability.SEGMENTS):
            return None
        found = self._held.get(segment)
        if found is None:
            n = len(self.ranker.model.items)
            found = self.ranker.best(-1, n, self.nothing_barred, Context(segment=segment))
            if found is not None:
                self._held[segment] = found
        return found


@dataclass(frozen=True)
class Served:
    """What this worker answers from.

    personal, content, popularity: the rankers behind the strategies; content is None if nothing says what the items
    are about. live: items of the store that the release lacks, by id. foreign: how many items of the store cannot be
    part of this catalogue, because their ids are not integers as all others are.
    """

    release: Release
    bases: Bases
    catalogue: Catalogue
    personal: Ranker
    content: Ranker | None
    popularity: Ranker
    live: Mapping[str, ItemRow]
    foreign: int = 0

    @classmethod
    def of(cls, base: Release, rows: Iterable[ItemRow]) -> Served:
        """The release with the store's items laid over it. `rows` is consumed once."""
        ids = base.model.items
        known: list[ItemRow] = []
        fresh: list[ItemRow] = []
        foreign = 0
        for row in rows:
            if ids.code(row.id) >= 0:
                known.append(row)
            elif not fits(row.id, ids):
                foreign += 1
            elif not row.deleted:
                fresh.append(row)
        bases = Bases.of(base, known + fresh)
        catalogue = Catalogue.of(ids, _appeared(bases.popularity, ids)).changed(known)
        return cls._bare(base, bases, catalogue, foreign)._with_live(fresh)

    @classmethod
    def _bare(cls, base: Release, bases: Bases, catalogue: Catalogue, foreign: int) -> Served:
        ids = catalogue.ids
        content = None if bases.content is None else Ranker(bases.content, ids)
        return cls(
            base, bases, catalogue, Ranker(bases.personal, ids), content, Ranker(bases.popularity, ids), {}, foreign
        )

    def changed(self, rows: Iterable[ItemRow]) -> Served:
        """With these rows of the store in place of what was known of their items."""
        rows = list(rows)
        known = [row for row in rows if self.catalogue.ids.code(row.id) >= 0]
        fresh = [row for row in rows if self.catalogue.ids.code(row.id) < 0 and not row.deleted]
        again = {row.id: self._kept(row) for row in known if row.id in self.live}
        rewritten = [row for row in again.values() if self.live[row.id].content != row.content]
        fresh, foreign = [row for row in fresh if fits(row.id, self.catalogue.ids)], len(fresh)
        served = replace(self, foreign=self.foreign + foreign - len(fresh))
        if self.bases.content is None and any(any(row.content) for row in rows):
            served = replace(served, bases=Bases.of(self.release, known + fresh))
            return served._rebuilt(known, fresh)
        if rewritten:
            return served._rebuilt(known, fresh)
        live = {**self.live, **again}
        return replace(served, catalogue=self.catalogue.changed(known), live=live)._with_live(fresh)

    @property
    def version(self) -> str:
        return self.release.version

    @cached_property
    def popular(self) -> Ranked:
        """All items by popularity; those that nobody has touched come last, the newest first."""
        codes, scores = self.popularity.popular()
        untouched = np.setdiff1d(np.arange(len(self.catalogue), dtype=np.int32), codes)[::-1]
        nothing = np.full(len(untouched), min(0.0, float(scores.min(initial=0.0))), np.float32)
        return np.concatenate([codes, untouched]), np.concatenate([scores, nothing])

    @cached_property
    def segments(self) -> Segments:
        return Segments(self.popularity, self.nothing_barred)

    @cached_property
    def nothing_barred(self) -> Mask:
        return np.zeros(len(self.catalogue), dtype=bool)

    @cached_property
    def _factors(self) -> npt.NDArray[np.float32] | None:
        """What a factorization learned of the items, `(n_learned, factors)`, if the model is one or holds one."""
        part = self.release.part("als")
        return part.item_factors if isinstance(part, ALS) else None

    def vectors(self, codes: Sequence[int]) -> npt.NDArray[np.float32]:
        """Learned vectors of items, of length one, `(len(codes), factors)`; zeros where nothing was learned."""
        factors = self._factors
        if factors is None:
            return np.zeros((len(codes), 1), np.float32)
        held = np.asarray(codes, np.int64)
        found = np.where((held < len(factors))[:, None], factors[np.minimum(held, len(factors) - 1)], 0)
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        return np.asarray(found / np.where(lengths == 0, 1, lengths), np.float32)

    def warm(self) -> None:
        """Works out what the first request would wait for. Raises what a model that cannot rank raises."""
        _ = self.popular
        if len(self.personal.model.users):
            self.personal.best(0, 1, self.nothing_barred)
        if self.personal.can(Capability.FOLD_IN_USERS):
            self.personal.model.fold_in_users([[self.personal.model.items.at(0)]])

    def user_code(self, user: str | None) -> int:
        """The personal model's code of a user, -1 if it does not know them."""
        return -1 if user is None else self.personal.model.users.code(user)

    def seen(self, user: int) -> Codes:
        return self.personal.seen(user)

    def _with_live(self, fresh: list[ItemRow]) -> Served:
        """With items that the catalogue does not hold yet at its end."""
        if not fresh:
            return self
        items = items_of(fresh, self.catalogue.ids)
        ids = self.catalogue.ids.extended(items.ids.ids)
        return replace(
            self,
            catalogue=self.catalogue.grown(ids).changed(fresh),
            personal=self.personal.folded(items, ids),
            content=None if self.content is None else self.content.folded(items, ids),
            popularity=self.popularity.folded(items, ids),
            live={**self.live, **{row.id: row for row in fresh}},
        )

    def _kept(self, row: ItemRow) -> ItemRow:
        """A live item's row as `live` holds it. A deleted one keeps its content: taking it out costs no rebuilding."""
        return replace(self.live[row.id], available=False, deleted=True, change=row.change) if row.deleted else row

    def _rebuilt(self, known: list[ItemRow], fresh: list[ItemRow]) -> Served:
        """As the release was loaded, with all live items folded in again: some of them have other content now."""
        again = {row.id: self._kept(row) for row in known if row.id in self.live}
        live = {**self.live, **again, **{row.id: row for row in fresh}}
        catalogue = self.catalogue.first(len(self.release.model.items))
        catalogue = catalogue.changed(row for row in known if row.id not in self.live)
        return self._bare(self.release, self.bases, catalogue, self.foreign)._with_live(list(live.values()))


def _appeared(popularity: Recommender, ids: IdMap) -> npt.NDArray[np.int64]:
    """When each item first appeared in the training data, as far as the popularity model tells."""
    when = np.full(len(ids), NO_TIME, np.int64)
    if isinstance(popularity, Popularity) and (popularity.first_seen >= 0).any():
        codes = ids.encode(popularity.items.ids)
        told = (codes >= 0) & (popularity.first_seen >= 0)
        when[codes[told]] = popularity.first_seen[told]
    return when
