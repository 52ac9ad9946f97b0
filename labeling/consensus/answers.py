"""Who answered what: the input of every consensus method and agreement figure.

Ids are mapped to codes once, so that everything after it is arithmetic on three integer columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from palate.dataset.ids import Id, IdMap, Ids, id_array
from palate.errors import SchemaError

Codes = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Answers:
    """Answers as codes, sorted by task, then worker, then label: what is made of them knows no order of arrival.

    tasks, workers, labels: the ids behind the codes. task, worker, label: `(n,) int32` each. A worker may have
    answered a task more than once (the observers of Dawid and Skene's own data did); each answer then counts.
    """

    tasks: IdMap
    workers: IdMap
    labels: IdMap
    task: Codes
    worker: Codes
    label: Codes

    @classmethod
    def of(cls, tasks: Ids, workers: Ids, labels: Ids, known_labels: Sequence[Id] = ()) -> Answers:
        """From three columns of equal length.

        known_labels: labels that nobody may have given but that can be the truth all the same.
        Raises SchemaError if there are no answers, a value is missing or the lengths differ.
        """
        columns = [id_array(values, where=name) for name, values in _named(tasks, workers, labels)]
        if len({len(column) for column in columns}) > 1:
            raise SchemaError(f"the columns differ in length: {', '.join(str(len(column)) for column in columns)}.")
        if len(columns[0]) == 0:
            raise SchemaError("there are no answers.")
        maps = [IdMap.from_values(column) for column in columns]
        if known_labels:
            more = maps[2].extended(list(known_labels))
            maps[2] = IdMap.from_values(more.ids)
        codes = [known.encode(column) for known, column in zip(maps, columns, strict=True)]
        order = np.lexsort(codes[::-1])
        task, worker, label = (column[order] for column in codes)
        return cls(maps[0], maps[1], maps[2], task, worker, label)

    def __len__(self) -> int:
        return len(self.task)

    @property
    def n_tasks(self) -> int:
        return len(self.tasks)

    @property
    def n_workers(self) -> int:
        return len(self.workers)

    @property
    def n_labels(self) -> int:
        return len(self.labels)

    @cached_property
    def per_task(self) -> npt.NDArray[np.int64]:
        """The number of answers of each task, `(n_tasks,)`; at least 1."""
        return np.bincount(self.task, minlength=self.n_tasks)

    @cached_property
    def per_worker(self) -> npt.NDArray[np.int64]:
        """The number of answers of each worker, `(n_workers,)`; at least 1."""
        return np.bincount(self.worker, minlength=self.n_workers)

    @cached_property
    def per_label(self) -> npt.NDArray[np.int64]:
        """How often each label was given, `(n_labels,)`."""
        return np.bincount(self.label, minlength=self.n_labels)


def _named(tasks: Ids, workers: Ids, labels: Ids) -> tuple[tuple[str, Ids], ...]:
    return ("tasks", tasks), ("workers", workers), ("labels", labels)
