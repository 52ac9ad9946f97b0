"""Files of tasks: CSV, JSON lines, Parquet, or what Label Studio exports; read and checked whole before anything is
written, so that a file with a mistake changes nothing.

Each row of a table is a task. Its own name is in the column `external_id`, or `item_id`, or `id`; a column `priority`
is the task's, and all others are its data.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from labeling.store.arrivals import Arrival
from labeling.store.definition import NewTask
from palate.errors import InputError, ParameterError, SchemaError

FORMATS = ("csv", "jsonl", "parquet", "label-studio")
NAMES = ("external_id", "item_id", "id")
_ENDINGS = {
    **{form: form for form in ("csv", "jsonl", "parquet")},
    "ndjson": "jsonl",
    "json": "label-studio",
    "zip": "images",
}


def format_of_name(name: str) -> str:
    """The format by a file's ending. Raises ParameterError."""
    ending = name.lower().rpartition(".")[2]
    found = _ENDINGS.get(ending)
    if found is None:
        raise ParameterError(
            f"{name[-60:]!r} does not say what it is.", where="format", hint=f"Name one of {', '.join(FORMATS)}."
        )
    return found


def read_tasks(data: bytes, form: str) -> list[Arrival]:
    """The tasks in a file. Raises InputError naming the place of what is wrong."""
    if form not in FORMATS:
        raise ParameterError(f"{form[:40]!r} is none.", where="format", hint=f"Use one of {', '.join(FORMATS)}.")
    if form == "label-studio":
        return _label_studio(data)
    rows = {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet}[form](data)
    found = [Arrival(_task(where, row)) for where, row in rows]
    if not found:
        raise SchemaError("there is no task in it.", where="file")
    return found


def _task(where: str, row: Mapping[str, Any]) -> NewTask:
    name = next((row[each] for each in NAMES if row.get(each) not in (None, "")), None)
    if name is None or isinstance(name, bool) or not isinstance(name, str | int):
        raise SchemaError(f"has no {' or '.join(NAMES)}.", where=where)
    priority = row.get("priority") or 0
    try:
        priority = int(priority)
    except (TypeError, ValueError):
        raise SchemaError(f"{str(priority)[:40]!r} is no whole number.", where=f"{where}, priority") from None
    left = {key: value for key, value in row.items() if key not in ("external_id", "priority") and value is not None}
    return NewTask(str(name), left, priority, where=where)


def _csv(data: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    text = _text(data)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        if not header or len(set(header)) != len(header) or not all(name.strip() for name in header):
            raise SchemaError("needs a header whose columns all have a name of their own.", where="line 1")
        for cells in reader:
            where = f"line {reader.line_num}"
            if not cells:
                continue
            if len(cells) != len(header):
                raise SchemaError(f"has {len(cells)} cells, the header {len(header)}.", where=where)
            yield where, {name: cell for name, cell in zip(header, cells, strict=True) if cell != ""}
    except csv.Error as error:
        raise SchemaError(f"is no CSV: {error}.", where=f"line {reader.line_num}") from None


def _jsonl(data: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(_text(data).split("\n"), 1):
        if not line.strip():
            continue
        where = f"line {number}"
        try:
            row = json.loads(line, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise SchemaError(f"is no JSON: {error}.", where=where) from None
        if not isinstance(row, dict):
            raise SchemaError("is no object.", where=where)
        yield where, row


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _parquet(data: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        number = 0
        for batch in file.iter_batches(5_000):
            for row in batch.to_pylist():
                number += 1
                yield f"row {number}", {name: _plain(value) for name, value in row.items()}
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise SchemaError(f"is no Parquet that can be read: {error}", where="file") from None


def _plain(value: Any) -> Any:
    """As JSON has it: moments as text, no NaN."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    return str(value)


def _label_studio(data: bytes) -> list[Arrival]:
    from pydantic import TypeAdapter, ValidationError

    from labeling.api.label_studio import LabelStudioTask

    try:
        tasks = TypeAdapter(list[LabelStudioTask]).validate_json(_text(data))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise SchemaError(f"is not what Label Studio exports: {first['msg']}.", where=f"tasks.{place}") from None
    return [task.arrival(number) for number, task in enumerate(tasks)]


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"is not UTF-8 text (byte {error.start}).", where="file", hint="Convert it: iconv -f latin1 -t utf-8."
        ) from None
