"""Majority vote: what most people said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from labeling.consensus.answers import Answers, Floats
from labeling.consensus.candidates import Candidates
from labeling.consensus.protocol import Consensus, made, refuse


@dataclass(frozen=True)
class Majority:
    """The label given most often; its share of the votes is the confidence, and everybody counts alike.

    Ties go to the label given most often in all tasks together, then to the first in the order of the labels.
    """

    name: ClassVar[str] = "majority"
    uses_probabilities: ClassVar[bool] = False

    def consolidate(self, answers: Answers, probabilities: Floats | None = None) -> Consensus:
        refuse(self.name, probabilities)
        candidates = Candidates.of(answers)
        return made(self.name, answers, candidates, candidates.shares(answers))
