"""The body of a request as the columns that a model takes: CSV, JSON, JSON Lines and RecordIO as SageMaker has them.

A model that takes one column of vectors reads SageMaker's forms: a vector a line of CSV, `{"features": [...]}`, or
`{"data": {"features": {"values": [...], "keys": [...], "shape": [n]}}}` with or without keys. Any other model reads its
columns by name from JSON, and in the order of its signature from CSV.

Large bodies are read by Arrow into numbers at once; what Arrow refuses, or might have read too kindly, is read again
by the strict reader, which says what is wrong with it and where.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
from scipy import sparse

from palate import arrowjson
from palate.errors import InputError
from palate.models.protocol import Signature
from palate.web import strictjson
from services.endpoints import recordio

CSV, JSON, LINES = "text/csv", "application/json", "application/jsonlines"
RECORDS = "application/x-recordio-protobuf"
REQUESTS = (CSV, JSON, LINES, RECORDS)
ARROW_FROM = 8192
"""Bodies of fewer bytes are read faster by Python: 1 x 50 numbers in 0.02 ms instead of 0.13 (JSON) or 0.4 (CSV),
500 x 50 in 8 to 20 instead of 1.5 to 7."""
MAX_WIDTH = 1 << 24
"""Numbers that a sparse vector may have: some models write its zeros out, 128 MB of them."""
_WIDE = 4096
"""Numbers in a row from which CSV is read as a single column."""
VECTORS = frozenset({"list<float>", "list<double>"})

_FEATURES = pa.list_(pa.float64())
_PARTS = pa.struct([("values", _FEATURES), ("keys", pa.list_(pa.int64())), ("shape", pa.list_(pa.int64()))])
_INSTANCE = pa.schema([("features", _FEATURES), ("data", pa.struct([("features", _PARTS)]))])
_DOCUMENT = pa.schema([("instances", pa.list_(pa.struct(list(_INSTANCE))))])
TYPES = {"string": pa.string(), "large_string": pa.string(), "int64": pa.int64(), "int32": pa.int32(),
         "float": pa.float32(), "double": pa.float64(), "bool": pa.bool_()}  # fmt: skip
"""A single value's type by its name in a signature."""


def read(body: bytes, content_type: str, signature: Signature, *, max_depth: int = 32) -> dict[str, Any]:
    """The batch for `answers.predict`; sparse vectors are one CSR matrix.

    Raises InputError saying what is wrong with the body, and where.
    """
    if not (body if content_type == RECORDS else body.strip()):
        raise InputError("The body is empty.", hint="Send at least one row.")
    vector = vector_column(signature)
    if content_type == RECORDS:
        if not vector:
            raise InputError("Records hold vectors, and the model takes others.", hint=f"Send {JSON}.")
        return {vector: recordio.read(body, max_width=MAX_WIDTH)}
    if content_type == CSV:
        return _csv_vectors(body, vector) if vector else _csv_columns(body, signature)
    if vector and len(body) >= ARROW_FROM and b"null" not in body:  # no vector holds one, and Arrow stumbles over some
        found = _fast(body, lines=content_type == LINES)
        if found is not None:
            return {vector: found}
    instances = _lines(body, max_depth) if content_type == LINES else _document(body, max_depth)
    return {vector: _vectors(instances, vector)} if vector else _columns(instances, signature)


def vector_column(signature: Signature) -> str:
    """The one column of vectors that a model takes; empty if it takes anything else."""
    if len(signature.inputs) == 1 and set(signature.inputs.values()) <= VECTORS:
        return next(iter(signature.inputs))
    return ""


# -- CSV ---------------------------------------------------------------------------------------------------------------


def _csv_vectors(body: bytes, column: str) -> dict[str, Any]:
    if len(body) < ARROW_FROM:
        found = _few(body)
        if found is not None:
            return {column: found}
    width = _first_line(body).count(b",") + 1
    if width > _WIDE:
        return {column: _csv_wide(body, width)}
    names = [f"f{number}" for number in range(width)]
    table = _csv(body, dict.fromkeys(names, pa.float64()))
    matrix = np.empty((table.num_rows, len(names)))
    for number, values in enumerate(table.columns):
        matrix[:, number] = values.to_numpy()
    return {column: matrix}


def _csv_wide(body: bytes, width: int) -> npt.NDArray[Any]:
    """Rows `(n, width)` read as one column: for each column that it is told of Arrow takes some 4 kB."""
    lines = [line for line in body.splitlines() if line.strip()]
    for number, line in enumerate(lines, 1):
        if (given := line.count(b",") + 1) != width:
            raise InputError(f"The CSV cannot be read: row {number}: Expected {width} columns, got {given}.")
        if b",," in line or line.startswith(b",") or line.endswith(b","):
            raise InputError(f"The CSV cannot be read: row {number}: a number is missing.")

    def place(found: re.Match[str]) -> str:
        row, at = divmod(int(found[1]) - 1, width)
        return f"column {at + 1}, row {row + 1}"

    try:
        values = _csv(b"\n".join(lines).replace(b",", b"\n"), {"f0": pa.float64()})["f0"].to_numpy()
    except InputError as error:
        raise InputError(re.sub(r"column 1, row (\d+)", place, error.message, count=1), hint=error.hint) from None
    if len(values) != len(lines) * width:
        raise InputError("The CSV cannot be read: a number is missing.", hint="Send rows without a header.")
    return np.asarray(values).reshape(len(lines), width)


def _few(body: bytes) -> npt.NDArray[Any] | None:
    """A few rows of plain numbers, `(n, width)`; None for anything that Python and Arrow may see differently."""
    if b"_" in body or b'"' in body:
        return None
    try:
        rows = np.array([[float(text) for text in line.split(b",")] for line in body.splitlines() if line.strip()])
    except ValueError:
        return None
    return rows if rows.ndim == 2 else None


def _csv_columns(body: bytes, signature: Signature) -> dict[str, Any]:
    kinds = {}
    for name, kind in signature.inputs.items():
        if kind not in TYPES:
            raise InputError(f"The model's column {name!r} holds lists, which CSV cannot.", hint=f"Send {JSON}.")
        kinds[name] = TYPES[kind]
    given = _first_line(body).count(b",") + 1
    while len(kinds) > given and (last := next(reversed(kinds))) in signature.optional:
        del kinds[last]  # optional columns come last
    return dict(_csv(body, kinds).to_pydict())


def _csv(body: bytes, kinds: Mapping[str, pa.DataType]) -> pa.Table:
    try:
        return pyarrow.csv.read_csv(
            pa.BufferReader(body),
            read_options=pyarrow.csv.ReadOptions(column_names=list(kinds), use_threads=False, block_size=len(body) + 1),
            convert_options=pyarrow.csv.ConvertOptions(column_types=dict(kinds), null_values=[]),
        )
    except pa.ArrowException as error:
        raise InputError(
            f"The CSV cannot be read: {_csv_reason(str(error))}", hint="Send rows without a header."
        ) from None


def _csv_reason(told: str) -> str:
    """Arrow's message with columns counted from 1, as its rows are."""
    told = re.sub(r"^In CSV column #(\d+): ", lambda found: f"column {int(found[1]) + 1}, ", told.splitlines()[0])
    told = told.replace("CSV parse error: ", "").replace("Row #", "row ").replace("CSV conversion error to ", "no ")
    return told[:200] + "."


def _first_line(body: bytes) -> bytes:
    found = re.match(rb"\s*([^\r\n]*)", body)
    return found[1] if found else b""


# -- JSON --------------------------------------------------------------------------------------------------------------


def _fast(body: bytes, *, lines: bool) -> npt.NDArray[Any] | sparse.csr_matrix | None:
    """Vectors `(n, width)` of a well-formed body, whose rows all have one form; None for any other."""
    try:
        table = arrowjson.read(body, _INSTANCE if lines else _DOCUMENT)
        if not lines:
            if table.num_rows != 1 or table["instances"].null_count:
                return None
            inner = table["instances"].combine_chunks().flatten()
            if inner.null_count:
                return None
            table = pa.table(pa.RecordBatch.from_struct_array(inner))
        found = arrowjson.matrix(table["features"])
        if found is None:
            if table["features"].null_count < table.num_rows:
                return None
            found = _fast_parts(table["data"].combine_chunks())
            if found is None:
                return None
    except (pa.ArrowException, ValueError, InputError):  # the strict reader says which row it is
        return None
    return found if np.isfinite(found if isinstance(found, np.ndarray) else found.data).all() else None


def _fast_parts(data: pa.StructArray) -> npt.NDArray[Any] | sparse.csr_matrix | None:
    parts = data.field("features")
    values, keys, shape = (parts.field(name) for name in ("values", "keys", "shape"))
    if data.null_count or parts.null_count:
        return None
    if keys.null_count == len(keys):
        return arrowjson.matrix(values) if shape.null_count == len(shape) else None
    widths = arrowjson.matrix(shape)
    if values.null_count or keys.null_count or widths is None or widths.shape[1] != 1 or np.ptp(widths):
        return None
    lengths = values.value_lengths().to_numpy()
    if values.flatten().null_count or keys.flatten().null_count or (lengths != keys.value_lengths().to_numpy()).any():
        return None
    indices = keys.flatten().to_numpy()
    return _sparse(values.flatten().to_numpy(), indices, np.concatenate([[0], np.cumsum(lengths)]), int(widths[0, 0]))


def _sparse(values: Any, keys: Any, starts: Any, width: int) -> sparse.csr_matrix:
    """Rows of keys and values, `(n, width) float64`. Raises InputError for keys outside or given twice."""
    if not 1 <= width <= MAX_WIDTH:
        raise InputError(f"A vector cannot have {width} numbers; {MAX_WIDTH} are the most.")
    if len(keys) and (keys.min() < 0 or keys.max() >= width):
        raise InputError(f"A key lies outside of 0 to {width - 1}.")
    found = sparse.csr_matrix((values, keys, starts), shape=(len(starts) - 1, width), dtype=np.float64)
    if not found.has_canonical_format:
        before = found.nnz
        found.sum_duplicates()
        if found.nnz != before:
            raise InputError("A key is given twice.")
    return found


def _document(body: bytes, max_depth: int) -> list[Any]:
    document = strictjson.loads(body, max_depth=max_depth)
    if not isinstance(document, dict) or set(document) != {"instances"} or not isinstance(document["instances"], list):
        raise InputError('The body must be {"instances": [...]}, a list of rows and nothing else.')
    return document["instances"]


def _lines(body: bytes, max_depth: int) -> list[Any]:
    instances = []
    for number, line in enumerate(body.split(b"\n"), 1):
        if line.strip():
            try:
                instances.append(strictjson.loads(line, max_depth=max_depth))
            except InputError as error:
                raise InputError(f"Line {number}: {error.message.replace('The body', 'it')}") from None
    return instances


def _vectors(instances: Sequence[Any], column: str) -> Any:
    """Lists of numbers, or a CSR matrix if they came as keys and values."""
    rows = [_vector(instance, number, column) for number, instance in enumerate(instances)]
    if not any(isinstance(row, _Sparse) for row in rows):
        return [_floats(row, f"Row {number}") for number, row in enumerate(rows)]
    parts = []
    for number, row in enumerate(rows):
        if not isinstance(row, _Sparse):
            raise InputError(f"Row {number} is dense and others are sparse.", hint="Send rows of one form at a time.")
        parts.append(row)
    width = parts[0].width
    other = next((number for number, part in enumerate(parts) if part.width != width), None)
    if other is not None:
        raise InputError(f"Row {other} has the shape [{parts[other].width}], the first one [{width}].")
    lengths = [len(part.keys) for part in parts]
    return _sparse(
        np.array([value for part in parts for value in part.values], dtype=np.float64),
        np.array([key for part in parts for key in part.keys], dtype=np.int64),
        np.concatenate([[0], np.cumsum(lengths)]),
        width,
    )


def _floats(row: list[Any], where: str) -> list[Any]:
    """The row, whole numbers beyond 64 bits as floats: NumPy takes no others for numbers."""
    try:
        return [float(each) if isinstance(each, int) and abs(each) >= 1 << 63 else each for each in row]
    except OverflowError:
        raise InputError(f"{where} has a number that is too large.") from None


class _Sparse:
    """One row as keys and values. Raises InputError unless they fit each other."""

    def __init__(self, keys: Any, values: Any, shape: Any, where: str) -> None:
        whole = isinstance(shape, list) and len(shape) == 1 and _is_int(shape[0])
        if not whole:
            raise InputError(f"{where} needs a shape such as [100] beside its keys.")
        if not isinstance(keys, list) or not all(map(_is_int, keys)) or len(keys) != len(values):
            raise InputError(f"{where} needs as many keys, whole numbers, as values.")
        if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            raise InputError(f"{where} has a value that is not a number.")
        self.keys, self.values, self.width = keys, _floats(values, where), shape[0]
        if keys and not 0 <= min(keys) <= max(keys) < self.width:
            raise InputError(f"{where} has a key outside of 0 to {self.width - 1}.")
        if len(set(keys)) != len(keys):
            raise InputError(f"{where} has a key twice.")


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 62


def _vector(instance: Any, number: int, column: str) -> Any:
    """A row's list of numbers, or its keys and values; what the numbers are worth, the model says."""
    where = f"Row {number}"
    if isinstance(instance, dict) and len(instance) == 1:
        name, value = next(iter(instance.items()))
        if name in ("features", column) and isinstance(value, list):
            return value
        if name == "data" and isinstance(value, dict) and set(value) == {"features"}:
            parts = value["features"]
            if isinstance(parts, dict) and isinstance(parts.get("values"), list):
                if set(parts) == {"values"}:
                    return parts["values"]
                if set(parts) == {"values", "keys", "shape"}:
                    return _Sparse(parts["keys"], parts["values"], parts["shape"], where)
    raise InputError(
        f"{where} is not a vector.",
        hint='A row is {"features": [...]} or {"data": {"features": {"values": [...]}}}; sparse with keys and shape.',
    )


def _columns(instances: Sequence[Any], signature: Signature) -> dict[str, Any]:
    """Rows of named values as columns; a value that some rows lack is None, a column that all lack is left out."""
    for number, instance in enumerate(instances):
        if not isinstance(instance, dict):
            raise InputError(f"Row {number} is not an object.", hint=f"Its fields: {', '.join(signature.inputs)}.")
        foreign = next((name for name in instance if name not in signature.inputs), None)
        if foreign is not None:
            raise InputError(
                f"Row {number}: there is no field {foreign[:80]!r}.", hint=f"There are: {', '.join(signature.inputs)}."
            )
    given = [name for name in signature.inputs if not instances or any(name in instance for instance in instances)]
    return {name: [instance.get(name) for instance in instances] for name in given}
