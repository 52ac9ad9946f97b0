"""RecordIO-wrapped protobuf, SageMaker's binary format (`application/x-recordio-protobuf`).

A file is records one after the other: a magic number, a length, the record, zeros up to a multiple of four bytes. A
record is the protobuf message `aialgs.data.Record`, of which vectors need this much:

    message Record        { map<string, Value> features = 1; map<string, Value> label = 2; string uid = 3; }
    message Value         { oneof { Float32Tensor = 2; Float64Tensor = 3; Int32Tensor = 7; Bytes = 9; } }
    message Float32Tensor { repeated float values = 1; repeated uint64 keys = 2; repeated uint64 shape = 3; }

A tensor with keys is sparse. Unknown fields are passed over, as protobuf wants it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse

from palate.errors import InputError

MAGIC = 0xCED7230A
_HEAD = struct.Struct("<II")
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FEATURES, _LABEL = 1, 2
_TENSORS: Mapping[int, np.dtype[Any]] = {2: np.dtype("<f4"), 3: np.dtype("<f8"), 7: np.dtype(np.int32)}
"""Field of a Value to the type of its numbers; int32 are written as varints."""
Floats = npt.NDArray[np.float64]
Vectors: TypeAlias = "Floats | sparse.csr_matrix"


def records(body: bytes) -> Iterator[bytes]:
    """The records of a file. Raises InputError for one that is cut off or is none."""
    at, number = 0, 0
    while at < len(body):
        if len(body) - at < _HEAD.size:
            raise InputError(f"Record {number} is cut off.")
        magic, length = _HEAD.unpack_from(body, at)
        if magic != MAGIC:
            raise InputError(f"Record {number} does not begin as a record.", hint="Is the body RecordIO?")
        at += _HEAD.size
        if len(body) - at < length:
            raise InputError(f"Record {number} is cut off.")
        yield body[at : at + length]
        at += length + -length % 4
        number += 1


def length_of(head: bytes) -> int:
    """The length of the record that begins with these 8 bytes. Raises InputError if none does."""
    if len(head) < _HEAD.size:
        raise InputError("A record is cut off.")
    magic, length = _HEAD.unpack(head)
    if magic != MAGIC:
        raise InputError("A record does not begin as one.", hint="Is the file RecordIO?")
    return int(length)


def wrapped(record: bytes) -> bytes:
    """A record as it stands in a file."""
    return _HEAD.pack(MAGIC, len(record)) + record + b"\0" * (-len(record) % 4)


def read(body: bytes, *, max_width: int) -> Vectors:
    """The vectors `values` of the records, `(n, width)`: dense, or a CSR matrix if they have keys.

    Raises InputError saying which record is wrong.
    """
    rows = []
    for number, record in enumerate(records(body)):
        try:
            rows.append(_vector(record))
        except (IndexError, struct.error, ValueError, UnicodeDecodeError):
            raise InputError(f"Record {number} is not protobuf that can be read.") from None
        except InputError as error:
            raise InputError(f"Record {number}: {error.message}") from None
    if not rows:
        raise InputError("There are no records.")
    kinds = {keys is None for _, keys, _ in rows}
    if len(kinds) > 1:
        raise InputError("Some records are dense and others sparse.", hint="Send records of one form at a time.")
    widths = {width for _, _, width in rows}
    if len(widths) > 1:
        raise InputError(f"The vectors have different widths: {min(widths)} and {max(widths)}.")
    if kinds == {True}:
        dense: Floats = np.stack([values for values, _, _ in rows])
        return dense
    width = next(iter(widths))
    if not 1 <= width <= max_width:
        raise InputError(f"A vector cannot have {width} numbers; {max_width} are the most.")
    for number, (_, keys, _) in enumerate(rows):
        if keys is not None and len(keys) and (keys.max() >= width or len(np.unique(keys)) < len(keys)):
            raise InputError(f"Record {number}: a key is given twice, or lies outside of 0 to {width - 1}.")
    starts = np.concatenate([[0], np.cumsum([len(values) for values, _, _ in rows])])
    keys = np.concatenate([found for _, found, _ in rows if found is not None])
    made = sparse.csr_matrix((np.concatenate([row[0] for row in rows]), keys, starts), shape=(len(rows), width))
    made.sort_indices()
    return made


def _vector(record: bytes) -> tuple[Floats, npt.NDArray[np.int64] | None, int]:
    """(values, keys, width) of a record's feature `values`."""
    for field, kind, value in _fields(record):
        if (field, kind) == (_FEATURES, _BYTES):
            entry = {number: (wire, inner) for number, wire, inner in _fields(value)}
            if entry.get(1, (_BYTES, b""))[1] == b"values" and 2 in entry:
                return _tensor(entry[2][1])
    raise InputError("it has no feature called 'values'.")


def _tensor(value: bytes) -> tuple[Floats, npt.NDArray[np.int64] | None, int]:
    for field, kind, inner in _fields(value):
        if kind == _BYTES and field in _TENSORS:
            parts: dict[int, list[Any]] = {1: [], 2: [], 3: []}
            for number, wire, found in _fields(inner):
                if number in parts:
                    parts[number].append(_numbers(found, wire, _TENSORS[field] if number == 1 else None))
            values, keys, shape = (np.concatenate(part) if part else np.empty(0) for part in parts.values())
            values = values.astype(np.float64)
            if len(keys) != len(values) and len(keys):
                raise InputError("it has not as many keys as values.")
            # Without values and keys only the shape tells: a sparse vector of zeros.
            if not len(keys) and (len(values) or not len(shape)):
                return values, None, len(values)
            if len(shape) != 1:
                raise InputError("a sparse vector needs a shape of one number.")
            if shape[0] >= 1 << 62 or (len(keys) and keys.max() >= 1 << 62):
                raise InputError("a key or the shape is too large.")
            return values, keys.astype(np.int64), int(shape[0])
    raise InputError("its feature 'values' is no tensor of numbers.")


def _numbers(found: Any, wire: int, dtype: np.dtype[Any] | None) -> npt.NDArray[Any]:
    """The numbers of a repeated field, packed or one alone."""
    if dtype is not None and dtype.kind == "f":
        if wire not in (_BYTES, _FIXED32 if dtype.itemsize == 4 else _FIXED64):
            raise ValueError
        return np.frombuffer(found, dtype)
    integers = _varints(found) if wire == _BYTES else [found]
    if wire not in (_BYTES, _VARINT):
        raise ValueError
    if dtype is None:
        return np.array(integers, np.uint64)
    return np.array([(value & 0xFFFFFFFF) - ((value & 0x80000000) << 1) for value in integers], np.int64)


def _fields(message: bytes) -> Iterator[tuple[int, int, Any]]:
    """(number, wire type, value) of each field: an int for varints, bytes for all others."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield tag >> 3, kind, value
            continue
        if kind == _BYTES:
            length, at = _varint(message, at)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError
        if at + length > len(message):
            raise ValueError
        yield tag >> 3, kind, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
        if shift > 63:
            raise ValueError


def _varints(message: bytes) -> list[int]:
    found, at = [], 0
    while at < len(message):
        value, at = _varint(message, at)
        found.append(value)
    return found


# -- writing -----------------------------------------------------------------------------------------------------------


def write(columns: Mapping[str, Any]) -> bytes:
    """A file with a record per row, whose labels are the columns: float32 tensors. Raises ValueError for text."""
    names = list(columns)
    rows = zip(*(_rows(columns[name]) for name in names), strict=True)
    return b"".join(
        wrapped(b"".join(_entry(_LABEL, name, values) for name, values in zip(names, row, strict=True))) for row in rows
    )


def encode(vectors: Vectors) -> bytes:
    """A file with a record per vector, `(n, width)`, as the feature `values`: what `read` reads."""
    if isinstance(vectors, np.ndarray):
        return b"".join(wrapped(_entry(_FEATURES, "values", row)) for row in vectors)
    rows = sparse.csr_matrix(vectors)
    spans = zip(rows.indptr[:-1], rows.indptr[1:], strict=True)
    return b"".join(
        wrapped(_entry(_FEATURES, "values", rows.data[a:b], rows.indices[a:b], rows.shape[1])) for a, b in spans
    )


def _rows(values: pa.Array) -> list[npt.NDArray[Any]]:
    if pa.types.is_list(values.type) and not pa.types.is_string(values.type.value_type):
        return [np.asarray(row, np.float32) for row in values.to_pylist()]
    if pa.types.is_floating(values.type) or pa.types.is_integer(values.type):
        return [np.array([value], np.float32) for value in values.to_numpy(zero_copy_only=False)]
    raise ValueError(f"a tensor cannot hold {values.type}")


def _entry(field: int, name: str, values: Any, keys: Any = (), width: int | None = None) -> bytes:
    """One entry of the map: a name and a Float32Tensor."""
    tensor = _bytes(1, np.asarray(values, "<f4").tobytes())
    if width is not None:
        tensor += _bytes(2, b"".join(_written(int(key)) for key in keys)) + _bytes(3, _written(width))
    return _bytes(field, _bytes(1, name.encode()) + _bytes(2, _bytes(2, tensor)))


def _bytes(field: int, value: bytes) -> bytes:
    return _written(field << 3 | _BYTES) + _written(len(value)) + value


def _written(value: int) -> bytes:
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
