"""What several people's labels of a task come to, one label each or sets of them, and how surely, by MACE."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from labeling.consensus.answers import Answers
from labeling.consensus.mace import Mace

OneGiven = tuple[int, str, str]
"""A task, who answered it, and the label they gave."""
Given = tuple[int, str, Collection[str]]
"""A task, who answered it, and the labels they gave."""


def labels_together(given: Sequence[OneGiven]) -> dict[int, tuple[str, float]]:
    """By task its label, and how surely it is right, by MACE."""
    tasks, people, labels = (list(column) for column in zip(*given, strict=True))
    answers = Answers.of(tasks, people, labels)
    consensus = Mace().consolidate(answers)
    names = [str(name) for name in answers.labels.ids.to_pylist()]
    chosen = zip(consensus.chosen.tolist(), consensus.confidence.tolist(), strict=True)
    return {
        int(task): (names[label], sure)
        for task, (label, sure) in zip(answers.tasks.ids.to_pylist(), chosen, strict=True)
    }


def sets_together(
    given: Sequence[Given], labels: Sequence[str], *, empty: bool = False
) -> dict[int, tuple[tuple[str, ...], float]]:
    """By task what it is labeled with, in the order of `labels`, and how surely the whole set is right.

    Each label that anybody gave is a question of its own about every task, to which everybody who answered the task
    said yes or no, all of them weighed by one MACE: a set that nobody gave whole may thus be what most say of each
    label. (Asked only of tasks to which somebody gave it, a label would seem to be right wherever there is a doubt.)
    empty: whether a set may be; otherwise the likeliest label stays where none is likelier than not.
    """
    places = {label: place for place, label in enumerate(labels)}
    members = np.zeros((len(given), len(labels)), dtype=bool)
    for row, (_, _, chosen) in enumerate(given):
        members[row, [places[label] for label in chosen]] = True
    asked = np.flatnonzero(members.any(axis=0))
    tasks, task = np.unique([each[0] for each in given], return_inverse=True)
    if not len(asked):
        return dict.fromkeys(tasks.tolist(), ((), 1.0))
    questions = (task[:, None] * len(asked) + np.arange(len(asked))).ravel()
    people = np.repeat(np.unique([each[1] for each in given], return_inverse=True)[1], len(asked))
    answers = Answers.of(questions, people, members[:, asked].astype(np.int64).ravel(), (0, 1))
    table = Mace().consolidate(answers).table(2)[:, answers.labels.ids.to_pylist().index(1)]
    shares = np.empty_like(table)
    shares[np.array(answers.tasks.ids.to_pylist())] = table
    found: dict[int, tuple[tuple[str, ...], float]] = {}
    for one, likely in zip(tasks.tolist(), shares.reshape(len(tasks), len(asked)), strict=True):
        yes = likely > 0.5
        if not yes.any() and not empty:
            yes[likely.argmax()] = True
        sure = float(np.where(yes, likely, 1.0 - likely).prod())
        found[one] = tuple(labels[place] for place in asked[yes]), sure
    return found
