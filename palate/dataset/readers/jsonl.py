"""JSON Lines: one object per line. Interactions go through Arrow's parser, catalogues through Python's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import json as arrow_json

from palate.dataset.mapping import ColumnMapping
from palate.dataset.readers.raw import Raw, Records, file_bytes
from palate.errors import SchemaError


def read_jsonl_records(path: Path, mapping: ColumnMapping, section: str) -> Records:
    """The objects of a file; blank lines are not counted. Raises SchemaError naming the line that is none."""
    where = str(path)
    objects: list[dict[str, Any]] = []
    lines = (line for line in file_bytes(path).split(b"\n") if line.strip())
    for number, line in enumerate(lines, start=1):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = "too deep" if isinstance(error, RecursionError) else getattr(error, "msg", None) or str(error)
            hint = "JSON Lines has one object per line." if number == 1 and line.lstrip()[:1] in b"[{" else None
            raise SchemaError(f"is not JSON ({reason}).", where=f"{where}: row {number}", hint=hint) from None
        if not isinstance(value, dict):
            raise SchemaError(
                f"is a JSON {_json_kind(value)}, an object is expected.",
                where=f"{where}: row {number}",
                hint="JSON Lines has one object per line.",
            )
        objects.append(value)
    names = list(dict.fromkeys(name for value in objects for name in value))
    columns = mapping.resolve(section, names, where=where)
    values = {name: [value.get(name) for value in objects] for name in names}
    return Records(values, columns, where, 1)


def read_jsonl(path: Path, mapping: ColumnMapping, section: str) -> Raw:
    """The fields of a JSON Lines file as a table: by Arrow if the types agree, else row by row to say where not."""
    data = file_bytes(path)
    try:
        first = json.loads(data.lstrip().split(b"\n", 1)[0])
    except (ValueError, RecursionError):
        first = None
    if isinstance(first, dict):
        columns = mapping.resolve(section, list(first), where=str(path))
        kinds = {column.name: _arrow_kind(first[column.name or ""]) for column in columns.values()}
        if all(kind is not None for kind in kinds.values()):
            try:
                table = arrow_json.read_json(
                    pa.BufferReader(data),
                    read_options=arrow_json.ReadOptions(block_size=8 << 20),
                    parse_options=arrow_json.ParseOptions(
                        explicit_schema=pa.schema(list(kinds.items())), unexpected_field_behavior="ignore"
                    ),
                )
                return Raw(table, columns, str(path), 1)
            except pa.ArrowException:
                pass
    records = read_jsonl_records(path, mapping, section)
    table = pa.table(
        {column.name: _json_column(records, name, column.name or "") for name, column in records.columns.items()}
    )
    return Raw(table, records.columns, records.file, 1)


def _arrow_kind(value: object) -> pa.DataType | None:
    if isinstance(value, str):
        return pa.large_string()
    if isinstance(value, int) and not isinstance(value, bool):
        return pa.int64()
    return pa.float64() if isinstance(value, float) else None


def _json_column(records: Records, field_name: str, column: str) -> pa.Array:
    """The values of one field, all numbers or all text. Raises SchemaError naming the first that is neither."""
    values = records.values[column]
    if field_name in ("user", "item", "id"):
        return id_column(records, field_name, values)
    for index, value in enumerate(values):
        if value is not None and (isinstance(value, bool) or not isinstance(value, (str, int, float))):
            raise SchemaError(
                f"the {field_name} is a JSON {_json_kind(value)}.",
                where=f"{records.file}: row {records.row(index)}, column {field_name}",
            )
    if all(isinstance(value, (int, float)) or value is None for value in values):
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    return pa.array([None if value is None else str(value) for value in values], pa.large_string())


def id_column(records: Records, field_name: str, values: Sequence[Any]) -> pa.Array:
    """Ids, all integers or all text. Raises SchemaError naming the first row that differs from the ones before."""
    first: type | None = None
    for index, value in enumerate(values):
        where = f"{records.file}: row {records.row(index)}, column {field_name}"
        if value is None:
            continue
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise SchemaError(f"the id is a JSON {_json_kind(value)}; ids are text or whole numbers.", where=where)
        if first is None:
            first = type(value)
        elif type(value) is not first:
            was, now = ("text", "a number") if first is str else ("numbers", "text")
            raise SchemaError(
                f"the id {str(value)[:60]!r} is {now}, those before it are {was}: mixed types of id.",
                where=where,
                hint="Write all ids in the same way.",
            )
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise SchemaError(f"the id {str(value)[:60]} does not fit 64 bits.", where=where)
    if first is int:
        return pa.array([None if value is None else int(value) for value in values], pa.int64())
    try:
        return pa.array(values, pa.large_string())
    except UnicodeEncodeError:
        index = next(i for i, value in enumerate(values) if value is not None and not _is_unicode(value))
        raise SchemaError(
            "the id holds half a surrogate pair, which is no character.",
            where=f"{records.file}: row {records.row(index)}, column {field_name}",
        ) from None


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _json_kind(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    names = {list: "list", dict: "object", str: "text", int: "number", float: "number", type(None): "null"}
    return names.get(type(value), "value")
