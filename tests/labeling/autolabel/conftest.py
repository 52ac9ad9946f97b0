"""Generated data whose difficulty is known, and the loop played on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from labeling.autolabel import Goal, KernelLearner, Outcome, State, judge, play, text_views
from labeling.autolabel.annotators import Annotators, Truthful


def sentences(
    n: int, n_labels: int, *, telling: int = 3, noise: float = 0.0, seed: int = 0
) -> tuple[list[str], list[str]]:
    """Texts of nine words, `telling` of them from their label's own thirty; a share of labels is drawn at random."""
    rng = np.random.default_rng(seed)
    vocabulary = ["".join(word) for word in rng.choice(list("abcdefghijklmnopqrstuvwxyz"), (30 * n_labels, 6))]
    codes = rng.integers(0, n_labels, n)
    texts = []
    for code in codes:
        own = [vocabulary[30 * code + word] for word in rng.integers(0, 30, telling)]
        common = [f"c{word}" for word in rng.zipf(1.4, 9 - telling) % 400]
        texts.append(" ".join(rng.permutation([*own, *common])))
    mixed = rng.random(n) < noise
    codes[mixed] = rng.integers(0, n_labels, int(mixed.sum()))
    return texts, [f"label {code}" for code in codes]


Played = tuple[Outcome, State]


def played(
    learner: KernelLearner, truth: list[str], goal: Goal, seed: int = 0, annotators: Annotators | None = None
) -> Played:
    """The outcome of the loop with annotators, who are right unless told otherwise."""
    people = annotators or Truthful(truth)
    state, made = play(learner, people, goal, seed)
    return judge(state, made, people.names, truth, goal, learner.name), state


@pytest.fixture(scope="session")
def topics() -> tuple[KernelLearner, list[str]]:
    """800 texts on six topics: most are easy, some are not."""
    texts, truth = sentences(800, 6, telling=2)
    return KernelLearner(text_views(texts, "tfidf")), truth


@pytest.fixture
def topics_file(tmp_path: Path) -> Callable[..., Path]:
    """A CSV of such texts."""

    def write(n: int = 400, n_labels: int = 4, name: str = "topics.csv") -> Path:
        texts, truth = sentences(n, n_labels, telling=4)
        path = tmp_path / name
        path.write_text(
            "text,label\n" + "".join(f"{a},{b}\n" for a, b in zip(texts, truth, strict=True)), encoding="utf-8"
        )
        return path

    return write
