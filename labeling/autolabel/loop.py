"""The loop, one step at a time: labels of people in, decisions out.

    state = State.new(n_items)
    while (step := advance(state, learner, goal, seed)).ask.size:
        state.answer(step.ask, labels of people)

`advance` is all a job has to call, whenever people have answered. What it decides depends on the state alone, so a step
that was lost may be taken again; before anything is answered it says what it said before. It asks for a seed drawn
evenly; then for what the latest model is unsure of, as long as the promise does not hold on everything that is still
unlabeled and the budget lasts, in the end for what little the model leaves; then for an audit, and is done, or goes
back to asking if the audit says that the promise was broken. Automatic labels are provisional until then: each step's
`automatic` replaces the last one's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from labeling.autolabel import queries
from labeling.autolabel.goal import Goal
from labeling.autolabel.guarantee import Calibration, Evidence, Floats, Promise, interval, odds_weights, signals
from labeling.autolabel.learners import Learner, log_probabilities
from labeling.autolabel.noise import Reference
from labeling.autolabel.queries import Chances, draw
from labeling.autolabel.sets import best_sets
from labeling.autolabel.state import Audit, Automatic, Items, Phase, Round, State
from palate.errors import ParameterError

_FEWEST = 10
"""A round asks for at least so many items, and a model needs at least so many labels."""
_FOR_AUDIT = 0.2
"""The share of a budget that is put aside for the audit, if it takes so much."""
_WORTH_THREADS = 1000
"""With fewer labels, threads wait for each other for longer than the arithmetic takes."""
_NEAR = 0.02
"""With the bound this close to the target, rounds become smaller, so as not to ask for more than it takes."""
_CLOSING = 0.2
"""Once what the model leaves to people is at most this share of what they have labeled, they are asked for the less
sure half of it: drawing on until the promise held for that as well would take more answers than that. The half, since
what they say of it makes the model better at the other."""


@dataclass(frozen=True)
class Step:
    """What to do now: give `ask` to people; none left to ask means that all is done. `automatic`: the labels now."""

    phase: Phase
    ask: Items
    automatic: Automatic | None


def advance(state: State, learner: Learner, goal: Goal, seed: int = 0) -> Step:
    """Decide what is next from the labels so far, and note it in `state`.

    Items asked for and never labeled stay in the pool. Raises ParameterError if the goal cannot be pursued.
    """
    if learner.n_items != state.n_items:
        raise ParameterError(f"knows {learner.n_items} items, the state {state.n_items}.", where="learner")
    if len(state.asked) and len(state.asked) == state.drawn:
        return Step(state.phase, state.asked, state.automatic)
    rng = np.random.default_rng([seed, state.round, len(state.answered), len(state.audits)])
    with threadpool_limits(1 if len(state.answered) < _WORTH_THREADS else None, "blas"):
        if state.phase == "seed":
            _seed(state, goal, rng)
        elif state.phase == "rounds" or (state.phase == "audit" and not _audited(state, goal, rng)):
            _round(state, learner, goal, seed, rng)
    state.drawn = len(state.asked)
    return Step(state.phase, state.asked, state.automatic)


def _seed(state: State, goal: Goal, rng: np.random.Generator) -> None:
    wanted = goal.seed_for(state.n_items)
    goal.require_seed(state.n_items)
    _ask(state, np.full(state.n_items, wanted / state.n_items), rng)
    state.phase = "rounds"


def _ask(state: State, chances: Floats, rng: np.random.Generator) -> None:
    """Draw among the pool, and let every item's survival know the chance it had."""
    pool = state.pool
    state.asked = pool[draw(chances[pool], rng)]
    state.survival *= 1.0 - chances


def _round(state: State, learner: Learner, goal: Goal, seed: int, rng: np.random.Generator) -> None:
    rows, pool = state.answered, state.pool
    if not len(rows):
        raise ParameterError("none of the items asked for has been labeled.", where="state")
    model = f"{learner.name}#{state.round + 1}"
    reference = Reference(float(state.reliability[rows].mean()), state.n_answers)
    evidence = _learn(state, learner, seed)
    promise = evidence.widest(reference.agreement(goal.target), goal.confidence) if len(rows) >= _FEWEST else None
    state.automatic = _labels(state, promise, reference, model)
    complete = promise is not None and promise.items == len(pool)
    left = len(pool) - (promise.items if promise else 0)
    closing = promise is not None and left <= min(_CLOSING * len(rows), _affordable(state, goal))
    whole = evidence.promise(0.0, goal.confidence)
    lacking = reference.agreement(goal.target) - whole.bound
    step = goal.growth * min(max(lacking / _NEAR, 0.25), 1.0)
    wanted = min(max(_FEWEST, round(step * len(rows))), _affordable(state, goal), len(pool))
    if complete or closing:
        wanted = left if left <= 2 * _FEWEST else left // 2
    state.round += 1
    state.rounds.append(
        Round(
            round=state.round,
            model=model,
            labeled=len(rows),
            answers=state.answers,
            automatic=0 if state.automatic is None else len(state.automatic.items),
            threshold=promise.threshold if promise else None,
            accuracy=state.automatic.accuracy if state.automatic else None,
            bound=state.automatic.bound if state.automatic else None,
            pool_accuracy=reference.accuracy(whole.accuracy),
            asked=wanted,
        )
    )
    if wanted and closing:
        least = np.sort(state.confidence[pool])[wanted - 1]
        _ask(state, np.where(state.confidence <= least, 1.0, 0.0), rng)
    elif wanted:
        steepness = queries.TO_LEARN if whole.accuracy < reference.agreement(goal.target) else queries.TO_PROVE
        _ask(state, Chances(state.confidence[pool], wanted, steepness)(state.confidence), rng)
    if not len(state.asked) or not wanted:
        _begin_audit(state, goal, rng)


def _learn(state: State, learner: Learner, seed: int) -> Evidence:
    """Train, calibrate; notes each item's prediction and confidence in the state."""
    rows, pool = state.answered, state.pool
    labels = state.taught(rows)
    logs = log_probabilities(learner.learn(rows, labels, state.n_labels, seed), rows, labels)
    if state.sets is None:
        state.predicted, given = logs.argmax(axis=1).astype(np.int32), signals(logs)
    else:
        members, likely = best_sets(logs, empty=state.sets.empty)
        state.predicted, given = state.sets.codes(members), signals(likely)
    right = (state.predicted[rows] == state.labels[rows]).astype(np.float64)
    weights = odds_weights(state.survival[rows])
    state.confidence = Calibration.fit(given[rows], right, weights)(given)
    return Evidence(state.confidence[pool], state.confidence[rows], right, weights)


def _labels(state: State, promise: Promise | None, reference: Reference, model: str) -> Automatic | None:
    if promise is None:
        return None
    items = state.pool[state.confidence[state.pool] >= promise.threshold]
    return Automatic(
        model,
        state.round + 1,
        promise.threshold,
        reference.accuracy(promise.accuracy),
        reference.accuracy(promise.bound),
        items,
        state.predicted[items],
        state.confidence[items],
    )


def _affordable(state: State, goal: Goal) -> int:
    """How many more items people may be asked for, the audit's put aside."""
    if goal.budget is None:
        return state.n_items
    each = max(state.answers / max(len(state.answered), 1), 1.0)
    aside = min(goal.audit_of(len(state.pool)), math.ceil(_FOR_AUDIT * goal.budget / each))
    return max(int((goal.budget - state.answers) / each) - aside, 0)


def _begin_audit(state: State, goal: Goal, rng: np.random.Generator) -> None:
    state.phase = "audit"
    state.audited = np.empty(0, dtype=np.intp)
    if state.automatic is None:
        state.phase, state.asked = "done", state.audited
        return
    _check(state, goal, goal.audit_of(len(state.automatic.items), state.automatic.accuracy), rng)
    if not len(state.asked):  # the budget is spent
        state.phase = "done"


def _check(state: State, goal: Goal, size: int, rng: np.random.Generator) -> None:
    """Ask about `size` more of the automatic labels, drawn evenly."""
    assert state.automatic is not None  # noqa: S101 - there is no audit without
    left = np.setdiff1d(state.automatic.items, state.audited)
    left = left[state.labels[left] < 0]
    size = min(size, len(left))
    if goal.budget is not None:
        each = max(state.answers / max(len(state.answered), 1), 1.0)
        size = min(size, int((goal.budget - state.answers) / each))
    chances = np.where(state.confidence >= state.automatic.threshold, size / max(len(left), 1), 0.0)
    state.asked = np.sort(rng.choice(left, size, replace=False)) if size > 0 else left[:0]
    state.survival *= 1.0 - chances
    state.audited = np.concatenate([state.audited, state.asked])


def _audited(state: State, goal: Goal, rng: np.random.Generator) -> bool:
    """Judge the audit: ask for more, or be done, or (False) go back to rounds with what was found."""
    made = state.automatic
    if made is None:
        state.phase, state.asked = "done", state.asked[:0]
        return True
    drawn = np.isin(made.items, state.audited) & (state.labels[made.items] >= 0)
    checked = made.items[drawn]
    if not len(checked):
        state.phase, state.asked = "done", checked
        return True
    agreeing = int((made.labels[drawn] == state.labels[checked]).sum())
    reference = Reference(float(state.reliability[checked].mean()), state.n_answers)
    low, high = (reference.accuracy(end) for end in interval(agreeing, len(checked)))
    more = goal.audit_of(len(made.items), agreeing / len(checked), stretched=True) - len(checked)
    if high - low > goal.width and more > 0:
        _check(state, goal, more, rng)
        if len(state.asked):
            return True
    passed = high >= goal.target
    state.audits.append(
        Audit(len(checked), agreeing, reference.accuracy(agreeing / len(checked)), low, high, 0.95, passed)
    )
    state.phase = "done" if passed else "rounds"
    state.asked = state.asked[:0]
    if passed:
        state.withdraw(checked)
    return passed
