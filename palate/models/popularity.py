"""What most people liked: over all, per segment of users, and with what is recent counting more."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.dataset.ids import Codes, Ids
from palate.dataset.schema import Interactions, Items, Users
from palate.errors import ParameterError, SchemaError
from palate.models.latest import latest_rows
from palate.models.params import ModelParams, within
from palate.models.protocol import (
    Arrays,
    Capability,
    Context,
    Floats,
    Recommendations,
    Recommender,
    Vectors,
    checked_n,
)
from palate.retrieval.topk import top_k

_DAY = 86_400.0
_COUNTED = 4_000_000


@dataclass(frozen=True)
class PopularityParams(ModelParams):
    """Parameters of Popularity.

    half_life_days: after so many days a user's interest in an item counts half; 0 turns decay off.
    floor: the share of each interaction that never fades, with decay on. It lets all-time favourites take over as
        the data grows stale (`Context.now`).
    segment_attribute: the users' attribute that holds their segment, a whole number.
    """

    half_life_days: float = field(default=0.0, metadata=within(0))
    floor: float = field(default=0.01, metadata=within(0, 1))
    segment_attribute: str = "segment"


class Popularity(Recommender):
    """Ranks items by how many users touched them, each user counting once per item (at the latest time).

    `Context.segment` gives the ranking of that segment, with the overall one breaking ties; `Context.now` says when,
    for time decay. Segments come from the users' attributes at `fit`, or from `with_segments`. A row counts as
    personal where the segment is known.
    """

    kind: ClassVar[str] = "popularity"
    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.SEGMENTS})
    Params: ClassVar[type[PopularityParams]] = PopularityParams
    params: PopularityParams

    reference: float
    """The latest timestamp of the data, seconds since 1970 UTC; 0 if there are none."""
    strengths: Floats
    """What each entry of `seen` counts at `reference`, `(nnz,) float32`: 1 without decay."""
    first_seen: npt.NDArray[np.int64]
    """When each item appeared: by the catalogue, else its first interaction; -1 if neither tells. `(n_items,)`."""
    segment_ids: npt.NDArray[np.int64]
    """The segments, ascending, `(n_segments,)`."""
    by_segment: sparse.csr_matrix
    """Decayed and undecayed counts, `(2 * n_segments, n_items)`: first all the decayed rows."""

    def _fit(self, interactions: Interactions, items: Items, users: Users | None) -> None:
        self.strengths = np.ones(self.seen.nnz, dtype=np.float32)
        self.reference = 0.0
        self.first_seen = _appeared(interactions, items)
        if interactions.timestamps is not None:
            self.reference = float(interactions.timestamps.max())
            if self.params.half_life_days:
                self.strengths = self._decayed(interactions)
        self._sum_up()
        segments = np.full(len(self.users), -1, dtype=np.int64)
        if users is not None:
            codes = self.users.encode(users.ids.ids)
            segments[codes[codes >= 0]] = _segments_of(users, self.params.segment_attribute)[codes >= 0]
        self._set_segments(segments)

    @classmethod
    def of_model(cls, model: Recommender) -> Self:
        """From the pairs that a fitted model holds, which are shared: no times, and no segments, are known of them."""
        made = cls()
        made.items, made.users, made.seen = model.items, model.users, model.seen
        made.strengths, made.reference = model.seen.data, 0.0
        made.first_seen = np.broadcast_to(np.int64(-1), len(model.items))
        made.segment_ids = np.empty(0, dtype=np.int64)
        made.by_segment = sparse.csr_matrix((0, len(model.items)), dtype=np.float32)
        made._sum_up()
        return made

    def _decayed(self, interactions: Interactions) -> Floats:
        """For each entry of `seen`, 0.5 ** (age in half lives) of its latest interaction."""
        assert interactions.timestamps is not None  # noqa: S101  (for the type checker; `_fit` asked)
        age = (self.reference - interactions.timestamps[latest_rows(interactions)]) / _DAY
        return np.asarray(np.exp2(-age / self.params.half_life_days), dtype=np.float32)

    def _sum_up(self) -> None:
        now, ever = np.zeros(len(self.items)), np.zeros(len(self.items))
        for start in range(0, self.seen.nnz, _COUNTED):  # of all at once `bincount` would make wider copies
            part = slice(start, start + _COUNTED)
            ever += np.bincount(self.seen.indices[part], minlength=len(ever))
            if self.params.half_life_days:
                now += np.bincount(self.seen.indices[part], self.strengths[part], len(now))
        self._ever = ever.astype(np.float32)
        self._now = now.astype(np.float32) if self.params.half_life_days else self._ever

    def _set_segments(self, segments: npt.NDArray[np.int64]) -> None:
        """`segments`: one per user code, negative for none."""
        self.segment_ids, rows = np.unique(segments[segments >= 0], return_inverse=True)
        users = np.flatnonzero(segments >= 0)
        shape = (len(self.segment_ids), len(self.users))
        member = sparse.csr_matrix((np.ones(len(users), np.float32), (rows, users)), shape=shape)
        decayed = sparse.csr_matrix((self.strengths, self.seen.indices, self.seen.indptr), shape=self.seen.shape)
        self.by_segment = sparse.vstack([member @ decayed, member @ self.seen], format="csr", dtype=np.float32)

    def with_segments(self, users: Ids, segments: Sequence[int] | npt.NDArray[np.integer]) -> Self:
        """This model with these segments of its users (parallel sequences) in place of those it has.

        Users the model lacks are ignored; a negative segment is none. Raises ParameterError if the lengths differ.
        """
        self._require_fitted()
        if len(users) != len(segments):
            raise ParameterError(f"{len(segments)} segments for {len(users)} users.", where="segments")
        codes = self.users.encode(users)
        found = np.full(len(self.users), -1, dtype=np.int64)
        found[codes[codes >= 0]] = np.asarray(segments, dtype=np.int64)[codes >= 0]
        model = copy.copy(self)
        model._set_segments(found)
        return model

    def popular(
        self, n: int, *, segment: int | None = None, now: float | None = None, candidates: Ids | None = None
    ) -> Recommendations:
        """The `n` most popular items, one row; of a segment, at a time, among candidates where given."""
        empty = sparse.csr_matrix((1, len(self.items)), dtype=np.float32) if hasattr(self, "items") else None
        return self.recommend([""], n, exclude=empty, candidates=candidates, context=Context(segment=segment, now=now))

    def latest(self, n: int, *, candidates: Ids | None = None) -> Recommendations:
        """The `n` items that appeared last, one row, latest first; the score is the time. Undated items stay out."""
        self._require_fitted()
        n = checked_n(n, len(self.items))
        when = np.where(self.first_seen >= 0, self.first_seen, -np.inf)
        if candidates is not None:
            held = self.items.encode(candidates)
            out = np.ones(len(self.items), dtype=bool)
            out[held[held >= 0]] = False
            when[out] = -np.inf
        # Whole seconds do not fit float32: rank first, then show the rounded time.
        order = np.argsort(-when, kind="stable")
        place = np.empty(len(order), dtype=np.float32)
        place[order] = -np.arange(len(order), dtype=np.float32)
        place[when == -np.inf] = -np.inf
        codes, _ = top_k(place[None], n)
        scores = np.where(codes >= 0, when[codes], -np.inf).astype(np.float32)
        return Recommendations(self.items, codes, scores, np.zeros(1, dtype=bool))

    @property
    def popularity(self) -> Floats:
        """The overall ranking's scores, at the time of the latest interaction."""
        return self._blend_now(self._now, self._ever, None)

    def _blend_now(self, now: Floats, ever: Floats, when: float | None) -> Floats:
        """Decayed counts at `when`, and the part that never fades."""
        if not self.params.half_life_days:
            return ever
        age = 0.0 if when is None else max(0.0, when - self.reference) / _DAY
        fade = np.float32(np.exp2(-age / self.params.half_life_days) * (1 - self.params.floor))
        return fade * now + np.float32(self.params.floor) * ever

    def _fallback(self, contexts: Sequence[Context]) -> Floats:
        if len({context.now for context in contexts}) == 1:
            return self._blend_now(self._now, self._ever, contexts[0].now)
        return np.stack([self._blend_now(self._now, self._ever, context.now) for context in contexts])

    def _user_vectors(self, codes: Codes) -> Vectors:
        return (codes,)

    def _score(self, vectors: Vectors, contexts: Sequence[Context]) -> tuple[Floats, npt.NDArray[np.bool_]]:
        scores = np.zeros((len(contexts), len(self.items)), dtype=np.float32)
        personal = np.zeros(len(contexts), dtype=bool)
        for row, context in enumerate(contexts):
            at = int(np.searchsorted(self.segment_ids, -1 if context.segment is None else context.segment))
            if at == len(self.segment_ids) or self.segment_ids[at] != context.segment:
                continue
            both = self.by_segment[[at, at + len(self.segment_ids)]].toarray()
            overall = self._blend_now(self._now, self._ever, context.now)
            # Under one hundredth of a user's interest: it orders what the segment has not touched, no more.
            scores[row] = self._blend_now(both[0], both[1], context.now) + 0.01 * overall / max(overall.max(), 1)
            personal[row] = True
        return scores, personal

    def _state(self) -> Arrays:
        return Arrays(
            {"reference": self.reference},
            {
                "strengths": self.strengths,
                "first_seen": self.first_seen,
                "segment_ids": self.segment_ids,
                "by_segment": self.by_segment,
            },
        )

    def _restore(self, state: Arrays) -> None:
        self.reference = float(state.params["reference"])
        self.strengths, self.first_seen = state.arrays["strengths"], state.arrays["first_seen"]
        self.segment_ids, self.by_segment = state.arrays["segment_ids"], state.arrays["by_segment"]
        self._sum_up()


def _appeared(interactions: Interactions, items: Items) -> npt.NDArray[np.int64]:
    latest = np.iinfo(np.int64).max
    first = np.full(len(items), latest, dtype=np.int64)
    if interactions.timestamps is not None:
        np.minimum.at(first, interactions.item_codes, interactions.timestamps)
    said = np.array([-1 if value is None else value for value in items.table["timestamp"].to_pylist()], dtype=np.int64)
    first[said >= 0] = said[said >= 0]
    first[first == latest] = -1
    return first


def _segments_of(users: Users, attribute: str) -> npt.NDArray[np.int64]:
    """The segment that each user's attributes state, -1 where they state none, `(len(users),)`."""
    found = np.full(len(users), -1, dtype=np.int64)
    for row, text in enumerate(users.table["attributes"].to_pylist()):
        if not text or attribute not in text:
            continue
        try:
            value: Any = json.loads(text).get(attribute)
        except (ValueError, AttributeError):
            raise SchemaError("it must be a JSON object.", where=f"users:{row}:attributes") from None
        if isinstance(value, int) and not isinstance(value, bool):
            if abs(value) >= 2**63:
                raise SchemaError(f"{str(value)[:60]} does not fit 64 bits.", where=f"users:{row}:{attribute}")
            found[row] = value
    return found
