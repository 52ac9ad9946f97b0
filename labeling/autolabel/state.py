"""All that the loop remembers between two steps, in arrays that a job can keep."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from labeling.autolabel.sets import Sets
from palate.errors import ParameterError

Items = NDArray[np.intp]
Phase = Literal["seed", "rounds", "audit", "done"]


@dataclass(frozen=True)
class Automatic:
    """The labels a model stands for: (m,) items, labels, and its confidence in each.

    model: its name, unique to the round. threshold: the least confidence it labels at, such that their accuracy is at
    least `bound` (with the goal's confidence); accuracy: the estimate.
    """

    model: str
    round: int
    threshold: float
    accuracy: float
    bound: float
    items: Items
    labels: NDArray[np.int32]
    confidence: NDArray[np.float64]


@dataclass(frozen=True)
class Round:
    """What a round came to, for the project's page: counts, the threshold and what is promised there."""

    round: int
    model: str
    labeled: int
    answers: int
    automatic: int
    threshold: float | None
    accuracy: float | None
    bound: float | None
    pool_accuracy: float
    asked: int


@dataclass(frozen=True)
class Audit:
    """What people found among automatic labels drawn evenly: `accuracy`, and its interval."""

    items: int
    agreeing: int
    accuracy: float
    low: float
    high: float
    confidence: float
    passed: bool


@dataclass
class State:
    """Everything the next step is decided from, besides the items themselves; (n,) arrays go by item.

    labels: what people say, -1 where nothing yet; a code is a label's or, with `sets`, a set's. reliability: how surely
    that is right. survival: see `guarantee`. answered: the labeled items in the order of their labels. asked: items
    given to people and not labeled yet, of `drawn` that were given.
    confidence, predicted: the latest model's. audited: the automatic labels under audit, in order of drawing. passed:
    items that were asked for and that people would not judge, so no model does either.
    """

    n_items: int
    labels: NDArray[np.int32]
    reliability: NDArray[np.float64]
    survival: NDArray[np.float64]
    answered: Items
    asked: Items
    confidence: NDArray[np.float64]
    predicted: NDArray[np.int32]
    audited: Items
    phase: Phase = "seed"
    round: int = 0
    answers: int = 0
    drawn: int = 0
    rounds: list[Round] = field(default_factory=list)
    automatic: Automatic | None = None
    audits: list[Audit] = field(default_factory=list)
    passed: Items = field(default_factory=lambda: np.empty(0, dtype=np.intp))
    sets: Sets | None = None

    @classmethod
    def new(cls, n_items: int, sets: Sets | None = None) -> State:
        """No item labeled. sets: where items have several labels. Raises ParameterError without items."""
        if n_items < 1:
            raise ParameterError("there is no item to label.", where="n_items")
        none = np.empty(0, dtype=np.intp)
        return cls(
            n_items,
            np.full(n_items, -1, dtype=np.int32),
            np.zeros(n_items),
            np.ones(n_items),
            none,
            none,
            np.zeros(n_items),
            np.full(n_items, -1, dtype=np.int32),
            none,
            sets=sets,
        )

    @property
    def pool(self) -> Items:
        """Items that no person has labeled, nor passed by."""
        open_ = self.labels < 0
        open_[self.passed] = False
        return np.flatnonzero(open_)

    @property
    def n_labels(self) -> int:
        """How many labels there are to learn."""
        return int(self.labels.max()) + 1 if self.sets is None else self.sets.n_labels

    @property
    def n_answers(self) -> int:
        """How many different answers people have given, at most."""
        return self.n_labels if self.sets is None else len(np.unique(self.labels[self.answered]))

    def taught(self, items: Items) -> NDArray[np.generic]:
        """What people say of items, as learners take it: (n,) codes, or (n, n_labels) of several labels."""
        codes = self.labels[items]
        return codes if self.sets is None else self.sets.members(codes)

    def answer(
        self,
        items: NDArray[np.integer],
        labels: NDArray[np.integer],
        reliability: NDArray[np.floating] | float = 1.0,
        answers: int | None = None,
    ) -> None:
        """People's labels for items, by code from 0; a second label for an item replaces the first.

        reliability: the probability that each is right. answers: how many answers of people it took; one each unless
        told. Raises ParameterError for items or codes that cannot be.
        """
        items, labels = np.asarray(items, dtype=np.intp), np.asarray(labels, dtype=np.int32)
        sure = np.broadcast_to(np.asarray(reliability, dtype=np.float64), items.shape)
        if items.shape != labels.shape or items.ndim != 1:
            raise ParameterError("needs one label for each item.", where="labels")
        if len(items) and (items.min() < 0 or items.max() >= self.n_items):
            raise ParameterError(f"holds an item that is none of the {self.n_items}.", where="items")
        if len(np.unique(items)) != len(items):
            raise ParameterError("names an item twice.", where="items")
        if len(items) and labels.min() < 0:
            raise ParameterError("holds a negative code.", where="labels")
        if len(sure) and not (np.isfinite(sure).all() and sure.min() > 0 and sure.max() <= 1):
            raise ParameterError("must lie in (0, 1].", where="reliability")
        new = items[self.labels[items] < 0]
        self.labels[items], self.reliability[items] = labels, sure
        self.answered = np.concatenate([self.answered, new])
        self.asked = np.setdiff1d(self.asked, items, assume_unique=True)
        self.answers += len(items) if answers is None else answers

    def pass_by(self) -> None:
        """Leave to people for good what they were asked for and have not labeled: it is no longer part of the pool, and
        so of what is promised. A label that one of them gets after all is taken like any other. An automatic label that
        was to be checked stays, and others are checked.
        """
        if self.phase != "audit":
            self.passed = np.union1d(self.passed, self.asked)
        self.asked = self.asked[:0]

    def withdraw(self, items: NDArray[np.integer] | None = None) -> Items:
        """Take automatic labels back: all of the model's, or those of some items. Returns the items concerned."""
        if self.automatic is None:
            return np.empty(0, dtype=np.intp)
        kept = self.automatic
        taken = np.ones(len(kept.items), dtype=bool) if items is None else np.isin(kept.items, items)
        self.automatic = (
            None
            if taken.all()
            else replace(kept, items=kept.items[~taken], labels=kept.labels[~taken], confidence=kept.confidence[~taken])
        )
        return kept.items[taken]

    _ARRAYS = ("labels", "reliability", "survival", "answered", "asked", "confidence", "predicted", "audited", "passed")

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Arrays that `np.savez` keeps without pickling; `from_arrays` reads them."""
        arrays: dict[str, NDArray[Any]] = {name: getattr(self, name) for name in self._ARRAYS}
        about: dict[str, Any] = {
            "n_items": self.n_items,
            "phase": self.phase,
            "round": self.round,
            "answers": self.answers,
            "drawn": self.drawn,
            "rounds": [asdict(entry) for entry in self.rounds],
            "audits": [asdict(entry) for entry in self.audits],
        }
        if self.sets is not None:
            arrays["sets"] = self.sets.members()
            about["empty"] = self.sets.empty
        if self.automatic is not None:
            made = self.automatic
            for name in ("items", "labels", "confidence"):
                arrays[f"automatic_{name}"] = getattr(made, name)
            about["automatic"] = {
                name: getattr(made, name) for name in ("model", "round", "threshold", "accuracy", "bound")
            }
        arrays["about"] = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> State:
        about = json.loads(bytes(arrays["about"]).decode())
        made = about.pop("automatic", None)
        automatic = None
        if made is not None:
            columns: dict[str, Any] = {name: arrays[f"automatic_{name}"] for name in ("items", "labels", "confidence")}
            automatic = Automatic(**made, **columns)
        about["rounds"] = [Round(**entry) for entry in about["rounds"]]
        about["audits"] = [Audit(**entry) for entry in about["audits"]]
        about.update({name: np.array(arrays[name]) for name in cls._ARRAYS if name in arrays})
        sets = None
        if "sets" in arrays:
            known = np.array(arrays["sets"])
            sets = Sets(known.shape[1], empty=about.pop("empty"), known=known)
        return cls(automatic=automatic, sets=sets, **about)
