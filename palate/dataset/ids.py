"""Id maps: the ids people use (strings or 64-bit integers) to the row codes that arrays use, and back.

An `IdMap` is immutable and holds no dictionary: a sorted copy of the ids (as an order) and binary search,
so that it can be memory-mapped from a bundle and shared between processes. Only the few thousand texts asked for last
are remembered (one request asks of its items several times), and where in the order a thousand others are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from palate.errors import SchemaError, UnknownIdError

Id: TypeAlias = str | int
Ids: TypeAlias = "Sequence[Id] | npt.NDArray[np.int64] | npt.NDArray[np.str_] | pa.Array | pa.ChunkedArray"
Codes: TypeAlias = npt.NDArray[np.int32]

UNKNOWN = -1
"""The code of an id that the map does not hold."""
_REMEMBERED = 16_384
_ONE_BY_ONE = 1000
"""Up to so many texts are looked up one by one, as a request does with a history; of more, Arrow makes a hash table."""
_SIGNPOSTS = 1024
"""Of how many texts of a map, evenly spaced in their order, a copy is held once it is searched: 64 kB, made in 1 ms."""


def id_array(values: Ids, *, where: str | None = None) -> pa.Array:
    """The ids as one Arrow array: `int64` if all are integers, else `large_string`.

    Raises SchemaError for nulls, for a mixture of integers and strings, and for any other type.
    """
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks() if values.num_chunks != 1 else values.chunk(0)
    try:
        array = values if isinstance(values, pa.Array) else pa.array(values)
    except (pa.ArrowException, UnicodeEncodeError, OverflowError) as error:
        raise SchemaError(f"ids must be all strings or all 64-bit integers ({error}).", where=where) from error
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if array.null_count:
        raise SchemaError(f"{array.null_count} of {len(array)} ids are missing.", where=where)
    if pa.types.is_integer(array.type):
        try:
            return array.cast(pa.int64())
        except pa.ArrowInvalid as error:
            raise SchemaError("an integer id does not fit 64 bits.", where=where) from error
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type) or pa.types.is_string_view(array.type):
        return array.cast(pa.large_string())
    if len(array) == 0:
        return pa.array([], pa.large_string())
    raise SchemaError(f"ids must be strings or integers, not {array.type}.", where=where)


class IdMap:
    """Ids in code order: code `i` is `ids[i]`.

    Parameters
    ----------
    ids: unique ids, strings or integers; their positions are their codes.
    order: the permutation that sorts `ids`; computed when not given.
    """

    __slots__ = ("_found", "_numbers", "_order", "_sorted", "_text", "ids")

    def __init__(self, ids: Ids, order: npt.NDArray[np.int32] | None = None, *, where: str | None = None) -> None:
        self.ids: pa.Array = id_array(ids, where=where)
        if order is None:
            order = plain(pc.array_sort_indices(self.ids), np.uint64).astype(np.int32)
            ordered = self.ids.take(pa.array(order))
            if len(ordered) > 1 and pc.any(pc.equal(ordered.slice(1), ordered.slice(0, len(ordered) - 1))).as_py():
                raise SchemaError("ids must be unique.", where=where)
        self._order = order
        self._sorted: npt.NDArray[np.int64] | None = None
        self._numbers: npt.NDArray[np.int64] | None = None
        self._text: _Text | None = None
        self._found: Callable[[str], int] | None = None
        if self.is_integer:
            self._numbers = plain(self.ids, np.int64)
            self._sorted = self._numbers[order]

    @classmethod
    def from_values(cls, values: Ids, *, where: str | None = None) -> IdMap:
        """The unique values, sorted."""
        array = id_array(values, where=where).unique()
        return cls(array.take(pc.array_sort_indices(array)), np.arange(len(array), dtype=np.int32))

    @property
    def is_integer(self) -> bool:
        return bool(pa.types.is_integer(self.ids.type))

    @property
    def order(self) -> npt.NDArray[np.int32]:
        """The permutation that sorts the ids, `(len,) int32`; stored with the ids so that loading sorts nothing."""
        return self._order

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, value: object) -> bool:
        return isinstance(value, (str, int)) and self.code(value) != UNKNOWN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IdMap) and self.ids.equals(other.ids)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[type[IdMap], tuple[pa.Array, npt.NDArray[np.int32]]]:
        return IdMap, (self.ids, self._order)

    def __repr__(self) -> str:
        kind = "integer" if self.is_integer else "string"
        return f"IdMap({len(self)} {kind} ids)"

    def code(self, value: Id) -> int:
        """The code of one id, `UNKNOWN` (-1) if the map lacks it. "12" finds 12 in an integer map."""
        if self._sorted is not None:
            number = _as_int64(value)
            if number is None:
                return UNKNOWN
            at = int(np.searchsorted(self._sorted, number))
            return int(self._order[at]) if at < len(self) and self._sorted[at] == number else UNKNOWN
        text = _as_text(value)
        return UNKNOWN if text is None else self._look_up()(text)

    def _look_up(self) -> Callable[[str], int]:
        if self._found is None:
            self._found = lru_cache(_REMEMBERED)(_Text(self.ids, self._order).code)
        return self._found

    def at(self, code: int) -> Id:
        """The id of one code, which must be a valid one."""
        if self._numbers is not None:
            return int(self._numbers[code])
        if self._text is None:
            self._text = _Text(self.ids, self._order)
        return self._text.at(code)

    def encode(self, values: Ids | Iterable[Id]) -> Codes:
        """Codes of the ids, `(n,) int32`, -1 where the map lacks one."""
        if not isinstance(values, (pa.Array, pa.ChunkedArray, np.ndarray)):
            values = list(values)
            if self.is_integer:
                return np.fromiter((self.code(value) for value in values), dtype=np.int32, count=len(values))
            if len(values) <= _ONE_BY_ONE:
                code, look_up = self.code, self._look_up()  # nearly all are text already
                codes = [look_up(value) if type(value) is str else code(value) for value in values]
                return np.array(codes, dtype=np.int32)
            try:
                array = pa.array([_as_text(value) for value in values], pa.large_string())
            except (pa.ArrowException, UnicodeError):  # half a surrogate pair: Arrow holds none, so no map does
                return np.fromiter((self.code(value) for value in values), dtype=np.int32, count=len(values))
        else:
            array = id_array(values)
        if self._sorted is not None:
            if not pa.types.is_integer(array.type):
                return np.fromiter((self.code(v) for v in array.to_pylist()), dtype=np.int32, count=len(array))
            if len(self) == 0:
                return np.full(len(array), UNKNOWN, dtype=np.int32)
            numbers = plain(array, np.int64)
            at = np.minimum(np.searchsorted(self._sorted, numbers), len(self) - 1)
            return np.where(self._sorted[at] == numbers, self._order[at], UNKNOWN).astype(np.int32)
        if pa.types.is_integer(array.type):
            array = array.cast(pa.large_string())
        codes = pc.fill_null(pc.index_in(array, value_set=self.ids), UNKNOWN)
        return plain(codes, np.int32)

    def require(self, values: Ids | Iterable[Id], what: str) -> Codes:
        """As `encode`, but an id that the map lacks raises UnknownIdError naming it."""
        values = values if isinstance(values, (pa.Array, pa.ChunkedArray, np.ndarray)) else list(values)
        codes = self.encode(values)
        if (codes < 0).any():
            missing = values[int(np.argmax(codes < 0))]
            raise UnknownIdError(f"there is no {what} {str(missing)[:80]!r}.")
        return codes

    def decode(self, codes: npt.NDArray[np.integer] | Sequence[int]) -> list[Id]:
        """The ids of the codes; every code must be a valid one."""
        result: list[Id] = self.ids.take(_as_arrow(np.asarray(codes, dtype=np.int64))).to_pylist()
        return result

    def extended(self, more: Ids) -> IdMap:
        """A map with the ids of `more` that this one lacks added at the end; the codes held keep their ids."""
        added = id_array(more)
        if len(added) == 0:
            return self
        if len(self) and added.type != self.ids.type and self.is_integer:
            added = integer_ids(added)
        if len(self) and added.type != self.ids.type:
            if self.is_integer:
                raise SchemaError(f"ids of this catalogue are integers, {added[0].as_py()!r} is not one.")
            added = added.cast(pa.large_string())
        added = added.unique()
        fresh = added.filter(pa.array(self.encode(added) < 0)) if len(self) else added
        return IdMap(pa.concat_arrays([self.ids, fresh]) if len(self) else fresh)


def plain(array: pa.Array, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """An Arrow array of numbers, none of them missing, as a view of its memory.

    Arrow's own conversion loads pandas where that is installed: 20 MB more in each process that serves, and half a
    second in which a request waits.
    """
    data = array.buffers()[1]
    if data is None:
        return np.empty(0, dtype)
    return np.frombuffer(data, dtype)[array.offset : array.offset + len(array)]


def _as_arrow(numbers: npt.NDArray[np.int64]) -> pa.Array:
    """The other way, likewise without pandas."""
    data = np.ascontiguousarray(numbers)
    return pa.Array.from_buffers(pa.int64(), len(data), [None, pa.py_buffer(data)])


class _Text:
    """Text as it lies in memory or in a file, looked up in a tenth of the time that Arrow's scalars take.

    Of the sorted ids every `_stride`-th is held besides: the search begins among those, in the interpreter's own code,
    and takes only its last steps here.
    """

    __slots__ = ("_data", "_offsets", "_order", "_signposts", "_stride")

    def __init__(self, ids: pa.Array, order: npt.NDArray[np.int32]) -> None:
        _, offsets, data = ids.buffers()
        self._order = np.ascontiguousarray(order, np.int32).data
        self._offsets = memoryview(b"" if offsets is None else offsets).cast("B").cast("q")[ids.offset :]
        self._data = memoryview(b"" if data is None else data).cast("B")
        self._stride = -(-len(order) // _SIGNPOSTS) or 1
        self._signposts: list[bytes] | None = None

    def code(self, text: str) -> int:
        order, offsets, data = self._order, self._offsets, self._data
        if self._signposts is None:
            self._signposts = [bytes(data[offsets[code] : offsets[code + 1]]) for code in order[:: self._stride]]
        try:
            wanted = text.encode("utf-8")
        except UnicodeEncodeError:  # half a surrogate pair: no map holds one
            return UNKNOWN
        after = bisect_right(self._signposts, wanted) * self._stride  # by UTF-8 bytes, the order that Arrow sorts in
        low, high = max(0, after - self._stride), min(after, len(order))
        while low < high:
            middle = (low + high) // 2
            code: int = order[middle]
            found = bytes(data[offsets[code] : offsets[code + 1]])
            if found == wanted:
                return code
            if found < wanted:
                low = middle + 1
            else:
                high = middle
        return UNKNOWN

    def at(self, code: int) -> str:
        return str(self._data[self._offsets[code] : self._offsets[code + 1]], "utf-8")


def _as_text(value: object) -> str | None:
    """How a string map would hold the id; None for what is no id at all."""
    if isinstance(value, str):
        return value
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return str(value) if whole and -(2**63) <= value < 2**63 else None  # type: ignore[operator]


def _as_int64(value: Id) -> int | None:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):  # what is no id at all is simply not in the map
        return None
    # The range first: a number of thousands of digits has no text.
    return number if -(2**63) <= number < 2**63 and str(number) == str(value) else None


def integer_ids(array: pa.Array) -> pa.Array:
    """Text ids as int64 if each is a 64-bit integer written plainly ("12", not "012" or "+12"), else as they are."""
    if pa.types.is_integer(array.type) or len(array) == 0:
        return array
    first = array[0].as_py()
    if first is None or _as_int64(first) is None:  # most text ids are seen not to be numbers at the first one
        return array
    try:
        numbers = array.cast(pa.int64())
    except pa.ArrowInvalid:
        return array
    return numbers if numbers.cast(array.type).equals(array) else array
