"""From the files that a user names to what an evaluation takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from palate.dataset import splits
from palate.dataset.mapping import ColumnMapping
from palate.dataset.readers import read_dataset, read_interactions, read_items
from palate.dataset.readers.build import same_id_types, share_maps
from palate.dataset.schema import Interactions, Items, Users
from palate.errors import ParameterError

SPLITS = ("leave-last-fraction", "leave-last-out", "time", "random")
"""How a test can be cut from one file of interactions; `palate.dataset.splits` says what each means."""


@dataclass(frozen=True)
class EvaluationData:
    """test: None when there is only one set of interactions, to be parted by the evaluation itself (cold start)."""

    train: Interactions
    test: Interactions | None
    items: Items | None = None
    users: Users | None = None

    @property
    def held_out(self) -> Interactions:
        """The test. Raises ParameterError if there is none."""
        if self.test is None:
            raise ParameterError(
                "there is no test data.", where="test", hint="Read one, or cut it from the training data."
            )
        return self.test


def read_data(
    train: Path,
    test: Path | None = None,
    format: str = "auto",
    mapping: Path | None = None,
    items: Path | None = None,
) -> EvaluationData:
    """Reads the files. A folder given as `train` brings its own catalogue and users, unless `items` is another.

    Raises InputError or SchemaError naming file, row and column.
    """
    columns = None if mapping is None else ColumnMapping.read(mapping)
    known = read_dataset(train, format, columns)
    if items is not None:
        known = replace(known, items=read_items(items, "auto", columns))
    known = same_id_types(known)
    if test is None:
        return EvaluationData(known.interactions, None, known.items, known.users)
    learned, held = share_maps(known.interactions, read_interactions(test, format, columns))
    return EvaluationData(learned, held, known.items, known.users)


def cut(data: EvaluationData, split: str, holdout: float = 0.2, seed: int = 0) -> EvaluationData:
    """With the test cut from the training data. Raises ParameterError for an unknown split."""
    if split not in SPLITS:
        raise ParameterError(f"there is no split {split[:60]!r}.", where="split", hint=f"Known: {', '.join(SPLITS)}.")
    values: dict[str, dict[str, Any]] = {
        "leave-last-fraction": {"fraction": holdout},
        "leave-last-out": {"n": 1},
        "time": {"fraction": holdout},
        "random": {"test": holdout, "seed": seed},
    }
    parted = splits.split(data.train, split.replace("-", "_"), **values[split])
    return replace(data, train=parted.train, test=parted.test)


def joined(data: EvaluationData) -> Interactions:
    """Training and test interactions as one, for the cold start, which parts them anew. Kinds of events stay out."""
    if data.test is None:
        return data.train
    first, second = data.train, data.test

    def both(name: str, missing: float | None = None) -> Any:
        columns = [getattr(side, name) for side in (first, second)]
        held = [column is not None for column in columns]
        if not any(held) or (missing is None and not all(held)):
            return None
        return np.concatenate(
            [
                np.full(len(side), missing, np.float32) if column is None else column
                for side, column in zip((first, second), columns, strict=True)
            ]
        )

    return Interactions(
        first.users,
        first.items,
        both("user_codes"),
        both("item_codes"),
        both("weights", 1.0),
        both("timestamps"),
    )
