"""RecordIO-protobuf: what Google's protobuf writes is read, what is written here it reads; wrong bytes are named."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from palate.errors import InputError
from services.endpoints import recordio

RECORDS = "application/x-recordio-protobuf"
WIDE = 1000


def _record_class():
    """`aialgs.data.Record` as far as it is used; on the wire a map is a repeated message of key and value."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="record.proto", package="aialgs.data", syntax="proto2")

    def message(name, *fields):
        made = file.message_type.add(name=name)
        for label, kind, field, number, *packed in fields:
            type_name = f".aialgs.data.{kind}" if isinstance(kind, str) else None
            added = made.field.add(name=field, number=number, label=label)
            if type_name:
                added.type, added.type_name = kinds.TYPE_MESSAGE, type_name
            else:
                added.type = kind
            if packed:
                added.options.packed = True

    one, many = kinds.LABEL_OPTIONAL, kinds.LABEL_REPEATED
    for name, kind in (("Float32", kinds.TYPE_FLOAT), ("Float64", kinds.TYPE_DOUBLE), ("Int32", kinds.TYPE_INT32)):
        rest = [(many, kinds.TYPE_UINT64, "keys", 2, True), (many, kinds.TYPE_UINT64, "shape", 3, True)]
        message(f"{name}Tensor", (many, kind, "values", 1, True), *rest)
    message(
        "Value",
        (one, "Float32Tensor", "float32", 2),
        (one, "Float64Tensor", "float64", 3),
        (one, "Int32Tensor", "int32", 7),
    )
    message("Entry", (one, kinds.TYPE_STRING, "key", 1), (one, "Value", "value", 2))
    message(
        "Record",
        (many, "Entry", "features", 1),
        (many, "Entry", "label", 2),
        (one, kinds.TYPE_STRING, "uid", 3),
        (one, kinds.TYPE_STRING, "metadata", 4),
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("aialgs.data.Record"))


Record = _record_class()


def packed(tensor, values, keys=(), shape=(), name="values"):
    """A record as Google's protobuf writes it."""
    made = Record(uid="some-uid", metadata="{}")
    made.label.add(key="other").value.float32.values.append(7)
    held = getattr(made.features.add(key=name).value, tensor)
    held.values.extend(values)
    held.keys.extend(keys)
    held.shape.extend(shape)
    return recordio.wrapped(made.SerializeToString())


numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["float32", "float64"]), st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=1))
def test_dense_tensors_are_read(tensor, rows):
    found = recordio.read(b"".join(packed(tensor, row) for row in rows), max_width=WIDE)
    assert np.array_equal(found, np.array(rows))


def test_integers_are_read():
    assert recordio.read(packed("int32", [1, -2, 2**31 - 1]), max_width=WIDE).tolist() == [[1, -2, 2**31 - 1]]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(st.integers(0, 299), numbers.filter(bool)), min_size=1, max_size=5))
def test_sparse_tensors_are_read(rows):
    body = b"".join(packed("float32", row.values(), row.keys(), [300]) for row in rows)
    found = recordio.read(body, max_width=WIDE)
    assert sparse.issparse(found)
    wanted = np.zeros((len(rows), 300))
    for place, row in enumerate(rows):
        wanted[place, list(row)] = list(row.values())
    assert np.array_equal(found.toarray(), wanted)
    assert np.array_equal(recordio.read(recordio.encode(found), max_width=WIDE).toarray(), wanted)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(numbers, min_size=2, max_size=2), min_size=1))
def test_what_is_written_google_reads(rows):
    bodies = recordio.records(recordio.write({"projection": pa.array(rows, pa.list_(pa.float32()))}))
    for body, row in zip(bodies, rows, strict=True):
        label = Record.FromString(body).label
        assert [entry.key for entry in label] == ["projection"]
        assert list(label[0].value.float32.values) == row
    encoded = recordio.encode(np.array(rows))
    assert np.array_equal(recordio.read(encoded, max_width=WIDE), np.array(rows))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (packed("float32", [1, 2])[:-8], "Record 0 is cut off"),
        (packed("float32", [1, 2]) + b"\x0a\x23", "Record 1 is cut off"),
        (b"3,4\n0,0\n", "Is the body RecordIO"),
        (recordio.wrapped(b"\xff" * 5), "Record 0 is not protobuf"),
        (recordio.wrapped(b"\x0a\x7f"), "Record 0 is not protobuf"),
        (recordio.wrapped(b"\x0b"), "Record 0 is not protobuf"),
        (recordio.wrapped(b""), "no feature called 'values'"),
        (packed("float32", [1], name="image"), "no feature called 'values'"),
        (packed("float32", [1, 2]) + packed("float32", [1]), "different widths: 1 and 2"),
        (packed("float32", [1, 2]) + packed("float32", [1], [1], [2]), "dense and others sparse"),
        (packed("float32", [1, 2], [0, 2], [2]), "outside of 0 to 1"),
        (packed("float32", [1, 2], [1, 1], [2]), "given twice"),
        (packed("float32", [1, 2], [1], [2]), "as many keys as values"),
        (packed("float32", [1], [1]), "shape of one number"),
        (packed("float32", [1], [1], [2, 2]), "shape of one number"),
        (packed("float32", [1], [1], [WIDE + 1]), "are the most"),
        (packed("float32", [1], [2**63], [2**64 - 1]), "too large"),
    ],
)
def test_what_is_wrong_is_named(body, words):
    with pytest.raises(InputError, match=words):
        recordio.read(body, max_width=WIDE)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 60), st.integers(0, 255))
def test_any_bytes_are_read_or_refused(noise, place, byte):
    whole = bytearray(packed("float32", [1, 2], [0, 1], [2]))
    whole[place % len(whole)] = byte
    for body in (recordio.wrapped(noise), bytes(whole)):
        try:
            recordio.read(body, max_width=WIDE)
        except InputError:
            continue


def test_an_endpoint_takes_and_gives_records(api):
    body = packed("float32", [1, 2, 3]) + packed("float64", [0, 0, 1])
    assert api.invoke("pca", body, RECORDS).json == api.invoke("pca", "1,2,3\n0,0,1", "text/csv").json
    given = api.invoke("pca", body, RECORDS, Accept=RECORDS)
    assert given.content_type == RECORDS
    wanted = [row["projection"] for row in api.invoke("pca", body, RECORDS).json["projections"]]
    found = [Record.FromString(each).label for each in recordio.records(given.data)]
    assert [list(label[0].value.float32.values) for label in found] == wanted
    wide = api.invoke("fm", packed("float32", [1.5], [1], [3]), RECORDS, Accept=RECORDS).data
    names = [entry.key for entry in Record.FromString(next(recordio.records(wide))).label]
    assert names == ["score", "predicted_label"]
    cluster = next(recordio.records(api.invoke("kmeans", packed("int32", [3, 4]), RECORDS, Accept=RECORDS).data))
    values = {entry.key: list(entry.value.float32.values) for entry in Record.FromString(cluster).label}
    assert values == {"closest_cluster": [1.0], "distance_to_cluster": [0.0]}


def test_an_endpoint_refuses_records_that_do_not_fit(api):
    for name, body in (("pca", b""), ("pca", b"junk"), ("als", packed("float32", [1]))):
        refused = api.invoke(name, body, RECORDS)
        assert (refused.status_code, refused.headers["x-amzn-ErrorType"]) == (400, "ValidationError")
    assert api.invoke("pca", packed("float32", [1]), RECORDS).status_code == 424
    refused = api.invoke("als", '{"instances": [{"user": "a1"}]}', "application/json", Accept=RECORDS)
    assert refused.status_code == 406
