"""A model's answer to a batch, and its body: SageMaker's shape for the kinds that SageMaker has, else its columns.

    k-means   {"predictions": [{"closest_cluster": 1.0, "distance_to_cluster": 3.0}]}
    PCA       {"projections": [{"projection": [0.1, 0.2]}]}
    FM        {"predictions": [{"score": 0.4, "predicted_label": 0}]}, the label for classification only
    others    {"predictions": [{a field per output column}]}

In JSON Lines each row is a line of its own; in CSV a row's numbers follow each other, without a header; in RecordIO
each row is a record whose labels are the fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from scipy import sparse
from werkzeug.exceptions import NotAcceptable

from palate import arrowjson
from palate.arrowjson import Written
from palate.errors import SchemaError
from palate.models.dense import dense_column
from palate.models.factorization_machine import FactorizationMachine
from palate.models.kmeans import KMeans
from palate.models.pca import PCA
from palate.models.protocol import Artifact, Signature
from services.endpoints import recordio
from services.endpoints.payloads import CSV, JSON, LINES, RECORDS, TYPES

ANSWERS = (JSON, LINES, CSV, RECORDS)
"""What an answer can be; the first is given to who asks for nothing in particular."""

Columns = Mapping[str, Any]
"""Field to Arrow array, or `Written`."""


@dataclass(frozen=True)
class Shape:
    """How a kind answers. key: the field of the JSON document that holds the rows. takes_sparse: `predict` takes a CSR
    matrix as it is; for others it is made dense, some rows at a time."""

    key: str
    predict: Callable[[Any, Mapping[str, Any]], Columns]
    takes_sparse: bool = False


def predict(artifact: Artifact, batch: Mapping[str, Any]) -> Columns:
    """The fields of the answer, by name. Raises as the model's `predict`."""
    shape = shape_of(artifact)
    given = next(((name, values) for name, values in batch.items() if sparse.issparse(values)), None)
    if given is None or shape.takes_sparse:
        return shape.predict(artifact, batch)
    name, rows = given
    width = getattr(artifact, "n_features", rows.shape[1])
    if rows.shape[1] != width:
        raise SchemaError(f"the vectors have {rows.shape[1]} numbers, the model takes {width}.", where=name)
    step = max(1, DENSE_AT_ONCE // rows.shape[1])
    parts = [
        shape.predict(artifact, {name: rows[start : start + step].toarray()}) for start in range(0, rows.shape[0], step)
    ]
    return {field: _concatenated([part[field] for part in parts]) for field in parts[0]}


def _concatenated(parts: list[Any]) -> Any:
    if isinstance(parts[0], Written):
        return Written(pa.concat_arrays([part.text for part in parts]))
    return pa.concat_arrays(parts)


def shape_of(artifact: Artifact) -> Shape:
    return SHAPES.get(artifact.kind, _PLAIN)


def alike(one: Artifact, other: Artifact) -> bool:
    """Whether a caller may be answered by either: the bodies are of one shape, and each takes and gives what the other
    needs and always gives, of the same types."""
    mine, theirs = one.signature(), other.signature()
    return shape_of(one) is shape_of(other) and _within(mine, theirs) and _within(theirs, mine)


def _within(one: Signature, other: Signature) -> bool:
    sides = ((one.inputs, other.inputs), (one.outputs, other.outputs))
    return all(
        there.get(name) == kind for own, there in sides for name, kind in own.items() if name not in one.optional
    )


def write(columns: Columns, content_type: str, key: str) -> bytes:
    """The body. Raises NotAcceptable for columns that a CSV line cannot hold."""
    if content_type == CSV:
        return _csv(columns)
    if content_type == RECORDS:
        return _records(columns)
    rows = arrowjson.objects(columns)
    if content_type == LINES:
        return arrowjson.joined(rows, "\n") + (b"\n" if len(rows) else b"")
    return b'{"' + key.encode() + b'": [' + arrowjson.joined(rows, ", ") + b"]}"


def _csv(columns: Columns) -> bytes:
    flat: list[Any] = []
    for name, values in columns.items():
        if isinstance(values, Written):
            flat.append(values.text.cast(pa.float32()))  # as text it would come out in quotes
        elif pa.types.is_list(values.type):
            matrix = arrowjson.matrix(values) if len(values) else np.empty((0, 0))
            if matrix is None or pa.types.is_string(values.type.value_type):
                raise NotAcceptable(f"{name} is a list, which CSV cannot hold; accept {JSON}.")
            flat.extend(pa.array(matrix[:, number]) for number in range(matrix.shape[1]))
        else:
            flat.append(values)
    out = pa.BufferOutputStream()
    table = pa.table(flat, names=[str(number) for number in range(len(flat))])
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed")
    pyarrow.csv.write_csv(table, out, options)
    body: bytes = out.getvalue().to_pybytes()
    return body


def _records(columns: Columns) -> bytes:
    numbers = {
        name: values.text.cast(pa.float32()) if isinstance(values, Written) else values
        for name, values in columns.items()
    }
    try:
        return recordio.write(numbers)
    except ValueError as error:
        raise NotAcceptable(f"The answer is not all numbers ({error}); accept {JSON}.") from None


def _pca(model: PCA, batch: Mapping[str, Any]) -> Columns:
    return {"projection": arrowjson.vectors(model.transform(dense_column(batch, "features", model.n_features)))}


def _kmeans(model: KMeans, batch: Mapping[str, Any]) -> Columns:
    clusters, distances = model.assign(dense_column(batch, "features", model.n_features))
    numbers = pc.binary_join_element_wise(pa.array(clusters).cast(pa.string()), ".0", "")  # SageMaker's are floats
    return {"closest_cluster": Written(numbers), "distance_to_cluster": pa.array(distances)}


def _fm(model: FactorizationMachine, batch: Mapping[str, Any]) -> Columns:
    given = batch.get("features")
    scores = model.score(given if sparse.issparse(given) and model.encoder is None else model.rows(batch))
    columns = {"score": pa.array(scores.astype(np.float32))}
    if model.task == "classification":
        columns["predicted_label"] = pa.array((scores > 0.5).astype(np.int32))
    return columns


def plain(model: Artifact, batch: Mapping[str, Any]) -> Columns:
    """The model's own output columns, by name."""
    answer = model.predict(batch)
    return {name: _arrow(answer[name], kind) for name, kind in model.signature().outputs.items() if name in answer}


def _arrow(values: Any, kind: str) -> pa.Array:
    """A column in the type that the signature states: floats that a model gives as Python's have no more digits."""
    if isinstance(values, np.ndarray) and values.ndim == 2:
        return arrowjson.vectors(values)
    return pa.array(values, _type(kind))


def _type(kind: str) -> pa.DataType | None:
    """None for a type that is not among those of payloads: Arrow finds out by itself."""
    inner = kind.removeprefix("list<")
    found = TYPES.get(inner.removesuffix(">"))
    return pa.list_(found) if found is not None and inner != kind else found


SHAPES = {
    "kmeans": Shape("predictions", _kmeans),
    "pca": Shape("projections", _pca),
    "fm": Shape("predictions", _fm, takes_sparse=True),
}
"""Kind to shape."""
_PLAIN = Shape("predictions", plain)
DENSE_AT_ONCE = 1 << 22
"""Numbers of sparse vectors whose zeros are written out at a time: 32 MB."""
