"""`auto`: the best blend that a search finds within a time budget, on validation data cut from what it is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from palate.dataset.schema import Interactions, Items, Users
from palate.errors import ParameterError
from palate.models import recommender_class
from palate.models.blend import Blend
from palate.models.params import ModelParams, one_of, within
from palate.models.part_list import Part, fitted, read_parts
from palate.models.protocol import Capability
from palate.models.trust import Trust
from palate.models.trust_learning import joined
from palate.models.validation import Validation, cuts_of, told
from palate.tuning.budget import Budget, seconds_of

if TYPE_CHECKING:
    from palate.tuning.story import Story
    from palate.tuning.trials import Outcome

_MOST = 5
"""Parts of a blend that rank: each costs its time again at every ranking."""
_NEAR = 0.7
"""A kind whose best is below this share of the best of all is no part of the blend, unless it ranks what is new."""
_LISTS = 6000
"""Users whose lists the weights are learned from and compared on."""
_ENOUGH, _WAYS = 3000, 3
"""Fewer users than this say too little when they are looked at once: validation data is cut in up to so many ways."""
_SMALL = 300_000
_LEARNING = 5e-7
"""Seconds that a term of an item of a list costs, to learn from, comparisons included."""
_KEPT = 0.5
"""The search leaves so much of the budget for what comes after it, at most: better fewer parts than none tuned."""
_SPARE = 5.0
"""Seconds that are kept for what nothing else accounts for."""
_SLOWER = 1.25
"""What the final fits may take beside the trials' measured times: more interactions, a busier machine."""


@dataclass(frozen=True)
class AutoParams(ModelParams):
    """Parameters of Auto.

    budget: how long everything may take, the ranking for all users once included: `90s`, `15m`, `2h`.
    candidates: kinds to try, with commas between them; "" tries those that suit the data.
    sampler: how Optuna proposes settings.
    trials: at most so many of each kind.
    study: a file in which the search is kept, so that an interrupted one resumes; "" keeps it nowhere.
    report: a file for a page that tells what was tried, in HTML; "" writes none.
    holdout: the share of each user's history that all choices are made on; 0 takes a tenth, and a fifth of fewer than
        300,000 interactions.
    look: what is held out: "ahead", the last of each history; "anywhere", a random share. "" looks ahead where there
        are times. Take what is like the model's use, or like its test.
    seed: of the validation cut, the proposals and the models.
    """

    budget: str = "15m"
    candidates: str = ""
    sampler: str = field(default="tpe", metadata=one_of("tpe", "random", "grid", "sobol", "gp"))
    trials: int = field(default=40, metadata=within(1, 10_000))
    study: str = ""
    report: str = ""
    holdout: float = field(default=0.0, metadata=within(0, 0.9))
    look: str = field(default="", metadata=one_of("", "ahead", "anywhere"))
    seed: int = field(default=0, metadata=within(0, 2**32 - 1))

    def __post_init__(self) -> None:
        super().__post_init__()
        seconds_of(self.budget)
        if self.candidates:
            for part in read_parts(self.candidates):
                if part.values or part.kind in ("auto", "blend"):
                    raise ParameterError(f"{part} is no plain kind of model.", where="candidates")
                recommender_class(part.kind)


class Auto(Blend):
    """A blend whose parts and their settings were searched for.

    The candidates are tried, the cheapest first, on validation data cut from the interactions; those near the best are
    tuned by Optuna while the time lasts. The best of each kind become the parts of a blend, whose weights are learned
    on the same validation data; where that is not better than the best part alone by two and a half standard errors (on
    users left out of learning the weights, or on a later cut), it is that part, with what covers new items and unknown
    users. Then the parts are fitted to everything. With fewer than 50 users to measure by, there is no search: it is a
    blend by the rule of thumb.

    Raises ParameterError if the budget suffices for no candidate.
    """

    kind: ClassVar[str] = "auto"
    Params: ClassVar[type[AutoParams]] = AutoParams
    params: AutoParams

    story: Story | None = None
    """What was tried and why it was chosen; of a model that was fitted here, not of one from a bundle."""

    def _named_parts(self) -> list[Part]:
        return []  # not before it is fitted

    def _fit(self, interactions: Interactions, items: Items, users: Users | None) -> None:
        from palate.tuning.studies import require_optuna

        require_optuna()
        budget = Budget(seconds_of(self.params.budget))
        kinds = self._candidates(items)
        hide = told(items) and any(_ranks_new(kind) for kind in kinds)
        share = self.params.holdout or (0.2 if len(interactions) < _SMALL else 0.1)
        people = int(np.count_nonzero(np.diff(self.seen.indptr)))
        ways = min(_WAYS, -(-_ENOUGH // max(1, people)))
        cuts = cuts_of(self._looked_at(interactions), share, self.params.seed, ways, hide=hide)
        if not cuts:
            plain = "als,content,popularity" if told(items) else "als,popularity"
            self._rule(read_parts(plain), interactions, items, users)
            return
        self._search(kinds, budget, cuts, interactions, items, users)

    def _looked_at(self, interactions: Interactions) -> Interactions:
        """What validation data is cut from: without times, where what comes last is not what to look for."""
        if self.params.look == "ahead" and interactions.timestamps is None:
            raise ParameterError("the interactions have no times.", where="auto.look", hint='Take "anywhere".')
        return replace(interactions, timestamps=None) if self.params.look == "anywhere" else interactions

    def _candidates(self, items: Items) -> list[str]:
        from palate.tuning.spaces import SPACES

        if self.params.candidates:
            return list(dict.fromkeys(part.kind for part in read_parts(self.params.candidates)))
        return [kind for kind in SPACES if told(items) or not _ranks_new(kind)]

    def _rule(self, chosen: list[Part], interactions: Interactions, items: Items, users: Users | None) -> None:
        self.trust = self._rule_for(chosen)
        self._take(fitted(chosen, interactions, items, users, self.params.seed), interactions)

    def _rule_for(self, chosen: Sequence[Part]) -> Trust:
        return self._rule_of(_news(chosen))

    # -- the search ------------------------------------------------------------------------------------------------

    def _search(
        self,
        kinds: list[str],
        budget: Budget,
        cuts: Sequence[Validation],
        interactions: Interactions,
        items: Items,
        users: Users | None,
    ) -> None:
        from palate.tuning.search import Search
        from palate.tuning.story import Story
        from palate.tuning.tracked import Log
        from palate.tuning.trials import Task

        log = Log.of_the_open_run()
        task = Task(cuts, items, users, self.params.seed)
        people = int(np.count_nonzero(np.diff(self.seen.indptr)))

        def reserve(outcomes: Sequence[Outcome]) -> float:
            parts = self._affordable(outcomes, _KEPT * budget.seconds, people, len(cuts))
            return self._needed(parts, people, len(cuts))

        search = Search(
            task,
            kinds,
            budget,
            reserve,
            self.params.sampler,
            self.params.trials,
            Path(self.params.study) if self.params.study else None,
            f"{interactions.fingerprint[:16]}-{self.params.holdout:g}{self.params.look}-{self.params.seed}",
            self.params.seed,
            log,
        )
        found = search.run()
        searching = budget.spent
        finalists = self._affordable(found.outcomes, budget.left, people, len(cuts))
        parts = [each.candidate.part for each in finalists]
        chosen, ndcgs = self._weigh(parts, cuts, items, users)
        blending = budget.spent - searching
        self._take(fitted(chosen, interactions, items, users, self.params.seed), interactions)
        self.story = Story(
            found.outcomes,
            found.skipped,
            [str(part) for part in chosen],
            *ndcgs,
            {"search": searching, "blend": blending, "final fit": budget.spent - searching - blending},
            budget.seconds,
            {
                "users": people,
                "items": len(self.items),
                "interactions": len(interactions),
                "validation interactions": sum(len(cut.held) for cut in cuts),
            },
            self._told_weights(),
            log.failure,
        )
        log.summary(self.story)
        if self.params.report:
            self.story.write(Path(self.params.report))

    def _finalists(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Of the best trial of each kind, those that become parts, the best first."""
        best: dict[str, Outcome] = {}
        for each in sorted((each for each in outcomes if each.whole), key=lambda each: -each.ndcg):
            best.setdefault(each.candidate.kind, each)
        held = list(best.values())
        rankers = [each for each in held if _ranks(each.candidate.kind)]
        near = [each for each in rankers if each.ndcg >= _NEAR * rankers[0].ndcg][:_MOST]
        near += [each for each in rankers if each not in near and _ranks_new(each.candidate.kind)][:1]
        return near + [each for each in held if not _ranks(each.candidate.kind)]

    def _affordable(self, outcomes: Sequence[Outcome], left: float, people: int, cuts: int) -> list[Outcome]:
        """The finalists. Where the time that is left is too short for all of them, a cheaper trial of its kind takes
        the place of the dearest, or none; but not of the best."""
        kept = list(outcomes)
        while len(found := self._finalists(kept)) > 2 and self._needed(found, people, cuts) > left:
            others = [each for each in found if _ranks(each.candidate.kind)][1:]
            needy = [each for each in others if not _ranks_new(each.candidate.kind)] or others  # new items go last
            if not needy:
                break
            kept.remove(max(needy, key=lambda each: self._needed([each], people, cuts)))
        return found

    def _needed(self, finalists: Sequence[Outcome], people: int, cuts: int) -> float:
        """Seconds from the end of the search on: the parts fitted to each cut and to everything, lists, and the ranking
        for everybody."""
        fitting = sum(each.fitting for each in finalists)
        ranking = sum(each.ranking for each in finalists)
        rankers, lists = len(finalists), 1.25 * cuts * min(people, _LISTS)
        cells = lists * (50 + 70 * rankers) * (6 + 7 * rankers)
        return _SLOWER * ((1 + cuts) * fitting + (people + 1.5 * lists) * ranking + _LEARNING * cells) + _SPARE

    def _weigh(
        self, parts: list[Part], cuts: Sequence[Validation], items: Items, users: Users | None
    ) -> tuple[list[Part], tuple[float, float]]:
        """Learns the weights; the parts to take, and the NDCG of the blend and of its best part."""
        rule = self._rule_for(parts)
        self.trust = rule
        rankers = [part for part in parts if _ranks(part.kind)]
        if not rankers:
            return parts, (float("nan"), float("nan"))
        lists = self._lists(parts, cuts, rule, items, users, _LISTS)
        if lists is None:
            return parts, (float("nan"), float("nan"))
        trust, found = self._trust_from(lists, _news(parts), ahead=cuts[0].train.timestamps is not None)
        if found.worthwhile:  # what counts nothing need not be fitted again
            kept = [bool(weights.any()) for weights in trust.parts]
        else:
            trust = self._rule_of(_news(parts), joined(lists), [1.0] + [0.0] * (len(rankers) - 1))
            kept = [part is rankers[0] or _ranks_new(part.kind) for part in rankers]
        idle = [part for part, some in zip(rankers, kept, strict=True) if not some]
        self.trust = trust.of_parts(kept)
        return [part for part in parts if part not in idle], (found.blended, found.alone)

    def _told_weights(self) -> dict[str, dict[str, float]]:
        """The parts' weights for users and items of whom little or much is known."""
        lengths, counts = np.diff(self.seen.indptr), np.bincount(self.seen.indices)
        long, often = (int(np.quantile(each[each > 0], 0.9)) for each in (lengths, counts))
        kinds = {"a new user": (1, often), "a user with a long history": (long, often), "a rare item": (long, 2)}
        kinds["an item that nobody touched"] = (long, 0)
        return {name: self.weights(*known) for name, known in kinds.items()}


def _news(parts: Sequence[Part]) -> list[bool]:
    """Of each part that ranks, whether it ranks items that nobody has touched."""
    return [_ranks_new(part.kind) for part in parts if _ranks(part.kind)]


def _ranks(kind: str) -> bool:
    return Capability.PERSONAL in recommender_class(kind).capabilities


def _ranks_new(kind: str) -> bool:
    return Capability.FOLD_IN_ITEMS in recommender_class(kind).capabilities
