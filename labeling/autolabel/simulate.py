"""The whole loop against known labels: what a project would have cost, and how right it would have been."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from labeling.autolabel.annotators import Annotators, SetNames
from labeling.autolabel.goal import Goal
from labeling.autolabel.learners import Learner
from labeling.autolabel.loop import advance
from labeling.autolabel.sets import Sets, of_names
from labeling.autolabel.state import Audit, Automatic, Round, State


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    automated_share: items whose label no person has seen, of all. automated_accuracy: how many of the model's labels
    are the truth, before those that the audit found wrong are mended; None if it gave none. human_labels: items that
    people labeled, human_answers: with how many answers. audit: the last one; None if there was nothing to audit.
    unlabeled: items left without any label when the budget ended. per_label: where items have several labels, each of
    which the model gave or not, the share of its labels in which each is right.
    """

    items: int
    labels: int
    target: float
    model: str
    automated_share: float
    automated_accuracy: float | None
    human_labels: int
    human_answers: int
    human_accuracy: float
    unlabeled: int
    audit: Audit | None
    rounds: tuple[Round, ...]
    per_label: dict[str, float] | None = None

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return {**asdict(self), "audit": None if self.audit is None else asdict(self.audit)}


def play(
    learner: Learner,
    annotators: Annotators,
    goal: Goal,
    seed: int = 0,
    told: Callable[[Round], None] = lambda _: None,
    sets: Sets | None = None,
) -> tuple[State, Automatic | None]:
    """The loop to its end, asking nobody but the annotators: the state, and the labels as they went into the audit.

    sets: where items have several labels; the annotators' codes are of these.
    """
    state = State.new(learner.n_items, sets)
    made: Automatic | None = None
    while True:
        rounds = state.round
        step = advance(state, learner, goal, seed)
        if state.round > rounds:
            told(state.rounds[-1])
        passed = bool(state.audits) and state.audits[-1].passed
        if step.phase != "done" or not passed:  # once an audit is passed, what it saw is no longer automatic
            made = step.automatic
        if not len(step.ask):
            break
        said = annotators.ask(step.ask)
        state.answer(said.items, said.labels, said.reliability, said.answers)
    return state, made


def judge(
    state: State, made: Automatic | None, names: Sequence[str], truth: Sequence[str], goal: Goal, model: str
) -> Outcome:
    """What was reached, by the truth that the loop did not see; sets count as right where they wholly are
    (`label_accuracy` is about the labels in them).
    """
    codes = {name: code for code, name in enumerate(names)}
    true = np.array([codes.get(name, -1) for name in truth])
    unseen = state.automatic.items if state.automatic is not None else np.empty(0, dtype=np.intp)
    return Outcome(
        items=state.n_items,
        labels=len(set(truth)) if state.sets is None else state.sets.n_labels,
        target=goal.target,
        model=model,
        automated_share=len(unseen) / state.n_items,
        automated_accuracy=None if made is None else float((made.labels == true[made.items]).mean()),
        human_labels=len(state.answered),
        human_answers=state.answers,
        human_accuracy=float((state.labels[state.answered] == true[state.answered]).mean()),
        unlabeled=state.n_items - len(state.answered) - len(unseen),
        audit=state.audits[-1] if state.audits else None,
        rounds=tuple(state.rounds),
    )


def label_accuracy(made: Automatic | None, codes: SetNames, truth: Sequence[str]) -> dict[str, float] | None:
    """By label, in how many of the items that the model labeled it is rightly given or left out; None without any."""
    if made is None or not len(made.items):
        return None
    true = of_names([codes.split(truth[item]) for item in made.items.tolist()], codes.labels)
    right = (codes.sets.members(made.labels) == true).mean(axis=0)
    return dict(zip(codes.labels, right.tolist(), strict=True))
