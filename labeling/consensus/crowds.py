"""Simulated crowds in the shape of the sets on which consensus methods are usually compared.

Tasks, people, labels and answers per task are as in RTE and Product (binary), Web (five grades, many careless people)
and Dog (four breeds, two pairs alike); how people err is made up. Some tasks are hard for everybody alike, and some
people do far more than others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from labeling.consensus.answers import Answers
from labeling.consensus.protocol import Consensus

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Crowd:
    """answers, and the true label of each task as a code, `(n_tasks,)`."""

    answers: Answers
    truth: Array

    def accuracy(self, consensus: Consensus) -> float:
        return float((consensus.chosen == self.truth).mean())


def rte(seed: int) -> Crowd:
    rng = np.random.default_rng(seed)
    skill = rng.beta(6, 1.6, 164)
    skill[rng.random(164) < 0.1] = 0.5
    right = np.clip(skill[:, None] + rng.normal(0, 0.07, (164, 2)), 0.05, 0.99)
    return _asked(rng, 800, 10, [0.5, 0.5], _binary(right), hard=0.15)


def product(seed: int) -> Crowd:
    rng = np.random.default_rng(seed)
    right = np.clip(np.column_stack([rng.beta(7, 1.2, 176), rng.beta(3, 1.3, 176)]), 0.1, 0.99)
    return _asked(rng, 8315, 3, [0.88, 0.12], _binary(right), hard=0.08)


def web(seed: int) -> Crowd:
    rng = np.random.default_rng(seed)
    grade = np.arange(5)
    matrices = np.empty((177, 5, 5))
    for matrix in matrices:
        if rng.random() < 0.3:  # careless: the same habit whatever is right
            matrix[:] = 0.8 * rng.dirichlet(np.full(5, 0.8)) + 0.2 * np.eye(5)
        else:
            meant = np.clip(grade + rng.normal(0, 0.6), 0, 4)
            near = np.exp(-0.5 * ((grade - meant[:, None]) / rng.uniform(0.3, 1.2)) ** 2)
            matrix[:] = 0.8 * near / near.sum(axis=1, keepdims=True) + 0.2 * rng.dirichlet(np.ones(5), 5)
    return _asked(rng, 2665, 6, [0.1, 0.2, 0.3, 0.25, 0.15], matrices, hard=0.12, busy=1.2)


def dog(seed: int) -> Crowd:
    rng = np.random.default_rng(seed)
    skill, mixing = rng.beta(4, 2, 109)[:, None, None], rng.beta(2, 3, 109)[:, None, None]
    alike = np.eye(4)[[1, 0, 3, 2]]
    matrices = 0.15 * (1 - skill) + skill * np.eye(4) + 2 * mixing * (1 - skill) * alike
    return _asked(rng, 807, 10, [0.25] * 4, matrices / matrices.sum(axis=2, keepdims=True), hard=0.3)


def sparse(seed: int, tasks: int = 3000, people: int = 3000, labels: int = 5, answers: int = 5) -> Crowd:
    """Many people with a handful of answers each: what people have in common must speak for them."""
    rng = np.random.default_rng(seed)
    skill = rng.beta(4, 2, people)[:, None, None]
    matrices = (1 - skill) / (labels - 1) * (1 - np.eye(labels)) + skill * np.eye(labels)
    return _asked(rng, tasks, answers, [1 / labels] * labels, matrices, hard=0.1, busy=0.3)


CROWDS = {"rte": rte, "product": product, "web": web, "dog": dog, "sparse": sparse}


def many(
    tasks: int, people: int, labels: int, answers: int, seed: int = 0
) -> tuple[pa.Array, pa.Array, pa.Array, Array]:
    """Columns of task, worker and label, and the truth: large, and quickly made. Errors are spread evenly."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(labels, size=tasks)
    task = np.repeat(np.arange(tasks), answers)
    worker = (rng.random(len(task)) ** 2 * people).astype(np.int64)
    knows = rng.random(len(task)) < rng.beta(4, 2, people)[worker]
    label = np.where(knows, truth[task], rng.integers(labels, size=len(task)))
    task_ids, worker_ids, label_ids = (pa.array(column).cast(pa.large_string()) for column in (task, worker, label))
    return task_ids, worker_ids, label_ids, truth


def _binary(right: Array) -> Array:
    """Confusion matrices from how often each person is right about either label, `(people, 2)`."""
    matrices = np.empty((len(right), 2, 2))
    matrices[:, [0, 1], [0, 1]] = right
    matrices[:, [0, 1], [1, 0]] = 1 - right
    return matrices


def _asked(
    rng: np.random.Generator, tasks: int, per_task: int, prior: Any, matrices: Array, hard: float, busy: float = 0.8
) -> Crowd:
    """Answers drawn from confusion matrices `(people, labels, labels)`; `hard` is the mean share of blind answers."""
    people, labels = len(matrices), len(prior)
    truth = rng.choice(labels, tasks, p=prior)
    activity = -busy * np.log(rng.permutation(people) + 1)
    worker = np.argpartition(-(rng.gumbel(size=(tasks, people)) + activity), per_task)[:, :per_task].ravel()
    task = np.repeat(np.arange(tasks), per_task)
    blind = rng.beta(hard, 1, tasks)[task, None]
    astray = rng.dirichlet(np.full(labels, 0.3), tasks)[task]
    chance = (1 - blind) * matrices[worker, truth[task]] + blind * astray
    label = (chance.cumsum(axis=1) < rng.random(len(task))[:, None]).sum(axis=1).clip(0, labels - 1)
    return Crowd(Answers.of(task, worker, [str(code) for code in label], [str(code) for code in range(labels)]), truth)
