"""What the JSON of `attributes` says, as features: any team's columns, without telling each one's type.

An attribute whose values are numbers becomes one number, standardised, and one label for each of its ranges; any other
becomes a label for each value. The fitted encoder is part of a model's state, so that offline and online agree.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.dataset.ids import IdMap
from palate.errors import SchemaError
from palate.features.text import label

Floats = npt.NDArray[np.float32]

_RANGES = 10
"""A number's ranges, each with as many rows as the others."""
_MOST = 0.95
"""An attribute is a number where this share of its values can be read as one."""
_MAX_LABELS = 5000
_MIN_COUNT = 2
"""A label that fewer rows have can teach nothing of other rows."""


@dataclass(frozen=True)
class Facts:
    """Rows `(n, width)` CSR of labels, each 1, and `(n, n_numbers)` of standardised numbers, 0 where unknown.

    numbers: attribute to (mean, standard deviation, upper ends of its ranges). labels: `attribute=value`, or
    `attribute#range` of a number, sorted. A value that training did not see, or an attribute that a row does not
    have, is no entry at all.
    """

    numbers: Mapping[str, tuple[float, float, tuple[float, ...]]]
    labels: IdMap

    @classmethod
    def fit(cls, rows: Sequence[Mapping[str, Any]]) -> Self:
        """Learn which attributes there are, and their values, from rows as `read_facts` gives them."""
        values: dict[str, list[Any]] = {}
        for row in rows:
            for name, value in row.items():
                if value is not None:
                    values.setdefault(name, []).append(value)
        numbers = {}
        for name, held in sorted(values.items()):
            read = [number for number in map(_number, held) if number is not None]
            if len(read) >= _MOST * len(held) and len(set(read)) > 2:
                ends = np.unique(np.quantile(read, np.linspace(0, 1, _RANGES + 1)[1:-1]))
                spread = float(np.std(read))
                numbers[name] = (float(np.mean(read)), spread if spread > 0 else 1.0, tuple(ends.tolist()))
        bare = cls(numbers, IdMap([]))
        counts = Counter(each for row in rows for each in bare._labels_of(row))
        kept = [each for each, count in counts.most_common(_MAX_LABELS) if count >= _MIN_COUNT]
        return cls(numbers, IdMap(sorted(kept)))

    @property
    def width(self) -> int:
        return len(self.labels)

    def encode(self, rows: Sequence[Mapping[str, Any]]) -> tuple[sparse.csr_matrix, Floats]:
        """The labels `(n, width) float32` and the numbers `(n, n_numbers) float32` of rows."""
        found = [self._labels_of(row) for row in rows]
        flat = [each for row in found for each in row]
        codes = self.labels.encode(flat) if flat else np.empty(0, np.int32)
        at = np.repeat(np.arange(len(rows)), [len(row) for row in found])
        held = codes >= 0
        ones = np.ones(int(held.sum()), np.float32)
        matrix = sparse.csr_matrix((ones, (at[held], codes[held])), shape=(len(rows), self.width))
        scaled = np.zeros((len(rows), len(self.numbers)), np.float32)
        for place, (name, (mean, spread, _)) in enumerate(self.numbers.items()):
            for index, row in enumerate(rows):
                number = _number(row.get(name))
                if number is not None:
                    scaled[index, place] = np.clip((number - mean) / spread, -_FAR, _FAR)
        return matrix, scaled

    def _labels_of(self, row: Mapping[str, Any]) -> list[str]:
        found: dict[str, None] = {}
        for name, value in row.items():
            if name in self.numbers:
                number = _number(value)
                if number is not None:
                    found[f"{name}#{int(np.searchsorted(self.numbers[name][2], number, side='right'))}"] = None
                continue
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, (str, bool, int, float)):
                    found[f"{name}={label(str(each))}"] = None
        return list(found)

    def to_params(self) -> dict[str, Any]:
        """JSON-serializable, beside `labels`, which is an id map."""
        return {"numbers": {name: [mean, spread, list(ends)] for name, (mean, spread, ends) in self.numbers.items()}}

    @classmethod
    def from_params(cls, params: Mapping[str, Any], labels: IdMap) -> Self:
        return cls(
            {name: (mean, spread, tuple(ends)) for name, (mean, spread, ends) in params["numbers"].items()}, labels
        )


def read_facts(texts: Sequence[str | None], what: str) -> list[dict[str, Any]]:
    """JSON objects as dicts, {} for null. Raises SchemaError naming the row of a text that is none."""
    rows: list[dict[str, Any]] = []
    for row, text in enumerate(texts):
        try:
            found = json.loads(text) if text else {}
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise SchemaError("it must be a JSON object.", where=f"{what}:{row}:attributes")
        rows.append(found)
    return rows


def _number(value: Any) -> float | None:
    """A finite number, or a text that reads as one; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


_FAR = 10.0
"""A number further from the mean than so many standard deviations counts as that far: one slip of the keyboard must
not outweigh everything else."""
