"""Records of a file to `Items` and `Users`."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from palate.dataset.ids import IdMap, integer_ids
from palate.dataset.mapping import Column
from palate.dataset.readers.jsonl import id_column
from palate.dataset.readers.raw import Records
from palate.dataset.schema import ITEM_SCHEMA, USER_SCHEMA, Items, Users
from palate.dataset.validate import check_ids, parse_timestamps, raise_first, shown
from palate.errors import SchemaError

_LATEST = 253_402_300_800.0
"""The end of the year 9999, in seconds. An item may be announced for the future, so the clock is no limit here."""
_TRUE, _FALSE = {"true", "t", "yes", "y", "1"}, {"false", "f", "no", "n", "0"}


def items_of(records: Records) -> Items:
    """The catalogue; columns that are no field become attributes. Raises SchemaError naming the first bad row."""
    readers: dict[str, Callable[[Records, str, Column], list[Any]]] = {
        "title": _texts,
        "text": _texts,
        "image": _texts,
        "categories": _lists,
        "tags": _lists,
        "available": _flags,
        "timestamp": _moments,
    }
    return Items(_ids(records), _table(records, readers, ITEM_SCHEMA))


def users_of(records: Records) -> Users:
    """The users; columns that are no field become attributes. Raises SchemaError naming the first bad row."""
    return Users(_ids(records), _table(records, {"categories": _lists, "tags": _lists}, USER_SCHEMA))


def _table(
    records: Records, readers: dict[str, Callable[[Records, str, Column], list[Any]]], schema: pa.Schema
) -> pa.Table:
    columns: dict[str, list[Any]] = {
        name: read(records, name, records.columns[name]) for name, read in readers.items() if name in records.columns
    }
    columns["attributes"] = _attributes(records)
    try:
        return pa.table({name: pa.array(values, schema.field(name).type) for name, values in columns.items()})
    except UnicodeEncodeError:
        raise SchemaError("a text holds half a surrogate pair, which is no character.", where=records.file) from None


def _where(records: Records, index: int, column: str) -> str:
    return f"{records.file}: row {records.row(index)}, column {column}"


def _ids(records: Records) -> IdMap:
    values = records.values[records.columns["id"].name or ""]
    column = id_column(records, "id", values)
    ids, findings = check_ids(column, "id", where=records.file)
    raise_first(findings, pa.table({"id": column}), file=records.file, first_row=records.first_row)
    counts = Counter(ids.to_pylist())
    if len(counts) < len(ids):
        seen: dict[Any, int] = {}
        for index, value in enumerate(ids.to_pylist()):
            if value in seen:
                raise SchemaError(
                    f"the id {shown(value)} is in row {records.row(seen[value])} already.",
                    where=_where(records, index, "id"),
                )
            seen[value] = index
    return IdMap(integer_ids(ids) if records.text_only else ids, where=records.file)


def _texts(records: Records, name: str, column: Column) -> list[str | None]:
    found: list[str | None] = []
    for index, value in enumerate(records.values[column.name or ""]):
        if isinstance(value, bytes):
            raise SchemaError(f"the {name} is binary, not text.", where=_where(records, index, name))
        if isinstance(value, (list, dict)):
            raise SchemaError(f"the {name} is a {type(value).__name__}, not text.", where=_where(records, index, name))
        text = "" if value is None else str(value).strip()
        found.append(text or None)
    return found


def _lists(records: Records, name: str, column: Column) -> list[list[str]]:
    found = []
    for index, value in enumerate(records.values[column.name or ""]):
        if isinstance(value, str):
            value = split_list(value, column.separator)
        elif value is None:
            value = []
        elif not isinstance(value, list):
            value = [value]
        if any(isinstance(part, (list, dict, bytes)) for part in value):
            raise SchemaError(f"{name} must be a list of texts.", where=_where(records, index, name))
        parts = (str(part).strip() for part in value if part is not None)
        found.append(list(dict.fromkeys(part for part in parts if part)))
    return found


def split_list(text: str, separator: str) -> list[Any]:
    """The values in one cell: a JSON list of texts, or texts between separators."""
    if text.lstrip().startswith("["):
        try:
            parts = json.loads(text)
        except ValueError:
            parts = None
        if isinstance(parts, list):
            return parts
    return list(text.split(separator))


def _flags(records: Records, name: str, column: Column) -> list[bool | None]:
    found: list[bool | None] = []
    for index, value in enumerate(records.values[column.name or ""]):
        text = "" if value is None else str(value).strip().lower().removesuffix(".0")
        if text and text not in _TRUE | _FALSE:
            raise SchemaError(f"{shown(value)} is neither true nor false.", where=_where(records, index, name))
        found.append(None if not text else text in _TRUE)
    return found


def _moments(records: Records, name: str, column: Column) -> list[int | None]:
    values = records.values[column.name or ""]
    try:
        array = pa.array(values)
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):
        array = pa.array([None if value is None else str(value) for value in values], pa.large_string())
    seconds, missing, unparsed = parse_timestamps(array, unit=column.unit, where=f"{records.file}: column {name}")
    if unparsed.any():
        index = int(np.argmax(unparsed))
        raise SchemaError(
            f"the timestamp {shown(values[index])} is neither seconds nor milliseconds nor ISO 8601.",
            where=_where(records, index, name),
        )
    beyond = np.abs(seconds) > _LATEST
    if beyond.any():
        index = int(np.argmax(beyond))
        raise SchemaError(
            f"the timestamp {shown(values[index])} lies beyond the year 9999.", where=_where(records, index, name)
        )
    return [None if gone else int(value // 1) for value, gone in zip(seconds.tolist(), missing.tolist(), strict=True)]


def _attributes(records: Records) -> list[str | None]:
    """One JSON object per row, of the columns that are no field; objects in a column `attributes` are merged in."""
    used = {column.name for column in records.columns.values()}
    columns = {name: values for name, values in records.values.items() if name not in used and name != "attributes"}
    if records.text_only:
        columns = {name: typed(values) for name, values in columns.items()}
    given = records.values.get("attributes") if "attributes" not in used else None
    found: list[str | None] = []
    for index in range(len(next(iter(records.values.values()), []))):
        row = {name: values[index] for name, values in columns.items() if not _blank(values[index])}
        if given is not None and not _blank(given[index]):
            row = {**_object(records, index, given[index]), **row}
        found.append(attribute_text(row))
    return found


def attribute_text(row: dict[str, Any]) -> str | None:
    """Attributes as the schema keeps them: JSON with sorted keys, None for none."""
    return json.dumps(row, ensure_ascii=False, sort_keys=True, default=str) if row else None


def _object(records: Records, index: int, value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise SchemaError(f"{shown(value)} is not JSON.", where=_where(records, index, "attributes")) from None
    if not isinstance(value, dict):
        raise SchemaError("attributes must be a JSON object.", where=_where(records, index, "attributes"))
    return {str(name): part for name, part in value.items() if not _blank(part)}


def _blank(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and not math.isfinite(value))


_PLAIN_NUMBER = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$"


def typed(values: Sequence[str]) -> list[Any]:
    """Text cells as numbers if all that are filled are plainly written ones ("07" is not), else as they are."""
    filled = pa.array([value or None for value in values], pa.large_string())
    numbers = filled.drop_null()
    if len(numbers) == 0 or not pc.all(pc.match_substring_regex(numbers, _PLAIN_NUMBER)).as_py():
        return list(values)
    kind = pa.int64() if pa.types.is_integer(integer_ids(numbers).type) else pa.float64()
    return list(filled.cast(kind).to_pylist())
