"""The search: cheapest candidates first, then the promising ones tuned by Optuna, as far as the time goes.

Each kind has a study of its own. What a trial will cost is estimated from those before it, and none is begun that
would not leave the time that the final fit needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palate.errors import ParameterError
from palate.tuning.budget import Budget
from palate.tuning.kinds import Kind
from palate.tuning.spaces import Facts, space_of
from palate.tuning.studies import open_study, outcomes_of, quiet_optuna, remember, state
from palate.tuning.trials import Candidate, Outcome, Task, place

if TYPE_CHECKING:
    from optuna.trial import Trial

FINAL = 2.0
"""A candidate that is chosen is fitted twice more: beside the others to learn the blend, and to all interactions."""
_NEAR = 0.75
"""Kinds whose best is below this share of the best of all are not tuned further."""
_MISSES = 5
_FIRST_LOOK = 0.25


@dataclass(frozen=True)
class Searched:
    """outcomes: in the order of the trials. skipped: kinds that were not tried or not further, and why."""

    outcomes: list[Outcome]
    skipped: dict[str, str]

    def best(self, kind: str) -> Outcome | None:
        """The best trial of a kind on all users."""
        return next(iter(self.ranked(kind)), None)

    def ranked(self, kind: str) -> list[Outcome]:
        """The trials of a kind on all users, best first."""
        held = [each for each in self.outcomes if each.candidate.kind == kind and each.whole]
        return sorted(held, key=lambda each: -each.ndcg)

    @property
    def kinds(self) -> list[str]:
        """The kinds with a trial that succeeded, the best first."""
        found = {each.candidate.kind for each in self.outcomes}
        best = {kind: self.best(kind) for kind in found}
        return sorted((k for k, each in best.items() if each), key=lambda k: -best[k].ndcg)  # type: ignore[union-attr]


@dataclass
class Search:
    """A search on one task.

    kinds: the candidates. sampler: one of `studies.SAMPLERS`. limit: trials of each kind at most. storage: an SQLite
    file in which the studies are kept, so that an interrupted search resumes; None keeps them in memory. name: of the
    studies: data and validation cut. reserve: seconds that what follows the search will take, given its trials. told:
    called with each outcome. look_above: trials estimated to take more seconds first show on a quarter of the users
    whether they are worth it.

    Raises ParameterError for an unknown sampler, MissingDependencyError without Optuna.
    """

    task: Task
    kinds: Sequence[str]
    budget: Budget
    reserve: Callable[[Sequence[Outcome]], float]
    sampler: str = "tpe"
    limit: int = 40
    storage: Path | None = None
    name: str = "auto"
    seed: int = 0
    told: Callable[[Outcome], None] = lambda outcome: None
    look_above: float = 4.0

    def run(self) -> Searched:
        """Raises ParameterError if the time suffices for no candidate at all."""
        with quiet_optuna():
            return self._run()

    def _run(self) -> Searched:
        facts = Facts.of(self.task.cuts[0].train, self.task.items)
        kinds = [self._kind(name, facts) for name in self.kinds]
        kinds.sort(key=lambda kind: kind.estimate(kind.space.first))
        self._first_tries(kinds)
        if not any(kind.best for kind in kinds):
            raise self._too_little(kinds)
        while (kind := self._next(kinds)) is not None:
            self._tune(kind, kinds)
        outcomes = [outcome for kind in kinds for outcome in kind.outcomes]
        return Searched(outcomes, {kind.name: kind.why for kind in kinds if kind.why})

    def _kind(self, name: str, facts: Facts) -> Kind:
        space = space_of(name, facts)
        study = open_study(f"{self.name}-{name}", self.sampler, self.seed, self.storage)
        kind = Kind(name, space, facts, study, outcomes_of(study, name))
        if self.sampler == "grid":
            kind.points = space.points(self.seed, self.limit)
        return kind

    # -- the first try of each kind --------------------------------------------------------------------------------

    def _first_tries(self, kinds: Sequence[Kind]) -> None:
        """Each kind with its first setting, the cheapest first; as many at once as the place takes."""
        waiting = [kind for kind in kinds if not kind.outcomes]
        while waiting:
            batch = []
            for kind in waiting[: place().width]:
                if not kind.space.suits(kind.facts):
                    kind.why, kind.done = "does not suit data of this size", True
                elif not self._fits(kind, kind.space.first, ()):
                    needed = kind.estimate(kind.space.first)
                    kind.why, kind.done = f"not tried: a fit would take some {needed:.0f} s", True
                else:
                    batch.append(kind)
            waiting = waiting[place().width :]
            candidates = [Candidate(kind.name, kind.space.first) for kind in batch]
            for kind, outcome in zip(batch, place().runner(self.task, candidates), strict=True):
                self._note(kind, self._asked(kind, outcome.candidate.values), outcome)
                if outcome.failure:
                    kind.why, kind.done = outcome.failure, True
                elif kind.space.ranges:  # the model's own defaults come next
                    kind.study.enqueue_trial(kind.defaults, skip_if_exists=True)

    def _asked(self, kind: Kind, values: Mapping[str, Any]) -> Trial:
        kind.study.enqueue_trial({name: values[name] for name in kind.space.ranges if name in values})
        trial = kind.study.ask()
        kind.space.suggest(trial)
        return trial

    def _too_little(self, kinds: Sequence[Kind]) -> ParameterError:
        failed = next((kind for kind in kinds if kind.outcomes and kind.outcomes[-1].failure), None)
        if failed is not None:
            return ParameterError(f"no candidate could be fitted: {failed.outcomes[-1].failure}", where="auto")
        needed = min(kind.estimate(kind.space.first) for kind in kinds) * (len(self.task.cuts) + FINAL) + 1
        return ParameterError(
            f"{self.budget.seconds:g} s are too little to train anything here.",
            where="auto.budget",
            hint=f"Give {max(2 * self.budget.seconds, 2 * needed):.0f}s or more, or take popularity.",
        )

    # -- tuning ----------------------------------------------------------------------------------------------------

    def _fits(self, kind: Kind, values: Mapping[str, Any], kinds: Sequence[Kind]) -> bool:
        """Whether a trial fits into the time left, with all that follows the search if it is the best of all."""
        fitting, ranking = kind.estimate(values), kind.best.ranking if kind.best else 0.0
        others = [each for some in kinds for each in some.outcomes if each.whole]
        best = max((each.ndcg for each in others), default=0.0)
        cost = fitting * len(self.task.cuts) + ranking * self.task.testers
        this = Outcome(Candidate(kind.name, values), best, fitting, ranking)
        return cost + self.reserve([this, *others]) < self.budget.left

    def _next(self, kinds: Sequence[Kind]) -> Kind | None:
        """The kind to try next: near the best, not exhausted, and with the least time spent on it for its rank."""
        top = max(kind.best.ndcg for kind in kinds if kind.best)
        for kind in kinds:
            if not kind.done and (kind.best is None or kind.best.ndcg < _NEAR * top):
                kind.done, kind.why = True, "far from the best"
            if not kind.done and (not kind.space.ranges or self._tries(kind) >= self.limit):
                kind.done = True
        open_ = [kind for kind in kinds if not kind.done and kind.best]
        open_.sort(key=lambda kind: -kind.best.ndcg)  # type: ignore[union-attr]
        return min(open_, key=lambda kind: (open_.index(kind) + 2) * (self._spent(kind) + 0.1), default=None)

    def _spent(self, kind: Kind) -> float:
        """Seconds that the trials of a kind took: of some, all but nothing to fit, and much to rank."""
        cuts, testers = len(self.task.cuts), self.task.testers
        return sum(cuts * each.fitting + testers * each.candidate.share * each.ranking for each in kind.outcomes)

    def _tries(self, kind: Kind) -> int:
        return sum(outcome.candidate.share == 1 or outcome.pruned for outcome in kind.outcomes)

    def _tune(self, kind: Kind, kinds: Sequence[Kind]) -> None:
        """A batch of trials of a kind."""
        trials, candidates = [], []
        for _ in range(min(place().width, self.limit - self._tries(kind))):
            if self.sampler == "grid":
                if not kind.points:
                    kind.done = True
                    break
                kind.study.enqueue_trial(kind.points.pop())
            trial = kind.study.ask()
            values = kind.space.suggest(trial)
            if not self._fits(kind, values, kinds):
                kind.study.tell(trial, state=state("FAIL"))
                kind.why = kind.why or "no time for more"
                # dearer settings than these may follow, and cheaper ones: a few misses end it
                kind.misses += 1
                kind.done = kind.misses >= _MISSES
                continue
            kind.misses = 0
            trials.append(trial)
            candidates.append(Candidate(kind.name, values))
        trials, candidates = self._first_look(kind, trials, candidates)
        for trial, outcome in zip(trials, place().runner(self.task, candidates), strict=True):
            self._note(kind, trial, outcome)

    def _first_look(
        self, kind: Kind, trials: list[Trial], candidates: list[Candidate]
    ) -> tuple[list[Trial], list[Candidate]]:
        """What is left of dear trials after a look at a quarter of the users."""
        if not kind.space.by_users or not candidates or kind.estimate(candidates[0].values) <= self.look_above:
            return trials, candidates
        looks = place().runner(self.task, [replace(each, share=_FIRST_LOOK) for each in candidates])
        kept = []
        for at, (trial, look) in enumerate(zip(trials, looks, strict=True)):
            kind.outcomes.append(look)
            trial.report(look.ndcg if look.ndcg == look.ndcg else 0.0, step=0)
            if trial.should_prune():
                kind.outcomes[-1] = pruned = replace(look, pruned=True)
                remember(trial, pruned)
                kind.study.tell(trial, state=state("PRUNED"))
                self.told(pruned)
            else:
                kept.append(at)
        return [trials[at] for at in kept], [candidates[at] for at in kept]

    def _note(self, kind: Kind, trial: Trial, outcome: Outcome) -> None:
        kind.outcomes.append(outcome)
        remember(trial, outcome)
        if outcome.ndcg == outcome.ndcg:
            kind.study.tell(trial, outcome.ndcg)
        else:
            kind.study.tell(trial, state=state("FAIL"))
        self.told(outcome)
