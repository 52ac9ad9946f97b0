"""What scores say of a text: one label or a set of labels, with what is told from it about how sure that is.

Both are fitted to the held-out scores of labeled texts, as in `labeling.autolabel`: a softmax for one label, for
several a sigmoid for each. What they call sure is calibrated by whoever asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from labeling.autolabel import sets
from labeling.autolabel.guarantee import signals
from labeling.autolabel.kernel import sharpened_loss
from labeling.autolabel.sets import Members

Floats = NDArray[np.float64]
Scores = NDArray[np.floating]


@dataclass(frozen=True)
class OneLabel:
    """The label with the highest score."""

    sharpening: float

    @classmethod
    def fit(cls, held_out: Scores, given: Members) -> tuple[Self, Floats, Floats]:
        """Itself; of each labeled text the signals (n, 2) that its held-out scores give, and whether they are right.

        given: (n, n_labels), of each text the one that it has.
        """
        made = cls(sharpened_loss(held_out, given.argmax(axis=1))[1])
        chosen, told = made(held_out)
        return made, told, _right(chosen, given)

    def __call__(self, scores: Scores) -> tuple[Members, Floats]:
        """The labels (n, n_labels) that these scores say, and signals (n, 2) of how sure that is."""
        logs = log_softmax(self.sharpening * scores, axis=1)
        chosen = np.zeros(scores.shape, dtype=bool)
        chosen[np.arange(len(scores)), logs.argmax(axis=1)] = True
        return chosen, signals(logs)

    def to_dict(self) -> dict[str, Any]:
        return {"sharpening": self.sharpening}


@dataclass(frozen=True)
class SeveralLabels:
    """The likeliest set of labels. intercepts, slopes: of each label's sigmoid. empty: whether none is a set, too."""

    intercepts: tuple[float, ...]
    slopes: tuple[float, ...]
    empty: bool

    @classmethod
    def fit(cls, held_out: Scores, given: Members, *, empty: bool) -> tuple[Self, Floats, Floats]:
        """As `OneLabel.fit`; a set is right if it is wholly right. Sigmoids are held out, too, for what they tell."""
        intercepts, slopes = sets.sigmoids(np.asarray(held_out, dtype=np.float64), given)
        made = cls(tuple(intercepts.tolist()), tuple(slopes.tolist()), empty)
        chosen, logs = sets.best_sets(sets.log_odds(held_out, np.arange(len(given)), given), empty=empty)
        return made, signals(logs), _right(chosen, given)

    def __call__(self, scores: Scores) -> tuple[Members, Floats]:
        """As `OneLabel`'s."""
        odds = sets.odds_of(scores, np.array(self.intercepts), np.array(self.slopes))
        chosen, logs = sets.best_sets(odds, empty=self.empty)
        return chosen, signals(logs)

    def to_dict(self) -> dict[str, Any]:
        return {"intercepts": self.intercepts, "slopes": self.slopes, "empty": self.empty}


def from_dict(kept: dict[str, Any]) -> OneLabel | SeveralLabels:
    """What `to_dict` of either gave; there may be other things beside it."""
    if "sharpening" in kept:
        return OneLabel(kept["sharpening"])
    return SeveralLabels(tuple(kept["intercepts"]), tuple(kept["slopes"]), kept["empty"])


def _right(chosen: Members, given: Members) -> Floats:
    right: Floats = (chosen == given).all(axis=1).astype(np.float64)
    return right
