"""Columns of categories and numbers as sparse rows, so that nobody makes one-hot vectors by hand.

The fitted encoder is part of a model's bundle; executors and services run this same code. A category is one feature
per value seen in training; a number is one feature, as its distance from the mean in standard deviations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from palate.dataset.ids import UNKNOWN, IdMap
from palate.errors import SchemaError
from palate.kernels.peers import Alone, Peers

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ColumnEncoder:
    """Rows `(n, width) float32` CSR: the numbers first, in order, then the values of one category after the other.

    numbers: name to (mean, standard deviation). categories: name to the values in the order of their features. A
    value that training did not see, or a null, is no entry at all: a zero vector.
    """

    numbers: Mapping[str, tuple[float, float]]
    categories: Mapping[str, IdMap]

    @property
    def width(self) -> int:
        return len(self.numbers) + sum(map(len, self.categories.values()))

    @property
    def inputs(self) -> dict[str, str]:
        """Column name to Arrow type name, as a signature states it."""
        kinds = {name: "int64" if ids.is_integer else "string" for name, ids in self.categories.items()}
        return {**dict.fromkeys(self.numbers, "float"), **kinds}

    @classmethod
    def fit(
        cls,
        columns: Mapping[str, pa.Array],
        numbers: Sequence[str],
        categories: Sequence[str],
        peers: Peers | None = None,
    ) -> Self:
        """Learns from equally long columns; with peers, from those of all, whatever share of rows each has.

        Raises SchemaError for a number that is null or not finite, or a category that is neither text nor integer.
        """
        peers = peers or Alone()
        values = [checked_number(columns[name], name) for name in numbers]
        sums = peers.sum(np.array([[len(column), column.sum()] for column in values]).reshape(-1, 2))
        means = sums[:, 1] / np.maximum(sums[:, 0], 1)
        centred = [column - mean for column, mean in zip(values, means, strict=True)]
        squares = peers.sum(np.array([column @ column for column in centred], dtype=np.float64))
        spreads = np.sqrt(squares / np.maximum(sums[:, 0], 1))
        spreads = np.where(spreads > _CONSTANT * np.abs(means), spreads, 1.0)
        scaled = zip(numbers, means.tolist(), spreads.tolist(), strict=True)
        return cls(
            {name: (mean, spread) for name, mean, spread in scaled},
            {name: _values(columns[name], name, peers) for name in categories},
        )

    def encode(self, columns: Mapping[str, pa.Array], called: str = "row", begin: int = 0) -> sparse.csr_matrix:
        """Equally long columns as rows, the first of which an error calls `called` `begin`.

        Raises SchemaError as `fit`, for a missing column, and for a number too far from the mean for float32.
        """
        n = _length(columns, [*self.numbers, *self.categories])
        codes = np.empty((n, len(self.numbers) + len(self.categories)), dtype=np.int32)
        data = np.ones(codes.shape, dtype=np.float32)
        for place, (name, (mean, spread)) in enumerate(self.numbers.items()):
            codes[:, place] = place
            scaled = (checked_number(columns[name], name, called, begin) - mean) / spread
            data[:, place] = _narrow(scaled, name, called, begin)
        start = len(self.numbers)
        for place, (name, ids) in enumerate(self.categories.items(), len(self.numbers)):
            found = _codes(columns[name], name, ids)
            codes[:, place] = np.where(found == UNKNOWN, UNKNOWN, found + start)
            start += len(ids)
        held = codes >= 0
        starts = np.concatenate([[0], np.cumsum(held.sum(axis=1))])
        return sparse.csr_matrix((data[held], codes[held], starts), shape=(n, self.width))


def _narrow(scaled: Doubles, name: str, called: str, begin: int) -> npt.NDArray[np.float32]:
    """The numbers in float32. Raises SchemaError for one that is too large for it."""
    large = np.abs(scaled) > np.finfo(np.float32).max
    if large.any():
        row = int(np.argmax(large))
        what = f"the number is {scaled[row]:.0e} standard deviations from the mean, too many for float32."
        raise SchemaError(what, where=f"{name}: {called} {begin + row}", hint=_MEND)
    return scaled.astype(np.float32)


def _length(columns: Mapping[str, Any], names: Sequence[str]) -> int:
    for name in names:
        if name not in columns:
            given = ", ".join(map(str, columns)) or "nothing"
            raise SchemaError(f"the column {name!r} is missing.", where=name, hint=f"Given: {given}.")
    lengths = {len(columns[name]) for name in names}
    if len(lengths) > 1:
        raise SchemaError(f"columns are of different lengths: {', '.join(map(str, sorted(lengths)))}.", where=names[0])
    return lengths.pop() if lengths else 0


def as_column(values: Any, name: str, *, number: bool) -> pa.Array:
    """A sequence of numbers, or of categories, as an Arrow array. Raises SchemaError for anything else."""
    if isinstance(values, (str, bytes, Mapping)) or not hasattr(values, "__len__"):
        raise SchemaError(f"must be a list of values, not {type(values).__name__}.", where=name)
    try:
        array = pa.array(values, from_pandas=False)
    except (pa.ArrowException, UnicodeEncodeError, OverflowError) as error:
        raise SchemaError(
            f"must be all text or all numbers ({str(error).splitlines()[0][:100]}).", where=name
        ) from None
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if pa.types.is_null(array.type):
        array = array.cast(pa.float64() if number else pa.large_string())
    return array


def checked_number(array: pa.Array, name: str, place: str = "row", start: int = 0) -> Doubles:
    """A column of numbers as `(n,) float64`, all finite. Raises SchemaError saying `name: place N`, N from `start`."""
    kind = array.type
    are = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal)
    if not any(is_one(kind) for is_one in are):
        raise SchemaError(f"holds {kind}, no numbers.", where=name)
    if array.null_count:
        row = start + int(np.argmax(np.asarray(array.is_null())))
        raise SchemaError("there is no number (null).", where=f"{name}: {place} {row}", hint=_MEND)
    values: Doubles = np.asarray(array.cast(pa.float64(), safe=False))
    if not np.isfinite(values.sum()) and not np.isfinite(values).all():
        row = int(np.argmax(~np.isfinite(values)))
        raise SchemaError(f"{values[row]} is not finite.", where=f"{name}: {place} {start + row}", hint=_MEND)
    return values


def _dictionary(array: pa.Array, name: str) -> pa.DictionaryArray:
    if len(array) == 0:  # a process without rows may not know the column's type
        return pa.array([], pa.large_string()).dictionary_encode()
    kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if not (text or pa.types.is_integer(kind)):
        raise SchemaError(f"holds {kind}, no categories.", where=name, hint="Give it text or integers.")
    if pa.types.is_dictionary(array.type):
        if array.dictionary.null_count == 0:
            return array
        array = array.dictionary_decode()
    return array.dictionary_encode()


def _values(array: pa.Array, name: str, peers: Peers) -> IdMap:
    """The different values that any peer has, sorted."""
    own = _dictionary(array, name).dictionary
    parts = [part for part in peers.gather(own) if len(part)]
    return IdMap.from_values(pa.concat_arrays([pa.array(part) for part in parts]) if parts else pa.array([], own.type))


def _codes(array: pa.Array, name: str, ids: IdMap) -> npt.NDArray[np.int32]:
    encoded = _dictionary(array, name)
    dictionary = encoded.dictionary
    # A dictionary is short and its values differ, so that each is looked up once.
    places = np.append(ids.encode(dictionary), UNKNOWN)
    indices = np.asarray(pc.fill_null(encoded.indices, len(dictionary)))
    found: npt.NDArray[np.int32] = places[indices].astype(np.int32)
    return found


_CONSTANT = 1e-9
"""A number that varies by less than this share of its mean is constant; its scaled value is then zero."""
_MEND = "Mend or drop such rows."
